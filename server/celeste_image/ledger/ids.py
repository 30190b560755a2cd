"""Ids of rows: each begins with its time, so that ids sort by time and a time chooses among them."""

import secrets
from datetime import datetime

from celeste_image.database.times import to_micros

__all__ = ["first_id", "new_id"]

LATEST = (1 << 56) - 1
"""Latest time of an id in microseconds since 1970, in the year 4253: 14 hexadecimal digits."""


def new_id(micros: int) -> str:
    """Returns a new id for a row that began at a time, in microseconds since 1970."""
    return f"{micros:014x}{secrets.token_hex(9)}"


def first_id(time: datetime) -> str:
    """Returns a text that sorts after all ids before a time, and before all others."""
    return f"{min(max(to_micros(time), 0), LATEST):014x}"
