"""Free ports of this machine."""

import contextlib
import random
import socket

__all__ = ["free_port", "free_ports"]

PORTS = range(20_000, 32_000)
"""Below the ports that the system gives to clients, so that no connection takes one before a server listens."""


def free_port() -> int:
    """Returns a port on which nothing listens now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Returns several different ports on which nothing listens now."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found
