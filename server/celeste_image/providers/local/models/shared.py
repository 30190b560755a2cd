"""What cards of several local models have in common."""

from celeste_image.core.card import ChoiceRange, ImageRange, IntegerRange, NumberRange, Parameter, SizeRange
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.request import UpscaleMethod

__all__ = ["FACTOR", "SEED", "SOURCE", "TARGET", "method", "tile"]

SOURCE = Parameter(
    "image", ImageRange(IMAGE_TYPES, 40), "Picture", "PNG, JPEG, WebP or AVIF with one frame.", required=True
)
FACTOR = Parameter(
    "factor", NumberRange(1, 16), "Factor", "Times the width and height; exactly one of factor and size."
)
TARGET = Parameter(
    "size",
    SizeRange(minimum_side=1, maximum_side=16_384, maximum_megapixels=40),
    "Size",
    "Exact width and height, or an area in megapixels; exactly one of factor and size.",
)
SEED = Parameter("seed", IntegerRange(0), "Seed", "The same seed gives the same picture, byte for byte.")


def method(*methods: UpscaleMethod) -> Parameter:
    """Returns the parameter of an upscaler that works by these methods; the first is its own way."""
    return Parameter("method", ChoiceRange(methods, default=methods[0]), "Method", "How this model works.")


def tile(default: int, most: int) -> Parameter:
    """Returns the parameter of a network that works in tiles."""
    return Parameter(
        'options.provider_options["local"].tile',
        IntegerRange(32, most, default=default),
        "Tile",
        "Side of the squares, in pixels of the source, that go through the network; memory grows with its square.",
        advanced=True,
    )
