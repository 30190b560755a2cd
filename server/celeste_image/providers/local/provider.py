"""Engines on this machine, each in worker processes of its own: no key, no internet."""

import os
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

import structlog
from pydantic import Field

from celeste_image.core.card import ModelCard
from celeste_image.core.edits import Erase, Outpaint
from celeste_image.core.errors import OperationNotOffered
from celeste_image.core.events import (
    Analyzed,
    Event,
    ImageMetadata,
    MetadataEntry,
    Picture,
    Preview,
    Progress,
    Used,
    Warned,
)
from celeste_image.core.request import (
    Analyze,
    Call,
    Edit,
    Generate,
    ImageRequest,
    Upscale,
)
from celeste_image.providers.base import Options, ProviderSettings
from celeste_image.providers.local import weights
from celeste_image.providers.local.cards import CARDS, COMPOSE, LANCZOS, METADATA, PATCHMATCH, REALESRGAN
from celeste_image.worker.frames import Frame
from celeste_image.worker.pool import WorkerPool

__all__ = ["PROVIDER", "LocalOptions", "LocalProvider", "LocalSettings"]

log = structlog.get_logger("celeste_image.engines")

MIB = 1 << 20
ENGINES = {
    COMPOSE.id: ("compose", 1024 * MIB),
    PATCHMATCH.id: ("patchmatch", 3072 * MIB),
    REALESRGAN.id: ("realesrgan", 3072 * MIB),
    LANCZOS.id: ("lanczos", 2048 * MIB),
    METADATA.id: ("metadata", 1024 * MIB),
}
"""Each model's engine module and the address space that its process may have."""


PASSED = 1 << 30
"""A limit for what was held to the operator's before."""


class LocalSettings(ProviderSettings):
    """`[providers.local]`; `threads` are those of one engine's numeric work."""

    concurrency: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: max(1, (os.cpu_count() or 2) // 2))
    threads: Annotated[int, Field(ge=1)] = 2


class LocalOptions(Options):
    """`options.provider_options["local"]`; `tile` is the side of an upscaler's tiles in pixels of the source."""

    tile: Annotated[int, Field(ge=32, le=512)] = 128


class LocalProvider:
    """The engines of this machine. A call that is closed early ends its process."""

    name = "local"
    title = "This machine"
    cards = CARDS
    Settings = LocalSettings
    Options = LocalOptions

    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings
        self._pools: Mapping[str, WorkerPool] = {
            model: WorkerPool(
                f"celeste_image.providers.local.engines.{engine}",
                size=settings.concurrency,
                memory_bytes=memory_bytes,
                threads=settings.threads,
                on_log=partial(_log, engine),
            )
            for model, (engine, memory_bytes) in ENGINES.items()
        }

    def ready(self, card: ModelCard) -> bool:
        """Tells whether the model's weights, if it has any, are on this machine."""
        return not card.pull or weights.installed(_weights_id(card.id))

    async def run(self, request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        """Has the model's engine do it."""
        task, pictures = self._task(request)
        task["limits"] = _limits(request)
        began = time.monotonic()
        async with aclosing(self._pools[request.model].run(task, pictures)) as frames:
            async for frame in frames:
                for event in _events(frame):
                    yield event
        yield Used(time.monotonic() - began)

    def _task(self, request: ImageRequest) -> tuple[dict[str, Any], list[bytes]]:
        """Returns the engine's task and the pictures that go with it."""
        preview_count = request.options.preview_count
        match request:
            case Generate():
                task: dict[str, Any] = {
                    "prompt": request.prompt,
                    "negative_prompt": request.negative_prompt,
                    "width": request.size.width,
                    "height": request.size.height,
                    "seed": request.seed,
                    "preview": preview_count > 0,
                }
                return task, []
            case Edit(edit=Erase() as erase):
                mask = erase.mask
                how = {"polarity": mask.polarity.value, "feather": mask.feather, "pixel_lock": erase.pixel_lock}
                task = {"erase": how, "seed": request.seed, "preview_count": preview_count}
                return task, [request.image.data, mask.image.data]
            case Edit(edit=Outpaint() as grow):
                sides = {"left": grow.left, "right": grow.right, "top": grow.top, "bottom": grow.bottom}
                return {"outpaint": sides, "seed": request.seed, "preview_count": preview_count}, [request.image.data]
            case Upscale():
                options = LocalOptions.model_validate(request.options.provider_options.get(self.name, {}))
                task = {
                    "width": request.size.width,
                    "height": request.size.height,
                    "preview_count": preview_count,
                    "tile": options.tile,
                    "threads": self.settings.threads,
                }
                if request.model == REALESRGAN.id:
                    task["model_dir"] = str(weights.folder(_weights_id(request.model)))
                return task, [request.image.data]
            case Analyze():
                return {}, [request.image.data]
            case _:
                raise OperationNotOffered(f"{request.model} can't {request.kind.value}")

    async def close(self) -> None:
        """Ends the processes that wait."""
        for pool in self._pools.values():
            await pool.close()


PROVIDER = LocalProvider


def _limits(request: ImageRequest) -> dict[str, int]:
    """Returns limits that the request's pictures keep: the guard has held them to the operator's before.

    Text and profile may be packed, to less than a thousandth: the size of the file says nothing of theirs.
    """
    facts = [image.facts for _, image in request.images() if image.facts]
    most_bytes = max((f.size_bytes for f in facts), default=0)
    return {
        "max_bytes": most_bytes,
        "max_pixels": max((f.width * f.height for f in facts), default=0),
        "max_side": max((max(f.width, f.height) for f in facts), default=0),
        "max_text_bytes": PASSED,
        "max_profile_bytes": PASSED,
    }


def _log(engine: str, line: str) -> None:
    log.warning("engine", engine=engine, line=line)


def _weights_id(model: str) -> str:
    return model.partition("/")[2]


def _events(frame: Frame) -> Iterator[Event]:
    """Yields the events that an engine's message stands for."""
    fields = frame.fields
    match frame.kind:
        case "progress":
            yield Progress(fields["fraction"], fields["phase"])
        case "preview":
            yield Preview(frame.payload, fields["media_type"], fields["width"], fields["height"])
        case "warned":
            yield Warned(fields["path"], fields["text"])
        case "picture":
            if unmatched := fields.get("unmatched"):
                yield Warned("prompt", f"not understood and so not drawn: {', '.join(unmatched)}")
            seed = fields.get("seed")
            yield Picture(frame.payload, fields["media_type"], fields["width"], fields["height"], seed=seed)
        case "metadata":
            entries = tuple(MetadataEntry(**entry) for entry in fields.pop("entries"))
            yield Analyzed(ImageMetadata(**fields, entries=entries))
        case other:
            raise ValueError(f"an engine sent {other!r}")
