"""The spend ledger: a row for each call to a provider that may have to be paid, written before the call is sent.

Beside these rows are the outcomes of requests, the operations that ended, behind their answers, and the sums over them.
"""

from celeste_image.ledger.body import request_from_json, request_to_json
from celeste_image.ledger.entries import list_entries
from celeste_image.ledger.entry import CallState, Ended, LedgerEntry, PaidCall
from celeste_image.ledger.file_owner import FileOwner
from celeste_image.ledger.ledger import Ledger
from celeste_image.ledger.lock_owner import LockOwner
from celeste_image.ledger.operations import EndedOperation, Operations
from celeste_image.ledger.outcome import Outcome
from celeste_image.ledger.owner import Owner
from celeste_image.ledger.requests import Claim, LostRequest, Requests
from celeste_image.ledger.results import CachedResult, Found, Results
from celeste_image.ledger.usage import Key, UsageReader

__all__ = [
    "CachedResult",
    "CallState",
    "Claim",
    "Ended",
    "EndedOperation",
    "FileOwner",
    "Found",
    "Key",
    "Ledger",
    "LedgerEntry",
    "LockOwner",
    "LostRequest",
    "Operations",
    "Outcome",
    "Owner",
    "PaidCall",
    "Requests",
    "Results",
    "UsageReader",
    "list_entries",
    "request_from_json",
    "request_to_json",
]
