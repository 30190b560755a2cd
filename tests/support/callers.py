"""API keys of test callers: made at run time, with the tables that a server gets."""

import hashlib
import secrets

__all__ = ["bearer", "key_table", "new_key"]


def new_key() -> str:
    return f"celeste_{secrets.token_urlsafe(32)}"


def key_table(key: str, tenant: str, **more: object) -> dict[str, object]:
    """Returns the table `[callers.keys.NAME]` of a key."""
    return {"tenant": tenant, "sha256": hashlib.sha256(key.encode()).hexdigest(), **more}


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    """Returns the metadata of a call with a key."""
    return (("authorization", f"Bearer {key}"),)
