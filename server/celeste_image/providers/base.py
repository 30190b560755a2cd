"""Provider: the one shape of everything that makes images, and its contract in words."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from celeste_image.core.call import Call
from celeste_image.core.card import ModelCard
from celeste_image.core.events import Event
from celeste_image.core.request import ImageRequest

__all__ = ["Options", "Provider", "ProviderSettings"]


class ProviderSettings(BaseModel):
    """The table `[providers.NAME]`.

    Attributes:
        concurrency: How many calls run at a time.
        queue: How many may wait.
        tries: Tries in all of a call that its provider did nothing about, being down or busy; None is the pipeline's.
        patience_seconds: Longest pause before another try; a provider that names a longer one is not waited for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    concurrency: Annotated[int, Field(ge=1)] = 4
    queue: Annotated[int, Field(ge=0)] = 100
    tries: Annotated[int, Field(ge=1, le=20)] | None = None
    patience_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0


class Options(BaseModel):
    """What only one provider knows, from `options.provider_options["NAME"]`; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Provider(Protocol):
    """One API or local runtime that makes images.

    `run` gets a request that one of its `cards` accepts, made concrete: `model` is the card's id, sizes are in
    pixels, `count` is within the card's `max_count`, seeds are drawn, pictures are loaded with their facts. It yields
    events: a Picture per image or an Analyzed at least, `Progress.fraction` never falling, and raises CelesteError
    subclasses only. It leaves limits, storage, metrics, splitting and the pixel lock to the pipeline. When closed early
    it stops its work and frees what it holds before `aclose` returns.

    A module offers one as `PROVIDER`, a class called with a `Settings`; third parties by an entry point of the
    group `celeste_image.providers`. One that is there by configuration alone is a `KIND`: see `discover_kinds`.
    """

    name: str
    """Prefix of its model ids, `bfl` in `bfl/flux-pro-1.1`."""
    title: ClassVar[str]
    """Its name for people."""
    cards: Sequence[ModelCard]
    """What its models accept, make and cost."""
    Settings: ClassVar[type[ProviderSettings]]
    """Its table in the configuration."""
    Options: ClassVar[type[Options]]
    """What only it knows, per request."""

    settings: Any
    """An instance of `Settings`."""

    def ready(self, card: ModelCard) -> bool:
        """Tells whether a model can be used now: keys are there, weights are there."""
        ...

    def run(self, request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        """Does the work."""
        ...

    async def close(self) -> None:
        """Frees everything."""
        ...
