"""Options that several commands have, and the values they take."""

from collections.abc import Callable
from typing import Any

import click

__all__ = ["address_option", "operation_options", "provider_option_values"]

Command = Callable[..., Any]

address_option = click.option(
    "--address",
    envvar="CELESTE_ADDRESS",
    default="",
    help="Server: host:port or unix:PATH. Without it a server of its own is started.",
)


def operation_options(command: Command) -> Command:
    """Adds the options that all operations have."""
    for option in reversed(
        (
            click.option("-m", "--model", default="", help="Model, from `celeste models`."),
            click.option("--strict", is_flag=True, help="Refuse what can't be done to the letter."),
            click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds to wait at most."),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="PROVIDER.NAME=VALUE",
                help="An option that only one provider knows; may be repeated.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of paths."),
            address_option,
        )
    ):
        command = option(command)
    return command


def provider_option_values(settings: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Returns `local.tile=64` and the like as provider options; values are JSON, else text.

    Raises:
        click.BadParameter: One is not of that form.
    """
    import json

    values: dict[str, dict[str, Any]] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        provider, dot, name = path.partition(".")
        if not (equals and dot and provider and name):
            raise click.BadParameter(f"{setting!r} is not PROVIDER.NAME=VALUE", param_hint="--set")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        values.setdefault(provider, {})[name] = value
    return values
