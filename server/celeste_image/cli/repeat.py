"""Advice after an error: how to ask for a request that may have been done, and how to repeat it."""

from collections.abc import Sequence

from celeste_image.core.errors import CelesteError

__all__ = ["advice"]

NOT_BEGUN = ("the server is unreachable", "the server there does not know this call")
"""How the message begins when there was no connection or no such call: see `wire/status.py`."""


def advice(error: CelesteError) -> Sequence[str]:
    """Returns lines for a user whose request may have been done though it failed; empty if there is nothing to say."""
    id_, metadata = error.request_id, error.metadata
    repeat = f"to repeat it without paying twice, run the same command with --request-id {id_}"
    ask = f"to see what it may cost: celeste ledger --request {id_}"
    match error.reason:
        case _ if not id_:
            return ()
        case "REQUEST_ID_REUSED":
            began = f" was first used at {metadata['started']}" if "started" in metadata else " was used before"
            return (f"{id_}{began}; leave out --request-id for a new request",)
        case "OUTCOME_UNKNOWN" if metadata.get("final") == "true":
            return (ask, "a command with the same --request-id never pays again; one with a new id may pay twice")
        case "OUTCOME_UNKNOWN":
            return (ask, repeat)
        case "DEADLINE_EXCEEDED" if metadata.get("owed", "false") != "false":
            return (ask, repeat)
        case "SERVER_UNAVAILABLE" if not error.message.startswith(NOT_BEGUN):
            return (repeat,)
    return ()
