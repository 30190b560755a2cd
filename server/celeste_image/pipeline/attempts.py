"""Trail: the models that were left on the way to one that does a request, and why."""

from celeste_image.core.errors import Attempt, CelesteError, ProvidersUnavailable
from celeste_image.core.events import Event, Progress
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome

__all__ = ["Rising", "Trail", "may_go_on"]

OWN_OPTIONS = "options.provider_options["
"""How paths begin of what is written for one provider: a mistake there is the caller's, no reason to ask another."""


def may_go_on(error: CelesteError) -> bool:
    """Tells whether another model may be asked after a failure: nothing was done, and it may take the request."""
    at_fault = any(violation.field.startswith(OWN_OPTIONS) for violation in error.violations)
    return error.elsewhere and "owed" not in error.metadata and not at_fault


class Trail:
    """What became of the models before the one that works on a request now."""

    def __init__(self) -> None:
        self._errors: list[CelesteError] = []
        self._attempts: list[Attempt] = []

    def add(self, model: str, error: CelesteError) -> None:
        """Takes note that a model was left."""
        self._errors.append(error)
        self._attempts.append(Attempt(model, error.reason, error.message, error.retry_after))

    def line(self, asked: str, sent: str) -> FidelityLine | None:
        """Returns the line of `model`; None when the model that was named, or the default, does it."""
        if self._attempts:
            note = "; ".join(f"{a.model} was left ({a.reason}): {a.text}" for a in self._attempts)
            return FidelityLine("model", FidelityOutcome.ADJUSTED, asked=asked or None, sent=sent, note=note)
        return (
            FidelityLine("model", FidelityOutcome.HONORED, asked=asked, sent=sent) if asked not in ("", sent) else None
        )

    def ended(self) -> CelesteError:
        """Returns the error of a request whose last model was left: that model's own when it was the only one.

        If one of several may be back, all of them are PROVIDERS_UNAVAILABLE until the first may be. Else none will:
        then it is the error of the first, which is what the caller asked for.
        """
        first = self._errors[0]
        if len(self._errors) == 1:
            return first
        passing = [error for error in self._errors if error.retryable]
        if not passing:
            return self.told(first)
        models = ", ".join(f"{a.model} ({a.reason})" for a in self._attempts)
        return ProvidersUnavailable(
            f"none of {len(self._attempts)} models could do it: {models}",
            retry_after=min((e.retry_after for e in passing if e.retry_after is not None), default=None),
            attempts=self._attempts,
        )

    def told(self, error: CelesteError) -> CelesteError:
        """Returns an error that ends the request, with the attempts when there were several."""
        if len(self._attempts) > 1:
            error.attempts = tuple(self._attempts)
        return error


class Rising:
    """Lets through what a caller may be told of one request, over all its tries and models."""

    def __init__(self) -> None:
        self._fraction = 0.0

    def passes(self, event: Event) -> bool:
        """Tells whether an event may go on: every one but a Progress below the highest so far."""
        if not isinstance(event, Progress):
            return True
        rises = event.fraction >= self._fraction
        self._fraction = max(self._fraction, event.fraction)
        return rises
