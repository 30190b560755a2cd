"""Breaker: pauses a provider that keeps failing."""

import time
from collections.abc import Callable

from celeste_image.core.errors import ProviderUnavailable

__all__ = ["Breaker"]

LONGEST_SECONDS = 60.0
"""Longest pause. Each pause that ends in another failure is followed by one of twice the length."""


class Breaker:
    """Refuses calls to a provider for a while after several failed in a row.

    After the pause one call goes through. If it fails, the next pause begins; if not, all go through again.

    Args:
        name: Name of the provider.
        after: Failures in a row before the first pause; 0 means that there are no pauses.
        seconds: Length of the first pause.
        clock: The time in seconds.
    """

    def __init__(
        self, name: str, after: int = 5, seconds: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._after, self._first_seconds, self._clock = name, after, seconds, clock
        self._failures = 0
        self._seconds = seconds
        self._until: float | None = None
        self._is_tried = False
        self.changed: Callable[[float], None] = lambda seconds: None
        """Called with the length of a pause when it begins, and with 0 when the provider works again."""

    @property
    def left_seconds(self) -> float:
        """Seconds left of the pause; 0 while calls go through."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def enter(self) -> bool:
        """Lets a call through, and returns whether it is the first one after a pause.

        The end of the call is told by `succeed`, `fail` or `give_up`.

        Raises:
            ProviderUnavailable: The provider is paused, or the first call after a pause is still at work.
        """
        if self._until is None:
            return False
        left = self.left_seconds
        if left or self._is_tried:
            raise ProviderUnavailable(
                f"{self._name}: {self._failures} calls in a row failed, so it is paused",
                metadata={"provider": self._name, "paused": "true"},
                retry_after=left or self._first_seconds,
            )
        self._is_tried = True
        return True

    def succeed(self) -> None:
        """Notes that the provider works."""
        self._failures, self._seconds, self._is_tried = 0, self._first_seconds, False
        if self._until is not None:
            self._until = None
            self.changed(0.0)

    def fail(self, is_first: bool) -> None:
        """Notes that the provider is down, and begins a pause after too many failures.

        `is_first` is what `enter` returned.
        """
        self._failures += 1
        if not self._after or self._failures < self._after or (self._until is not None and not is_first):
            return
        if is_first:
            self._seconds = min(LONGEST_SECONDS, 2 * self._seconds)
        self._until, self._is_tried = self._clock() + self._seconds, False
        self.changed(self._seconds)

    def give_up(self, is_first: bool) -> None:
        """Notes that a call ended without an answer of the provider, such as by its caller."""
        if is_first:
            self._is_tried = False
