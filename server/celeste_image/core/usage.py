"""Usage: what a tenant used and what it cost, added up, and the calls that may have to be paid, one by one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from celeste_image.core.money import Cost, Quantity
from celeste_image.core.request import OperationKind

__all__ = ["CallState", "EntryFilter", "SpendEntry", "UsageDimension", "UsageQuery", "UsageRow"]


class UsageDimension(StrEnum):
    """Property by which usage is added up."""

    DAY = "day"
    MODEL = "model"
    OPERATION = "operation"
    CALLER = "caller"


class CallState(StrEnum):
    """Progress of a call that may have to be paid."""

    OPEN = "open"
    """The call was sent, or is about to be, and has not ended."""
    SETTLED = "settled"
    """The call ended, and whether it has to be paid is known."""
    UNCERTAIN = "uncertain"
    """The outcome is unknown: the call may have to be paid. The server repeats it only at the caller's word."""


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """A question about usage.

    Attributes:
        start: Earliest start of an operation or call.
        end: End of the time, itself not included; None is now.
        group_by: Properties that have a row for each combination of their values; rows come in their order.
        labels: Labels that the operations have, all of them; empty means all operations.
    """

    start: datetime
    end: datetime | None = None
    group_by: tuple[UsageDimension, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Usage of one combination of the properties in `group_by`; the other properties are empty.

    Attributes:
        day: Day in UTC, `2026-11-22`.
        model: Id of the model.
        operation: Kind of the operation; None is empty.
        caller: Name of the caller.
        succeeded: Operations that ended with a result.
        failed: Operations that ended with an error or were cancelled.
        uncertain: Calls to providers whose outcome is unknown: they may have to be paid.
        reused: Operations of `succeeded` that were answered from the cache or with the first outcome of their id.
        images: Images stored.
        pixels: Area of these images together.
        compute_seconds: Time that engines of the server worked; None if no engine did.
        billed: Quantities that providers counted for their bills, one per unit and model.
        costs: Costs, one per currency.
    """

    day: str = ""
    model: str = ""
    operation: OperationKind | None = None
    caller: str = ""
    succeeded: int = 0
    failed: int = 0
    uncertain: int = 0
    reused: int = 0
    images: int = 0
    pixels: int = 0
    compute_seconds: float | None = None
    billed: tuple[Quantity, ...] = ()
    costs: tuple[Cost, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Choice among the entries of the ledger. An entry has to match all filters.

    Attributes:
        start: Earliest start; None means no limit.
        end: End of the time, itself not included; None means no limit.
        states: States of the entries; empty means all.
        request_id: Id of the request; empty means all.
    """

    start: datetime | None = None
    end: datetime | None = None
    states: tuple[CallState, ...] = ()
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class SpendEntry:
    """An entry of the ledger: one call to a provider that may have to be paid.

    Attributes:
        id: Id of the entry; a later entry sorts after an earlier one.
        request_id: Id of the request that the call was made for.
        caller: Name of the caller.
        model: Id of the model.
        operation: Kind of the operation; None is a kind that this version does not know.
        provider_job: Name of the call's job at the provider; empty if there is none, or it is not known.
        state: Progress of the call.
        reason: Reason of the error; empty if the call succeeded or has not ended.
        start: Time at which the entry was written, before the call was sent.
        end: Time at which the end of the call was written; None until then.
        images: Images stored.
        billed: Quantities that the provider counted for its bill; empty if the provider did not say.
        cost: Cost; None while the call is open.
    """

    id: str
    request_id: str
    caller: str
    model: str
    operation: OperationKind | None
    provider_job: str
    state: CallState
    reason: str
    start: datetime
    end: datetime | None
    images: int = 0
    billed: tuple[Quantity, ...] = ()
    cost: Cost | None = None
