"""History: what callers saw, what vendors did and what the ledger says, in one run of servers under faults.

`tests/support/history_rules.py` checks a history. `tests/support/history_sources.py` reads it from what ran.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

__all__ = ["REUSED", "UNKNOWN", "Call", "Entry", "History", "Key", "Sent", "by_request"]

Key = tuple[str, str]
"""Tenant and id of a request. Two tenants may use one id."""

UNKNOWN = "OUTCOME_UNKNOWN"
REUSED = "REQUEST_ID_REUSED"

Item = TypeVar("Item", "Call", "Sent", "Entry")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a caller, and what the caller saw of it.

    Attributes:
        tenant: The caller's tenant.
        request_id: The id that the caller gave to the request.
        body: Fingerprint of the request without its id.
        start: When the call was sent, in seconds of one clock for the whole history.
        end: When it ended for the caller, by the same clock.
        client: The caller's connection, for the text of a violation.
        parts: How many calls to vendors the request may be split into: the number of its images, or 1.
        images: SHA-256 of each image of the result, in index order; empty without a result.
        reason: Reason of the error, or of the lost connection; empty for a result.
        is_final: Whether a repeat has to see the same: a result, or an error that no repeat heals.
    """

    tenant: str
    request_id: str
    body: str
    start: float
    end: float
    client: str = ""
    parts: int = 1
    images: tuple[str, ...] = ()
    reason: str = ""
    is_final: bool = True

    @property
    def key(self) -> Key:
        """The request that the call is for."""
        return self.tenant, self.request_id

    @property
    def has_result(self) -> bool:
        """Whether the caller saw a result."""
        return not self.reason

    @property
    def outcome(self) -> str:
        """What the caller saw, in words."""
        return "the images " + ", ".join(image[:8] for image in self.images) if self.has_result else self.reason


@dataclass(frozen=True, slots=True)
class Sent:
    """A request of the stage `call` that a vendor got, by the vendor's own ledger.

    Attributes:
        tenant: The tenant that it was sent for; empty if the vendor can't tell.
        request_id: The request that it was sent for; empty if the vendor can't tell.
        provider: The vendor.
        at: When it arrived.
        amount: What the vendor charges, in US dollars; 0 for nothing.
        job: The vendor's name for the job that it submitted; empty without one.
    """

    tenant: str
    request_id: str
    provider: str
    at: datetime = EPOCH
    amount: Decimal = Decimal(0)
    job: str = ""

    @property
    def key(self) -> Key:
        """The request that it was sent for."""
        return self.tenant, self.request_id


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the servers' ledger, after the run.

    Attributes:
        id: Its id; a later one sorts after an earlier one.
        tenant: The tenant that it is listed for.
        request_id: The request that the call was made for.
        provider: The vendor.
        state: `open`, `settled` or `uncertain`.
        owed: Whether the call has to be paid; None is unknown.
        job: The vendor's name for the job; empty if there is none, or it is not known.
        part: Index of the first image of the request that the call makes.
        amount: The cost in US dollars; None if the ledger has none.
    """

    id: str
    tenant: str
    request_id: str
    provider: str
    state: str = "settled"
    owed: bool | None = True
    job: str = ""
    part: int = 0
    amount: Decimal | None = None

    @property
    def key(self) -> Key:
        """The request that the call was made for."""
        return self.tenant, self.request_id

    @property
    def is_free(self) -> bool:
        """Whether it is known that the call costs nothing."""
        return self.state == "settled" and self.owed is False

    @property
    def is_in_doubt(self) -> bool:
        """Whether the outcome is not known, or not yet."""
        return self.state != "settled"


@dataclass(slots=True)
class History:
    """One run.

    Attributes:
        calls: What callers saw.
        sent: What vendors got, in order of arrival.
        entries: The ledger of all tenants after the run.
        reads: What reading an artifact gave after the run, by tenant and SHA-256: the SHA-256 of the bytes; empty if
            the artifact could not be read.
        with_jobs: Vendors that work in jobs with names.
        exact: Vendors of which the ledger has the very cost that the vendor charges.
    """

    calls: list[Call] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    reads: dict[Key, str] = field(default_factory=dict)
    with_jobs: frozenset[str] = frozenset({"bfl"})
    exact: frozenset[str] = frozenset()

    def as_json(self) -> str:
        """Returns the history as JSON, to be read by people after a violation."""
        told = {
            "calls": [asdict(call) for call in self.calls],
            "sent": [asdict(sent) for sent in self.sent],
            "entries": [asdict(entry) for entry in self.entries],
            "reads": [[*key, found] for key, found in self.reads.items()],
        }
        return json.dumps(told, indent=1, default=str)


def by_request(items: Iterable[Item]) -> Mapping[Key, list[Item]]:
    """Returns calls, requests to vendors or entries by the request that they belong to, in their order."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(item.key, []).append(item)
    return found
