"""Times in options of commands: an age such as 7d, a day, or a time of ISO 8601."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

__all__ = ["TIME", "Time", "shown_time"]

AGE = re.compile(r"(\d{1,6})([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Time(click.ParamType[datetime]):
    """A time. A time without a zone is in UTC, as the days of usage are.

    Args:
        now: The time in UTC.
    """

    name = "time"

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Returns the time. Raises click.BadParameter for another form."""
        if isinstance(value, datetime):
            return value
        try:
            if age := AGE.fullmatch(value):
                return self._now() - timedelta(**{UNITS[age[2]]: int(age[1])})
            time = datetime.fromisoformat(value)
            return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            text = "must be an age such as 30m, 12h, 7d or 4w, a day such as 2026-11-22, or 2026-11-22T08:30"
            self.fail(f"{text}, is {str(value)[:60]}", param, ctx)


TIME = Time()


def shown_time(time: datetime) -> str:
    """Returns a time in UTC to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
