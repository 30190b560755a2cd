"""Converts times between core values and protobuf."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from celeste_image.core.errors import InvalidRequest

__all__ = ["time_from_proto", "time_to_proto"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_to_proto(time: datetime) -> Timestamp:
    """Returns the message of a time."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def time_from_proto(message: Timestamp, path: str) -> datetime:
    """Returns the time of a message in UTC: the next whole microsecond.

    Raises:
        InvalidRequest: The message has a time that no calendar has. The error names the field at `path`.
    """
    try:
        return EPOCH + timedelta(seconds=message.seconds, microseconds=-(-message.nanos // 1000))
    except OverflowError as error:
        raise InvalidRequest.at(path, "must be a time in the years 1 to 9999") from error
