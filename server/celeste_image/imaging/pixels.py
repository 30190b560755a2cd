"""Pictures: pixel work for a vendor's requests and answers, in worker processes, never on the event loop."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import structlog

from celeste_image.core.edits import Mask
from celeste_image.core.errors import CelesteError, EngineLost, ImageTooLarge, NotAnImage, ProviderFailed
from celeste_image.core.image import ImageInput
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.frames import Frame
from celeste_image.sandbox.pool import WorkerPool

__all__ = ["Difference", "MaskForm", "Pixels", "limits_of"]

log = structlog.get_logger("celeste_image.engines")

MIB = 1 << 20

MaskForm = Literal["white", "black", "alpha", "strict"]
"""How a vendor wants a mask: white or black is the part to change, alpha 0 is, or white with no value between."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far what a vendor made is from the source, in levels of 0 to 255.

    Attributes:
        outside: Mean absolute difference of a channel outside the mask; None when nothing is.
        inside: The same inside of it.
        peak: Largest difference inside between means of cells of 16 x 16 pixels: noise, of JPEG say, has hardly any.
    """

    outside: float | None
    inside: float | None
    peak: float


class Pool(Protocol):
    """What runs the tasks of the pixel engine: worker processes, or a test's own process."""

    def run(self, task: dict[str, Any], pictures: Sequence[bytes] = ()) -> AsyncGenerator[Frame, Frame | None]:
        """Runs a task and yields what the engine emits; see `WorkerPool.run`."""
        ...

    async def close(self) -> None:
        """Ends the processes that wait."""
        ...


class Pixels:
    """What a provider does to pixels. One pool serves all; its processes start with the first task.

    Pictures of requests have been through the guard, so what is raised about them is a process's own end, before
    anything was sent. What a vendor answers is from outside and decoded here for the first time: whatever is wrong
    with it is the vendor's failure, never the caller's, and nothing to be retried, since it may have been paid.
    """

    def __init__(
        self, provider: str, *, size: int = 1, limits: ImageLimits | None = None, pool: Pool | None = None
    ) -> None:
        """Makes it; nothing is started yet.

        Args:
            provider: Whose pictures, for errors and the log.
            size: Processes at most; tasks beyond wait.
            limits: How large a vendor's pictures may be.
            pool: Runs the tasks; None is worker processes of its own.
        """
        self._provider = provider
        self._limits = limits or ImageLimits()
        self._pool: Pool = pool or WorkerPool(
            "celeste_image.imaging.pixels_engine",
            size=size,
            memory_bytes=2048 * MIB,
            cpu_seconds=60,
            on_log=partial(log.warning, "engine", engine="pictures", provider=provider),
        )

    async def mask(self, image: ImageInput, mask: Mask, form: MaskForm) -> bytes:
        """Returns a mask of any polarity as a PNG as large as its image, its feather drawn; `strict` has none left.

        `white`, `black` and `strict` are gray; `alpha` is black, with 255 less the white mask as its opacity.
        """
        assert image.facts is not None
        size = {"width": image.facts.width, "height": image.facts.height}
        (frame,) = await self._given({"do": "mask", "form": form, **_how(mask), **size}, [mask.image])
        return frame.payload

    async def padded(
        self, image: ImageInput, left: int, right: int, top: int, bottom: int, form: MaskForm = "white"
    ) -> tuple[bytes, bytes]:
        """Returns two PNGs: the picture with transparent borders of so many pixels, and the mask of the borders."""
        sides = {"left": left, "right": right, "top": top, "bottom": bottom}
        canvas, mask = await self._given({"do": "pad", "form": form, **sides}, [image])
        return canvas.payload, mask.payload

    async def png(self, image: ImageInput) -> bytes:
        """Returns the picture as PNG, upright and without metadata."""
        (frame,) = await self._given({"do": "png"}, [image])
        return frame.payload

    async def blurred(self, image: ImageInput, media_type: str = "image/png") -> bytes:
        """Returns a picture of the same size in which nothing can be made out, as JPEG, PNG or WebP.

        Raises:
            NotAnImage: See `open_upright`.
            ImageTooLarge: See `open_upright`.
        """
        (frame,) = await self._given({"do": "blur", "media_type": media_type}, [image])
        return frame.payload

    async def facts(self, data: bytes) -> tuple[str, int, int]:
        """Returns the media type, the width and the height of a vendor's picture, decoded to its last pixel.

        Raises:
            ProviderFailed: It is no picture, a damaged one, or beyond the limits.
        """
        frame = await self._answered({"do": "measure"}, [data])
        return _facts(frame)

    async def preview(self, data: bytes) -> tuple[bytes, str, int, int]:
        """Returns a vendor's picture as a preview: at most 256 KiB, its media type, width and height.

        Raises:
            ProviderFailed: See `facts`.
        """
        frame = await self._answered({"do": "shrink"}, [data])
        return frame.payload, *_facts(frame)

    async def cropped(
        self, data: bytes, canvas: tuple[int, int], width: int, height: int, media_type: str = "image/png"
    ) -> bytes:
        """Returns the top left of a vendor's picture, once the picture is as large as the canvas it is of.

        As JPEG, PNG or WebP, the last two without loss.

        Raises:
            ProviderFailed: See `facts`.
        """
        task = {"do": "crop", "canvas": canvas, "width": width, "height": height, "media_type": media_type}
        return (await self._answered(task, [data])).payload

    async def locked(
        self, image: ImageInput, mask: Mask, data: bytes, media_type: str = "image/png"
    ) -> tuple[bytes, Difference]:
        """Returns what a vendor made of an image and a mask, with the image's own pixels back outside the mask.

        It is as large as the image, and lossless: `image/png` or `image/webp`. The difference is that of the vendor's
        own picture.

        Raises:
            ProviderFailed: See `facts`.
        """
        task = {"do": "lock", "media_type": media_type, **_how(mask)}
        frame = await self._answered(task, [image.data, mask.image.data, data], limits_of([image, mask.image]))
        found = frame.fields
        return frame.payload, Difference(found["outside"], found["inside"], found["peak"])

    async def labeled(
        self, data: bytes, *, strip: bool, label: Mapping[str, str] | None
    ) -> tuple[bytes, dict[str, str]]:
        """Returns a picture's file without metadata, with a label written into it, or both; its pixels stay.

        `label` has the attributes of `Label` in labels.py. The second value says for `output_metadata` and
        `embed_recipe` why it could not be done, if so.
        """
        frame = await self._answered({"do": "label", "strip": strip, "label": label}, [data])
        return frame.payload, dict(frame.fields["failed"])

    async def compared(self, image: ImageInput, mask: Mask, data: bytes) -> Difference:
        """Returns how far what a vendor made of an image and a mask is from the image.

        Raises:
            ProviderFailed: See `facts`.
        """
        return (await self.locked(image, mask, data, ""))[1]

    def of(self, provider: str) -> "Pixels":
        """Returns the same processes for another provider's pictures; close one of them."""
        other = copy(self)
        other._provider = provider
        return other

    async def close(self) -> None:
        """Ends the processes that wait."""
        await self._pool.close()

    async def _given(self, task: dict[str, Any], images: Sequence[ImageInput]) -> list[Frame]:
        """Returns what becomes of a request's pictures."""
        return await self._frames(task | {"limits": limits_of(images).as_task()}, [image.data for image in images])

    async def _answered(
        self, task: dict[str, Any], pictures: Sequence[bytes], given: ImageLimits | None = None
    ) -> Frame:
        """Returns what becomes of a vendor's picture, which may come with pictures of the request."""
        own, others = self._limits.as_task(), given.as_task() if given else {}
        widest = {name: max(value, others.get(name, 0)) for name, value in own.items()}
        try:
            self._limits.check_bytes(len(pictures[-1]))
            (frame,) = await self._frames(task | {"limits": widest}, pictures)
        except (NotAnImage, ImageTooLarge, EngineLost) as error:
            raise self._failed(error) from error
        return frame

    def _failed(self, error: CelesteError) -> ProviderFailed:
        text = f"{self._provider}: what it sent as a picture can't be used: {error.message}"
        return ProviderFailed(text, metadata={"provider": self._provider})

    async def _frames(self, task: dict[str, Any], pictures: Sequence[bytes]) -> list[Frame]:
        async with aclosing(self._pool.run(task, pictures)) as frames:
            # Read to the end: a worker that is left before it is done is killed.
            return [frame async for frame in frames]


def _how(mask: Mask) -> dict[str, Any]:
    return {"polarity": mask.polarity.value, "feather": mask.feather}


def _facts(frame: Frame) -> tuple[str, int, int]:
    return str(frame.fields["media_type"]), int(frame.fields["width"]), int(frame.fields["height"])


def limits_of(images: Sequence[ImageInput]) -> ImageLimits:
    """Returns limits that the pictures keep: the guard has held them to the operator's before."""
    facts = [image.facts for image in images if image.facts]
    most_bytes = max((f.size_bytes for f in facts), default=0)
    return ImageLimits(
        max_bytes=most_bytes,
        max_pixels=max((f.width * f.height for f in facts), default=0),
        max_side=max((max(f.width, f.height) for f in facts), default=0),
        max_text_bytes=most_bytes,
    )
