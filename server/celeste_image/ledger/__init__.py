"""The spend ledger: a row for each call to a provider that may have to be paid, written before the call is sent."""

from celeste_image.ledger.body import request_from_json, request_to_json
from celeste_image.ledger.entry import CallState, Ended, LedgerEntry, PaidCall
from celeste_image.ledger.file_owner import FileOwner
from celeste_image.ledger.ledger import Ledger
from celeste_image.ledger.lock_owner import LockOwner
from celeste_image.ledger.outcome import Outcome
from celeste_image.ledger.owner import Owner
from celeste_image.ledger.requests import Claim, LostRequest, Requests
from celeste_image.ledger.results import CachedResult, Found, Results

__all__ = [
    "CachedResult",
    "CallState",
    "Claim",
    "Ended",
    "FileOwner",
    "Found",
    "Ledger",
    "LedgerEntry",
    "LockOwner",
    "LostRequest",
    "Outcome",
    "Owner",
    "PaidCall",
    "Requests",
    "Results",
    "request_from_json",
    "request_to_json",
]
