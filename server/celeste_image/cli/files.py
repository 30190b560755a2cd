"""Images that commands get as arguments."""

import sys

import click

from celeste_image.client.calls import image_input
from celeste_image.core.image import ImageInput

__all__ = ["image"]


def image(argument: str) -> ImageInput:
    """Returns the image for a path, the name of an artifact, or - for standard input.

    Raises:
        click.UsageError: The file is unreadable.
    """
    if argument == "-":
        return ImageInput(data=sys.stdin.buffer.read())
    try:
        return image_input(argument)
    except OSError as error:
        raise click.UsageError(f"{argument}: {error.strerror}") from error
