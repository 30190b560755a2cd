"""Attempts: what retry and routing remember of a request: the tries that failed, and the progress told so far."""

from celeste_image.core.errors import Attempt, CelesteError, ProvidersUnavailable
from celeste_image.core.events import Event, Progress
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome

__all__ = ["Attempts", "may_try_another"]

OWN_OPTIONS = "options.provider_options["
"""Start of the paths of options for one provider. A mistake there is the caller's, and no reason to try another."""


def may_try_another(error: CelesteError) -> bool:
    """Returns whether another model may be tried: this one did nothing, and the failure is not the request's fault."""
    is_callers_mistake = any(violation.field.startswith(OWN_OPTIONS) for violation in error.violations)
    return error.elsewhere and not error.may_be_owed and not is_callers_mistake


class Attempts:
    """The failed attempts at one request, in order, and the progress that the caller was told."""

    def __init__(self) -> None:
        self._errors: list[CelesteError] = []
        self._attempts: list[Attempt] = []
        self._fraction = 0.0

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, model: str, error: CelesteError) -> None:
        """Adds an attempt that failed."""
        self._errors.append(error)
        self._attempts.append(Attempt(model, error.reason, error.message, error.retry_after))

    def rises(self, event: Event) -> bool:
        """Returns whether the caller may be told of an event: progress never falls from one attempt to the next."""
        if not isinstance(event, Progress):
            return True
        rises = event.fraction >= self._fraction
        self._fraction = max(self._fraction, event.fraction)
        return rises

    def model_line(self, asked: str, sent: str) -> FidelityLine | None:
        """Returns the fidelity line of `model`, or None if the model that was named, or the default, is tried."""
        if self._attempts:
            message = "; ".join(f"{a.model} failed ({a.reason}): {a.text}" for a in self._attempts)
            return FidelityLine("model", FidelityOutcome.ADJUSTED, asked=asked or None, sent=sent, message=message)
        if asked in ("", sent):
            return None
        return FidelityLine("model", FidelityOutcome.HONORED, asked=asked, sent=sent)

    def with_attempts(self, error: CelesteError) -> CelesteError:
        """Returns an error that ends the request, with the attempts if there were several."""
        if len(self._attempts) > 1:
            error.attempts = tuple(self._attempts)
        return error

    def final_error(self) -> CelesteError:
        """Returns the error of a request after its last candidate failed.

        A single candidate's error is returned as it is. Of several, if one may succeed later, the error is
        PROVIDERS_UNAVAILABLE with the shortest `retry_after`. Otherwise it is the error of the first candidate, which
        is the model that the caller asked for.
        """
        first = self._errors[0]
        if len(self._errors) == 1:
            return first
        passing = [error for error in self._errors if error.retryable]
        if not passing:
            return self.with_attempts(first)
        models = ", ".join(f"{a.model} ({a.reason})" for a in self._attempts)
        return ProvidersUnavailable(
            f"all {len(self._attempts)} models failed: {models}",
            retry_after=min((e.retry_after for e in passing if e.retry_after is not None), default=None),
            attempts=self._attempts,
        )
