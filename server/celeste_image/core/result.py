"""Results: the outcome of one operation, its images and what it used."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from celeste_image.core.analysis import Analysis
from celeste_image.core.errors import CelesteError
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.safety import SafetyVerdict

__all__ = ["ImageOutput", "OperationResult", "Usage"]


@dataclass(frozen=True, slots=True)
class ImageOutput:
    """A stored image. `data` is empty unless the bytes came inside a response."""

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
    """Resources of an operation; `compute_seconds` is None when no engine of this server worked on it."""

    images: int = 0
    megapixels: float = 0.0
    compute_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class OperationResult:
    """The result of one operation; see `OperationResult` in `operation.proto`."""

    request_id: str
    model: str
    images: tuple[ImageOutput, ...] = ()
    failures: Mapping[int, CelesteError] = field(default_factory=dict)
    analysis: Analysis | None = None
    fidelity: tuple[FidelityLine, ...] = ()
    usage: Usage = Usage()
    safety: tuple[SafetyVerdict, ...] = ()
