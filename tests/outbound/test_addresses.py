"""SSRF tests: private and special addresses are refused in every spelling, and public ones are allowed."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.hosts import Host, listening
from yarl import URL

from celeste_image.core.errors import UriFailed, UriRefused
from celeste_image.outbound.addresses import AddressForbidden, check_address
from celeste_image.outbound.client import Http
from celeste_image.outbound.connections import Connections
from celeste_image.outbound.exchange import OriginRefused, Reply, Request
from celeste_image.outbound.origins import Hosts, Origin, parse_url

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
OWN = ["127.0.0.1", "127.0.0.2", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::2"]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "192.0.0.192",
    "192.0.0.8",
    "192.0.2.2",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "::",
    "::7f00:1",
    "::8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3ffe::1",
    "3fff::1",
    "5f00::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "4000::1",
    "::ffff:0:127.0.0.1",
]


ODD_HOSTS = [
    "http://xn--a-.example",
    "http://xn--.example",
    "http://a.xn--a-.example",
    "http://xn--zz.example",
    "http://xn--a-ecp.ru",
    "http://xn--ls8h.la",
    "http://XN--A-.example",
    "http://xn--99999999.example",
    "http://\u202ea.example",
    "http://[v1.x]",
    "http://%61.example",
]
"""Hosts on which the IDNA library, or a parser, raises an error of its own."""


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    check_address(address)
    check_address(address, private=True)


@pytest.mark.parametrize("address", [*OWN, "::ffff:127.0.0.1", "::ffff:10.0.0.1"])
def test_own_networks_are_for_the_operators_hosts_alone(address: str) -> None:
    check_address(address, private=True)
    with pytest.raises(AddressForbidden):
        check_address(address)


@pytest.mark.parametrize("address", [*NEVER, "", "localhost", "127.1", "2130706433", "0177.0.0.1"])
def test_some_are_for_nobody(address: str) -> None:
    for private in (False, True):
        with pytest.raises(AddressForbidden) as raised:
            check_address(address, private=private)
        assert str(raised.value) == str(AddressForbidden()), "tells nothing"


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_passes_is_public_by_the_librarys_lights_too(address: Any) -> None:
    try:
        check_address(str(address))
    except AddressForbidden:
        return
    assert ip_address(str(address)).is_global or address.ipv4_mapped.is_global


class Names(AbstractResolver):
    """Resolves each name to its next list of addresses, then always to the last; the system resolves odd numbers."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.names: dict[str, Iterator[list[str]]] = {
            name.replace("_", "."): itertools.chain(lists, itertools.repeat(lists[-1])) for name, lists in names.items()
        }
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        self.asked.append(host)
        if host in self.names:
            addresses = next(self.names[host])
        else:
            flags = 0 if host.rstrip(".") == "localhost" else socket.AI_NUMERICHOST
            addresses = [
                str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
            ]
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0) for each in addresses
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
async def trap() -> AsyncIterator[Host]:
    """A listener on one port of every address that this machine has."""
    host = Host()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(listening(host, host="0.0.0.0"))
        if socket.has_ipv6:
            v6 = socket.create_server(("::", host.port), family=socket.AF_INET6)  # IPv6 only: IPv4 is bound already
            await stack.enter_async_context(listening(host, sock=v6))
        yield host


HOSTILE = [
    "http://127.0.0.1",
    "http://127.0.0.2",
    "http://127.255.255.254",
    "http://0.0.0.0",
    "http://0",
    "http://localhost",
    "http://LOCALHOST",
    "http://localhost.",
    "http://127.0.0.1.",
    "http://2130706433",
    "http://0x7f000001",
    "http://0x7F.1",
    "http://127.1",
    "http://127.0.1",
    "http://0177.0.0.1",
    "http://017700000001",
    "http://0x7f.0.0.0x1",
    "http://00127.0.0.1",
    "http://127.0.0.1..",
    "http://[::1]",
    "http://[::]",
    "http://[0:0:0:0:0:0:0:1]",
    "http://[::ffff:127.0.0.1]",
    "http://[::ffff:7f00:1]",
    "http://[::127.0.0.1]",
    "http://[::ffff:0:127.0.0.1]",
    "http://[64:ff9b::7f00:1]",
    "http://[64:ff9b:1::7f00:1]",
    "http://[2002:7f00:1::]",
    "http://[2001::1]",
    "http://[fe80::1%25lo]",
    "http://[fe80::fc:ff:fe00:1%25eth0]",
    "http://[fec0::1]",
    "http://[fd00::2]",
    "http://[ff02::1]",
    "http://10.0.0.1",
    "http://192.0.2.2",
    "http://169.254.169.254",
    "http://192.0.0.192",
    "http://100.64.0.1",
    "http://198.18.0.1",
    "http://255.255.255.255",
    "http://224.0.0.1",
    "http://１２７.0.0.1",
    "http://127。0。0。1",
    "http://127．0．0．1",
    "http://①②⑦.0.0.1",
    "http://ⓛocalhost",
    "http://local\u00adhost",
    "http://user@127.0.0.1",
    "http://public.example@127.0.0.1",
    "http://public.example:80@localhost",
    "http://127.0.0.1\\@public.example",
    "http://public.example\\@127.0.0.1",
    "http://public.example#@127.0.0.1",
    "http://127.0.0.1%2f",
    "http://127.0.0.1%00.public.example",
    "http://127.0.0.1%23.public.example",
    "http://%6c%6f%63%61%6c%68%6f%73%74",
    "http://%31%32%37.0.0.1",
    "http://loc\talhost",
    "http://inside.example",
    "http://metadata.example",
    "http://mixed.example",
    "http://v6.example",
    "http://mapped.example",
    "http://INSIDE.EXAMPLE.",
    "https://127.0.0.1",
    "http:127.0.0.1",
    "http:/127.0.0.1",
    "http:///127.0.0.1",
    "//127.0.0.1",
    "ftp://127.0.0.1",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1",
    "unix://127.0.0.1",
    "data://127.0.0.1",
    "http+unix://%2Ftmp%2Fx",
    "HTTP://[::FFFF:127.0.0.1]",
]


def names() -> Names:
    return Names(
        inside_example=[["127.0.0.1"]],
        metadata_example=[["169.254.169.254"]],
        mixed_example=[["127.0.0.1", "::1", "127.0.0.2", "0.0.0.0"]],
        v6_example=[["::1"]],
        mapped_example=[["::ffff:127.0.0.1"]],
        public_example=[["127.0.0.9"]],
    )


def with_port(url: str, port: int) -> str:
    """Returns a URL with the port inserted after its host."""
    head, mark, tail = url.partition("/etc")
    return f"{head}:{port}{mark}{tail}/a.png"


@pytest.mark.parametrize("url", HOSTILE)
async def test_hostile_urls_make_no_connection(url: str, trap: Host) -> None:
    http = Http(lambda origin: True, transport=Connections(resolver=names()))
    try:
        with pytest.raises(UriRefused) as raised:
            await http.download(with_port(url, trap.port), deadline=None)
    finally:
        await http.close()
    assert not any(
        address in raised.value.message.removeprefix(raised.value.metadata.get("host", ""))
        for address in (*OWN, *NEVER)
    )
    assert trap.connections == 0


@pytest.mark.parametrize("url", [url for url in HOSTILE if url.lower().startswith("http:")])
async def test_the_sockets_refuse_them_even_if_the_url_was_not_read(url: str, trap: Host) -> None:
    """Skips `parse_url` and the rule, so only the check of the address remains."""
    try:
        read = httpx.URL(with_port(url, trap.port))
    except httpx.InvalidURL:
        return
    target = f"{read.scheme}://{read.netloc.decode('ascii')}{read.raw_path.decode('ascii')}"
    request = Request("GET", target, Origin("http", "any.example", 80), {})
    connections = Connections(resolver=names())
    try:
        with pytest.raises((AddressForbidden, httpx.ConnectError, KeyError, ValueError)):
            await connections.send(request)
    finally:
        await connections.aclose()
    assert trap.connections == 0


def test_the_list_is_as_long_as_it_should_be() -> None:
    assert len(set(HOSTILE)) >= 75


async def test_a_name_that_turns_inwards_between_two_requests(trap: Host) -> None:
    resolver = Names(turns_example=[["93.184.216.34"], ["127.0.0.1"]])
    opened: list[int] = []

    def count(family: int, kind: int, protocol: int) -> socket.socket:
        opened.append(family)
        raise OSError("the test has no network")

    http = Http(lambda origin: True, transport=Connections(resolver=resolver, open_socket=count))
    with pytest.raises(UriFailed):
        await http.download(f"http://turns.example:{trap.port}/", deadline=None)
    assert len(opened) == 1, "the public address was let through to its socket"
    with pytest.raises(UriRefused):
        await http.download(f"http://turns.example:{trap.port}/", deadline=None)
    await http.close()
    assert (resolver.asked, len(opened), trap.connections) == (["turns.example"] * 2, 1, 0)


async def test_of_mixed_addresses_only_the_public_gets_a_socket(trap: Host) -> None:
    opened: list[int] = []

    def count(family: int, kind: int, protocol: int) -> socket.socket:
        opened.append(family)
        raise OSError("the test has no network")

    resolver = Names(half_example=[["127.0.0.1", "93.184.216.34", "::1"]])
    http = Http(lambda origin: True, transport=Connections(resolver=resolver, open_socket=count))
    with pytest.raises(UriFailed) as raised:
        await http.download(f"http://half.example:{trap.port}/", deadline=None)
    await http.close()
    assert set(opened) == {socket.AF_INET}
    assert "127" not in raised.value.message and "93" not in raised.value.message
    assert trap.connections == 0


async def test_an_operators_host_is_reached_by_its_origin_alone(trap: Host) -> None:
    http = Http([], private=[Origin("http", "127.0.0.1", trap.port)])
    assert (await http.download(f"http://127.0.0.1:{trap.port}/", deadline=None)).body == b"hi"
    assert trap.connections == 1, "the trap works"
    for other in (
        f"http://localhost:{trap.port}",
        f"http://127.0.0.2:{trap.port}",
        "http://127.0.0.1",
        f"https://127.0.0.1:{trap.port}",
    ):
        with pytest.raises(UriRefused):
            await http.download(other, deadline=None)
    await http.close()
    assert trap.connections == 1


async def test_an_operators_host_does_not_open_the_network_for_others(trap: Host) -> None:
    http = Http(lambda origin: True, private=[Origin("http", "127.0.0.1", trap.port)])
    await http.download(f"http://127.0.0.1:{trap.port}/", deadline=None)
    for other in (
        f"http://localhost:{trap.port}",
        f"http://127.0.0.2:{trap.port}",
        f"http://[::ffff:127.0.0.1]:{trap.port}",
    ):
        with pytest.raises(UriRefused):
            await http.download(other, deadline=None)
    await http.close()
    assert trap.connections == 1


async def test_an_operators_name_never_means_a_metadata_service(trap: Host) -> None:
    origin = Origin("http", "in.example", trap.port)
    http = Http(
        [], private=[origin], transport=Connections(private=[origin], resolver=Names(in_example=[["169.254.169.254"]]))
    )
    with pytest.raises(UriRefused):
        await http.download(str(origin), deadline=None)
    await http.close()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Example.COM", Origin("https", "example.com", 443)),
        ("HTTP://example.com.:8080/a?b#c", Origin("http", "example.com", 8080)),
        ("https://bücher.example/ü", Origin("https", "xn--bcher-kva.example", 443)),
        ("https://ex。ample.com/", Origin("https", "ex.ample.com", 443)),
        ("http://[2606:4700::1111]:81/", Origin("http", "2606:4700::1111", 81)),
        ("http://my_bucket.s3.example/", Origin("http", "my_bucket.s3.example", 80)),
    ],
)
def test_an_origin_is_read_in_one_way(url: str, origin: Origin) -> None:
    assert Origin.of(url) == origin
    assert Origin.of(str(origin)) == origin


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433",
        "http://127.1",
        "http://0x7f.1",
        "http://0x7f000001",
        "http://0177.0.0.1",
        "http://8.8.8.8.8",
        "http://a.0x1",
        "http://1.2.3.4..",
        "http://[::1%25lo]",
        "http://a@b",
        "http://:@b",
        "http://a..b",
        "http://-a",
        "http://a:0",
        "http://a:65536",
        "http://",
        "a",
        "ftp://a",
        "http://a\x00b",
        "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        *ODD_HOSTS,
        "http://a:+80/",
        "http://a:8_0/",
        "http://a:\u0668\u0660/",
        "http://[::1]:+80/",
        "http://a:" + "9" * 5000,
    ],
)
def test_what_is_odd_is_not_a_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(has|is) ") as raised:
        parse_url(url)
    assert url.removeprefix("http://") not in str(raised.value) or len(url) < 8


LABELS = st.sampled_from(["xn--", "xn--a-", "xn--a-ecp", "xn--zz", "xn--ls8h", "xn--mxa", "XN--A", "a", "-", "1", "٣"])
PIECES = st.sampled_from(
    [*".:/@[]%#?\\", "//", "::1", "%00", "%61", "\0", "\u202e", "。", "ß", ":443", ":+1", "é" * 63]
)


@given(st.lists(LABELS | PIECES | st.text(max_size=3), max_size=8).map("".join))
@example("a.example.:443/")
@example("me@a.example")
@example("ß.example")
def test_every_text_is_a_request_or_a_refusal(text: str) -> None:
    """Nothing else is raised: not by the parsers, not by IDNA, not when httpx builds the request or a redirect."""
    http = Http(Hosts(frozenset({"*"})))
    for url in (text, "https://" + text, f"https://a.example/{text}"):
        with contextlib.suppress(OriginRefused):
            request = http.request("GET", url)
            check_target(request)
            check_target(
                http._redirected(request, Reply(302, httpx.Headers({"location": text.encode("utf-8", "replace")})))
            )


def check_target(request: Request) -> None:
    """Holds what is sent against httpx's and the standard library's own reading of the URL."""
    ours, theirs, again = request.origin, httpx.URL(request.url), urlsplit(request.url)
    assert request.url.isascii()
    assert (ours.scheme, theirs.scheme, again.scheme) == ("https", "https", "https")
    assert ours.host.strip("[]") == theirs.raw_host.decode() == again.hostname != ""
    assert ours.port == (theirs.port or 443) == (again.port or 443)
    assert not (theirs.userinfo or ours.host.endswith("."))


@pytest.mark.parametrize("host", ODD_HOSTS)
async def test_odd_hosts_are_refused_when_any_host_is_allowed(host: str) -> None:
    """Also as the target of a redirect."""
    url = host.replace("http:", "https:")
    answer = httpx.Response(302, headers={"location": url.encode()})
    http = Http(Hosts(frozenset({"*"})), transport=httpx.MockTransport(lambda request: answer))
    for given_ in (url, "https://a.example/"):
        with pytest.raises(UriRefused):
            await http.download(given_, deadline=None)


@given(st.text(alphabet="abz019.:/@\\[]%2fF#?-_ \t。．xX１ⓐü", max_size=24).map("http://".__add__))
def test_what_is_let_through_has_one_host_for_both_parsers(text: str) -> None:
    """httpx's parser decides and aiohttp's connects; a difference between them would bypass the check."""
    try:
        url = parse_url(text)
    except ValueError:
        return
    target = URL(f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}", encoded=True)
    origin = Origin.of(url)
    assert (target.scheme, target.raw_host, target.port) == (origin.scheme, origin.host, origin.port)
    assert target.user is None


@pytest.mark.parametrize(
    ("names", "url", "may"),
    [
        ({"example.com"}, "https://example.com/", True),
        ({"example.com"}, "https://a.example.com/", False),
        ({"*.example.com"}, "https://a.b.example.com/", True),
        ({"*.example.com"}, "https://example.com/", False),
        ({"*.example.com"}, "https://evilexample.com/", False),
        ({"*.example.com"}, "https://example.com.evil.net/", False),
        ({"*"}, "https://anything.example/", True),
        ({"*"}, "http://anything.example/", False),
        ({"*"}, "https://anything.example:22/", False),
        (set(), "https://example.com/", False),
    ],
)
def test_a_rule_by_name(names: set[str], url: str, may: bool) -> None:
    assert Hosts(frozenset(names))(Origin.of(url)) is may


async def test_a_name_without_an_address_is_a_failure_not_a_refusal() -> None:
    class Nowhere(Names):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
            raise OSError(-2, "Name or service not known")

    http = Http(lambda origin: True, transport=Connections(resolver=Nowhere()))
    with pytest.raises(UriFailed, match=r"^gone\.example: the host's name has no address$"):
        await http.download("https://gone.example/", deadline=asyncio.get_running_loop().time() + 2)
    await http.close()
