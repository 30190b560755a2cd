"""HTTP client tests: limits, allowed origins, redirects, keys, and the stage of each failure."""

import asyncio
import gzip
import itertools
import shutil
import socket
import ssl
import subprocess
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.hosts import Asked, Host, listening, reset
from tests.support.transport import FakeTransport, answer
from tests.support.waiting import until

from celeste_image.core.errors import UriFailed, UriRefused
from celeste_image.core.secret import Secret
from celeste_image.outbound.client import Http
from celeste_image.outbound.connections import Connections
from celeste_image.outbound.exchange import ExchangeFailed, Limits, OriginRefused, Reply, SecretHeader, Stage
from celeste_image.outbound.origins import Origin
from celeste_image.telemetry.tracing import Span, Tracer, attached

MIB = 1 << 20
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"


def soon(seconds: float = 5) -> float:
    return time.monotonic() + seconds


def redirect(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


@asynccontextmanager
async def speaking(*hosts: Host, limits: Limits | None = None) -> AsyncIterator[Http]:
    """Yields a client that may connect to these private hosts and to every public host."""
    async with AsyncExitStack() as stack:
        for host in hosts:
            await stack.enter_async_context(listening(host))
        http = Http(lambda origin: True, private=[host.origin for host in hosts], limits=limits)
        stack.push_async_callback(http.close)
        yield http
        await http.close()
        for host in hosts:
            await until(lambda host=host: host.open == 0)  # no connection is left open


async def send(
    http: Http, method: str, url: str, deadline: float | None = None, max_bytes: int | None = None, **how: Any
) -> Reply:
    return await http.send(http.request(method, url, **how), deadline=deadline or soon(), max_bytes=max_bytes)


async def failing(
    http: Http, url: str, deadline: float | None = None, method: str = "POST", **how: Any
) -> ExchangeFailed:
    with pytest.raises(ExchangeFailed) as raised:
        await send(http, method, url, deadline, **how)
    return raised.value


# Requests and answers.


async def test_a_request_goes_out_as_it_is_given_and_nothing_is_added() -> None:
    host = Host()
    path = "/a%2Fb%3Ac//d?x=%3A%2C&sig=a%2Bb%3D&z=a+b%7E"
    async with speaking(host) as http:
        reply = await send(http, "POST", host.url + path, headers={"X-A": "1"}, json={"a": "ü"})
    asked = host.asked[0]
    assert asked.line == f"POST {path} HTTP/1.1", "signed URLs hold only as they are"
    assert asked.body == '{"a":"ü"}'.encode()
    assert asked.headers == {
        "host": f"127.0.0.1:{host.port}",
        "x-a": "1",
        "accept-encoding": "identity",
        "user-agent": "celeste",
        "content-type": "application/json",
        "content-length": str(len(asked.body)),
    }
    assert (reply.status, reply.body, reply.headers["CONTENT-TYPE"], reply.media_type) == (
        200,
        b"hi",
        "image/png",
        "image/png",
    )


async def test_forms_and_files_and_bytes() -> None:
    host = Host()
    big = bytes(range(256)) * 20_000
    async with speaking(host) as http:
        await send(http, "POST", host.url, data={"n": "2"}, files={"image": ("a.png", big, "image/png")})
        await send(http, "PUT", host.url, content=big)
        await send(http, "POST", host.url, data={"a": "b"})
        await send(http, "GET", host.url, headers={"ACCEPT-ENCODING": "gzip"})
    form, whole, fields, nothing = host.asked
    assert form.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert big in form.body and b'name="n"' in form.body
    assert whole.body == big
    assert fields.body == b"a=b"
    assert nothing.headers["accept-encoding"] == "identity"
    assert (nothing.body, "content-length" in nothing.headers) == (b"", False)


@pytest.mark.parametrize("status", [200, 201, 204, 400, 404, 429, 500, 503])
async def test_any_status_but_a_redirect_is_a_reply(status: int) -> None:
    host = Host(
        f"HTTP/1.1 {status} X\r\nRetry-After: 3\r\nContent-Length: {0 if status == 204 else 2}\r\n\r\n".encode()
        + b"{}" * (status != 204)
    )
    async with speaking(host) as http:
        reply = await send(http, "POST", host.url)
    assert (reply.status, reply.headers["retry-after"], reply.media_type) == (status, "3", "")


async def test_a_chunked_body_and_one_that_ends_with_the_connection() -> None:
    chunked = Host(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\nyou\r\n0\r\n\r\n")

    async def say(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\nhi")
        writer.close()

    closing = Host(say)
    async with speaking(chunked, closing) as http:
        assert (await http.download(chunked.url, deadline=soon())).body == b"hiyou"
        assert (await http.download(closing.url, deadline=soon())).body == b"hi"


async def test_no_cookies_are_kept() -> None:
    host = Host(OK + b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    async with speaking(host) as http:
        for _ in range(2):
            await http.download(host.url, deadline=soon())
    assert "cookie" not in host.asked[1].headers


async def test_proxies_and_passwords_of_the_environment_are_not_used(monkeypatch: Any, tmp_path: Path) -> None:
    proxy, host = Host(), Host()
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    (tmp_path / "netrc").chmod(0o600)
    async with speaking(proxy, host) as http:
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        await http.download(host.url, deadline=soon())
        await send(http, "POST", host.url)
    assert (len(host.asked), proxy.connections) == (2, 0)
    assert not {"authorization", "proxy-authorization"} & {name for asked in host.asked for name in asked.headers}


async def test_a_usual_exchange_makes_no_object_of_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost more CPU than the rest of a small exchange."""
    host = Host()

    def made(*_: Any, **__: Any) -> None:
        raise AssertionError("an object of httpx was made")

    async with speaking(host) as http:
        await send(http, "POST", host.url + "/images", json={"a": 1})
        for name in ("Request", "Response", "URL", "Headers"):
            monkeypatch.setattr(httpx, name, made)
        reply = await send(http, "POST", host.url + "/images", json={"a": 2}, headers={"X-A": "1"})
    assert (reply.body, host.asked[1].body, host.connections) == (b"hi", b'{"a":2}', 1)


@pytest.mark.parametrize(
    "named", [b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", b"Content-Encoding: gzip\r\n"]
)
async def test_a_second_header_that_names_a_compression_counts(named: bytes) -> None:
    packed = gzip.compress(b"hi")
    host = Host(OK + named + b"Content-Length: %d\r\n\r\n" % len(packed) + packed)
    async with speaking(host) as http:
        with pytest.raises(UriFailed, match="compressed"):
            await http.download(host.url, deadline=soon())
        assert (await send(http, "GET", host.url)).body == b"hi"


# Limits.


async def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    once = zlib.compressobj(9, wbits=31)
    inner = b"".join([*(once.compress(bytes(MIB)) for _ in range(500)), once.flush()])
    bomb = gzip.compress(gzip.compress(inner, 9), 9)
    assert len(bomb) < 3000
    bombs = [
        Host(OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode() + bomb)
        for coding in (
            "gzip, gzip, gzip",
            "gzip",
            "GZIP",
            "x-gzip",
            "br",
            "deflate",
            "zstd",
            "identity, gzip",
            "unheard-of",
        )
    ]
    transfer = Host(
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + f"{len(bomb):x}\r\n".encode() + bomb + b"\r\n0\r\n\r\n"
    )
    async with speaking(*bombs, transfer) as http:
        tracemalloc.start()
        try:
            for host in bombs:
                with pytest.raises(UriFailed, match="compressed") as raised:
                    await http.download(host.url, deadline=soon())
                assert raised.value.metadata == {"host": "127.0.0.1", "status": "200"}
            assert (await http.download(transfer.url, deadline=soon())).body == bomb, "not inflated by anybody"
            assert tracemalloc.get_traced_memory()[1] < 20 * MIB
        finally:
            tracemalloc.stop()


async def test_a_body_that_says_it_is_identity_is_taken() -> None:
    host = Host(OK + b"Content-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi")
    async with speaking(host) as http:
        assert (await http.download(host.url, deadline=soon())).body == b"hi"


async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 99999999\r\n\r\nhi",
        OK + b"Content-Length: %d\r\n\r\n" % (MIB + 1) + bytes(MIB + 1),
        endless,
    ],
    ids=["told", "told and sent", "untold and endless"],
)
async def test_a_body_over_the_limit(answer: Any) -> None:
    host = Host(answer)
    async with speaking(host, limits=Limits(body_bytes=MIB)) as http:
        tracemalloc.start()
        try:
            with pytest.raises(UriFailed, match="over 1048576 bytes"):
                await http.download(host.url, deadline=soon())
            failed = await failing(http, host.url, max_bytes=1000)
            assert tracemalloc.get_traced_memory()[1] < 16 * MIB
        finally:
            tracemalloc.stop()
    assert (failed.stage, failed.status, str(failed)) == (Stage.ANSWERED, 200, "the answer is over 1000 bytes")


async def test_a_body_at_the_limit() -> None:
    host = Host(OK + b"Content-Length: %d\r\n\r\n" % MIB + bytes(MIB))
    async with speaking(host, limits=Limits(body_bytes=MIB)) as http:
        assert len((await http.download(host.url, deadline=soon())).body) == MIB
        assert len((await send(http, "GET", host.url, max_bytes=MIB)).body) == MIB
        assert (await failing(http, host.url, max_bytes=0)).stage is Stage.ANSWERED


async def drip_body(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Content-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.05)


async def drip_headers(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X")
        await asyncio.sleep(0.05)


async def drip_promises(asked: Asked, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.05)


async def say_nothing(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("answer", "stage", "status"),
    [
        (drip_body, Stage.ANSWERED, 200),
        (drip_headers, Stage.NOT_ANSWERED, None),
        (drip_promises, Stage.NOT_ANSWERED, None),
        (say_nothing, Stage.NOT_ANSWERED, None),
    ],
)
async def test_a_slow_answer_ends_at_the_deadline(answer: Any, stage: Stage, status: int | None) -> None:
    host = Host(answer)
    async with speaking(host) as http:
        began = time.monotonic()
        failed = await failing(http, host.url, soon(0.4))
        assert 0.35 < time.monotonic() - began < 1.2
        await until(lambda: host.open == 0)
    assert (failed.stage, failed.status) == (stage, status)
    assert str(failed) == "timed out before the answer was complete"


@pytest.mark.alone
async def test_a_slow_answer_ends_at_the_limit_when_there_is_no_deadline() -> None:
    host = Host(drip_body)
    async with speaking(host, limits=Limits(exchange_seconds=0.2)) as http:
        with pytest.raises(UriFailed, match="timed out"):
            await http.download(host.url, deadline=None)


@pytest.mark.alone
async def test_an_upload_that_nobody_reads_ends_at_the_deadline_and_leaves_no_socket() -> None:
    opened: list[socket.socket] = []

    def record(family: int, kind: int, protocol: int) -> socket.socket:
        opened.append(socket.socket(family, kind, protocol))
        return opened[-1]

    host = Host(say_nothing, read_body=False)
    async with listening(host):
        private = [host.origin]
        http = Http([], private=private, transport=Connections(private=private, open_socket=record))
        began = time.monotonic()
        failed = await failing(http, host.url, soon(0.4), content=bytes(32 * MIB))
        assert time.monotonic() - began < 1.2
        await until(lambda: [each.fileno() for each in opened] == [-1])
        await http.close()
    assert failed.stage is Stage.NOT_ANSWERED


async def test_an_answer_before_the_upload_is_over_ends_the_connection() -> None:
    async def refuse(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.sleep(60)

    host = Host(refuse, read_body=False)
    async with speaking(host) as http:
        reply = await send(http, "POST", host.url, content=bytes(32 * MIB))
        assert (reply.status, reply.body) == (413, b"no")
        await until(lambda: host.open == 0)


async def test_a_deadline_that_is_over_sends_nothing() -> None:
    host = Host()
    async with speaking(host) as http:
        assert (await failing(http, host.url, soon(-1))).stage is Stage.NOT_SENT
    assert host.connections == 0


async def test_the_deadline_is_read_by_the_clock_that_was_given() -> None:
    http = Http(lambda origin: True, clock=lambda: 1000.0)
    assert (await failing(http, "https://a.example", 999.0)).stage is Stage.NOT_SENT
    await http.close()


@pytest.mark.parametrize(
    "fields",
    [
        b"".join(b"X-%d: a\r\n" % i for i in range(100_000)),
        b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(40)),
        b"X: " + b"a" * 40_000 + b"\r\n",
        b"X: " + b"a" * 10_000_000 + b"\r\n",
    ],
    ids=["100,000 fields", "40 KB in 40", "40 KB in one", "10 MB in one"],
)
async def test_headers_over_the_limit(fields: bytes) -> None:
    host = Host(OK + fields + b"Content-Length: 2\r\n\r\nhi")
    async with speaking(host) as http:
        tracemalloc.start()
        try:
            failed = await failing(http, host.url)
            assert tracemalloc.get_traced_memory()[1] < 8 * MIB + 2 * len(fields)
        finally:
            tracemalloc.stop()
    assert "headers" in str(failed)


async def test_headers_within_the_limit() -> None:
    host = Host(OK + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 700) for i in range(40)) + b"Content-Length: 2\r\n\r\nhi")
    async with speaking(host) as http:
        assert len((await send(http, "GET", host.url)).headers) == 42


@pytest.mark.alone
async def test_only_so_many_exchanges_at_a_time() -> None:
    host = Host(say_nothing)
    async with speaking(host, limits=Limits(exchanges=2)) as http:
        failed = await asyncio.gather(*(failing(http, host.url, soon(0.3)) for _ in range(5)))
    assert host.connections == 2
    assert [error.stage for error in failed].count(Stage.NOT_SENT) == 3


async def test_the_number_of_exchanges_has_no_limit_of_its_own() -> None:
    """A provider with `concurrency = 200` has 200 exchanges at a time: they only end together here."""
    together = asyncio.Barrier(200)

    async def reply(request: httpx.Request) -> httpx.Response:
        await together.wait()
        return answer({})

    http = Http(lambda origin: True, transport=FakeTransport(reply, repeat=True))
    replies = await asyncio.gather(*(send(http, "GET", "https://a.example", soon(20)) for _ in range(200)))
    assert {reply.status for reply in replies} == {200}
    await http.close()


# Stages of failures.


async def test_nobody_listens() -> None:
    host = Host()
    async with listening(host):
        pass
    http = Http([], private=[host.origin])
    failed = await failing(http, host.url)
    assert (failed.stage, str(failed)) == (Stage.NOT_SENT, "the connection was refused or failed")
    await http.close()


async def test_nobody_answers_a_call_for_a_connection() -> None:
    """Fills the backlog, so the kernel drops connection attempts until the connect timeout."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        origin = Origin("http", "127.0.0.1", port)
        http = Http([], private=[origin], limits=Limits(connect_seconds=0.2))
        failed = await failing(http, str(origin))
        await http.close()
        for one in crowd:
            one.close()
    assert (failed.stage, str(failed)) == (Stage.NOT_SENT, "timed out before the connection was made")


async def test_a_reset_before_the_request_is_read_may_still_have_been_read() -> None:
    host = Host()

    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host.connections += 1
        reset(writer)

    host.serve = slam  # type: ignore[method-assign]
    async with speaking(host) as http:
        assert (await failing(http, host.url)).stage is Stage.NOT_ANSWERED
        assert host.connections == 1, "not tried again"


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("hard", [True, False])
async def test_a_connection_lost_after_the_request(method: str, hard: bool) -> None:
    async def hang_up(asked: Asked, writer: asyncio.StreamWriter) -> None:
        reset(writer) if hard else writer.close()

    host = Host(hang_up)
    async with speaking(host) as http:
        failed = await failing(http, host.url, method=method)
    assert (failed.stage, failed.status) == (Stage.NOT_ANSWERED, None)
    assert str(failed) == "the connection was closed before an answer came"
    if method == "POST":
        assert len(host.asked) == 1


async def test_a_post_on_a_connection_that_was_closed_meanwhile_is_not_sent_twice() -> None:
    async def answer_once(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(host.asked) == 1:
            writer.write(OK + b"Content-Length: 2\r\n\r\nhi")
        else:
            reset(writer)

    host = Host(answer_once)
    async with speaking(host) as http:
        await send(http, "POST", host.url)
        assert (await failing(http, host.url)).stage is Stage.NOT_ANSWERED
    assert (len(host.asked), host.connections) == (2, 1)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"Content-Length: 10\r\n\r\nhi", "in the middle"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhi", "in the middle"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhi", ""),
        (b"Content-Length: -1\r\n\r\nhi", ""),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi", ""),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhi", ""),
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi", ""),
    ],
    ids=["short", "short chunk", "bad chunk", "negative", "two lengths", "endless length", "both"],
)
async def test_a_body_that_is_not_what_it_says(body: bytes, text: str) -> None:
    async def say(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + body)
        writer.close()

    host = Host(say)
    async with speaking(host) as http:
        failed = await failing(http, host.url)
    assert text in str(failed)
    assert failed.stage is not Stage.NOT_SENT


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi",
    ],
    ids=["bytes", "ssh", "status", "upgrade"],
)
async def test_what_is_no_answer(answer: bytes) -> None:
    host = Host(answer)
    async with speaking(host) as http:
        assert (await failing(http, host.url, soon(1))).stage is not Stage.NOT_SENT
        await until(lambda: host.open == 0)


# Kept and closed connections.


async def test_a_connection_is_used_again() -> None:
    host = Host()
    async with speaking(host) as http:
        for _ in range(3):
            await send(http, "POST", host.url)
    assert (len(host.asked), host.connections) == (3, 1)


@pytest.mark.parametrize("answer", [say_nothing, drip_body])
async def test_cancelling_closes_the_connection_and_nobody_gets_it_after(answer: Any) -> None:
    host = Host(answer)
    async with speaking(host) as http:
        task = asyncio.create_task(send(http, "POST", host.url))
        await until(lambda: bool(host.asked))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: host.open == 0)
        host.answer = Host().answer
        assert (await send(http, "POST", host.url)).body == b"hi"
    assert host.connections == 2


async def test_a_cancelled_exchange_never_answers_another() -> None:
    """Guards against a known fault (ChatGPT, March 2023): the answer to a cancelled request reached the next caller."""

    async def late(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.line.startswith("POST /slow"):
            await asyncio.sleep(0.03)
        name = asked.line.split()[1].encode()
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % len(name) + name)

    host = Host(late)
    async with speaking(host) as http:
        for number in range(30):
            slow = asyncio.create_task(send(http, "POST", f"{host.url}/slow{number}"))
            await asyncio.sleep(0.001 * (number % 10) * 3.5)
            slow.cancel()
            reply = await send(http, "POST", f"{host.url}/fast{number}")
            assert reply.body == f"/fast{number}".encode()
            await asyncio.gather(slow, return_exceptions=True)


@pytest.mark.parametrize("wait", [0.0, 0.05])
async def test_an_answer_that_nobody_asked_for_answers_nobody(wait: float) -> None:
    """Sends data after the end of an answer, which must not become the next caller's answer."""

    async def say_more(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 2\r\n\r\nhi")
        await asyncio.sleep(wait)
        writer.write(OK + b"Content-Length: 4\r\n\r\nevil")
        await asyncio.sleep(60)

    host = Host(say_more)
    async with speaking(host) as http:
        for _ in range(3):
            assert (await send(http, "POST", host.url)).body == b"hi"
            await asyncio.sleep(0.1)
    assert host.connections == 3


# Redirects.


async def test_send_follows_nowhere_and_takes_no_key_along() -> None:
    other = Host()
    async with listening(other):
        host = Host(redirect(other.url, 307))
        async with speaking(host) as http:
            secret = SecretHeader("Authorization", Secret("Bearer abc"), frozenset({host.origin}))
            failed = await failing(http, host.url, secrets=[secret])
            assert (failed.stage, failed.status) == (Stage.ANSWERED, 307)
    assert (len(host.asked), other.connections) == (1, 0)


async def test_download_follows_three() -> None:
    last = Host()
    hosts = [Host(), Host(), Host(), last]
    async with speaking(*hosts) as http:
        for host, following in itertools.pairwise(hosts):
            host.answer = redirect(f"{following.url}/x%3A?a=b#c")
        reply = await http.download(hosts[0].url, deadline=soon())
    assert reply.body == b"hi"
    assert last.asked[0].line == "GET /x%3A?a=b HTTP/1.1"


async def test_download_follows_a_relative_one() -> None:
    async def say(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect("../b?c") if asked.line.startswith("GET /a") else OK + b"Content-Length: 0\r\n\r\n")

    host = Host(say)
    async with speaking(host) as http:
        await http.download(host.url + "/a/b", deadline=soon())
    assert host.asked[1].line == "GET /b?c HTTP/1.1"


async def test_a_fourth_redirect_and_a_loop_are_too_many() -> None:
    host = Host()
    async with speaking(host) as http:
        host.answer = redirect(host.url)
        with pytest.raises(UriFailed, match="redirects more than 3 times"):
            await http.download(host.url, deadline=soon())
    assert len(host.asked) == 4


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://2130706433:{port}/",
        "//127.0.0.1:{port}/",
        "http://user@127.0.0.1:{port}/",
        "http://[::1",
        "file:///etc/passwd",
        "data:image/png;base64,aGk=",
        "http://169.254.169.254/latest/meta-data/",
        "gopher://127.0.0.1:{port}/",
        "\x01",
        "http://" + "a" * 7000,
    ],
)
async def test_a_redirect_inwards_is_not_followed(to: str) -> None:
    inside = Host()
    async with listening(inside):
        host = Host(redirect(to.format(port=inside.port)))
        async with speaking(host) as http:
            with pytest.raises((UriRefused, UriFailed)) as raised:
                await http.download(host.url, deadline=soon())
    assert raised.value.metadata["host"] == "127.0.0.1"
    assert "169.254" not in raised.value.message and "localhost" not in raised.value.message
    assert inside.connections == 0


async def test_a_redirect_to_a_host_that_the_rule_does_not_name() -> None:
    other = Host()
    async with listening(other):
        host = Host(redirect(other.url))
        async with listening(host):
            http = Http([host.origin], private=[host.origin])
            with pytest.raises(UriRefused, match="redirects to a URL that is not allowed"):
                await http.download(host.url, deadline=soon())
            await http.close()
    assert other.connections == 0


@pytest.mark.parametrize("status", [300, 304, 305, 399])
async def test_a_status_between_that_redirects_nowhere(status: int) -> None:
    host = Host(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
    async with speaking(host) as http:
        with pytest.raises(UriFailed, match=f"HTTP status {status}"):
            await http.download(host.url, deadline=soon())
        assert (await failing(http, host.url)).status == status


@pytest.mark.alone
async def test_the_deadline_is_for_all_redirects_together() -> None:
    async def slowly(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        writer.write(redirect(host.url))

    host = Host(slowly)
    async with speaking(host) as http:
        began = time.monotonic()
        with pytest.raises(UriFailed, match="timed out"):
            await http.download(host.url, deadline=soon(0.4))
        assert time.monotonic() - began < 1.2


# Keys.


async def test_a_key_goes_to_its_origins_and_nowhere_else() -> None:
    host, other = Host(), Host()
    async with speaking(host, other) as http:
        secret = SecretHeader("X-Key", Secret("s3cret"), frozenset({host.origin}))
        await send(http, "POST", host.url, secrets=[secret])
        with pytest.raises(OriginRefused, match=r"the key in X-Key is not for 127\.0\.0\.1") as raised:
            await send(http, "POST", other.url, secrets=[secret])
        await send(http, "POST", other.url)
        await send(http, "POST", host.url)
        host.answer = redirect(other.url)
        await http.download(host.url, deadline=soon())
    assert host.asked[0].headers["x-key"] == "s3cret"
    assert raised.value.stage is Stage.NOT_SENT
    assert all("x-key" not in asked.headers for asked in [*other.asked, *host.asked[1:]])
    assert "s3cret" not in repr(secret) + str(raised.value)


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "ключ", "a\0"])
def test_a_key_that_no_header_can_hold_is_not_repeated(value: str) -> None:
    with pytest.raises(ValueError, match="the value of X-Key") as raised:
        SecretHeader("X-Key", Secret(value), frozenset())
    assert value not in str(raised.value)


async def test_an_origin_that_is_not_allowed() -> None:
    http = Http([Origin("https", "api.example", 443)])
    for url in (
        "http://api.example",
        "https://api.example:8443",
        "https://api.example.evil.example",
        "https://evil.example/?api.example",
        "https://x:y@api.example",
    ):
        with pytest.raises(OriginRefused):
            await send(http, "GET", url)
        with pytest.raises(UriRefused):
            await http.download(url, deadline=soon())
    await http.close()


# Downloads.


@pytest.mark.parametrize("status", [400, 401, 404, 410, 500, 503])
async def test_a_download_of_what_is_not_there(status: int) -> None:
    host = Host(f"HTTP/1.1 {status} X\r\nContent-Type: image/png\r\nContent-Length: 99999999999\r\n\r\n".encode())
    async with speaking(host) as http:
        with pytest.raises(UriFailed) as raised:
            await http.download(host.url + "/secret?token=abc", deadline=soon())
    assert raised.value.message == f"127.0.0.1: the answer is HTTP status {status}"
    assert raised.value.metadata == {"host": "127.0.0.1", "status": str(status)}


@pytest.mark.parametrize(
    ("kind", "is_taken"),
    [
        ("image/webp", True),
        ("IMAGE/PNG; q=1", True),
        ("application/octet-stream", True),
        ("text/html", False),
        ("application/json", False),
        ("imagery/x", False),
    ],
)
async def test_a_download_by_its_media_type(kind: str, is_taken: bool) -> None:
    host = Host(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\r\nhi".encode())
    async with speaking(host) as http:
        if is_taken:
            assert (await http.download(host.url, deadline=soon())).body == b"hi"
        else:
            with pytest.raises(UriFailed, match="not an image's"):
                await http.download(host.url, deadline=soon())
        assert (await http.download(host.url, deadline=soon(), types=[kind.lower().partition(";")[0]])).body == b"hi"


async def test_a_download_without_a_media_type() -> None:
    host = Host(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    async with speaking(host) as http:
        assert (await http.download(host.url, deadline=soon())).body == b"hi"
        with pytest.raises(UriFailed):
            await http.download(host.url, deadline=soon(), types=["image/"])


@pytest.mark.parametrize(
    "url", ["", "a.png", "/etc/passwd", "http://", "https://a b/", "https://" + "a." * 200, "https://x/" + "a" * 20_000]
)
async def test_a_uri_that_is_none(url: str) -> None:
    http = Http(lambda origin: True)
    with pytest.raises(UriRefused):
        await http.download(url, deadline=soon())
    await http.close()


@given(st.text(), st.text())
@example("https://a.example/", "\udcff")
@example("\udcff", "")
@example("https://[", "https://[")
@example("https://a.example/", "//[::1%25")
async def test_no_text_of_a_callers_or_a_hosts_makes_another_error(url: str, location: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers=[(b"location", location.encode("utf-8", "surrogateescape"))])

    http = Http(lambda origin: True, transport=FakeTransport(answer, repeat=True))
    for text in (url, f"https://{url}", f"https://a.example/{url}"):
        with pytest.raises((UriRefused, UriFailed)):
            await http.download(text, deadline=None)


# TLS.


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: Any) -> Path:
    """A self-signed certificate for localhost, with its key."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
    command += " -addext subjectAltName=DNS:localhost"
    subprocess.run(
        ["openssl", *command.split(), "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


async def test_certificates_are_checked(certificate: Path) -> None:
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate)
    host = Host(scheme="https")
    async with listening(host, ssl=ours):
        named = Origin("https", "localhost", host.port)
        private = [host.origin, named]
        http = Http([], private=private)
        failed = await failing(http, str(named))
        assert (failed.stage, str(failed)) == (Stage.NOT_SENT, "TLS failed; is the certificate valid for this host?")
        await http.close()
        trusting = Connections(private=private, tls=ssl.create_default_context(cafile=certificate))
        http = Http([], private=private, transport=trusting)
        assert (await send(http, "GET", str(named))).body == b"hi"
        assert (await failing(http, host.url)).stage is Stage.NOT_SENT, "the certificate is for another name"
        host.answer = redirect(f"http://localhost:{host.port}/")
        with pytest.raises(UriRefused):
            await http.download(str(named), deadline=soon())
        await http.close()


async def test_a_redirect_from_https_to_http() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.scheme == "https"
        return httpx.Response(302, headers={"location": "http://a.example/"})

    http = Http(lambda origin: True, transport=FakeTransport(answer, repeat=True))
    with pytest.raises(UriRefused, match=r"^a\.example: it redirects from https to http$"):
        await http.download("https://a.example/", deadline=soon())


# Without network.


async def test_a_transport_of_the_tests_own() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"asked": str(request.url)})

    http = Http(lambda origin: True, transport=FakeTransport(answer, repeat=True))
    assert (await send(http, "GET", "https://a.example/b")).json() == {"asked": "https://a.example/b"}
    await http.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b"NaN",
        b"\xef\xbb\xbf",
        b"7 apples",
        b"[" * 65 + b"1" + b"]" * 65,
        b"[" + b"[]," * 50_001 + b"1]",
        b'{"a":' * 100 + b"1" + b"}" * 100,
    ],
    ids=["empty", "html", "cut", "nan", "bom alone", "text", "deep", "wide", "deep objects"],
)
def test_json_that_is_none_or_too_much(body: bytes) -> None:
    with pytest.raises(ExchangeFailed, match="not JSON, or too much of it") as raised:
        Reply(200, {}, body).json()
    assert (raised.value.stage, raised.value.status) == (Stage.ANSWERED, 200)


def test_json_as_deep_and_wide_as_allowed() -> None:
    assert Reply(200, {}, b"[" * 64 + b"1" + b"]" * 64).json()
    assert len(Reply(200, {}, b"[" + b"[]," * 40_000 + b"1]").json()) == 40_001
    assert Reply(200, {}, b'{"b64": "' + b"a" * (8 * MIB) + b'"}').json()["b64"]


async def test_a_request_is_a_span_and_carries_the_trace() -> None:
    kept: list[Span] = []
    call = Tracer(kept.append).serve("call", [("traceparent", PARENT), ("tracestate", "a=1")])
    host = Host(answer=OK + b"Content-Length: 2\r\n\r\nhi")
    async with speaking(host) as http:
        with attached(call):
            await send(http, "POST", f"{host.url}/v1/secret?key=secret")
    (span,) = kept
    assert host.asked[0].headers["traceparent"] == f"00-{call.trace_id}-{span.id.hex()}-01"
    assert host.asked[0].headers["tracestate"] == "a=1"
    assert span.attributes == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": host.port,
        "http.response.status_code": 200,
    }
    assert "secret" not in repr([span.name, span.attributes, span.events])


async def test_a_download_carries_no_trace() -> None:
    kept: list[Span] = []
    call = Tracer(kept.append).serve("call", [("traceparent", PARENT)])
    host = Host(answer=OK + b"Content-Length: 2\r\n\r\nhi")
    async with speaking(host) as http:
        with attached(call):
            await http.download(f"{host.url}/a", deadline=soon())
            await http.follow(f"{host.url}/b", deadline=soon())
    assert [span.attributes["http.response.status_code"] for span in kept] == [200, 200]
    assert not any("traceparent" in asked.headers for asked in host.asked)


async def test_a_host_that_nobody_configured_is_not_shown() -> None:
    kept: list[Span] = []
    call = Tracer(kept.append).serve("call", [("traceparent", PARENT)])
    transport = FakeTransport(answer(status=404), repeat=True)
    http = Http(lambda origin: True, named=[Origin.of("https://api.vendor.test")], transport=transport)
    with attached(call):
        for host in ("api.vendor.test", "alice-secret.example.com"):
            await send(http, "GET", f"https://{host}/")
    hosts = [(span.attributes["server.address"], span.attributes.get("server.port")) for span in kept]
    assert hosts == [("api.vendor.test", 443), ("_OTHER", None)]
    assert [span.error for span in kept] == ["404", "404"]


async def test_a_request_without_an_answer_says_how_far_it_came() -> None:
    kept: list[Span] = []
    call = Tracer(kept.append).serve("call", [("traceparent", PARENT)])

    async def drop(asked: Asked, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    host = Host(answer=drop)
    async with speaking(host) as http:
        with attached(call), pytest.raises(ExchangeFailed):
            await send(http, "POST", f"{host.url}/")
    (span,) = kept
    assert span.error == "not_answered"
    assert "http.response.status_code" not in span.attributes
