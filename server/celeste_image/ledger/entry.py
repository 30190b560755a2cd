"""Entries of the ledger: what is known of a paid call before it is sent, at its end, and when it is listed."""

from dataclasses import dataclass, field
from datetime import datetime

from celeste_image.core.caller import Caller
from celeste_image.core.money import Cost, Quantity
from celeste_image.core.usage import CallState

__all__ = ["CallState", "Ended", "LedgerEntry", "PaidCall"]


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A call to a provider that may have to be paid, before it is sent.

    Attributes:
        caller: Who asked for it.
        request_id: The request that it is made for.
        provider: Name of the provider.
        model: Id of the model.
        operation: The operation, as `OperationKind` names it.
        ticket: The provider's name for a job that an earlier try submitted: the call goes on with that job.
        images: Indexes of the images of the request that it makes.
    """

    caller: Caller
    request_id: str
    provider: str
    model: str
    operation: str
    ticket: str | None = None
    images: range = range(1)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a paid call ended.

    Attributes:
        state: Settled or uncertain.
        reason: Reason of the error, or `CANCELLED`; empty if it succeeded.
        owed: Whether it has to be paid; None is unknown.
        images: Images that were stored.
        billed: What the provider counted for its bill, one per unit and model; empty if it did not say.
        cost: Its cost. Of a call that is open, the `uncertain` amount is what it costs if it succeeds. None means
            that nobody computed it.
        receipt: What it came to, encoded, to be given again; None if that is not known.
    """

    state: CallState
    reason: str = ""
    owed: bool | None = None
    images: int = 0
    billed: tuple[Quantity, ...] = ()
    cost: Cost | None = None
    receipt: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A row of the ledger.

    Attributes:
        id: Its id; a later one sorts after an earlier one.
        call: The call. Its ticket is the provider's name for the job, None if the provider gave none.
        started: When the row was written, before the call was sent.
        ended: When the end was written; None until then.
        outcome: How it ended; its state is `open` until then.
    """

    id: str
    call: PaidCall
    started: datetime
    ended: datetime | None
    outcome: Ended

    @property
    def cost(self) -> Cost:
        """The cost of the call; of an open one, what it costs if it succeeds."""
        return self.outcome.cost or Cost(unpriced_calls=1)
