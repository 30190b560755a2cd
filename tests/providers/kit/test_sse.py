"""Server-sent events: the decoded events do not depend on how the network splits the stream."""

import base64
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeste_image.outbound.exchange import ExchangeFailed, Reply, Streamed
from celeste_image.providers.kit.sse import MIB, Decoder, ServerSentEvent, json_values_of

STREAMS = [
    (b"event: a\ndata: one\n\ndata: two\n\n", [("a", b"one"), ("message", b"two")]),
    (b"data: one\r\ndata:  two\r\n\r\n", [("message", b"one\n two")]),
    (b"data: one\r\rdata: two\r\r", [("message", b"one"), ("message", b"two")]),
    (b"\xef\xbb\xbfdata: marked\n\n", [("message", b"marked")]),
    (b"data:\n\n", [("message", b"")]),
    (b"data\n\n", [("message", b"")]),
    (b": a comment\nid: 7\nretry: 10\nunknown: x\ndata: y\n\n", [("message", b"y")]),
    (b"event: lost\n\ndata: named anew\n\n", [("message", b"named anew")]),
    (b"data: cut off\n", []),
    ("data: é€😀\n\n".encode(), [("message", "é€😀".encode())]),
    (b"\n\n\r\r\r\n", []),
]


def decoded(*pieces: bytes) -> list[ServerSentEvent]:
    decoder = Decoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize(("stream", "events"), STREAMS)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[tuple[str, bytes]]) -> None:
    assert decoded(stream) == [ServerSentEvent(*event) for event in events]


@pytest.mark.parametrize("stream", [stream for stream, _ in STREAMS])
def test_byte_by_byte_is_the_same(stream: bytes) -> None:
    assert decoded(*(stream[i : i + 1] for i in range(len(stream)))) == decoded(stream)


LINES = st.lists(
    st.sampled_from([b"data: x", b"data", b"data:\xc3\xa9", b"event: e", b":c", b"", b"", b"\xff"]), max_size=12
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.lists(st.tuples(LINES, ENDS), max_size=4), st.lists(st.integers(0, 60), max_size=8))
def test_any_cutting_gives_the_same_events(parts: list[tuple[list[bytes], bytes]], cuts: list[int]) -> None:
    stream = b"".join(line + end for lines, end in parts for line in lines)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    assert decoded(*pieces) == decoded(stream)


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"data: xxxxxxxx\n" * 20, b"data\n" * 200])
def test_what_is_too_long_is_refused_before_it_ends(stream: bytes) -> None:
    with pytest.raises(ExchangeFailed, match="over 100 bytes"):
        list(Decoder(max_bytes=100).feed(stream))


async def test_a_body_is_gone_while_its_image_is_worked_on() -> None:
    image = b"\x89PNG\r\n\x1a\n" + bytes(3 * MIB)
    body = b'{"data": [{"b64_json": "' + base64.b64encode(image) + b'"}]}'

    async def pieces() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(body), MIB):
            yield body[start : start + MIB]

    tracemalloc.start()
    try:
        answer = Streamed(Reply(200, {"content-type": "application/json"}), pieces())
        async with aclosing(json_values_of(answer)) as values:
            async for name, value in values:
                held, most = tracemalloc.get_traced_memory()
                assert (name, value) == ("", {"data": [{"b64_json": image}]})
    finally:
        tracemalloc.stop()
    assert held < 1.1 * len(image), "the image alone"
    assert most < len(image) + 2.2 * len(body), "the pieces, the body and the image"
