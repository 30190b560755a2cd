"""celeste config: writes, checks and shows the configuration of a server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from celeste_image.cli.configuration import configuration_options, refuse, say_problems
from celeste_image.cli.terminal import say, say_json
from celeste_image.core.install import install_hint

if TYPE_CHECKING:
    from celeste_image.config import Configuration
    from celeste_image.config.problems import KeyPath

__all__ = ["command"]


@click.group(name="config")
def command() -> int:
    """Write, check and show the configuration of a server.

    Settings come from the defaults, a file, CELESTE_ variables and flags; a later one takes precedence. The file is
    that of --config, else that of CELESTE_CONFIG, else celeste.toml, celeste.yaml or celeste.json in the working
    folder.
    """
    return 0


@command.command()
@click.argument("file", default="celeste.toml", metavar="[FILE]")
def init(file: str) -> int:
    """Write a commented file with all defaults; FILE ends with .toml or .yaml, or is - for standard output."""
    with _needs_server():
        from celeste_image.config.sources import FILE_NAMES
        from celeste_image.config.template import template
        from celeste_image.providers.registry import discover
    path = Path(file)
    form = "toml" if file == "-" else path.suffix.lower().removeprefix(".").replace("yml", "yaml")
    if form not in ("toml", "yaml"):
        raise click.UsageError(f"{file} must end with .toml or .yaml; JSON has no comments")
    text = template(form, {name: provider.Settings for name, provider in discover().items()})
    if file == "-":
        for line in text.splitlines():
            say(line)
        return 0
    if file in FILE_NAMES and (others := [name for name in FILE_NAMES if os.path.lexists(name)]):
        raise click.UsageError(f"{others[0]} exists; choose another file")
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError as error:
        raise click.UsageError(f"{file} exists; choose another file") from error
    say(f"wrote {file}, which only you can read", err=True)
    return 0


@command.command()
@configuration_options
def check(file: str | None, assignments: tuple[str, ...]) -> int:
    """Check the configuration as celeste serve does. Every mistake is a line; with one, the exit code is 2."""
    with _needs_server():
        from celeste_image.check import find_problems
        from celeste_image.config import load
        from celeste_image.telemetry.logs import configure_logs
    configure_logs("error", "console")
    environment = dict(os.environ)
    configuration = load(assignments=assignments, file=file, environment=environment)
    if problems := find_problems(configuration, environment):
        return say_problems(problems)
    for warning in _warnings(configuration):
        say(f"warning: {warning}", err=True)
    say(f"valid: {configuration.file or 'no file, only defaults, variables and flags'}")
    return 0


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configuration_options
def show(as_json: bool, file: str | None, assignments: tuple[str, ...]) -> int:
    """Print every setting with its value and where it comes from. Secrets are hidden."""
    with _needs_server():
        from celeste_image.config import load
        from celeste_image.telemetry.logs import configure_logs
    configure_logs("error", "console")
    environment = dict(os.environ)
    configuration = load(assignments=assignments, file=file, environment=environment)
    try:
        settings = list(_shown(configuration, environment))
    except (ValueError, OSError) as error:
        return refuse(configuration, environment, error)
    if as_json:
        say_json([{"key": key, "value": value, "origin": origin} for key, value, origin in settings])
        return 0
    for key, value, origin in settings:
        say(f"{key} = {_text(value)}  # {origin}")
    return 0


@command.command()
def schema() -> int:
    """Print the JSON Schema of the file, for editors."""
    with _needs_server():
        from celeste_image.config.schema import schema as make_schema
        from celeste_image.providers.registry import discover, discover_kinds
    providers, kinds = ({name: cls.Settings for name, cls in found().items()} for found in (discover, discover_kinds))
    say_json(make_schema(providers, kinds))
    return 0


class _needs_server:  # noqa: N801  # reads as a sentence
    """Turns a missing package into an error that says how to get it."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, ModuleNotFoundError):
            text = f"celeste config needs {error.name}; get it with: {install_hint('server')}"
            raise click.ClickException(text) from error


def _shown(configuration: "Configuration", environment: dict[str, str]) -> Iterator[tuple[str, Any, str]]:
    """Yields the key of each setting, its value for JSON, and its origin. Raises ValueError for a mistake."""
    from dataclasses import replace

    from celeste_image.app import open_tools
    from celeste_image.config.describe import leaves
    from celeste_image.config.sections import hidden, is_secret
    from celeste_image.core.secret import HIDDEN, Secret
    from celeste_image.providers.registry import build_providers

    settings = configuration.valid()
    providers = build_providers(settings.providers, replace(open_tools(settings), environment=environment))
    found: list[tuple[KeyPath, Any]] = [item for item in leaves(settings) if item[0][0] != "providers"]
    for name, provider in providers.items():
        found += leaves(provider.settings, ("providers", name))
    for path, value in found:
        shown, origin = value, configuration.origin(path)
        variable = getattr(providers.get(path[1]), "key_variable", "") if path[0] == "providers" else ""
        if value is None and path[2:] == ("key",) and environment.get(variable):
            shown, origin = HIDDEN, variable
        elif isinstance(value, Secret) or (value is not None and path[0] == "providers" and is_secret(path[2:])):
            shown = HIDDEN
        if path[0] == "providers":  # a table of a plug-in may have secrets inside a list
            shown = hidden(_plain(shown))
        yield ".".join(path), _plain(shown), origin


def _plain(value: Any) -> Any:
    """Returns a value as JSON has it."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, serialize_unknown=True)


def _text(value: Any) -> str:
    import json

    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def _warnings(configuration: "Configuration") -> Iterator[str]:
    """Yields a sentence for each file with secrets that every user of this machine may read."""
    from celeste_image.config.describe import leaves
    from celeste_image.config.references import FILE, exposed
    from celeste_image.core.secret import Secret

    files = {}
    for path, value in leaves(configuration.settings):
        text = value.reveal() if isinstance(value, Secret) else ""
        if text.startswith(FILE):
            files[Path(text.removeprefix(FILE))] = ".".join(path)
        elif path[-1] in ("key_file", "token_file") and isinstance(value, str | Path):
            files[Path(value)] = ".".join(path)
        elif text and not text.startswith("env:") and configuration.file and configuration.sources[0].has(path):
            files[configuration.file] = ".".join(path)
    for file, key in files.items():
        if exposed(file):
            yield f"{file} has the secret of {key}, and every user of this machine may read it; chmod o-r helps"
