"""What can happen to an operation, one class each, and the shape of everything that runs one: `Run`.

Each event has one author, so there is one place to look; the files are in `pipeline/`:

    Queued      limit.py            waiting for a slot
    Started     route.py            a model was chosen
    Fitted      fidelity/fit.py     what became of one field of the request; of `model`, by route.py
    Retrying    retry.py            the same model, again
    Submitted   provider            a remote job runs; retries carry its ticket, so a lost poll buys nothing twice
    Progress    provider            nearer to the end
    Preview     provider            a first look
    Warned      provider            something is not quite as asked
    Picture     provider            bytes; they go no higher than save.py
    Saved       save.py             the picture is stored; above, an image is a digest
    Measured    pixel_lock.py       what a step found on what was made, about one field; fit.py puts it into the line
                metadata.py
                split.py
    Missed      split.py            one of several images could not be made, or may not be shown
                safety/steps.py
    Analyzed    provider            what an analysis found
    Judged      safety/steps.py     what the operator's policy says of a text or a picture
    Used        provider            time that an engine of ours worked
    Completed   complete.py         the result, last, once

Failure is an exception, never an event, until it leaves the core.
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from celeste_image.core.analysis import Analysis
from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import CelesteError
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ImageOutput, OperationResult
from celeste_image.core.safety import SafetyVerdict

__all__ = [
    "Analyzed",
    "CandidateRun",
    "Completed",
    "ComputeUsed",
    "Event",
    "Fidelity",
    "ImageFailed",
    "Measured",
    "Picture",
    "Preview",
    "Progress",
    "Queued",
    "Retrying",
    "Run",
    "SafetyJudged",
    "Saved",
    "Started",
    "Submitted",
    "Warned",
]


@dataclass(frozen=True, slots=True)
class Queued:
    """The operation waits for a slot; `position` 1 is the next to run."""

    position: int


@dataclass(frozen=True, slots=True)
class Started:
    """A model works on the operation; `candidate` counts the models that were tried, from 1."""

    provider: str
    model: str
    candidate: int = 1


@dataclass(frozen=True, slots=True)
class Submitted:
    """A provider accepted the work as a job. `ticket` is the provider's name for the job, and secret to others."""

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
    """Share done, 0 to 1, never falling. `reported` is False for an estimate from the usual duration."""

    fraction: float
    phase: str = ""
    reported: bool = True


@dataclass(frozen=True, slots=True)
class Preview:
    """A preview of an unfinished image, at most 256 KiB."""

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
    """

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    index: int = 0
    seed: int | None = None
    trained: bool | None = None
    revised_prompt: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement of the field `path` on a made image. The image is paid for, so a measurement never refuses it.

    Attributes:
        path: Path of the field.
        value: JSON value for the fidelity line; None without a value.
        text: Difference from the request, for people; empty when there is none.
        index: Position of the image; None means all images.
    """

    path: str
    value: Any = None
    text: str = ""
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """An image was stored."""

    image: ImageOutput


@dataclass(frozen=True, slots=True)
class ImageFailed:
    """Image `index` failed or is withheld; the other images continue."""

    index: int
    error: CelesteError


@dataclass(frozen=True, slots=True)
class Analyzed:
    """Findings of an analysis, of some or all kinds. Later events add findings."""

    analysis: Analysis


@dataclass(frozen=True, slots=True)
class SafetyJudged:
    """A verdict of the operator's safety policy on a text or an image."""

    verdict: SafetyVerdict


@dataclass(frozen=True, slots=True)
class ComputeUsed:
    """An engine of this server worked for `compute_seconds`, without waiting."""

    compute_seconds: float


@dataclass(frozen=True, slots=True)
class Completed:
    """The operation succeeded."""

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
    | Measured
    | Saved
    | ImageFailed
    | Analyzed
    | SafetyJudged
    | ComputeUsed
    | Completed
)

Run = Callable[[ImageRequest, Call], AsyncGenerator[Event, None]]
"""Runs an operation: requests go down, events come up. Closing the generator stops the work."""

CandidateRun = Callable[[ImageRequest, Candidate], AsyncGenerator[Event, None]]
"""A `Run` below routing, where a model was chosen."""
