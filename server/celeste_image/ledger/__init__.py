"""The spend ledger: a row for each call to a provider that may have to be paid, written before the call is sent."""

from celeste_image.ledger.entry import CallState, Ended, LedgerEntry, PaidCall
from celeste_image.ledger.file_owner import FileOwner
from celeste_image.ledger.ledger import Ledger
from celeste_image.ledger.lock_owner import LockOwner
from celeste_image.ledger.owner import Owner

__all__ = ["CallState", "Ended", "FileOwner", "Ledger", "LedgerEntry", "LockOwner", "Owner", "PaidCall"]
