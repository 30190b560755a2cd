"""Vendors under test: behind a fake transport, with their pixel work in this process, and what comes of a request."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import httpx
from tests.support import pictures
from tests.support.recordings import KEY, fixture

from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import CelesteError, ProviderFailed
from celeste_image.core.events import Event
from celeste_image.core.image import ImageFacts, ImageInput
from celeste_image.core.media import media_type
from celeste_image.core.request import ImageRequest
from celeste_image.imaging import pixels_engine as engine
from celeste_image.imaging.pixels import Pixels
from celeste_image.pipeline.fidelity.fit import fitting
from celeste_image.providers.base import Tools
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.sandbox.frames import Frame

V = TypeVar("V", bound=Vendor)
CandidateRun = Callable[[Candidate], AsyncGenerator[Event, None]]

CALL = Call("a-call")
BASE = "https://vendor.test"
PROMPT = "a red bicycle leaning on a white wall"


class InProcess:
    """Stands for a pool of worker processes: runs their engine here."""

    async def run(self, task: dict[str, Any], images: Sequence[bytes] = ()) -> AsyncGenerator[Frame, None]:
        frames: list[Frame] = []
        engine.run(
            task, images, lambda kind, fields=None, payload=b"": frames.append(Frame(kind, fields or {}, payload))
        )
        for frame in frames:
            yield frame

    async def close(self) -> None:
        pass


def in_process(name: str) -> Pixels:
    """Returns what does a provider's pixel work, in this process."""
    return Pixels(name, pool=InProcess())


class MeasuredPixels(Pixels):
    """Pixel work without a process: bytes that begin with `PNG` are an image of 4 x 3 pixels."""

    def __init__(self) -> None:
        super().__init__("measured")

    async def facts(self, data: bytes) -> tuple[str, int, int]:
        if not data.startswith(b"PNG"):
            raise ProviderFailed("its image can't be used")
        return "image/png", 4, 3

    async def preview(self, data: bytes) -> tuple[bytes, str, int, int]:
        return data, *await self.facts(data)


def tools(transport: httpx.AsyncBaseTransport, **others: Any) -> Tools:
    """Returns tools with a transport, pixel work in this process, and no environment."""
    return Tools(**{"transport": transport, "pixels": in_process("test"), "environment": {}, **others})


def vendor(cls: type[V], transport: httpx.AsyncBaseTransport, path: str = "", key: str = KEY, **others: Any) -> V:
    """Returns a vendor behind a transport; `path` is the part of its base URL that its calls share."""
    return cls(cls.Settings(key=key, base_url=BASE + path), tools(transport, **others))  # type: ignore[arg-type]


def candidate(made: Any, request: ImageRequest, call: Call = CALL) -> Candidate:
    """Returns the candidate that routing makes for a provider's model."""
    return Candidate(call, next(card for card in made.cards if card.id == request.model), ticket=call.ticket)


async def events_of(made: Vendor, request: ImageRequest, call: Call = CALL, *, fit: bool = False) -> list[Event]:
    """Returns what happens to a request; with `fit` it is made concrete first, as the pipeline does."""
    run = fitting(made.run, made.Options) if fit else made.run  # type: ignore[attr-defined]
    async with aclosing(run(request, candidate(made, request, call))) as events:
        return [event async for event in events]


async def error_of(made: Vendor, request: ImageRequest, call: Call = CALL, *, fit: bool = False) -> CelesteError:
    """Returns the error of a request that must fail, and asserts that the key is not in it."""
    try:
        events = await events_of(made, request, call, fit=fit)
    except CelesteError as error:
        told = f"{error} {error.metadata} {error.violations} {error.__cause__!r} {error.__context__!r}"
        assert KEY not in told
        return error
    raise AssertionError(f"it did not fail: {events}")


async def run_events(run: CandidateRun, candidate: Candidate) -> list[Event]:
    """Returns the events of `run(candidate)`."""
    async with aclosing(run(candidate)) as events:
        return [event async for event in events]


async def run_error(run: CandidateRun, candidate: Candidate) -> tuple[list[Event], CelesteError]:
    """Returns the events before the error of `run(candidate)`, which must fail, and the error."""
    seen: list[Event] = []
    try:
        async with aclosing(run(candidate)) as events:
            async for event in events:
                seen.append(event)
    except CelesteError as error:
        return seen, error
    raise AssertionError(f"no error, but {seen}")


def loaded(data: bytes) -> ImageInput:
    """Returns a picture as the pipeline's load step leaves it."""
    image = pictures.opened(data)
    kind, digest = media_type(data[:16]), hashlib.sha256(data).hexdigest()
    facts = ImageFacts(kind, *image.size, len(data), digest, image.mode, image.has_transparency_data)
    return ImageInput(data=data, sha256=digest, facts=facts)


def fixture_image(name: str) -> ImageInput:
    return loaded(fixture(name))
