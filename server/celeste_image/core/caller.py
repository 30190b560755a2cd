"""Caller: who calls, and the tenant who owns the artifacts."""

import re
from dataclasses import dataclass

__all__ = ["ANONYMOUS", "CALLER_NAME", "Caller"]

CALLER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Form of the names of tenants and callers. A store uses the name of a tenant as the name of a folder."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        tenant: Owner of the artifacts. Callers of one tenant share them.
        name: The program or person, for the log and for fair shares. Unique within the tenant.
    """

    tenant: str
    name: str


ANONYMOUS = Caller("anonymous", "anonymous")
"""The caller of every call to a server that does not know its callers."""
