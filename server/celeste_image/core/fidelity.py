"""Fidelity: what became of each field of a request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["FidelityLine", "FidelityOutcome"]


class FidelityOutcome(StrEnum):
    """Outcome of one field of a request; see `FidelityOutcome` in `operation.proto`.

    UNSPECIFIED is an outcome that a client does not know.
    """

    UNSPECIFIED = "unspecified"
    HONORED = "honored"
    ADJUSTED = "adjusted"
    EMULATED = "emulated"
    DROPPED = "dropped"
    DEFAULTED = "defaulted"


@dataclass(frozen=True, slots=True)
class FidelityLine:
    """Outcome of one field; the values are JSON values, or None."""

    path: str
    outcome: FidelityOutcome
    asked: Any = None
    sent: Any = None
    measured: Any = None
    note: str = ""
    image_index: int | None = None
