"""HTTP/2: how every listener of the server is opened, and the limits that gRPC leaves open by default.

`tests/rpc/test_http2.py` reads each limit back by an attack.
"""

from collections.abc import Callable
from typing import Final

from celeste_image.config import ServerSettings

__all__ = ["ADMIN_STREAMS", "base_options", "listen", "server_options"]

PENDING_CALLS, PENDING_SECONDS = 1 << 20, 1 << 20
"""Calls that gRPC keeps until this server takes them, and how long. Practically no limits: by default gRPC cancels some
of more than 1,000 calls, and all that are older than 30 s, without a word to the caller or in the log. The queues and
budgets of this server refuse calls, with both."""
METADATA_BYTES, METADATA_MOST_BYTES = 8 << 10, 16 << 10
"""Metadata of a call up to the first size is always read. From the second on the call is refused with
RESOURCE_EXHAUSTED; between them, gRPC refuses more calls the larger their metadata is."""
PING_SECONDS: Final = 10.0
PING_STRIKES: Final = 2
"""A client that sends pings more often than each PING_SECONDS loses its connection after this many warnings."""
KEEPALIVE_SECONDS: Final = 30.0
KEEPALIVE_ANSWER_SECONDS: Final = 10.0
"""The server pings a silent connection with calls, and closes it without an answer: its peer is gone. In gRPC 1.85
`keepalive_timeout` alone closes nothing: `ping_timeout`, which is longer by default, decides."""
IDLE_SECONDS: Final = 60.0
"""A connection without calls is closed after this time."""
HANDSHAKE_SECONDS: Final = 5.0
"""A connection must become HTTP/2 within this time, TLS included."""
ADMIN_STREAMS: Final = 20
Option = tuple[str, int]


def base_options(streams: int) -> list[Option]:
    """Returns the options of a listener whose connections carry at most `streams` calls at a time."""
    return [
        ("grpc.max_concurrent_streams", streams),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_MOST_BYTES),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(PING_SECONDS)),
        ("grpc.http2.max_ping_strikes", PING_STRIKES),
        ("grpc.keepalive_time_ms", _ms(KEEPALIVE_SECONDS)),
        ("grpc.keepalive_timeout_ms", _ms(KEEPALIVE_ANSWER_SECONDS)),
        ("grpc.http2.ping_timeout_ms", _ms(KEEPALIVE_ANSWER_SECONDS)),
        ("grpc.max_connection_idle_ms", _ms(IDLE_SECONDS)),
        ("grpc.server_handshake_timeout_ms", _ms(HANDSHAKE_SECONDS)),
        ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake and fails
    ]


def server_options(settings: ServerSettings, *, channelz: bool) -> list[Option]:
    """Returns the options of the server's own listeners.

    Args:
        settings: The settings of the server.
        channelz: Whether gRPC keeps the facts about connections that channelz shows.
    """
    options = [
        *base_options(settings.concurrent_streams),
        ("grpc.max_receive_message_length", settings.request_bytes),
        ("grpc.server.max_pending_requests", PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS),
        ("grpc.server_max_unrequested_time_in_server", PENDING_SECONDS),
        # BDP probing grows the windows until whole requests arrive before a handler can refuse them.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.enable_channelz", int(channelz)),
    ]
    if settings.connection_age_seconds:  # calls of an old connection go on as long as they like: gRPC's default grace
        options.append(("grpc.max_connection_age_ms", _ms(settings.connection_age_seconds)))
    return options


def listen(address: str, add_port: Callable[[str], int]) -> str:
    """Listens on an address, and returns it; a port 0 becomes the port that the system chose.

    Args:
        address: `host:port` or `unix:PATH`.
        add_port: gRPC's method of the server.

    Raises:
        OSError: The process can't listen there.
    """
    try:
        port = add_port(address)
    except RuntimeError as error:
        why = "it is in use, is not of this machine, or this user may not listen there"
        raise OSError(f"can't listen on {address}: {why}") from error
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
