"""URLs and origins: parses a URL strictly into scheme, host and port, and holds the rules for allowed origins."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import httpx

__all__ = ["Hosts", "Origin", "Rule", "parse_url", "target_of"]

URL_BYTES = 16 << 10
KNOWN_CHARACTERS = 256
"""Longest URL whose target is remembered: that of an API's call, not a signed one."""
DEFAULT_PORTS = {"http": 80, "https": 443}
NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
"""A host that some resolvers read as an IPv4 address: its last label is a number, in any base."""
ODD_PORT = re.compile(r"[^/?#]*//[^/?#]*:(?![0-9]*([/?#]|$))[^]/?#]*([/?#]|$)")
"""A URL whose port has other characters than ASCII digits. Python's `int` accepts `+80`, `8_0` and other digits."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port. The host is an address or a name in lower-case ASCII, without a final dot."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str | httpx.URL) -> "Origin":
        """Returns the origin of a URL. Raises ValueError where `parse_url` does."""
        url = parse_url(url) if isinstance(url, str) else url
        return cls(url.scheme, url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme])

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


Rule = Callable[[Origin], bool]
"""Returns whether requests to an origin are allowed. The network address has a check of its own."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """A rule by host name: `example.com` is that host, `*.example.com` is every host below it, `*` is any host."""

    names: frozenset[str]
    schemes: frozenset[str] = field(default=frozenset({"https"}))
    ports: frozenset[int] = field(default=frozenset({80, 443}))

    def __call__(self, origin: Origin) -> bool:
        """Returns whether the rule allows an origin."""
        if origin.scheme not in self.schemes or origin.port not in self.ports:
            return False
        labels = origin.host.split(".")
        above = {"*." + ".".join(labels[i:]) for i in range(1, len(labels))}
        return not self.names.isdisjoint({"*", origin.host} | above)


def target_of(url: str) -> tuple[str, Origin]:
    """Returns a URL as it is sent, without a fragment, and its origin. Raises ValueError where `parse_url` does."""
    return _known_target(url) if len(url) <= KNOWN_CHARACTERS and "?" not in url else _target(url)


def _target(text: str) -> tuple[str, Origin]:
    url = parse_url(text)
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}", Origin.of(url)


_known_target = lru_cache(maxsize=256)(_target)


def parse_url(text: str) -> httpx.URL:
    """Returns an absolute `http` or `https` URL whose host every parser reads the same way.

    International names become ASCII. Unusual forms are refused, not repaired: user names, zones, IPv4 addresses other
    than four decimal numbers, hosts with characters other than letters, digits, `-` and `_`, and labels that begin with
    `xn--` without encoding a name. No later use of the URL by httpx raises an error.

    Raises:
        ValueError: The text is not such a URL. The message says why and quotes no part of the text.
    """
    try:
        url = httpx.URL(text) if len(text) <= URL_BYTES else None
        if url is None:
            raise ValueError(f"is longer than {URL_BYTES} characters")
        if url.scheme not in DEFAULT_PORTS:
            raise ValueError("is not an absolute http or https URL")
        if url.userinfo:
            raise ValueError("has a user name in it")
        if ODD_PORT.match(text) or (url.port is not None and not 0 < url.port < 1 << 16):
            raise ValueError("has no valid port")
        host = url.raw_host.decode("ascii").removesuffix(".")
        if ":" in host:
            IPv6Address(host if "%" not in host else "")
        elif NUMBER.fullmatch(host):
            IPv4Address(host)
        elif not NAME.fullmatch(host) or len(host) > 253:
            raise ValueError("has no valid host")
        for label in host.split("."):
            if label.startswith("xn--"):
                _ = url.copy_with(host=label).host  # decodes the name; httpx does so again for each request
        return url.copy_with(host=host)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError("is not a valid URL") from error
    except ValueError as error:
        # The message of `ipaddress` quotes the address.
        odd = type(error) is not ValueError
        raise ValueError("has no valid address for a host" if odd else str(error)) from error
