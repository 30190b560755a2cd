"""Fidelity: what became of each field of a request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["FidelityLine", "FidelityOutcome"]


class FidelityOutcome(StrEnum):
    """What became of one field of a request; see `FidelityOutcome` in `operation.proto`.

    UNSPECIFIED is what a client makes of an outcome that it does not know.
    """

    UNSPECIFIED = "unspecified"
    HONORED = "honored"
    ADJUSTED = "adjusted"
    EMULATED = "emulated"
    DROPPED = "dropped"
    DEFAULTED = "defaulted"


@dataclass(frozen=True, slots=True)
class FidelityLine:
    """What became of one field; the values are JSON values, None where there is none."""

    path: str
    outcome: FidelityOutcome
    asked: Any = None
    sent: Any = None
    measured: Any = None
    note: str = ""
    image_index: int | None = None
