"""celeste upscale IMAGE"""

from pathlib import Path
from typing import Any

import click

from celeste_image.cli.options import checked_size, label_options, operation_options, provider_options

__all__ = ["command"]


@click.command(name="upscale")
@click.argument("image")
@click.option(
    "-f",
    "--factor",
    type=click.FloatRange(1, 16),
    help="Times the width and height; 4 when no size is given.",
)
@click.option("--size", help="Exact size, such as 2048x2048.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File, or an existing folder.")
@click.option("--force", is_flag=True, help="Overwrite files.")
@label_options
@operation_options
def command(image: str, factor: float | None, size: str | None, out: Path | None, force: bool, **common: Any) -> int:
    """Make a picture larger. IMAGE is a file, or the name of an artifact."""
    from celeste_image.cli.files import picture
    from celeste_image.cli.run import make_images
    from celeste_image.client.calls import UpscaleParameters, upscale_request

    parameters: UpscaleParameters = {
        "model": common["model"],
        "fallback_models": common["fallbacks"],
        "strict": common["strict"],
        "provider_options": provider_options(common["settings"]),
        "output_metadata": common["metadata"],
        "embed_recipe": common["recipe"],
        "factor": factor or (0.0 if size else 4.0),
        "size": checked_size(size),
    }
    stem = "image" if image.startswith("artifacts/") else f"{Path(image).stem} upscaled"
    return make_images(upscale_request(picture(image), parameters), common, out=out, stem=stem, force=force)
