"""celeste upscale IMAGE: enlarges an image and prints the path of its file."""

from pathlib import Path
from typing import Any

import click

from celeste_image.cli.options import (
    Number,
    checked_size,
    common_parameters,
    format_option,
    label_options,
    operation_options,
    out_options,
    seed_option,
)
from celeste_image.core.request import UpscaleMode

__all__ = ["command"]


@click.command(name="upscale")
@click.argument("image")
@click.option(
    "-f",
    "--factor",
    type=Number(1, 16),
    help="Factor for width and height; default: 4 without a size.",
)
@click.option("--size", help="Exact size, such as 2048x2048, or an area, such as 12mp.")
@click.option("--mode", type=click.Choice([str(each) for each in UpscaleMode]), help="Mode; also chooses the model.")
@click.option("--prompt", default="", help="Content of the image, for modes that invent detail.")
@click.option("--creativity", type=Number(0, 1), help="Amount of invented detail.")
@click.option("--style", default="", help="A style that the model knows, for modes that invent detail.")
@seed_option
@format_option
@out_options
@label_options
@operation_options
def command(
    image: str,
    factor: float | None,
    size: str | None,
    mode: str | None,
    prompt: str,
    creativity: float | None,
    style: str,
    seed: int | None,
    media_type: str,
    out: str | None,
    force: bool,
    **common: Any,
) -> int:
    """Enlarge an image. IMAGE is a file, the name of an artifact, or - for standard input."""
    from celeste_image.cli import files
    from celeste_image.cli.output import checked_output
    from celeste_image.cli.run import make_images
    from celeste_image.client.calls import UpscaleParameters, upscale_request

    parameters: UpscaleParameters = {
        **common_parameters(common),
        "factor": factor or (0.0 if size else 4.0),
        "size": checked_size(size),
        "mode": UpscaleMode(mode) if mode else None,
        "prompt": prompt,
        "creativity": creativity,
        "style": style,
        "seed": seed,
        "output_media_type": media_type,
    }
    stem = "image" if image.startswith("artifacts/") else f"{Path(image).stem} upscaled"
    output = checked_output(out, {**common, "media_type": media_type}, stem=stem, force=force)
    return make_images(upscale_request(files.image(image), parameters), common, output)
