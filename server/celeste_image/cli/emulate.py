"""celeste emulate: runs fake vendors on this machine."""

import asyncio
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from celeste_image.cli.terminal import say
from celeste_image.core.install import install_hint

__all__ = ["command"]

HEAD = (
    "# Made by celeste emulate: fake vendors on this machine. They cost nothing, and their images are only drawings.\n"
)


@click.command(name="emulate")
@click.argument("providers", nargs=-1)
@click.option(
    "--port",
    default=8700,
    show_default=True,
    help="Port of the first vendor; the others get the next ports. 0 takes free ports.",
)
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="Write the configuration to a new file.")
@click.option(
    "--usual", default="", metavar="BEHAVIOR", help='Behavior of all calls, such as "latency=2"; see the docs.'
)
def command(providers: tuple[str, ...], port: int, write: Path | None, usual: str) -> int:
    """Run fake vendors on this machine, to develop without keys and money.

    Standard output has the configuration of a server that uses them. Standard error has a line per call with its
    cost at the real vendor. GET /_emulator/ledger at any vendor returns all calls as JSON.
    """
    try:
        from celeste_image.emulate import EMULATED, Behavior, BehaviorUnknown, Entry, Ledger, emulating
        from celeste_image.telemetry.logs import configure_logs
    except ModuleNotFoundError as error:
        text = f"the emulators need {error.name}; get it with: {install_hint('server')}"
        raise click.ClickException(text) from error

    if unknown := [name for name in providers if name not in EMULATED]:
        raise click.UsageError(f"{unknown[0]} is not emulated; these are: {', '.join(EMULATED)}")
    configure_logs("warning", "console")  # standard output has the configuration alone
    try:
        behavior = Behavior.parse(usual)
    except BehaviorUnknown as error:
        raise click.UsageError(str(error)) from error

    def tell(entry: Entry) -> None:
        cost = f"{entry.charged:.4f} USD" if entry.charged else ""
        say(f"{entry.provider:12} {entry.status:3} {entry.method:4} {entry.path:48} {cost}", err=True)

    async def run() -> int:
        stopping = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stopping.set)
        ledger = Ledger(tell)
        chosen = [EMULATED[name] for name in providers or EMULATED]
        async with emulating(chosen, port=port, usual=behavior, ledger=ledger) as emulator:
            text = HEAD + "".join(_toml(name, table) for name, table in emulator.tables.items())
            for line in text.splitlines():
                say(line)
            if write:
                with write.open("x") as file:
                    file.write(text)
            await stopping.wait()
        calls = sum(entry.stage == "call" for entry in ledger.entries)
        say(f"{calls} calls, {ledger.charged():.4f} USD", err=True)
        return 0

    try:
        return asyncio.run(run())
    except FileExistsError as error:
        raise click.UsageError(f"{error.filename} exists; choose a new file") from error
    except OSError as error:
        raise click.ClickException(f"can't listen: {error.strerror}") from error


def _toml(name: str, table: Mapping[str, Any]) -> str:
    """Returns the TOML table `[providers.NAME]`; values are texts, numbers, or lists of tables."""
    return f"\n[providers.{name}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return json.dumps(value)
