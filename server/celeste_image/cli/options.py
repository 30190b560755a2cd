"""Options that several commands share, and the values that they accept."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from celeste_image.core.image import ImageInput, ImageReference

if TYPE_CHECKING:
    from celeste_image.client.access import AccessParameters
    from celeste_image.client.calls import CommonParameters, PaintParameters
    from celeste_image.core.image import Size

__all__ = [
    "IMAGE",
    "Number",
    "Server",
    "WholeNumber",
    "checked_size",
    "common_parameters",
    "format_option",
    "label_options",
    "labels_of",
    "operation_options",
    "out_options",
    "paint_options",
    "paint_parameters",
    "seed_option",
    "server_options",
]

Command = Callable[..., Any]

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}


class Image(click.ParamType[ImageInput]):
    """A file, the name of an artifact, or - for standard input."""

    name = "image"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ImageInput:
        """Returns the image. Raises click.UsageError for an unreadable file."""
        from celeste_image.cli.files import image

        return image(value)


IMAGE = Image()


class Reference(click.ParamType[ImageReference]):
    """An image, optionally followed by its role and its name: `hat.png;role=subject;name=hat`."""

    name = "image[;role=ROLE][;name=NAME]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ImageReference:
        """Returns the reference. Raises click.UsageError for an unreadable file or an unknown attribute."""
        from celeste_image.cli.files import image

        path, *attributes = [str(value)] if Path(value).exists() else str(value).split(";")
        pairs = {}
        for attribute in attributes:
            key, _, text = attribute.partition("=")
            if key not in ("role", "name"):
                self.fail(f"{attribute!r} is neither role=ROLE nor name=NAME", param, ctx)
            pairs[key] = text
        return ImageReference(image(path), **pairs)


class Number(click.FloatRange):
    """A number in a range. "nan" is in none."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns the number. Raises click.BadParameter."""
        number = _parsed(float, value)
        if not self._holds(number):
            self.fail(f"must be a number, {_limits(self)}, is {str(value)[:60]}", param, ctx)
        return number

    def _holds(self, number: float) -> bool:
        low = self.min is None or (number > self.min if self.min_open else number >= self.min)
        return not math.isnan(number) and low and (self.max is None or number <= self.max)


class WholeNumber(click.IntRange):
    """A whole number in a range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns the number. Raises click.BadParameter."""
        number = _parsed(int, value)
        if math.isnan(number) or number < (self.min or 0) or (self.max is not None and number > self.max):
            self.fail(f"must be a whole number, {_limits(self)}, is {str(value)[:60]}", param, ctx)
        return int(number)


def _parsed(kind: type[int] | type[float], value: Any) -> float:
    try:
        return kind(value)
    except (ValueError, OverflowError):
        return math.nan


def _limits(kind: click.IntRange | click.FloatRange) -> str:
    """Returns a range in words."""
    if kind.max is None:
        return f"above {kind.min}" if kind.min_open else f"{kind.min} or more"
    return f"{kind.min:,} to {kind.max:,}"


SEED = WholeNumber(0, (1 << 64) - 1)


def timeout_of(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Returns the timeout of an option as the client takes it: infinity is no deadline."""
    from celeste_image.client.checks import check_timeout

    return check_timeout(value)


def address_of(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Returns the address of an option, or None without one. Raises click.BadParameter for another form."""
    from celeste_image.client.checks import check_address

    if value is None or value == "local:":
        return None
    try:
        return check_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def labels_of(ctx: click.Context, param: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    """Returns the labels of a repeatable option. Raises click.BadParameter for another form, or a repeated name."""
    labels: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name):
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", ctx, param)
        if name in labels:
            raise click.BadParameter(f"{name!r} is given twice", ctx, param)
        labels[name] = value
    return labels


def _media_type(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    return "" if value is None else FORMATS.get(value.lower(), value)


format_option = click.option(
    "--format",
    "media_type",
    metavar="png|jpeg|webp|avif|MEDIA_TYPE",
    callback=_media_type,
    help="Format of the result; default: the model's own.",
)
seed_option = click.option("--seed", type=SEED, help="The same seed gives the same image.")


def _added(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """Returns a command with options, shown in this order."""
    for option in reversed(options):
        command = option(command)
    return command


class Server(NamedTuple):
    """The server of a command.

    Attributes:
        address: Its address; None means a server of the command's own.
        access: API key, TLS and certificate, as far as options give them. The environment has the rest.
    """

    address: str | None
    access: "AccessParameters"


FILE = click.Path(dir_okay=False)
ACCESS = {
    "api_key": click.option("--api-key", metavar="KEY|file:PATH", help="Key for the server, or a file with it."),
    "tls": click.option("--tls/--no-tls", default=None, help="Whether to encrypt the connection."),
    "ca": click.option("--ca", type=FILE, help="Authorities whose servers to trust, in PEM; implies --tls."),
    "cert": click.option("--cert", type=FILE, help="Certificate to show to the server, in PEM; implies --tls."),
    "key": click.option("--key", type=FILE, help="Private key of the certificate, in PEM."),
}
"""Options for access to a server, by the names of AccessParameters. Their variables are the client's matter."""


def server_options(command: Command) -> Command:
    """Adds the options for the server, which the command gets as `server`, a Server."""

    @functools.wraps(command)
    def called(*arguments: Any, **values: Any) -> Any:
        given = {name: value for name in ACCESS if (value := values.pop(name)) is not None}
        access: Any = given
        return command(*arguments, server=Server(values.pop("address"), access), **values)

    address = click.option(
        "--address",
        envvar="CELESTE_ADDRESS",
        callback=address_of,
        help="Server: host:port or unix:PATH. Without an address, the command starts a server of its own.",
    )
    return _added(called, (address, *ACCESS.values()))


def operation_options(command: Command) -> Command:
    """Adds the options that all operations share."""
    return _added(
        command,
        (
            click.option("-m", "--model", default="", help="Model or alias, from `celeste models`."),
            click.option(
                "--fallback",
                "fallbacks",
                multiple=True,
                metavar="MODEL",
                help="Model to try when the previous one did nothing; repeatable.",
            ),
            click.option("--strict", is_flag=True, help="Fail if the result would differ from the request."),
            click.option(
                "--timeout",
                type=Number(min=0, min_open=True),
                callback=timeout_of,
                help="Timeout in seconds; inf: none.",
            ),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="PROVIDER.NAME=VALUE",
                help="Option of one provider; repeatable.",
            ),
            click.option(
                "--label",
                "labels",
                multiple=True,
                metavar="NAME=VALUE",
                callback=labels_of,
                help="Label to add up usage and to clear cached results by; repeatable.",
            ),
            click.option(
                "--cache",
                type=click.Choice(["use", "refresh", "bypass"]),
                default="use",
                help="Take a cached result, make it again and replace it, or neither read nor write it; default: use.",
            ),
            click.option("--end-user", default="", metavar="ID", help="Opaque id of the end user for the provider."),
            click.option("--request-id", default="", metavar="UUID", help="Id of the request; default: a new one."),
            click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of paths."),
            server_options,
        ),
    )


def label_options(command: Command) -> Command:
    """Adds the options for the delivery of images and for their metadata."""
    return _added(
        command,
        (
            click.option("--previews", type=WholeNumber(0, 8), default=0, help="Previews to save beside the result."),
            click.option(
                "--inline-limit",
                type=WholeNumber(min=0),
                metavar="BYTES",
                help="Most image bytes inside the response; the command downloads the rest.",
            ),
            click.option("--metadata", type=click.Choice(["keep", "strip"]), help="Metadata of the images."),
            click.option(
                "--recipe/--no-recipe", default=None, help="Whether to write model, prompt and seed into the images."
            ),
        ),
    )


def out_options(command: Command) -> Command:
    """Adds the options for the files of a result."""
    return _added(
        command,
        (
            click.option("-o", "--out", type=click.Path(), help="File, existing folder, or - for standard output."),
            click.option("--force", is_flag=True, help="Overwrite files."),
        ),
    )


def paint_options(command: Command, without: Sequence[str] = ()) -> Command:
    """Adds the options that generate and edit share, except the names in `without`, which the command has itself."""
    options = {
        "negative": click.option("-n", "--negative", default="", help="Content to avoid."),
        "size": click.option("--size", help="768x512, a ratio such as 16:9, or an area such as 2mp."),
        "media_type": format_option,
        "count": click.option(
            "--count", type=WholeNumber(1, 16), default=1, show_default=True, help="Number of images."
        ),
        "seed": seed_option,
        "references": click.option(
            "--reference",
            "references",
            type=Reference(),
            multiple=True,
            help="Guiding image; repeatable.",
        ),
        "quality": click.option("--quality", default="", help="Effort of the model: a word that the model knows."),
        "background": click.option("--background", default="", help="transparent, opaque, or a word of the model."),
        "output_quality": click.option(
            "--output-quality", type=WholeNumber(1, 100), help="Quality of a lossy format, 1 to 100."
        ),
        "style": click.option("--style", default="", help="A style that the model knows; see `celeste models show`."),
        "rewrite": click.option(
            "--rewrite-prompt/--no-rewrite-prompt",
            "rewrite",
            default=None,
            help="Whether the model may rewrite the prompt.",
        ),
    }
    return _added(command, [option for name, option in options.items() if name not in without])


def checked_size(size: str | None) -> "Size":
    """Returns the size of an option. Raises click.BadParameter for an invalid size."""
    from celeste_image.client.calls import size_of

    try:
        return size_of(size)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--size") from error


def common_parameters(values: dict[str, Any]) -> "CommonParameters":
    """Returns the values of `operation_options` and `label_options` as arguments of the client."""
    return {
        "request_id": values["request_id"],
        "model": values["model"],
        "fallback_models": values["fallbacks"],
        "strict": values["strict"],
        "provider_options": _provider_options(values["settings"]),
        "inline_limit_bytes": values.get("inline_limit"),
        "preview_count": values.get("previews", 0),
        "labels": values["labels"],
        "cache_mode": values["cache"],
        "end_user": values["end_user"],
        "output_metadata": values.get("metadata"),
        "embed_recipe": values.get("recipe"),
    }


def paint_parameters(values: dict[str, Any]) -> "PaintParameters":
    """Returns the values of all the options that generate and edit share as arguments of the client."""
    return {
        **common_parameters(values),
        "negative_prompt": values["negative"],
        "size": checked_size(values["size"]),
        "count": values["count"],
        "seed": values["seed"],
        "output_media_type": values["media_type"],
        "references": values["references"],
        "quality": values["quality"],
        "background": values.get("background", ""),
        "output_quality": values["output_quality"] or 0,
        "style": values.get("style", ""),
        "rewrite_prompt": values["rewrite"],
    }


def _provider_options(settings: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Returns provider options for settings such as `local.tile=64`. A value that is not JSON is text.

    Raises:
        click.BadParameter: A setting has another form.
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
        except RecursionError:
            raise click.BadParameter(f"{path} has too many levels of lists", param_hint="--set") from None
        values.setdefault(provider, {})[name] = value
    return values
