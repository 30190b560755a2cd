"""The spend ledger: a row for each call to a provider that may have to be paid, written before the call is sent.

Beside these rows are those of the operations that ended, behind their answers, and the sums over both.
"""

from celeste_image.ledger.entries import list_entries
from celeste_image.ledger.entry import CallState, Ended, LedgerEntry, PaidCall
from celeste_image.ledger.ledger import Ledger
from celeste_image.ledger.operations import EndedOperation, Operations
from celeste_image.ledger.outcome import Outcome
from celeste_image.ledger.owner import Owner
from celeste_image.ledger.requests import Claim, Requests
from celeste_image.ledger.usage import Key, UsageReader

__all__ = [
    "CallState",
    "Claim",
    "Ended",
    "EndedOperation",
    "Key",
    "Ledger",
    "LedgerEntry",
    "Operations",
    "Outcome",
    "Owner",
    "PaidCall",
    "Requests",
    "UsageReader",
    "list_entries",
]
