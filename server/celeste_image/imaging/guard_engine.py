"""The engine of `Guard`: decodes one image and reports its facts."""

from collections.abc import Sequence
from typing import Any

from celeste_image.core.media import media_type
from celeste_image.imaging.decode import check_work, notes_of, open_image, orientation_of
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits `facts` of one image: the members of ImageFacts that only a decoder knows."""
    (data,) = pictures
    image = open_image(data, ImageLimits(**task["limits"]))
    check_work(image, data)
    width, height = image.size
    orientation = orientation_of(image)
    if orientation >= 5:
        width, height = height, width
    facts = {
        "media_type": media_type(data[:16]),
        "width": width,
        "height": height,
        "mode": image.mode,
        "has_alpha": image.has_transparency_data,
        "orientation": orientation,
        "notes": notes_of(image, data),
    }
    emit("facts", facts)
