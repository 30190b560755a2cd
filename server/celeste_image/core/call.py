"""Call and Candidate: who asks and until when, and the model that is tried for the call."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celeste_image.core.caller import ANONYMOUS, Caller
from celeste_image.core.errors import CelesteError

if TYPE_CHECKING:
    from celeste_image.core.card import ModelCard  # a client has no cards

__all__ = ["Call", "Candidate", "EarlierCall", "is_late"]

CLOCK_SECONDS = 0.02
ROUNDING = 0.01


def is_late(left: float | None, timeout: float | None) -> bool:
    """Returns whether a call that was stopped from outside met its deadline; else its caller cancelled it.

    A caller whose deadline passes resets its call, as one that cancels it does, and that is often before the deadline
    passes here: gRPC's clients round the timeout that they send up to three digits (1.001 s to 1.01 s, 12.05 s to
    12.1 s), and read a clock that is a few milliseconds old. So a call is late from 20 ms and 1 % of its time before
    its deadline.

    Args:
        left: Seconds until the deadline, negative after it; None without a deadline.
        timeout: Seconds that the call had when it came; None without a deadline.
    """
    if left is None or timeout is None:
        return False
    return left <= CLOCK_SECONDS + ROUNDING * max(timeout, 0.0)


@dataclass(frozen=True, slots=True)
class EarlierCall:
    """A call to a provider that may have to be paid, made by an earlier run of the same request.

    Attributes:
        id: Id of its entry in the ledger.
        model: Id of the model.
        images: Indexes of the images of the request that it makes.
        ticket: The provider's name for its job; None if there is none, or it is not known.
        is_settled: Whether it is known how it ended.
        is_owed: Whether it has to be paid; None is unknown.
        has_receipt: Whether `events` and `error` are what it came to. If not, they are lost.
        events: What it made, as events of `core/events.py`; empty without a receipt.
        error: The error that it ended with.
    """

    id: str
    model: str
    images: range
    ticket: str | None = None
    is_settled: bool = False
    is_owed: bool | None = None
    has_receipt: bool = False
    events: Sequence[Any] = field(default=(), repr=False)
    error: CelesteError | None = None

    @property
    def did_nothing(self) -> bool:
        """Whether it made nothing and costs nothing, so that it may be made again."""
        return self.is_settled and self.is_owed is False


@dataclass(frozen=True, slots=True)
class Call:
    """The facts of one call, apart from its request. Every step above routing gets it.

    Attributes:
        request_id: The name of the call in events, results and logs.
        caller: Who asks. The tenant owns the artifacts. On a server that does not know its callers, all are ANONYMOUS.
        deadline: When the caller stops waiting, by `time.monotonic()`; None means never.
        ticket: The provider's name for a job that an earlier call submitted. The first candidate resumes that job.
        is_named: Whether the caller gave the request its id, and may repeat it.
        earlier: Calls that an earlier run of the request made, the first one first; empty for a new request.
        is_watched: Whether the caller sees the events before the result. A unary call sees none: no previews are made
            for it, and it hears of no position in a queue.
    """

    request_id: str
    caller: Caller = ANONYMOUS
    deadline: float | None = None
    ticket: str | None = None
    is_named: bool = False
    earlier: tuple[EarlierCall, ...] = ()
    is_watched: bool = True

    def ended_by_deadline(self, now: float) -> bool:
        """Returns whether work that was cut off at a time met the deadline; timers are some milliseconds early."""
        return self.deadline is not None and now >= self.deadline - CLOCK_SECONDS


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is tried for a call. Every step below routing gets it, and reads the model's card here.

    Attributes:
        call: The call.
        card: The model's card, which routing looked up. `request.model` is its id.
        has_fallback: Whether another candidate follows. Then a long pause before the next try is not worth it.
        ticket: The provider's name for a job that was submitted before. With a ticket, the provider resumes the job
            and submits nothing.
        images: Indexes of the images of the operation that this call makes.
        operation: What the calls of one operation have in common, by identity: a request for several images may need
            several calls. They have one place in the provider's queue.
    """

    call: Call
    card: "ModelCard"
    has_fallback: bool = False
    ticket: str | None = None
    images: range = range(1)
    operation: object = field(default_factory=object, repr=False, compare=False)
