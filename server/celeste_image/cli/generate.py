"""celeste generate PROMPT"""

import sys
from pathlib import Path
from typing import Any

import click

from celeste_image.cli.options import checked_size, common_parameters, label_options, operation_options

__all__ = ["command"]


@click.command(name="generate")
@click.argument("prompt", nargs=-1, required=True)
@click.option("-n", "--negative", default="", help="What not to make.")
@click.option("--size", help="768x512, or a ratio such as 16:9.")
@click.option("--count", type=click.IntRange(1, 16), default=1, show_default=True, help="Images wanted.")
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), help="The same seed gives the same picture.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File, or an existing folder.")
@click.option("--force", is_flag=True, help="Overwrite files.")
@label_options
@operation_options
def command(
    prompt: tuple[str, ...],
    negative: str,
    size: str | None,
    count: int,
    seed: int | None,
    out: Path | None,
    force: bool,
    **common: Any,
) -> int:
    """Make pictures from words. PROMPT is what to show; - reads it from standard input."""
    from celeste_image.cli.run import make_images
    from celeste_image.client.calls import GenerateParameters, generate_request

    text = sys.stdin.read().strip() if prompt == ("-",) else " ".join(prompt)
    parameters: GenerateParameters = {
        **common_parameters(common),
        "negative_prompt": negative,
        "size": checked_size(size),
        "count": count,
        "seed": seed,
    }
    return make_images(generate_request(text, parameters), common, out=out, stem=text, force=force)
