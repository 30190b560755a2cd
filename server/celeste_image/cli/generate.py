"""celeste generate PROMPT: generates images and prints the paths of their files."""

import re
from typing import Any

import click

from celeste_image.cli.options import label_options, operation_options, out_options, paint_options, paint_parameters

__all__ = ["command"]


@click.command(name="generate")
@click.argument("prompt", nargs=-1, required=True)
@paint_options
@out_options
@label_options
@operation_options
def command(prompt: tuple[str, ...], out: str | None, force: bool, **values: Any) -> int:
    """Generate images from words. PROMPT is the content; - reads the prompt from standard input."""
    from celeste_image.cli.output import checked_output
    from celeste_image.cli.run import make_images
    from celeste_image.cli.terminal import read_text
    from celeste_image.client.calls import GenerateParameters, generate_request

    _refuse_dashes(prompt)
    text = read_text("the prompt") if prompt == ("-",) else " ".join(prompt)
    if not text.strip():
        raise click.UsageError("the prompt is empty")
    parameters: GenerateParameters = {**paint_parameters(values)}
    output = checked_output(out, values, stem=text, force=force)
    return make_images(generate_request(text, parameters), values, output)


def _refuse_dashes(words: tuple[str, ...]) -> None:
    """Raises click.UsageError for an option whose hyphens an editor has made a dash, as in `–seed`."""
    options = {name for param in click.get_current_context().command.params for name in param.opts}
    for word in words if len(words) > 1 else ():
        found = re.match("[\u2010-\u2015\u2212]+([a-z-]+)", word)
        meant = f"--{found[1]}" if found else ""
        if meant in options:
            raise click.UsageError(f"{word!r} begins with a dash; the option is {meant}, with two hyphens")
