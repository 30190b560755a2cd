"""celeste edit KIND IMAGE [PROMPT]: edits an image. Each kind of edit of the contract is a subcommand."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from celeste_image.cli.options import (
    IMAGE,
    Number,
    WholeNumber,
    label_options,
    operation_options,
    out_options,
    paint_options,
    paint_parameters,
)
from celeste_image.core import edits
from celeste_image.core.image import ImageInput
from celeste_image.core.nearest import nearest

__all__ = ["command"]

Make = Callable[..., edits.AnyEdit]

SIDE = WholeNumber(0, 8192)


class Kinds(click.Group):
    """Finds the kind of an edit. Without a kind, an edit follows an instruction, or inpaints if there is a mask."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Takes an unknown word as an image, unless the word resembles a kind and no such file exists."""
        word = args[0]
        if word not in self.commands:
            near = nearest(word, self.commands, 0.7)
            if near and not Path(word).exists():
                ctx.fail(f"no such edit: {word!r}; did you mean {near!r}?")
            masked = any(arg == "--mask" or arg.startswith("--mask=") for arg in args)
            args = ["inpaint" if masked else "instruct", *args]
        return super().resolve_command(ctx, args)


@click.group(name="edit", cls=Kinds)
def command() -> None:
    """Edit an image: celeste edit KIND IMAGE [PROMPT].

    Without a KIND, celeste edit IMAGE PROMPT follows the instruction in PROMPT, and with --mask paints PROMPT there.
    IMAGE is a file, the name of an artifact, or - for standard input.
    """


def option(*names: str, **how: Any) -> Callable[[Make], Make]:
    """Adds an option to an edit."""
    return click.option(*names, **how)


def prompt(required: bool = True) -> Callable[[Make], Make]:
    """Adds the prompt of an edit."""
    return click.argument("prompt") if required else click.argument("prompt", default="")


def strength(function: Make) -> Make:
    """Adds the strength of an edit."""
    return option("--strength", type=Number(0, 1), help="Strength; default: the model's own.")(function)


def masked(function: Make) -> Make:
    """Adds the mask of an edit."""
    for add in (
        option(
            "--pixel-lock/--no-pixel-lock", default=None, help="Keep pixels outside the mask bit for bit; default: on."
        ),
        option("--feather", type=WholeNumber(0, 256), default=0, help="Soft border in pixels."),
        option(
            "--polarity",
            type=click.Choice([str(each) for each in edits.Polarity]),
            default="white",
            show_default=True,
            help="Mask values that mean change.",
        ),
        option("--mask", type=IMAGE, required=True, help="A mask as large as the image."),
    ):
        function = add(function)
    return function


def kind(function: Make) -> click.Command:
    """Makes a command from a function that takes the options of one edit and returns the edit."""
    own = inspect.signature(function).parameters
    name = function.__name__.replace("_", "-")

    def run(image: str, out: str | None, force: bool, **values: Any) -> int:
        from celeste_image.cli import files
        from celeste_image.cli.output import checked_output
        from celeste_image.cli.run import make_images
        from celeste_image.client.calls import EditParameters, edit_request

        edit = function(**{option: values.pop(option) for option in own})
        parameters: EditParameters = {**paint_parameters(values)}
        stem = name if image == "-" or image.startswith("artifacts/") else f"{Path(image).stem} {name}"
        request = edit_request(files.image(image), edit, parameters)
        output = checked_output(out, values, stem=stem, force=force)
        return make_images(request, values, output)

    run.__doc__ = function.__doc__
    # Options of its own, such as the style of restyle, stand in the place of the shared ones.
    decorated: Any = paint_options(out_options(label_options(operation_options(run))), without=tuple(own))
    decorated.__click_params__ += getattr(function, "__click_params__", [])  # click shows the last one first
    return command.command(name=name)(click.argument("image")(decorated))


def mask_of(mask: ImageInput, polarity: str, feather: int) -> edits.Mask:
    """Returns the mask of the options."""
    return edits.Mask(mask, edits.Polarity(polarity), feather)


@kind
@masked
def erase(mask: ImageInput, polarity: str, feather: int, pixel_lock: bool | None) -> edits.AnyEdit:
    """Remove the masked area."""
    return edits.Erase(mask_of(mask, polarity, feather), pixel_lock)


@kind
@prompt()
@masked
def inpaint(prompt: str, mask: ImageInput, polarity: str, feather: int, pixel_lock: bool | None) -> edits.AnyEdit:
    """Paint PROMPT under the mask."""
    return edits.Inpaint(mask_of(mask, polarity, feather), prompt, pixel_lock)


@kind
@prompt(required=False)
@option("--left", type=SIDE, default=0, help="Pixels to add on this side.")
@option("--right", type=SIDE, default=0, help="Pixels to add on this side.")
@option("--top", type=SIDE, default=0, help="Pixels to add on this side.")
@option("--bottom", type=SIDE, default=0, help="Pixels to add on this side.")
def outpaint(prompt: str, left: int, right: int, top: int, bottom: int) -> edits.AnyEdit:
    """Extend the image and fill the border."""
    return edits.Outpaint(left, right, top, bottom, prompt)


@kind
@prompt()
@strength
def instruct(prompt: str, strength: float | None) -> edits.AnyEdit:
    """Follow the instruction in PROMPT."""
    return edits.Instruct(prompt, strength)


@kind
def remove_background() -> edits.AnyEdit:
    """Make the background transparent."""
    return edits.RemoveBackground()


@kind
@prompt(required=False)
@option("--background", type=IMAGE, help="An image of the background.")
def replace_background(prompt: str, background: ImageInput | None) -> edits.AnyEdit:
    """Replace the background by a prompt or an image."""
    return edits.ReplaceBackground(prompt, background)


@kind
@prompt(required=False)
@option("--style", default="", help="A style that the model knows; celeste models --json lists them.")
@option("--style-image", type=IMAGE, help="An image in the wanted style.")
@strength
def restyle(prompt: str, style: str, style_image: ImageInput | None, strength: float | None) -> edits.AnyEdit:
    """Paint the image in another style."""
    return edits.Restyle(style, style_image, prompt, strength)


@kind
@prompt()
@option("--target", required=True, help="The object to recolor.")
def recolor(prompt: str, target: str) -> edits.AnyEdit:
    """Recolor an object; PROMPT is the new color."""
    return edits.Recolor(target, prompt)


@kind
@prompt()
@option("--target", required=True, help="The object to find.")
def search_replace(prompt: str, target: str) -> edits.AnyEdit:
    """Find an object and replace it by PROMPT."""
    return edits.SearchReplace(target, prompt)


@kind
@prompt(required=False)
@option("--light", "reference", type=IMAGE, help="An image with the wanted light.")
@option("--direction", default="", help="Direction of the light: a word that the model knows.")
@strength
def relight(prompt: str, reference: ImageInput | None, direction: str, strength: float | None) -> edits.AnyEdit:
    """Change the light of the image."""
    return edits.Relight(prompt, reference, direction, strength)


@kind
def vary() -> edits.AnyEdit:
    """Make a similar image without a prompt."""
    return edits.Vary()


@kind
@prompt()
@option("--control", required=True, help="Aspect to keep: sketch, structure, style or another word of the model.")
@strength
def control(prompt: str, control: str, strength: float | None) -> edits.AnyEdit:
    """Make a new image that keeps one aspect of this one."""
    return edits.Control(control, prompt, strength)
