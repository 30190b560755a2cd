"""Fake providers: a run that yields scripted events, a provider around it, and cards, images and events for tests."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import (
    BoolRange,
    IntegerRange,
    ModelCard,
    NumberRange,
    Parameter,
    ParameterRange,
    SizeRange,
    TextRange,
)
from celeste_image.core.events import CandidateRun, Event, Picture, Run, Saved
from celeste_image.core.image import ImageFacts, ImageInput
from celeste_image.core.request import Generate, ImageRequest, OperationKind
from celeste_image.core.result import ImageOutput
from celeste_image.pipeline.fidelity.fit import fitting
from celeste_image.providers.base import Options, Provider, ProviderSettings

CALL = Call("a-call")
REQUEST = Generate(prompt="a fox", model="fake/one", count=1)


async def collect(run: Run, request: ImageRequest = REQUEST, call: Call = CALL) -> list[Event]:
    async with aclosing(run(request, call)) as events:
        return [event async for event in events]


async def collect_until_error(run: Run, request: ImageRequest = REQUEST) -> tuple[list[Event], BaseException | None]:
    """Returns the events, and the error that ended the run, if any."""
    seen: list[Event] = []
    try:
        async with aclosing(run(request, CALL)) as events:
            async for event in events:
                seen.append(event)
    except Exception as error:
        return seen, error
    return seen, None


class Fake:
    """A run that gives out what it was given: events, errors to raise, functions of the request to call for either.

    Attributes:
        asked: The requests that it got.
        closed: How many times a run of it came to its end, one way or another.
    """

    def __init__(self, *script: Event | Exception | Callable[[ImageRequest], Any]) -> None:
        self._script = script
        self.asked: list[ImageRequest] = []
        self.closed = 0

    async def __call__(self, request: ImageRequest, call: Call | Candidate) -> AsyncGenerator[Event, None]:
        self.asked.append(request)
        try:
            for step in self._script:
                out = step(request) if callable(step) else step
                if hasattr(out, "__await__"):
                    out = await out
                if isinstance(out, Exception):
                    raise out
                if out is not None:
                    yield out
        finally:
            self.closed += 1


def output(
    index: int = 0, width: int = 8, height: int = 8, seed: int | None = None, media_type: str = "image/png"
) -> ImageOutput:
    return ImageOutput(
        f"artifacts/sha256-{index:064x}", media_type, width, height, 1, f"{index:064x}", index=index, seed=seed
    )


def saved(index: int = 0, **facts: Any) -> Saved:
    return Saved(output(index, **facts))


def picture(data: bytes = b"png", index: int = 0, seed: int | None = None) -> Picture:
    return Picture(data, "image/png", 8, 8, index, seed)


def loaded(width: int, height: int, sha256: str = "0" * 64) -> ImageInput:
    return ImageInput(b"png", facts=ImageFacts("image/png", width, height, 3, sha256, "RGB", False))


def parameter(path: str, range_: ParameterRange) -> Parameter:
    return Parameter(path, range_, path, "")


def card(
    name: str = "fake/one", kind: OperationKind = OperationKind.GENERATE, *parameters: Parameter, **facts: Any
) -> ModelCard:
    return ModelCard(name, name, "", {kind: parameters}, **facts)


class FakeOptions(Options):
    """Options of the fake provider."""

    strength: float = 0.5
    glow: bool = False
    mode: str = ""


OPTIONS = 'options.provider_options["fake"]'
PAINTER = card(
    "fake/one",
    OperationKind.GENERATE,
    parameter("prompt", TextRange(20)),
    parameter("negative_prompt", TextRange(10)),
    parameter("size", SizeRange(64, 1024, 0.5, multiple_of=8, default_width=512, default_height=256)),
    parameter("count", IntegerRange(1, 16)),
    parameter("seed", IntegerRange(0)),
    parameter(f"{OPTIONS}.strength", NumberRange(0, 1)),
    parameter(f"{OPTIONS}.glow", BoolRange()),
    previews=True,
)
PLAIN = card("fake/plain", OperationKind.GENERATE, parameter("prompt", TextRange()))
UPSCALER = card(
    "fake/upscaler",
    OperationKind.UPSCALE,
    parameter("factor", NumberRange(1, 16)),
    parameter("size", SizeRange(1, 1000, 0.5)),
)


class FakeProvider:
    """A provider whose run is an argument."""

    name = "fake"
    title = "Fake"
    Settings = ProviderSettings
    Options = FakeOptions

    def __init__(
        self,
        cards: Sequence[ModelCard] = (PAINTER, PLAIN, UPSCALER),
        *,
        name: str = "fake",
        missing: Sequence[str] = (),
        run: CandidateRun | None = None,
    ) -> None:
        self.cards = cards
        self.name = name
        self.settings = ProviderSettings()
        self._missing = missing
        self.run = run or Fake()

    def ready(self, card: ModelCard) -> bool:
        return card.id not in self._missing

    async def close(self) -> None:
        pass


def routed(run: CandidateRun, cards: Sequence[ModelCard] = (PAINTER, PLAIN, UPSCALER)) -> Run:
    """Returns a run that tries the card of the model that a request names, as routing does."""

    def start(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        card = next((card for card in cards if card.id == request.model), cards[0])
        return run(request, Candidate(call, card, ticket=call.ticket))

    return start


def fitted(run: CandidateRun, provider: Provider, **arguments: Any) -> Run:
    """Returns a run that fits requests to the models of a provider."""
    return routed(fitting(run, provider.Options, **arguments), provider.cards)
