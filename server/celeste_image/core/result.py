"""Results: the images, findings, fidelity, usage and costs of one operation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from celeste_image.core.analysis import Analysis
from celeste_image.core.errors import CelesteError
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.money import Cost, Quantity
from celeste_image.core.safety import SafetyVerdict

__all__ = ["ImageOutput", "OperationResult", "ResultSource", "Usage"]


class ResultSource(StrEnum):
    """Origin of a result; see `ResultSource` in `operation.proto`. UNSPECIFIED is an unknown value."""

    UNSPECIFIED = "unspecified"
    MADE = "made"
    REPLAYED = "replayed"
    CACHED = "cached"


@dataclass(frozen=True, slots=True)
class ImageOutput:
    """A stored image.

    Attributes:
        artifact: Name of the artifact with the bytes.
        media_type: Media type of the bytes.
        width: Width in pixels.
        height: Height in pixels.
        size_bytes: Number of bytes.
        sha256: Digest of the bytes, in hexadecimal.
        index: Position among the images asked for, from 0.
        seed: Seed that makes the image again; None if the model has no seeds.
        parents: Digests of the request's images.
        revised_prompt: The prompt as the model or its provider rewrote it.
        data: The bytes, if they are inside the answer; else empty.
    """

    artifact: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    index: int = 0
    seed: int | None = None
    parents: tuple[str, ...] = ()
    revised_prompt: str = ""
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of an operation.

    Attributes:
        images: Images stored.
        megapixels: Their area together, in millions of pixels.
        compute_seconds: Time that engines of this server worked; None if no engine did.
        billed: What providers counted for their bills, one per unit and model, failed tries included; empty if they
            did not say.
    """

    images: int = 0
    megapixels: float = 0.0
    compute_seconds: float | None = None
    billed: tuple[Quantity, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationResult:
    """The outcome of one operation; see `OperationResult` in `operation.proto`.

    Attributes:
        request_id: The name of the call.
        model: Id of the model that did the operation.
        images: The images, by index.
        failures: Errors of the images that failed, by index.
        analysis: Findings; None if the operation is no analysis.
        fidelity: The outcome of each field of the request.
        usage: Images, megapixels and engine time.
        safety: Verdicts of the operator's safety policy.
        source: Origin of the result. A replayed or cached one costs nothing again.
        costs: Cost, one per currency, failed tries included; empty for work that costs nothing.
    """

    request_id: str
    model: str
    images: tuple[ImageOutput, ...] = ()
    failures: Mapping[int, CelesteError] = field(default_factory=dict)
    analysis: Analysis | None = None
    fidelity: tuple[FidelityLine, ...] = ()
    usage: Usage = Usage()
    safety: tuple[SafetyVerdict, ...] = ()
    source: ResultSource = ResultSource.MADE
    costs: tuple[Cost, ...] = ()
