"""Addresses of servers: what is wrong with one, before gRPC takes 65536 + 80 for port 80."""

import os
import re
from ipaddress import ip_address

__all__ = ["address_problem", "is_local"]

PLACE = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s/?#@:\[\],]+))(?::(?P<port>[^:]*))?")
SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:", "xds:", "vsock:")
SOCKET_BYTES = 107
"""Longest path of a Unix socket, of Linux; macOS takes 103."""


def address_problem(address: str, *, least_port: int = 1) -> str:
    """Returns what is wrong with an address and what its form is, or an empty string.

    Args:
        address: `host:port`, `[IPv6]:port`, `unix:PATH`, or another form of gRPC.
        least_port: 0 where the system may choose the port.
    """
    problem = _problem(address, least_port)
    return f"{problem}; an address is host:port, [IPv6]:port or unix:PATH" if problem else ""


def is_local(address: str) -> bool:
    """Returns whether only this machine reaches a server there: a Unix socket, `localhost`, or a loopback address.

    Any other name counts as reachable; no name is resolved.
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    scheme = next((scheme for scheme in SCHEMES if address.startswith(scheme)), "")
    rest = address.removeprefix(scheme)
    places = rest.split(",") if scheme in ("ipv4:", "ipv6:") else [rest.rpartition("/")[2]]
    return all(map(_is_loopback, places))


def _is_loopback(place: str) -> bool:
    found = PLACE.fullmatch(place)
    host = found and (found["ipv6"] or found["host"])
    if not host or host == "localhost":
        return bool(host)
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _problem(address: str, least_port: int) -> str:
    if not address.strip():
        return "it is empty"
    scheme = next((scheme for scheme in SCHEMES if address.startswith(scheme)), "")
    rest = address.removeprefix(scheme)
    if scheme in ("unix:", "unix-abstract:"):
        size = len(os.fsencode(rest.removeprefix("//")))
        if not size:
            return "the path is missing"
        if size > SOCKET_BYTES:
            return f"the path of a socket has at most {SOCKET_BYTES} bytes, not {size}"
        return "the path has a NUL" if "\0" in rest and scheme == "unix:" else ""
    if scheme in ("xds:", "vsock:"):
        return "" if rest else "the name is missing"
    if scheme == "dns:":
        rest = rest.rpartition("/")[2]
    elif other := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address):
        return f"without {other.group()} it may be {address.removeprefix(other.group()).split('/')[0] or 'host:port'}"
    places = rest.split(",") if scheme in ("ipv4:", "ipv6:") else [rest]
    return next((problem for place in places if (problem := _place_problem(place, least_port))), "")


def _place_problem(place: str, least_port: int) -> str:
    """Returns what is wrong with `host:port`, or an empty string."""
    if place.count(":") > 1 and not place.startswith("["):
        return "an IPv6 address stands in brackets, such as [::1]:50051"
    found = PLACE.fullmatch(place)
    if not found:
        return "the host is missing" if place.startswith(":") else "it has another form"
    if found["host"] == "*":
        return "every address of this machine is 0.0.0.0 or [::]"
    port = found["port"]
    if port is None:
        return f"the port is missing, such as {place}:50051"
    if not (port.isascii() and port.isdigit() and least_port <= int(port[:9]) < 65536 and len(port) < 10):
        return f"the port is {least_port} to 65535, not {port[:20]!r}"
    return ""
