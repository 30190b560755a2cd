"""celeste edit KIND IMAGE [PROMPT]"""

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from celeste_image.cli.options import checked_size, common_parameters, format_option, label_options, operation_options
from celeste_image.core import edits
from celeste_image.core.image import ImageInput

__all__ = ["command"]

Make = Callable[..., edits.AnyEdit]

SIDE = click.IntRange(0, 8192)


class Kinds(click.Group):
    """Finds kinds of edits; what is none is a picture to change by words, or to inpaint where a mask is given."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Takes what is no kind as a picture, unless it looks like a slip of the finger."""
        word = args[0]
        if word not in self.commands:
            near = difflib.get_close_matches(word, self.commands, n=1, cutoff=0.7)
            if near and not Path(word).exists():
                ctx.fail(f"no such edit: {word!r}; did you mean {near[0]!r}?")
            masked = any(arg == "--mask" or arg.startswith("--mask=") for arg in args)
            args = ["inpaint" if masked else "instruct", *args]
        return super().resolve_command(ctx, args)


class Picture(click.ParamType[ImageInput]):
    """A file, the name of an artifact, or - for standard input."""

    name = "picture"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ImageInput:
        """Returns the picture. Raises click.UsageError when it can't be read."""
        from celeste_image.cli.files import picture

        return picture(value)


PICTURE = Picture()


@click.group(name="edit", cls=Kinds)
def command() -> None:
    """Change a picture: celeste edit KIND IMAGE [PROMPT].

    Without a KIND, celeste edit IMAGE PROMPT changes what the words say, and with --mask paints them there. IMAGE is a
    file, the name of an artifact, or - for standard input.
    """


def option(*names: str, **how: Any) -> Callable[[Make], Make]:
    """Adds an option to an edit."""
    return click.option(*names, **how)


def prompt(required: bool = True) -> Callable[[Make], Make]:
    """Adds the words of an edit."""
    return click.argument("prompt") if required else click.argument("prompt", default="")


def strength(function: Make) -> Make:
    """Adds how much of an edit is wanted."""
    return option("--strength", type=click.FloatRange(0, 1), help="How much of it; else the model's own.")(function)


def masked(function: Make) -> Make:
    """Adds the mask of an edit."""
    for add in (
        option("--pixel-lock/--no-pixel-lock", default=None, help="Keep all else bit for bit; on by itself."),
        option("--feather", type=click.IntRange(0, 256), default=0, help="Soft border in pixels."),
        option(
            "--polarity",
            type=click.Choice([str(each) for each in edits.Polarity]),
            default="white",
            show_default=True,
            help="What in the mask means change.",
        ),
        option("--mask", type=PICTURE, required=True, help="A picture of the same size that marks where."),
    ):
        function = add(function)
    return function


def kind(function: Make) -> click.Command:
    """Makes a command of a function from an edit's own options to the edit."""
    own = inspect.signature(function).parameters
    name = function.__name__.replace("_", "-")

    def run(image: str, out: Path | None, force: bool, **values: Any) -> int:
        from celeste_image.cli.files import picture
        from celeste_image.cli.run import make_images
        from celeste_image.client.calls import EditParameters, edit_request

        edit = function(**{option: values.pop(option) for option in own})
        parameters: EditParameters = {
            **common_parameters(values),
            "references": values["references"],
            "negative_prompt": values["negative"],
            "size": checked_size(values["size"]),
            "count": values["count"],
            "seed": values["seed"],
            "output_media_type": values["media_type"],
        }
        stem = name if image == "-" or image.startswith("artifacts/") else f"{Path(image).stem} {name}"
        return make_images(edit_request(picture(image), edit, parameters), values, out=out, stem=stem, force=force)

    run.__doc__ = function.__doc__
    common = (
        click.option("--reference", "references", type=PICTURE, multiple=True, help="A picture to go by; repeatable."),
        click.option("-n", "--negative", default="", help="What not to make."),
        click.option("--size", help="768x512, or a ratio such as 16:9; else that of the picture."),
        format_option,
        click.option("--count", type=click.IntRange(1, 16), default=1, show_default=True, help="Images wanted."),
        click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), help="The same seed gives the same picture."),
        click.option("-o", "--out", type=click.Path(path_type=Path), help="File, or an existing folder."),
        click.option("--force", is_flag=True, help="Overwrite files."),
    )
    decorated: Any = label_options(operation_options(run))
    for add in reversed(common):
        decorated = add(decorated)
    decorated.__click_params__ += getattr(function, "__click_params__", [])  # click shows the last one first
    return command.command(name=name)(click.argument("image")(decorated))


def mask_of(mask: ImageInput, polarity: str, feather: int) -> edits.Mask:
    """Returns the mask that the options say."""
    return edits.Mask(mask, edits.Polarity(polarity), feather)


@kind
@masked
def erase(mask: ImageInput, polarity: str, feather: int, pixel_lock: bool | None) -> edits.AnyEdit:
    """Remove what is under the mask."""
    return edits.Erase(mask_of(mask, polarity, feather), pixel_lock)


@kind
@prompt()
@masked
def inpaint(prompt: str, mask: ImageInput, polarity: str, feather: int, pixel_lock: bool | None) -> edits.AnyEdit:
    """Paint something under the mask."""
    return edits.Inpaint(mask_of(mask, polarity, feather), prompt, pixel_lock)


@kind
@prompt(required=False)
@option("--left", type=SIDE, default=0, help="Pixels to add there.")
@option("--right", type=SIDE, default=0, help="Pixels to add there.")
@option("--top", type=SIDE, default=0, help="Pixels to add there.")
@option("--bottom", type=SIDE, default=0, help="Pixels to add there.")
def outpaint(prompt: str, left: int, right: int, top: int, bottom: int) -> edits.AnyEdit:
    """Make the picture larger than it was, and fill the border."""
    return edits.Outpaint(left, right, top, bottom, prompt)


@kind
@prompt()
@strength
def instruct(prompt: str, strength: float | None) -> edits.AnyEdit:
    """Change what words say."""
    return edits.Instruct(prompt, strength)


@kind
def remove_background() -> edits.AnyEdit:
    """Make the background transparent."""
    return edits.RemoveBackground()


@kind
@prompt(required=False)
@option("--background", type=PICTURE, help="A picture of it.")
def replace_background(prompt: str, background: ImageInput | None) -> edits.AnyEdit:
    """Put another background there, by words or by a picture."""
    return edits.ReplaceBackground(prompt, background)


@kind
@prompt(required=False)
@option("--style", default="", help="A style that the model knows; celeste models --json lists them.")
@option("--style-image", type=PICTURE, help="A picture in the style wanted.")
@strength
def restyle(prompt: str, style: str, style_image: ImageInput | None, strength: float | None) -> edits.AnyEdit:
    """Paint the picture in another style."""
    return edits.Restyle(style, style_image, prompt, strength)


@kind
@prompt()
@option("--target", required=True, help="What to recolor.")
def recolor(prompt: str, target: str) -> edits.AnyEdit:
    """Give something another color: PROMPT says which."""
    return edits.Recolor(target, prompt)


@kind
@prompt()
@option("--search", required=True, help="What to find.")
def search_replace(prompt: str, search: str) -> edits.AnyEdit:
    """Find something, and put PROMPT there."""
    return edits.SearchReplace(search, prompt)


@kind
@prompt(required=False)
@option("--light", "reference", type=PICTURE, help="A picture with the light wanted.")
@option("--direction", default="", help="Where it comes from: a word that the model knows.")
@strength
def relight(prompt: str, reference: ImageInput | None, direction: str, strength: float | None) -> edits.AnyEdit:
    """Light the picture anew."""
    return edits.Relight(prompt, reference, direction, strength)


@kind
def vary() -> edits.AnyEdit:
    """Make another picture like this one, without words."""
    return edits.Vary()


@kind
@prompt()
@option("--control", required=True, help="The aspect to keep: sketch, structure, style or another word of the model's.")
@strength
def control(prompt: str, control: str, strength: float | None) -> edits.AnyEdit:
    """Make a new picture that keeps an aspect of this one."""
    return edits.Control(control, prompt, strength)
