"""celeste upscale IMAGE"""

from pathlib import Path
from typing import Any

import click

from celeste_image.cli.options import checked_size, common_parameters, format_option, label_options, operation_options
from celeste_image.core.request import UpscaleMethod

__all__ = ["command"]


@click.command(name="upscale")
@click.argument("image")
@click.option(
    "-f",
    "--factor",
    type=click.FloatRange(1, 16),
    help="Times the width and height; 4 when no size is given.",
)
@click.option("--size", help="Exact size, such as 2048x2048, or an area, such as 12mp.")
@click.option(
    "--method", type=click.Choice(["fast", "conservative", "creative"]), help="How; it also chooses the model."
)
@click.option("--prompt", default="", help="What the picture shows, for methods that invent detail.")
@click.option("--creativity", type=click.FloatRange(0, 1), help="How much may be invented.")
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), help="The same seed gives the same picture.")
@format_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File, or an existing folder.")
@click.option("--force", is_flag=True, help="Overwrite files.")
@label_options
@operation_options
def command(
    image: str,
    factor: float | None,
    size: str | None,
    method: str | None,
    prompt: str,
    creativity: float | None,
    seed: int | None,
    media_type: str,
    out: Path | None,
    force: bool,
    **common: Any,
) -> int:
    """Make a picture larger. IMAGE is a file, or the name of an artifact."""
    from celeste_image.cli.files import picture
    from celeste_image.cli.run import make_images
    from celeste_image.client.calls import UpscaleParameters, upscale_request

    parameters: UpscaleParameters = {
        **common_parameters(common),
        "factor": factor or (0.0 if size else 4.0),
        "size": checked_size(size),
        "method": UpscaleMethod(method) if method else None,
        "prompt": prompt,
        "creativity": creativity,
        "seed": seed,
        "output_media_type": media_type,
    }
    stem = "image" if image.startswith("artifacts/") else f"{Path(image).stem} upscaled"
    return make_images(upscale_request(picture(image), parameters), common, out=out, stem=stem, force=force)
