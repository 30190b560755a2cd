"""The size at which the diffusion engine edits an image."""

import pytest
from PIL import Image

from celeste_image.engines.diffusion import within

MOST = 1024 * 1024


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((512, 512), (512, 512)),
        ((600, 400), (576, 384)),
        ((96, 96), (128, 128)),
        ((5, 5), (64, 64)),
        ((1024, 1024), (1024, 1024)),
        ((4000, 3000), (1152, 896)),
        ((1060, 1060), (1024, 1024)),
        ((16_384, 4), (16_384, 64)),
        ((4, 40_000), (64, 16_384)),
    ],
)
def test_sides_are_multiples_near_the_shape_of_the_image(size: tuple[int, int], seen: tuple[int, int]) -> None:
    task = {"multiple_of": 64, "most_pixels": MOST}
    width, height = within(task, [Image.new("1", size)])
    assert (width, height) == seen
    assert width * height <= MOST
