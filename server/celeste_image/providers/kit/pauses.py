"""Pauses between the polls of a remote job: longer after failures, and never shorter than the vendor asked for."""

from celeste_image.providers.kit.results import TryAgain

__all__ = ["Pauses"]

LONGEST_PAUSE_SECONDS = 10.0
MOST_REFUSALS = 8
"""Refused polls in a row after which the job is given up: about a minute."""


class Pauses:
    """The pauses between the polls of one job, in seconds.

    Attributes:
        interval: The shortest pause.
        next: The next pause: the interval, doubled after each failed poll up to LONGEST_PAUSE_SECONDS.
        least: The interval, or the longer pause that the vendor asked for after the last poll.
    """

    def __init__(self, interval: float) -> None:
        self.interval = self.next = self.least = interval
        self._refused = 0

    def count_answer(self) -> None:
        """Resets the pauses after a poll that was answered."""
        self.next = self.least = self.interval
        self._refused = 0

    def count_failure(self, failure: TryAgain) -> None:
        """Lengthens the pauses after a failed poll. Raises the failure's error after too many refusals in a row."""
        self._refused += failure.error is not None
        if failure.error and self._refused >= MOST_REFUSALS:
            raise failure.error from failure.__cause__
        self.next = max(self.interval, min(LONGEST_PAUSE_SECONDS, 2 * self.next))
        self.least = max(self.interval, failure.after_seconds or 0.0)
