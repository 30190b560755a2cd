"""Pixels: masks, crops, previews, blurs and metadata of images, done in worker processes off the event loop."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import structlog
from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter

from celeste_image.core.edits import Mask, nothing_marked
from celeste_image.core.errors import (
    CelesteError,
    EngineLost,
    ImageTooLarge,
    InvalidRequest,
    NotAnImage,
    ProviderFailed,
)
from celeste_image.core.image import ImageInput
from celeste_image.core.recipe import RecipeTexts
from celeste_image.imaging.inspector import inspect
from celeste_image.imaging.limits import ImageLimits
from celeste_image.off_loop import off_loop
from celeste_image.sandbox.frames import Frame, all_of, reading
from celeste_image.sandbox.workers import Workers

__all__ = ["Difference", "MaskForm", "Pixels", "Rewritten"]

log = structlog.get_logger("celeste_image.imaging")

MIB = 1 << 20

MaskForm = Literal["white", "black", "alpha", "strict"]
"""How a vendor reads a mask, by the value of pixels to change: `white`, `black`, `alpha` (transparent), or `strict`
(white, without gray)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a vendor's image is from the source, in levels of 0 to 255.

    Attributes:
        outside: Mean absolute difference of a channel outside the mask; None when the mask covers everything.
        inside: The same inside the mask; None when the mask is empty.
        peak: Largest difference inside the mask between means of cells of 16 x 16 pixels. Noise, such as JPEG's,
            hardly moves these means.
    """

    outside: float | None
    inside: float | None
    peak: float


class Pool(Protocol):
    """Runner of the tasks of the pixel engine: worker processes, or a test's own process."""

    def run(self, task: dict[str, Any], pictures: Sequence[bytes] = ()) -> AsyncGenerator[Frame, Frame | None]:
        """Runs a task and yields what the engine emits; see `WorkerPool.run`."""
        ...

    async def close(self) -> None:
        """Ends the processes that wait."""
        ...


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An image's file after a change of its metadata.

    Attributes:
        data: The file; unchanged when nothing could be done.
        strip_error: Why the metadata could not be removed; empty when it was, or should stay.
        recipe_error: Why the recipe could not be written; empty when it was, or none was given.
    """

    data: bytes
    strip_error: str = ""
    recipe_error: str = ""


DIFFERENCE, REWRITTEN = TypeAdapter(Difference), TypeAdapter(Rewritten)


class Pixels:
    """Works on the pixels of a provider's images. Processes start with the first task; `close` ends them.

    The guard has checked the images of requests, so only the loss of a process can fail there, before anything is sent.
    A vendor's broken image is the vendor's failure, not the caller's, and is not retried, since it may have been paid
    for.
    """

    def __init__(
        self,
        provider: str,
        *,
        size: int = 1,
        seconds: float = 120,
        limits: ImageLimits | None = None,
        decode_outputs: bool = False,
        pool: Pool | None = None,
        workers: Workers | None = None,
    ) -> None:
        """Starts no process yet.

        Args:
            provider: Name for errors and the log.
            size: Processes at most; further tasks wait.
            seconds: Longest time that a process may take for a task.
            limits: Largest image that a vendor may send.
            decode_outputs: Whether `facts` decodes every image, also one whose structure leaves no doubt.
            pool: Runs the tasks; None means worker processes of its own.
            workers: Makes these processes.
        """
        self._provider = provider
        self._limits = limits or ImageLimits()
        self._decode_outputs = decode_outputs
        self._pool: Pool = pool or (workers or Workers()).pool(
            "pixels",
            "celeste_image.imaging.pixels_engine",
            size=size,
            memory_bytes=2048 * MIB,
            cpu_seconds=60,
            seconds=seconds,
        )

    async def mask(self, path: str, mask: Mask, form: MaskForm) -> bytes:
        """Returns a mask of any polarity as a PNG, with its feather drawn; `strict` has no feather.

        `white`, `black` and `strict` are gray; `alpha` is black, and its opacity is 255 minus the white mask. `path` is
        the path of the mask in the request, for the error.

        Raises:
            InvalidRequest: The mask marks nothing: the provider would be paid for the same image.
        """
        (frame,) = await self._given({"do": "mask", "form": form, **_how(mask)}, [mask.image])
        if not frame.fields.get("marks"):
            low, high = frame.fields["found"]
            raise InvalidRequest.at(f"{path}.image", nothing_marked(mask.polarity, mask.feather, (low, high)))
        return frame.payload

    async def padded(
        self, image: ImageInput, left: int, right: int, top: int, bottom: int, form: MaskForm = "white"
    ) -> tuple[bytes, bytes]:
        """Returns two PNGs: the image with transparent borders, in pixels, and the mask of the borders."""
        sides = {"left": left, "right": right, "top": top, "bottom": bottom}
        canvas, mask = await self._given({"do": "pad", "form": form, **sides}, [image], 2)
        return canvas.payload, mask.payload

    async def png(self, image: ImageInput) -> bytes:
        """Returns the image as PNG, upright and without metadata."""
        (frame,) = await self._given({"do": "png"}, [image])
        return frame.payload

    async def blurred(self, image: ImageInput, media_type: str = "image/png") -> bytes:
        """Returns the image at its size, blurred beyond recognition, as JPEG, PNG or WebP.

        Raises:
            NotAnImage: See `open_upright`.
            ImageTooLarge: See `open_upright`.
        """
        (frame,) = await self._given({"do": "blur", "media_type": media_type}, [image])
        return frame.payload

    async def facts(self, data: bytes) -> tuple[str, int, int]:
        """Returns media type, width and height of a vendor's image.

        The structure of the file says them: see `inspector`. If it leaves a doubt, or the operator wants it for all
        images, a process decodes every pixel and has the last word.

        Raises:
            ProviderFailed: The bytes are no image, are damaged, or exceed the limits.
        """
        if not self._decode_outputs:
            found = await off_loop(len(data), inspect, data, self._limits)
            if not found.doubt:
                return found.media_type, found.width, found.height
            log.debug("a vendor's image is decoded", provider=self._provider, why=found.doubt)
        frame = await self._answered({"do": "measure"}, data)
        return _facts(frame)

    async def preview(self, data: bytes) -> tuple[bytes, str, int, int]:
        """Returns a preview of a vendor's image: at most 256 KiB, media type, width and height.

        Raises:
            ProviderFailed: See `facts`.
        """
        frame = await self._answered({"do": "shrink"}, data)
        return frame.payload, *_facts(frame)

    async def cropped(
        self, data: bytes, canvas: tuple[int, int], width: int, height: int, media_type: str = "image/png"
    ) -> bytes:
        """Returns the top left part of a vendor's image, which is first resized to `canvas`.

        As JPEG, PNG or WebP; the last two are lossless.

        Raises:
            ProviderFailed: See `facts`.
        """
        task = {"do": "crop", "canvas": canvas, "width": width, "height": height, "media_type": media_type}
        return (await self._answered(task, data)).payload

    async def locked(
        self, image: ImageInput, mask: Mask, data: bytes, media_type: str = "image/png"
    ) -> tuple[bytes, Difference]:
        """Returns a vendor's image with the source's own pixels restored outside the mask.

        The result has the source's size and is lossless: `image/png` or `image/webp`. The difference is measured
        before pixels are restored.

        Raises:
            ProviderFailed: See `facts`.
        """
        task = {"do": "lock", "media_type": media_type, **_how(mask)}
        frame = await self._answered(task, data, [image, mask.image])
        with reading():
            return frame.payload, DIFFERENCE.validate_python(frame.fields)

    async def rewritten(self, data: bytes, *, strip: bool, recipe: RecipeTexts | None) -> Rewritten:
        """Returns an image's file without its metadata, with a recipe, or both; its pixels stay bit for bit.

        Raises:
            ProviderFailed: The file exceeds the limits, or its process was lost.
        """
        texts = asdict(recipe) if recipe else None
        frame = await self._answered({"do": "metadata", "strip": strip, "recipe": texts}, data)
        with reading():
            return REWRITTEN.validate_python({**frame.fields, "data": frame.payload})

    async def compared(self, image: ImageInput, mask: Mask, data: bytes) -> Difference:
        """Returns how far a vendor's edit of an image by a mask is from the image.

        Raises:
            ProviderFailed: See `facts`.
        """
        return (await self.locked(image, mask, data, ""))[1]

    def of(self, provider: str) -> "Pixels":
        """Returns the same processes for another provider's images; closing either closes both."""
        other = copy(self)
        other._provider = provider
        return other

    async def close(self) -> None:
        """Ends the idle processes."""
        await self._pool.close()

    async def _given(self, task: dict[str, Any], images: Sequence[ImageInput], made: int = 1) -> list[Frame]:
        """Runs a task on a request's images; returns the messages with the images that it made."""
        limits = [_limits_of(images)] * len(images)
        return await self._frames(task | {"limits": limits}, [image.data for image in images], made)

    async def _answered(self, task: dict[str, Any], data: bytes, given: Sequence[ImageInput] = ()) -> Frame:
        """Runs a task on a vendor's image, the last one; images of the request may come before it."""
        limits = [*[_limits_of(given)] * len(given), self._limits.as_task()]
        try:
            self._limits.check_bytes(len(data))
            (frame,) = await self._frames(task | {"limits": limits}, [*(image.data for image in given), data])
        except (NotAnImage, ImageTooLarge, EngineLost) as error:
            raise self._failed(error) from error
        return frame

    def _failed(self, error: CelesteError) -> ProviderFailed:
        text = f"{self._provider}: its image can't be used: {error.message}"
        return ProviderFailed(text, metadata={"provider": self._provider})

    async def _frames(self, task: dict[str, Any], pictures: Sequence[bytes], made: int = 1) -> list[Frame]:
        async with aclosing(self._pool.run(task, pictures)) as frames:
            with reading():
                found = await all_of(frames, made)
                if len(found) < made:
                    raise ValueError("fewer messages than images")
        return found


class _Facts(BaseModel):
    """Fields of a message about an image."""

    model_config = ConfigDict(strict=True)

    media_type: Literal["image/png", "image/jpeg", "image/webp", "image/avif"]
    width: PositiveInt
    height: PositiveInt


def _how(mask: Mask) -> dict[str, Any]:
    return {"polarity": mask.polarity.value, "feather": mask.feather}


def _facts(frame: Frame) -> tuple[str, int, int]:
    with reading():
        found = _Facts.model_validate(frame.fields)
    return found.media_type, found.width, found.height


def _limits_of(images: Sequence[ImageInput]) -> dict[str, int]:
    return ImageLimits.of(image.facts for image in images).as_task()
