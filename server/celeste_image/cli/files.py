"""Image arguments of commands: a path, the name of an artifact, or standard input."""

import click

from celeste_image.cli.terminal import read_bytes
from celeste_image.client.calls import image_input
from celeste_image.core.image import ImageInput

__all__ = ["image"]


def image(argument: str) -> ImageInput:
    """Returns the image at a path, of an artifact's name, or from standard input for `-`.

    Raises:
        click.UsageError: The file or standard input is unreadable or empty.
    """
    if argument == "-":
        return ImageInput(data=read_bytes("the image"))
    try:
        return image_input(argument)
    except OSError as error:
        raise click.UsageError(f"{argument}: {error.strerror}") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
