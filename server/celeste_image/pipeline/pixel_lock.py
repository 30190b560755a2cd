"""Pixel lock: restores the source's pixels outside a mask, and measures how much the provider changed there."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, Final

from celeste_image.core.call import Candidate
from celeste_image.core.edits import Erase, Inpaint
from celeste_image.core.events import CandidateRun, Event, Fidelity, Picture, Warned
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.request import Edit, ImageRequest
from celeste_image.imaging.pixels import Difference, Pixels
from celeste_image.pipeline.fidelity.sizes import same_shape
from celeste_image.pipeline.per_image import per_image

__all__ = ["pixel_locking"]

PNG: Final = "image/png"
LOSSLESS: Final = (PNG, "image/webp")

REPAINTED: Final = 12.0
"""Mean difference outside a mask, in levels of 0 to 255, from which on the provider did not keep to the mask.

It must also be at least half of the mean inside. Found on the photograph, a crop of it and the drawings in docs/images:
JPEG at quality 10 makes 5.6 to 8.0, at 50 up to 3.8; WebP at 50 up to 3.6; half the size and back up to 3.5, a quarter
up to 6.6; a blur of 2 pixels, strong sharpening or a shift by 1 pixel up to 9.2; 5 % more light up to 6.7. Another
image makes 36 to 99, the same one mirrored 27 to 93, a quarter of another mixed in 18 to 24.
"""
UNCHANGED: Final = 8.0
"""Peak (see `Difference`) below which the provider changed nothing inside a mask, if the mean is below REPAINTED too.

On the same images JPEG at quality 50 peaks at 4, at 30 at 6; WebP at 50 at 5; half the size and back at 2. A thing of
8 x 8 pixels that differs by 32 levels peaks at 8; a smaller one still shows in the mean of a mask of its size.
"""


def pixel_locking(run: CandidateRun, pixels: Pixels) -> CandidateRun:
    """Restores the source's pixels outside the mask, and measures the provider's own image against the source.

    Applies to erasing and inpainting by models whose card has the edit's `pixel_lock`; other models keep to the mask by
    themselves. The provider is asked for a lossless image. A warning about what can't be honored comes before anything
    is sent, so that `strict` ends the request there. A finding on the result refuses nothing.
    """

    def locked(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        match request:
            case Edit(edit=Erase() | Inpaint() as edit) if candidate.card.parameter(
                request.kind, f"{edit.field}.pixel_lock"
            ):
                lock = PixelLock(request, edit, pixels)
                return per_image(run(lock.request, candidate), lock.apply, candidate.card, lock.warnings)
        return run(request, candidate)

    return locked


class PixelLock:
    """The lock of one request.

    Attributes:
        request: The request to the provider.
        warnings: What is known before the call not to be as asked.
    """

    def __init__(self, request: Edit, edit: Erase | Inpaint, pixels: Pixels) -> None:
        facts = request.image.facts
        assert facts is not None
        self.request = request
        self.warnings: list[Warned] = []
        self._edit = edit
        self._pixels = pixels
        self._size = (facts.width, facts.height)
        self._holds = edit.pixel_lock is not False
        size, kind = (request.size.width, request.size.height), request.output_media_type
        if self._holds and any(size) and size != self._size:
            self._holds = False
            text = f"can't hold: the request asks for another size than the image's, {facts.width} x {facts.height}"
            self.warnings.append(Warned(f"{edit.field}.pixel_lock", text))
        if self._holds:
            if kind and kind not in LOSSLESS:
                text = f"is {PNG}, since {kind} would change the restored pixels"
                self.warnings.append(Warned("output_media_type", text))
            self.request = replace(request, output_media_type=kind if kind in LOSSLESS else PNG)

    async def apply(self, made: Picture) -> AsyncGenerator[Event, None]:
        """Yields the findings on the provider's image, then the image, with the source's pixels where the lock holds.

        Raises:
            ProviderFailed: The provider's data is no image, or is beyond the limits.
        """
        width, height = self._size
        if not same_shape(made.width / made.height, width / height):
            if self._holds:
                problem = (
                    f"no pixels were restored: the provider made {made.width} x {made.height} of {width} x {height}"
                )
                yield self._finding(made, problem=problem)
            yield made
            return
        image, mask = self.request.image, self._edit.mask
        if self._holds:
            kind = self.request.output_media_type
            data, difference = await self._pixels.locked(image, mask, made.data, kind)
            original = made.original_size or (made.width, made.height)
            made = replace(made, data=data, media_type=kind, width=width, height=height, original_size=original)
        else:
            difference = await self._pixels.compared(image, mask, made.data)
        problem = ""
        if _is_repainted(difference):
            end = "were restored" if self._holds else "stay as it made them"
            problem = f"the provider also changed pixels outside the mask, which {end}"
        means = {"outside_difference": difference.outside, "inside_difference": difference.inside}
        measured = {name: round(mean, 2) for name, mean in means.items() if mean is not None}
        yield self._finding(made, measured, problem)
        if _is_unchanged(difference):
            problem = "the provider changed nothing inside the mask"
            yield Fidelity(FidelityLine.found(self._edit.field, problem=problem, image_index=made.index))
        yield made

    def _finding(self, made: Picture, measured: Any = None, problem: str = "") -> Fidelity:
        path = f"{self._edit.field}.pixel_lock"
        return Fidelity(FidelityLine.found(path, measured, problem=problem, image_index=made.index))


def _is_repainted(difference: Difference) -> bool:
    return difference.outside is not None and difference.outside >= max(REPAINTED, (difference.inside or 0.0) / 2)


def _is_unchanged(difference: Difference) -> bool:
    return difference.inside is not None and difference.inside < REPAINTED and difference.peak < UNCHANGED
