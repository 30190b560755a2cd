"""Retrying: tries the same model again if the failed try did nothing and cost nothing."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from celeste_image.core.call import Candidate
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import CandidateRun, Event, ImageFailed, Retrying, Saved, Submitted
from celeste_image.core.request import ImageRequest
from celeste_image.pipeline.attempts import Attempts
from celeste_image.providers.base import ProviderSettings

__all__ = ["RetryPolicy", "retrying"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is tried, and how long the pauses are.

    Attributes:
        tries: Most tries per reason of failure.
        other_tries: Most tries for a reason that `tries` does not name.
        first_seconds: Longest pause before the second try. It doubles with each further try.
        longest_seconds: Longest pause of all, unless the vendor names a longer one.
        patience_seconds: Longest pause that a vendor may name. A longer one is not waited for; the caller gets the
            error with its `retry_after`.
        hurried_seconds: Longest pause while another model can be tried instead.
    """

    tries: Mapping[str, int] = field(default_factory=lambda: {"PROVIDER_RATE_LIMITED": 5, "PROVIDER_UNAVAILABLE": 4})
    other_tries: int = 1
    first_seconds: float = 0.5
    longest_seconds: float = 20.0
    patience_seconds: float = 60.0
    hurried_seconds: float = 2.0

    @classmethod
    def of(cls, settings: ProviderSettings) -> "RetryPolicy":
        """Returns the policy for a provider's settings."""
        policy = cls(patience_seconds=settings.patience_seconds)
        if settings.tries is None:
            return policy
        return replace(policy, tries=dict.fromkeys(policy.tries, settings.tries))


def retrying(
    run: CandidateRun,
    policy: RetryPolicy | None = None,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
    jitter: Callable[[float], float] = lambda most: random.uniform(0, most),  # noqa: S311
) -> CandidateRun:
    """Tries a call again after a retryable failure, as long as no image was saved or refused.

    A ticket of a failed try goes to the next try, which resumes that job and submits nothing. A request that was sent
    without an answer is not retryable, so it is never sent twice.

    Args:
        run: The rest of the pipeline.
        policy: How often and how long.
        sleep: Waits for a number of seconds.
        clock: The time in seconds that deadlines count by.
        jitter: Draws a pause between zero and a longest pause, in seconds.
    """
    policy = policy or RetryPolicy()

    async def retried(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        attempts = Attempts()
        while True:
            saved = False
            try:
                async with aclosing(run(request, candidate)) as events:
                    async for event in events:
                        saved |= isinstance(event, Saved | ImageFailed)  # a refused image was made, too
                        if isinstance(event, Submitted):
                            candidate = replace(candidate, ticket=event.ticket)
                        if attempts.rises(event):
                            yield event
                return
            except CelesteError as error:
                attempts.add(candidate.card.id, error)
                pause = _pause(policy, error, len(attempts), jitter)
                if pause is None or saved or (candidate.has_fallback and pause > policy.hurried_seconds):
                    raise
                deadline = candidate.call.deadline
                if deadline is not None and clock() + pause >= deadline:
                    raise
                retry = Retrying(error.reason, pause, len(attempts) + 1)
            yield retry
            await sleep(retry.after_seconds)

    return retried


def _pause(policy: RetryPolicy, error: CelesteError, attempt: int, jitter: Callable[[float], float]) -> float | None:
    """Returns the seconds before the next try, with full jitter and never before Retry-After; None for no next try."""
    if not error.retryable or error.may_be_owed or attempt >= policy.tries.get(error.reason, policy.other_tries):
        return None
    drawn = jitter(min(policy.longest_seconds, policy.patience_seconds, policy.first_seconds * 2 ** (attempt - 1)))
    named = max(0.0, error.retry_after or 0.0)
    return None if named > policy.patience_seconds else named + drawn
