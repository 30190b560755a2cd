"""What cards of several local models have in common."""

from celeste_image.core.card import ImageRange, IntegerRange, NumberRange, Parameter, SizeRange
from celeste_image.core.media import IMAGE_TYPES

__all__ = ["FACTOR", "SEED", "SOURCE", "TARGET", "TILE"]

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
TILE = Parameter(
    'options.provider_options["local"].tile',
    IntegerRange(32, 512, default=128),
    "Tile",
    "Side of the squares, in pixels of the source, that go through the network; memory grows with its square.",
    advanced=True,
)
SEED = Parameter("seed", IntegerRange(0), "Seed", "The same seed gives the same picture, byte for byte.")
