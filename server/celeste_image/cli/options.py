"""Options that several commands have, and the values they take."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from celeste_image.client.calls import CommonParameters
    from celeste_image.core.image import Size

__all__ = [
    "address_option",
    "checked_size",
    "common_parameters",
    "format_option",
    "label_options",
    "operation_options",
]

Command = Callable[..., Any]

address_option = click.option(
    "--address",
    envvar="CELESTE_ADDRESS",
    default="",
    help="Server: host:port or unix:PATH. Without it a server of its own is started.",
)

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


def _media_type(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    return FORMATS[value] if value else ""


format_option = click.option(
    "--format",
    "media_type",
    type=click.Choice(list(FORMATS)),
    callback=_media_type,
    help="Format of the result; else the model's own.",
)


def operation_options(command: Command) -> Command:
    """Adds the options that all operations have."""
    for option in reversed(
        (
            click.option("-m", "--model", default="", help="Model or alias, from `celeste models`."),
            click.option(
                "--fallback",
                "fallbacks",
                multiple=True,
                metavar="MODEL",
                help="Model to try when the one before could not do it and did nothing; may be repeated.",
            ),
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


def label_options(command: Command) -> Command:
    """Adds the options of what the images made say of themselves."""
    keep = click.Choice(["keep", "strip"])
    recipe = "Write model, prompt, seed and the like into the images, or not."
    command = click.option("--recipe/--no-recipe", default=None, help=recipe)(command)
    return click.option("--metadata", type=keep, help="What becomes of metadata that the images come with.")(command)


def checked_size(size: str | None) -> "Size":
    """Returns the size that an option says. Raises click.BadParameter when it says none."""
    from celeste_image.client.calls import size_of

    try:
        return size_of(size)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--size") from error


def common_parameters(values: dict[str, Any]) -> "CommonParameters":
    """Returns what `operation_options` and `label_options` say, as the client's calls take it."""
    return {
        "model": values["model"],
        "fallback_models": values["fallbacks"],
        "strict": values["strict"],
        "provider_options": _provider_options(values["settings"]),
        "output_metadata": values.get("metadata"),
        "embed_recipe": values.get("recipe"),
    }


def _provider_options(settings: tuple[str, ...]) -> dict[str, dict[str, Any]]:
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
