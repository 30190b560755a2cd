"""retrying: the same model again, when nothing was made and nothing can have been paid."""

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
    """How often and how long.

    Attributes:
        tries: Tries in all per reason; a reason that is not named has `other_tries`.
        first_seconds: Longest pause before the second try; it doubles from try to try.
        longest_seconds: Longest pause of all, unless the vendor names a longer one.
        patience_seconds: What the vendor names may be as long as this; a longer pause is not waited for: the caller is
            told of it. Pauses of ours are never longer.
        hurried_seconds: The same of every pause, while another model waits to be asked.
    """

    tries: Mapping[str, int] = field(default_factory=lambda: {"PROVIDER_RATE_LIMITED": 5, "PROVIDER_UNAVAILABLE": 4})
    other_tries: int = 1
    first_seconds: float = 0.5
    longest_seconds: float = 20.0
    patience_seconds: float = 60.0
    hurried_seconds: float = 2.0

    @classmethod
    def of(cls, settings: ProviderSettings) -> "RetryPolicy":
        """Returns the policy for a provider."""
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
    """Tries again after failures that say nothing was done, until something was saved or refused.

    A ticket that a try left is carried to the next, which resumes that job and submits nothing. What was sent and not
    answered is not retryable, and so never sent again.
    """
    policy = policy or RetryPolicy()

    async def retried(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        attempts = Attempts()
        while True:
            saved = False
            try:
                async with aclosing(run(request, candidate)) as events:
                    async for event in events:
                        saved |= isinstance(event, Saved | ImageFailed)  # a picture that may not be shown was made
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
    """Returns how long to wait before the next try, None when there is none: full jitter, never before Retry-After."""
    if not error.retryable or attempt >= policy.tries.get(error.reason, policy.other_tries):
        return None
    drawn = jitter(min(policy.longest_seconds, policy.patience_seconds, policy.first_seconds * 2 ** (attempt - 1)))
    named = max(0.0, error.retry_after or 0.0)
    return None if named > policy.patience_seconds else named + drawn
