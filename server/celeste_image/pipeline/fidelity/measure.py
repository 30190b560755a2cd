"""Measuring: completes the fidelity report with facts of the result: sizes, formats, count, pixel lock, metadata."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.result import ImageOutput
from celeste_image.pipeline.fidelity.sizes import ratio_of, same_shape

__all__ = ["MEASURED", "measure"]

MEASURED = (
    *("size", "count", "output_media_type", "erase.pixel_lock", "inpaint.pixel_lock"),
    *("options.output_metadata", "options.embed_recipe"),
)
"""Fields whose lines wait for the result."""


def measure(
    lines: Sequence[FidelityLine], images: Sequence[ImageOutput], found: Collection[FidelityLine]
) -> list[FidelityLine]:
    """Returns the lines that wait for the result, and the lines of other fields with findings.

    A field has one line if all images agree, else one line for each image. A field without a line of the request gets
    one only if a finding is not as it should be.

    Args:
        lines: The lines of the request.
        images: The images of the result.
        found: The findings of steps: see `FidelityLine.found`.
    """
    asked = {line.path: line for line in lines}
    indexes = {None, *(image.index for image in images)}  # an image may fail after a step has looked at it
    completed = []
    for path in dict.fromkeys([*(path for path in asked if path in MEASURED), *(each.path for each in found)]):
        line = asked.get(path, FidelityLine(path, FidelityOutcome.DEFAULTED))
        if path in ("size", "output_media_type"):
            seen = [(_with_image(line, image), image.index) for image in images]
            completed += _one_if_equal(seen) or [line]
            continue
        latest = {each.image_index: each for each in found if each.path == path and each.image_index in indexes}
        findings = [each for each in latest.values() if path in asked or each.outcome is FidelityOutcome.ADJUSTED]
        merged = _one_if_equal([(_with_finding(line, each), each.image_index) for each in findings])
        completed += merged or ([line] if path in asked and path in MEASURED else [])
    return completed


def _one_if_equal(lines: Sequence[tuple[FidelityLine, int | None]]) -> list[FidelityLine]:
    """Returns one line if all are equal, else each line with the index of its image."""
    if all(line == lines[0][0] for line, _ in lines):
        return [line for line, _ in lines[:1]]
    return [replace(line, image_index=index) for line, index in lines]


def _with_finding(line: FidelityLine, found: FidelityLine) -> FidelityLine:
    line = replace(line, measured=found.measured)
    if found.outcome is FidelityOutcome.HONORED:
        return line
    message = "; ".join(text for text in (line.message, found.message) if text)
    return replace(line, outcome=FidelityOutcome.ADJUSTED, message=message)


def _with_image(line: FidelityLine, image: ImageOutput) -> FidelityLine:
    """Returns the line of the size or the format with that of an image."""
    if line.path == "size":
        return _with_size(line, image.width, image.height)
    if line.asked in (None, image.media_type):
        return replace(line, measured=image.media_type)
    message = line.message or f"the model made {image.media_type}"
    return replace(line, outcome=FidelityOutcome.ADJUSTED, measured=image.media_type, message=message)


def _with_size(line: FidelityLine, width: int, height: int) -> FidelityLine:
    """Returns the line of the size with the size of an image. `line.sent` may be a size, a ratio, or nothing."""
    size: Mapping[str, int] = {"width": width, "height": height}
    if line.outcome is FidelityOutcome.DEFAULTED and line.asked:
        return replace(line, outcome=FidelityOutcome.ADJUSTED, measured=size)
    sent = line.sent or {}
    shape = sent.get("aspect_ratio")
    if line.asked and {"width": line.asked.get("width"), "height": line.asked.get("height")} == size:
        return replace(line, outcome=FidelityOutcome.HONORED, measured=size, message="")
    is_free = "width" not in sent
    has_shape = shape is None or same_shape(width / height, float(ratio_of(shape)))
    if sent == size or (is_free and has_shape):
        return replace(line, measured=size)
    message = "the model made another size than it was sent"
    return replace(line, outcome=FidelityOutcome.ADJUSTED, measured=size, message=message)
