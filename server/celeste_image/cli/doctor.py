"""celeste doctor: starts a process of each engine as the server would, and tells what protects it on this machine."""

import asyncio
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from celeste_image.cli.configuration import configuration_options, refused
from celeste_image.cli.terminal import say, say_json

__all__ = ["command"]

UNPROTECTED = 1


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configuration_options
def command(as_json: bool, file: str | None, assignments: tuple[str, ...]) -> int:
    """Tell, engine by engine, what protects this machine from foreign bytes.

    Settings come from the same sources as for celeste serve. The exit code is 0 if every engine starts and has all
    protections, else 1.
    """
    try:
        from celeste_image.config import load
        from celeste_image.sandbox.server import protect_process
        from celeste_image.telemetry.logs import configure_logs
    except ModuleNotFoundError as error:
        raise click.ClickException(f"celeste doctor needs {error.name}: pip install 'celeste-image[local]'") from error
    configure_logs("error", "console")
    configuration = load(assignments=assignments, file=file)
    try:
        found: dict[str, Any] = {"machine": _machine(), "server": protect_process(), "engines": {}}
        found["engines"] = asyncio.run(_engines(configuration.valid()))
    except (ValueError, OSError) as error:
        raise refused(error, configuration) from error
    if as_json:
        say_json(found)
    else:
        _print(found)
    return (
        0 if not found["server"] and all(engine["protected"] for engine in found["engines"].values()) else UNPROTECTED
    )


async def _engines(settings: Any) -> dict[str, Any]:
    """Returns for each engine its missing controls and protections with the reasons, and the controls that hold."""
    from celeste_image.app import open_decoders, open_tools
    from celeste_image.core.errors import EngineLost
    from celeste_image.providers.registry import build_providers
    from celeste_image.sandbox.protections import unprotected

    tools = open_tools(settings)
    open_decoders(settings.images, tools.workers)
    providers = build_providers(settings.providers, tools)
    found: dict[str, Any] = {}
    for name, controls in (await tools.workers.inspect()).items():
        if isinstance(controls, EngineLost):
            found[name] = {"protected": False, "error": controls.message}
            continue
        unsafe = unprotected(controls)
        found[name] = {
            "protected": not unsafe,
            "unprotected": unsafe,
            "missing": {control: why for control, why in controls.items() if why},
            "holds": [control for control, why in controls.items() if not why],
        }
    for provider in providers.values():
        await provider.close()
    return found


def _machine() -> dict[str, Any]:
    """Returns facts about the system that decide what it can protect."""
    from celeste_image.sandbox import landlock

    facts: dict[str, Any] = {"system": f"{platform.system()} {platform.release()}", "machine": platform.machine()}
    if sys.platform != "linux":
        return facts
    facts["user"] = os.geteuid()
    try:
        facts["landlock"] = landlock.version()
    except OSError as error:
        facts["landlock"] = error.strerror
    facts["user_namespaces"] = _read("/proc/sys/user/max_user_namespaces") or "unknown"
    status = dict(line.split(":\t", 1) for line in _read("/proc/self/status").splitlines() if ":\t" in line)
    facts["capabilities"] = status.get("CapEff", "unknown")
    facts["seccomp_of_the_container"] = status.get("Seccomp") == "2"
    hints = {
        "Docker": Path("/.dockerenv").exists(),
        "Podman": Path("/run/.containerenv").exists(),
        "Kubernetes": "KUBERNETES_SERVICE_HOST" in os.environ,
        "gVisor": "gvisor" in _read("/proc/version").lower(),
        "WSL": "microsoft" in platform.release().lower(),
        "systemd-nspawn or another": bool(_read("/run/systemd/container")),
    }
    facts["container"] = ", ".join(name for name, seen in hints.items() if seen) or "none seen"
    return facts


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _print(found: Mapping[str, Any]) -> None:
    for name, fact in found["machine"].items():
        say(f"{name.replace('_', ' ')}: {fact}")
    say(f"server: {found['server'] or 'its memory is closed to other processes of its user'}")
    say()
    for name, engine in found["engines"].items():
        if "error" in engine:
            say(f"{name}: did not start: {engine['error']}")
            continue
        say(f"{name}: {'all protections hold' if engine['protected'] else 'NOT PROTECTED'}")
        for protection, why in engine["unprotected"].items():
            say(f"  {protection}: does not hold ({why})")
        for control, why in engine["missing"].items():
            say(f"  without {control}: {why}")
