"""Pictures that commands get as arguments."""

import sys

import click

from celeste_image.client.calls import image_input
from celeste_image.core.image import ImageInput

__all__ = ["picture"]


def picture(argument: str) -> ImageInput:
    """Returns the picture for a path, an artifact's name, or - for standard input.

    Raises:
        click.UsageError: The file can't be read.
    """
    if argument == "-":
        return ImageInput(data=sys.stdin.buffer.read())
    try:
        return image_input(argument)
    except OSError as error:
        raise click.UsageError(f"{argument}: {error.strerror}") from error
