"""Channels of the clients: their options, and what stands for a closed one."""

import ipaddress
import re
import socket
from typing import Any
from urllib.parse import unquote

from celeste_image.client.checks import shown

__all__ = ["CLOSED", "channel_options", "check_channel"]

OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 10_000),
)
"""Message sizes stay at gRPC's default, which every response fits."""

PREFIX = re.compile(r"(dns:(//[^/]*/)?|ipv4:|ipv6:)", re.IGNORECASE)


def channel_options(address: str) -> tuple[tuple[str, Any], ...]:
    """Returns the options of a channel to an address.

    gRPC sends every call through the proxy that `grpc_proxy`, `https_proxy` or `http_proxy` names. A proxy can't reach
    a server on this machine, so a channel to one takes none.
    """
    return (*OPTIONS, ("grpc.enable_http_proxy", 0)) if _is_on_this_machine(address) else OPTIONS


class _Closed:
    """Stands for the stubs of a closed client; gRPC's own error for a closed channel names no client."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError("the client is closed")


CLOSED = _Closed()


def check_channel(channel: Any) -> None:
    """Raises TypeError unless a value can make calls."""
    if not hasattr(channel, "unary_unary"):
        raise TypeError(
            f"a client takes an address, such as 'localhost:50051', or a gRPC channel, not {shown(channel)}"
        )


def _is_on_this_machine(address: str) -> bool:
    """Returns whether all parts of an address, in any of gRPC's forms, are sockets or loopback addresses."""
    if address.lower().startswith(("unix:", "unix-abstract:")):
        return True
    return all(map(_is_loopback, unquote(PREFIX.sub("", address, count=1)).split(",")))


def _is_loopback(part: str) -> bool:
    inside = re.fullmatch(r"\[(.*)\](:\d*)?", part)
    host = inside[1] if inside else part if part.count(":") > 1 else part.partition(":")[0]
    name = host.partition("%")[0].rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(name)
    except ValueError:
        try:
            found = ipaddress.ip_address(socket.inet_aton(name))  # short forms, such as 127.1
        except OSError:
            return False
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_loopback or found.is_unspecified
