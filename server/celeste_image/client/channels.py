"""Channels of the clients: how they are opened, their options, and what stands for a closed one."""

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from celeste_image.client.access import Access
from celeste_image.client.checks import check_address, shown

__all__ = ["CLOSED", "channel_options", "open_channel"]

OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 10_000),
)
"""Message sizes stay at gRPC's default, which every response fits. The minimum is, in spite of its name, the time that
an attempt to connect has: TCP, TLS and the server's settings need several round trips."""

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


def open_channel(api: Any, channel: Any, parameters: Mapping[str, Any]) -> tuple[Any, Any]:
    """Returns a channel, and what its calls are made on: the same, or one that adds the caller's API key.

    Args:
        api: Module whose channel it is, `grpc` or `grpc.aio`.
        channel: A channel, or the address of a server.
        parameters: Access to the server; see `AccessParameters`.

    Raises:
        ValueError: The address or a parameter has another form.
        TypeError: The channel is neither, or there is no such parameter.
        OSError: A file can't be read.
    """
    access = Access.of(parameters)
    if isinstance(channel, str):
        options = channel_options(check_address(channel))
        credentials = access.channel_credentials(channel, is_local=_is_on_this_machine(channel))
        if credentials is None:
            channel = api.insecure_channel(channel, options=options)
        else:
            channel = api.secure_channel(channel, credentials, options=options)
    elif not hasattr(channel, "unary_unary"):
        raise TypeError(
            f"a client takes an address, such as 'localhost:50051', or a gRPC channel, not {shown(channel)}"
        )
    elif access.tls is not None:
        raise ValueError("tls, ca, cert and key are for a channel that the client opens; this one is open")
    return channel, _WithKey(channel, access.api_key) if access.api_key else channel


class _WithKey:
    """A channel whose calls carry an API key.

    It is no interceptor: those of grpc.aio put an object of their own around each call, and gRPC's call credentials
    need TLS also on this machine.
    """

    def __init__(self, channel: Any, key: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {key}"),)

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        """Returns `unary_unary` and the like."""
        made = getattr(self._channel, kind)

        def method(*arguments: Any, **options: Any) -> Callable[..., Any]:
            call = made(*arguments, **options)

            def with_key(request: Any, *, metadata: Any = (), **more: Any) -> Any:
                return call(request, metadata=(*metadata, *self._metadata), **more)

            return with_key

        return method


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
