"""Parameters that the cards of several local models share."""

from celeste_image.core.card import ChoiceRange, ImageRange, IntegerRange, NumberRange, Parameter, SizeRange
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.request import UpscaleMode

__all__ = ["ANY_PROMPT", "FACTOR", "SEED", "SOURCE", "TARGET", "mode", "tile"]

ANY_PROMPT = (
    "a diffusion model follows any prompt: name a vendor's with --model, or get one with `celeste models pull "
    "local/sd-turbo`, which servers that start afterwards prefer"
)
"""What to do about a prompt that an engine without a language model can't follow."""

SOURCE = Parameter(
    "image", ImageRange(IMAGE_TYPES, 40), "Image", "PNG, JPEG, WebP or AVIF with one frame.", required=True
)
FACTOR = Parameter(
    "factor", NumberRange(1, 16), "Factor", "Multiplies width and height. Set exactly one of factor and size."
)
TARGET = Parameter(
    "size",
    SizeRange(minimum_side=1, maximum_side=16_384, maximum_megapixels=40),
    "Size",
    "Exact width and height, or an area in megapixels. Set exactly one of factor and size.",
)
SEED = Parameter("seed", IntegerRange(0), "Seed", "The same seed gives the same image, byte for byte.")


def mode(*modes: UpscaleMode) -> Parameter:
    """Returns the parameter for an upscaler's modes; the first one is the default."""
    return Parameter("mode", ChoiceRange(modes, default=modes[0]), "Mode", "Upscaling mode of the model.")


def tile(default: int, most: int) -> Parameter:
    """Returns the parameter for the tile side of a network, 32 to `most` source pixels."""
    return Parameter(
        'options.provider_options["local"].tile',
        IntegerRange(32, most, default=default),
        "Tile",
        "Side of the tiles that go through the network, in source pixels; memory grows with its square.",
        advanced=True,
    )
