"""Events: everything that can happen to an operation, one class each, and `Run`, the type of each pipeline step.

Each event has one author, so there is one place to look. The files are in `pipeline/`:

    Queued        limit.py            waits for a place at the provider
    Started       route.py            a model was chosen
    Fidelity      fidelity/fit.py     what became of one field; `model` is by route.py
    Retrying      retry.py            the same model is tried again
    Submitted     provider            a remote job runs; a retry carries its ticket, so a lost poll buys nothing twice
    Progress      provider            the share that is done
    Preview       provider            a first look
    Warned        provider            the result will differ from the request
    Picture       provider            the bytes of an image, on their way to save.py
    Saved         save.py             the image is stored; above, an image is a digest
    ImageFailed   split.py            one of several images failed, or may not be shown
                  safety/steps.py
    Analyzed      provider            the findings of an analysis
    SafetyJudged  safety/steps.py     a verdict of the operator's safety policy
    ComputeUsed   provider            the time that an engine of this server worked
    Billed        provider            what a vendor counted for its bill
    Reused        replay.py           the events that follow are those of an earlier result
                  cache.py
    Charged       spend.py            the cost of a call, once it is in the ledger
    Completed     complete.py         the result; last, once

Steps below fit.py report their findings as Fidelity, too (pixel_lock.py, metadata.py, split.py). The report of fit.py
merges them with the lines of the request.

A failure is an exception inside the pipeline, never an event.
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from celeste_image.core.analysis import Analysis
from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import CelesteError
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.money import Cost, Quantity
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ImageOutput, OperationResult, ResultSource
from celeste_image.core.safety import SafetyVerdict

__all__ = [
    "Analyzed",
    "Billed",
    "CandidateRun",
    "Charged",
    "Completed",
    "ComputeUsed",
    "Event",
    "Fidelity",
    "ImageFailed",
    "Picture",
    "Preview",
    "Progress",
    "Queued",
    "Retrying",
    "Reused",
    "Run",
    "SafetyJudged",
    "Saved",
    "Started",
    "Submitted",
    "Warned",
]


@dataclass(frozen=True, slots=True)
class Queued:
    """The call waits for a place at its provider; `position` counts from 1."""

    position: int


@dataclass(frozen=True, slots=True)
class Started:
    """A model was chosen; `candidate` counts the models that were tried, from 1."""

    provider: str
    model: str
    candidate: int = 1


@dataclass(frozen=True, slots=True)
class Submitted:
    """A provider runs the work as a remote job. `ticket` is its name for the job; no other provider knows it."""

    ticket: str = field(repr=False)
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Retrying:
    """A try failed for `reason`; try number `next_try` follows after `after_seconds`."""

    reason: str
    after_seconds: float
    next_try: int


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The outcome of one field of the request."""

    line: FidelityLine


@dataclass(frozen=True, slots=True)
class Progress:
    """The share that is done, 0 to 1, never falling. `reported` is False for a guess from the usual duration."""

    fraction: float
    phase: str = ""
    reported: bool = True


@dataclass(frozen=True, slots=True)
class Preview:
    """A first look at an image, at most 256 KiB; `width` and `height` are in pixels."""

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    index: int = 0


@dataclass(frozen=True, slots=True)
class Warned:
    """The result will differ from the request; `path` is empty for the whole request, `reason` is for programs."""

    path: str
    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded image on its way to the store.

    Attributes:
        data: The encoded image.
        media_type: Its media type.
        width: In pixels.
        height: In pixels.
        index: Position among the images asked for, from 0.
        seed: Seed that makes the image again; None when the model has no seeds.
        trained: Whether a trained network took part, if that differs from the model's card.
        revised_prompt: The prompt as the model or its provider rewrote it.
        original_size: Width and height that the provider made, and has to be paid for; None if they are the image's.
    """

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    index: int = 0
    seed: int | None = None
    trained: bool | None = None
    revised_prompt: str = ""
    original_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """An image was stored.

    Attributes:
        image: The image.
        data: Its bytes up to deliver.py, which may put them inside the answer; empty above.
        original_size: Width and height that the provider made; None if they are the image's.
    """

    image: ImageOutput
    data: bytes = field(default=b"", repr=False)
    original_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ImageFailed:
    """Image `index` failed, or may not be shown. The other images are made all the same."""

    index: int
    error: CelesteError


@dataclass(frozen=True, slots=True)
class Analyzed:
    """Findings of an analysis, of some kinds or all. Later events add to them."""

    analysis: Analysis


@dataclass(frozen=True, slots=True)
class SafetyJudged:
    """A verdict of the operator's safety policy on a text or an image."""

    verdict: SafetyVerdict


@dataclass(frozen=True, slots=True)
class ComputeUsed:
    """An engine of this server worked for `compute_seconds`, without the time that it waited."""

    compute_seconds: float


@dataclass(frozen=True, slots=True)
class Billed:
    """What a vendor counted for its bill, such as `output_image_token`; quantities of one call add up."""

    quantities: tuple[Quantity, ...]


@dataclass(frozen=True, slots=True)
class Charged:
    """The cost of one call to a provider, which has ended. Failed calls have one, too."""

    cost: Cost


@dataclass(frozen=True, slots=True)
class Reused:
    """The events that follow are those of an earlier result: nothing is made and nothing is paid for them now."""

    source: ResultSource


@dataclass(frozen=True, slots=True)
class Completed:
    """The operation is done."""

    result: OperationResult


Event = (
    Queued
    | Started
    | Retrying
    | Submitted
    | Fidelity
    | Progress
    | Preview
    | Warned
    | Picture
    | Saved
    | ImageFailed
    | Analyzed
    | SafetyJudged
    | ComputeUsed
    | Billed
    | Reused
    | Charged
    | Completed
)

Run = Callable[[ImageRequest, Call], AsyncGenerator[Event, None]]
"""Runs an operation and yields its events. Closing the generator stops the work."""

CandidateRun = Callable[[ImageRequest, Candidate], AsyncGenerator[Event, None]]
"""A `Run` below routing, for one model."""
