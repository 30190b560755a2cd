"""Report: collects what becomes of each field of a request at one model, and what is wrong with the request."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from celeste_image.core.card import ImageRange, ModelCard, ParameterRange, TextRange, out_of_range
from celeste_image.core.errors import InvalidRequest, UnknownField, Violation
from celeste_image.core.events import Warned
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ImageOutput
from celeste_image.pipeline.fidelity.measure import MEASURED, measure

__all__ = ["ADJUSTED", "DEFAULTED", "DROPPED", "HONORED", "Report"]

HONORED, ADJUSTED, DROPPED, DEFAULTED = (
    FidelityOutcome.HONORED,
    FidelityOutcome.ADJUSTED,
    FidelityOutcome.DROPPED,
    FidelityOutcome.DEFAULTED,
)


class Report:
    """Collects the fidelity lines and the violations of one request, all of them before it fails.

    Attributes:
        card: The card of the model that is tried.
        treated_like: Text about the model that an unknown model is treated like; empty for a known model.
    """

    def __init__(self, request: ImageRequest, card: ModelCard) -> None:
        self.card = card
        self.treated_like = f"{card.id} is not in the catalog; treated like {card.like}" if card.is_stranger else ""
        self._request = request
        self._lines: list[FidelityLine] = []
        self._violations: list[Violation] = []
        self._found: list[FidelityLine] = []
        self._images: list[ImageOutput] = []
        if self.treated_like:
            self.add("model", HONORED, asked=request.model, sent=card.name_on_wire, message=self.treated_like)
        for path in request.options.unknown:
            self.add(path, DROPPED, message="this server does not know the field")

    def range_of(self, path: str) -> ParameterRange | None:
        """Returns the range of the model's parameter at a path; None if the model does not read the field."""
        known = self.card.parameter(self._request.kind, re.sub(r"\[\d+\]", "", path) if "[" in path else path)
        return known.range if known else None

    def add(self, path: str, outcome: FidelityOutcome, asked: Any = None, sent: Any = None, message: str = "") -> None:
        """Adds the line of a field; `asked` and `sent` are JSON values."""
        self._lines.append(FidelityLine(path, outcome, asked=asked, sent=sent, message=message))

    def extend(self, lines: Sequence[FidelityLine]) -> None:
        """Adds lines."""
        self._lines += lines

    def violate(self, path: str, text: str) -> None:
        """Adds a violation: the model can't take the request."""
        self._violations.append(Violation(path, text))

    def read(self, path: str, asked: Any) -> bool:
        """Adds the line of a field that is set, and returns whether the model reads the field."""
        known = self.range_of(path)
        if known is None:
            self.add(path, DROPPED, asked=asked, message=self._unread(path))
            return False
        if text := out_of_range(known, asked):
            self.violate(path, f"{text} for {self.card.id}")
        self.add(path, HONORED, asked=None if isinstance(known, TextRange | ImageRange) else asked)
        return True

    def _unread(self, path: str) -> str:
        more = self.card.unread.get(path, "")
        return f"{self.card.id} does not read it" + (f"; {more}" if more else "")

    def read_all(self, **fields: Any) -> None:
        """Adds the lines of those fields that are set, by their paths. None and empty text are unset; 0 is a value."""
        for path, value in fields.items():
            if value is not None and value != "":
                self.read(path, value)

    def check(self) -> None:
        """Checks the request before anything is sent.

        Raises:
            InvalidRequest: The model can't take the request; or `strict` is set, and a field can't be honored.
            UnknownField: `strict` is set, and the only fields that can't be honored are unknown to this server.
        """
        if self._violations:
            raise InvalidRequest.of(self._violations)
        options = self._request.options
        different = [line for line in self._lines if line.outcome not in (HONORED, DEFAULTED)]
        if options.strict and different:
            error = UnknownField if all(line.path in options.unknown for line in different) else InvalidRequest
            raise error.of([_difference(line) for line in different])

    def early_lines(self) -> list[FidelityLine]:
        """Returns the lines that are known before the result."""
        return [line for line in self._lines if line.path not in MEASURED]

    def warned(self, event: Warned) -> FidelityLine | None:
        """Adjusts the line of a field that the provider warns about, and returns it; None if no line fits.

        Raises:
            InvalidRequest: `strict` is set.
        """
        for place, line in enumerate(self._lines):
            if line.path == event.path and line.outcome in (HONORED, ADJUSTED, DEFAULTED):
                if self._request.options.strict:
                    raise InvalidRequest.at(event.path, event.text)
                self._lines[place] = replace(line, outcome=ADJUSTED, message=event.text)
                return self._lines[place]
        return None

    def saved(self, image: ImageOutput) -> None:
        """Adds an image of the result."""
        self._images.append(image)

    def found(self, line: FidelityLine) -> None:
        """Adds a finding of a step about a field: see `FidelityLine.found`."""
        self._found.append(line)

    def late_lines(self) -> list[FidelityLine]:
        """Returns the lines that only the result completes, in the order of the images."""
        images = sorted(self._images, key=lambda image: image.index)
        found = sorted(self._found, key=lambda line: -1 if line.image_index is None else line.image_index)
        return measure(self._lines, images, found)


def _difference(line: FidelityLine) -> Violation:
    return Violation(line.path, line.message or "can't be honored exactly", line.outcome.value.upper())
