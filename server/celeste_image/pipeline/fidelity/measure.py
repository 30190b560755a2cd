"""What was made, held against the lines of what was asked: the fidelity that only a result can tell."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from celeste_image.core.events import Measured
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.result import ImageOutput
from celeste_image.pipeline.fidelity.sizes import ratio_of, same_shape

__all__ = ["MEASURED", "measure"]

MEASURED = (
    *("size", "count", "erase.pixel_lock", "inpaint.pixel_lock"),
    *("options.output_metadata", "options.embed_recipe"),
)
"""Fields whose lines wait for the result."""


def measure(
    lines: Sequence[FidelityLine], images: Sequence[ImageOutput], found: Collection[Measured]
) -> list[FidelityLine]:
    """Returns the lines that wait for the result, and those about whose fields something was found on it.

    One for each field when all images agree, else one for each image. A field that has no line gets one when what was
    found is not as it should be.
    """
    asked = {line.path: line for line in lines}
    indexes = {None, *(image.index for image in images)}  # what was measured may not have been saved
    told = []
    for path in dict.fromkeys([*(path for path in asked if path in MEASURED), *(each.path for each in found)]):
        line = asked.get(path, FidelityLine(path, FidelityOutcome.DEFAULTED))
        if path == "size":
            told += _agreed([(_sized(line, image.width, image.height), image.index) for image in images]) or [line]
            continue
        seen = {each.index: each for each in found if each.path == path and each.index in indexes}
        made = [(_noted(line, each), each.index) for each in seen.values() if path in asked or each.text]
        told += _agreed(made) or ([line] if path in asked and path in MEASURED else [])
    return told


def _agreed(lines: Sequence[tuple[FidelityLine, int | None]]) -> list[FidelityLine]:
    """Returns one line when all are the same, else each with the index of its image."""
    if all(line == lines[0][0] for line, _ in lines):
        return [line for line, _ in lines[:1]]
    return [replace(line, image_index=index) for line, index in lines]


def _noted(line: FidelityLine, found: Measured) -> FidelityLine:
    """Returns a line with what was found."""
    line = replace(line, measured=found.value)
    if not found.text:
        return line
    note = "; ".join(text for text in (line.note, found.text) if text)
    return replace(line, outcome=FidelityOutcome.ADJUSTED, note=note)


def _sized(line: FidelityLine, width: int, height: int) -> FidelityLine:
    """Returns the line about the size with that of an image; what was sent may be a size, a ratio, or nothing."""
    size: Mapping[str, int] = {"width": width, "height": height}
    sent = line.sent or {}
    shape = sent.get("aspect_ratio")
    if line.asked and {"width": line.asked.get("width"), "height": line.asked.get("height")} == size:
        return replace(line, outcome=FidelityOutcome.HONORED, measured=size, note="")
    is_free = "width" not in sent
    has_shape = shape is None or same_shape(width / height, float(ratio_of(shape)))
    if sent == size or (is_free and has_shape):
        return replace(line, measured=size)
    text = "the model made another size than it was sent"
    return replace(line, outcome=FidelityOutcome.ADJUSTED, measured=size, note=text)
