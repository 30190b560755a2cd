"""Provider: the protocol of everything that makes images, and the tools that a provider is given."""

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from celeste_image.core.call import Candidate
from celeste_image.core.card import ModelCard
from celeste_image.core.events import Event
from celeste_image.core.request import ImageRequest
from celeste_image.imaging.pixels import Pixels
from celeste_image.outbound.client import Memory, Transport
from celeste_image.sandbox.workers import Workers

__all__ = ["Options", "Provider", "ProviderSettings", "SortsWork", "Tools"]


class ProviderSettings(BaseModel):
    """The table `[providers.NAME]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    concurrency: Annotated[int, Field(ge=1)] = 4
    """Most calls that run at a time."""
    queue: Annotated[int, Field(ge=0)] = 100
    """Most calls that wait."""
    pause_after: Annotated[int, Field(ge=0)] = 5
    """Calls in a row that the provider fails before it gets none for a while; 0 means that it always gets them."""
    pause_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Length of the first pause. Each one that ends in a failure is followed by one of twice the length, up to 60 s."""
    tries: Annotated[int, Field(ge=1, le=20)] | None = None
    """Most tries of a call while the provider is down or busy; unset means the pipeline's default."""
    patience_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """Longest pause before another try. If the provider asks for a longer one, the call fails."""


class Options(BaseModel):
    """The options of one provider, from `options.provider_options["NAME"]`; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _lengthened(seconds: float) -> float:
    """Returns a pause of 1.0 to 1.2 times its length, so that jobs of one moment are not polled in one moment."""
    return seconds * random.uniform(1.0, 1.2)  # noqa: S311


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that a provider works with. One set serves all providers; tests pass their own.

    Attributes:
        pixels: Pixel work, in worker processes that all providers share. The app closes them.
        transport: Sends HTTP requests; None means the guarded connections of `outbound`.
        environment: The environment variables, where a vendor's key is looked up. A copy: the server forgets its own.
        clock: The time in seconds that deadlines count by.
        sleep: Waits for a number of seconds.
        jitter: Makes a pause out of an interval in seconds, never a shorter one.
        workers: Makes pools of worker processes, which the provider closes.
        memory: Waits for memory before a large answer is read; None means that there is no limit.
    """

    pixels: Pixels = field(default_factory=lambda: Pixels("provider"))
    transport: Transport | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[float], float] = _lengthened
    workers: Workers = field(default_factory=Workers)
    memory: Memory | None = None


class Provider(Protocol):
    """One API or local runtime that makes images.

    `run` gets a concrete request that the candidate's card accepts. Its `model` is the card's id, sizes are in pixels,
    `count` is at most `max_count`, the seed is drawn, and images are loaded with their facts. `run` yields events: at
    least one Picture per image, or an Analyzed; `Progress.fraction` never falls. It raises only CelesteErrors. Retries,
    limits, storage, splitting and the pixel lock are the pipeline's. When `run` is closed early, its work has stopped
    and its resources are free before `aclose` returns.

    A module of this package offers a provider as `PROVIDER`, its class. Other packages use an entry point of the group
    `celeste_image.providers`. A class whose providers exist by configuration alone is a `KIND`: see `discover_kinds`.
    """

    name: str
    """Prefix of the provider's model ids, `bfl` in `bfl/flux-pro-1.1`."""
    title: ClassVar[str]
    """Name for people."""
    cards: Sequence[ModelCard]
    """Facts of the models: what they accept, make and cost."""
    Settings: ClassVar[type[ProviderSettings]]
    """The provider's table in the configuration."""
    Options: ClassVar[type[Options]]
    """The provider's own options of a request."""

    settings: Any
    """An instance of `Settings`."""

    def __init__(self, settings: Any, tools: Tools) -> None:
        """Opens no connection and starts no process. A `KIND` also takes the keyword `name`, the name of its table."""
        ...

    def ready(self, card: ModelCard) -> bool:
        """Returns whether a model can be used now: its key and its weights are here."""
        ...

    def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        """Does the request, and yields its events."""
        ...

    async def close(self) -> None:
        """Frees everything but the tools."""
        ...


@runtime_checkable
class SortsWork(Protocol):
    """A provider whose calls differ: small work never waits for large work, and some models run in few processes."""

    small_concurrency: int
    """Most calls of small work that run beside `settings.concurrency`."""

    def is_small(self, request: ImageRequest) -> bool:
        """Returns whether a concrete request is small work: a matter of seconds."""
        ...

    def places(self, request: ImageRequest) -> int:
        """Returns the most calls of a concrete request that run at a time."""
        ...
