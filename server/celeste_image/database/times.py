"""Times in columns: whole microseconds since 1970."""

from datetime import UTC, datetime, timedelta

__all__ = ["MICROSECOND", "from_micros", "to_micros"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_micros(time: datetime) -> int:
    """Returns a time as a column has it."""
    return (time - EPOCH) // MICROSECOND


def from_micros(number: int) -> datetime:
    """Returns the time of a column, in UTC. Raises OverflowError for one that no calendar has."""
    return EPOCH + number * MICROSECOND
