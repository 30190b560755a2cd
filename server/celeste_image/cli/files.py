"""Image arguments of commands: a path, the name of an artifact, or standard input."""

import sys

import click

from celeste_image.client.calls import image_input
from celeste_image.core.image import ImageInput

__all__ = ["image"]


def image(argument: str) -> ImageInput:
    """Returns the image at a path, of an artifact's name, or from standard input for `-`.

    Raises:
        click.UsageError: The file is unreadable.
    """
    if argument == "-":
        return ImageInput(data=sys.stdin.buffer.read())
    try:
        return image_input(argument)
    except OSError as error:
        raise click.UsageError(f"{argument}: {error.strerror}") from error
