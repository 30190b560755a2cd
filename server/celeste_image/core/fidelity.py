"""Fidelity: the outcome of each field of a request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

__all__ = ["FidelityLine", "FidelityOutcome"]


class FidelityOutcome(StrEnum):
    """Outcome of one field of a request; see `FidelityOutcome` in `operation.proto`.

    A client reads an outcome that it does not know as UNSPECIFIED.
    """

    UNSPECIFIED = "unspecified"
    HONORED = "honored"
    ADJUSTED = "adjusted"
    EMULATED = "emulated"
    DROPPED = "dropped"
    DEFAULTED = "defaulted"


@dataclass(frozen=True, slots=True)
class FidelityLine:
    """The outcome of one field.

    Attributes:
        path: Path of the field in the request.
        outcome: Whether the field was honored, changed or dropped.
        asked: Value in the request, as JSON; None if the request left the field open, or its value is not repeated.
        sent: Value that the model was sent, as JSON, if it differs or was chosen by the server.
        measured: Value found on the result, as JSON.
        message: Why the field was changed or dropped.
        image_index: Index of the image that the line is about; None means all images.
    """

    path: str
    outcome: FidelityOutcome
    asked: Any = None
    sent: Any = None
    measured: Any = None
    message: str = ""
    image_index: int | None = None

    @classmethod
    def found(cls, path: str, measured: Any = None, *, problem: str = "", image_index: int | None = None) -> Self:
        """Returns a finding about a field on the result. The report merges the finding into the line of the request.

        Args:
            path: Path of the field.
            measured: Value that was found, as JSON.
            problem: What is not as asked, which makes the field ADJUSTED. The image is paid for, so nothing is refused.
            image_index: Index of the image; None means all images.
        """
        outcome = FidelityOutcome.ADJUSTED if problem else FidelityOutcome.HONORED
        return cls(path, outcome, measured=measured, message=problem, image_index=image_index)
