"""Asker: who shares room with whom."""

from collections.abc import Hashable
from contextvars import ContextVar

__all__ = ["asker"]

asker: ContextVar[Hashable] = ContextVar("celeste_asker", default=None)
"""Who asks for room in this task: the caller, or the connection of a caller without a name; None inside the server.

Askers that wait get room in turn, so one with many calls delays the others by one call at a time.
"""
