"""Frames over a pipe whose other end is untrusted."""

import asyncio
import io
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.strategies import json_values, texts

from celeste_image.sandbox.frames import (
    MAX_JSON_BYTES,
    MAX_PAYLOAD_BYTES,
    BadFrame,
    Frame,
    read_frame,
    receive_frame,
    split_pictures,
    task_frame,
)

frames = st.builds(
    Frame, texts, st.dictionaries(texts.filter("kind".__ne__), json_values, max_size=4), st.binary(max_size=100)
)
quick = settings(max_examples=150, deadline=None)


def encoded(frame: Frame) -> bytes:
    return frame.encode() + frame.payload


def with_text(text: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">IQ", len(text), len(payload)) + text + payload


async def received(data: bytes) -> Frame:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return await receive_frame(stream)


@quick
@given(st.lists(frames, max_size=4))
def test_every_frame_is_read_as_it_was_written(sent: list[Frame]) -> None:
    stream = io.BytesIO(b"".join(map(encoded, sent)))
    assert [read_frame(stream) for _ in sent] == sent
    assert read_frame(stream) is None


@quick
@given(frames)
def test_every_frame_is_received_as_it_was_written(sent: Frame) -> None:
    assert asyncio.run(received(encoded(sent))) == sent


@quick
@given(st.dictionaries(texts, json_values, max_size=4), st.lists(st.binary(max_size=50), max_size=5))
def test_a_task_and_its_images_arrive(task: dict[str, object], pictures: list[bytes]) -> None:
    frame = read_frame(io.BytesIO(encoded(task_frame(task, pictures))))
    assert frame is not None
    assert frame.fields["task"] == task
    assert split_pictures(frame) == pictures


@quick
@given(frames, st.data())
def test_a_truncated_frame_is_refused(sent: Frame, data: st.DataObject) -> None:
    whole = encoded(sent)
    half = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(BadFrame):
        read_frame(io.BytesIO(half))
    with pytest.raises(asyncio.IncompleteReadError):
        asyncio.run(received(half))


@pytest.mark.parametrize(
    "lengths", [(MAX_JSON_BYTES + 1, 0), (2**32 - 1, 0), (2, MAX_PAYLOAD_BYTES + 1), (2, 2**64 - 1)]
)
async def test_lengths_beyond_the_bounds_are_refused_before_anything_is_read(lengths: tuple[int, int]) -> None:
    header = struct.pack(">IQ", *lengths)
    with pytest.raises(BadFrame):
        read_frame(io.BytesIO(header))
    endless = asyncio.StreamReader()
    endless.feed_data(header)  # without an end: waiting for the rest would take forever
    async with asyncio.timeout(5):
        with pytest.raises(BadFrame):
            await receive_frame(endless)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"7",
        b'"kind"',
        b'["kind"]',
        b"{}",
        b'{"kind":null}',
        b'{"kind":7}',
        b'{"kind":["echo"]}',
        b"\xff\xfe\x00",
        b'{"kind":"\xff"}',
        b"[" * 100_000,
        b'{"kind":"x","a":' + b"9" * 10_000 + b"}",
    ],
    ids=lambda text: repr(text[:12]),
)
async def test_text_that_is_not_an_object_with_a_kind_is_refused(text: bytes) -> None:
    with pytest.raises(BadFrame):
        read_frame(io.BytesIO(with_text(text)))
    with pytest.raises(BadFrame):
        await received(with_text(text))


@quick
@given(st.binary(max_size=200))
def test_random_bytes_are_a_frame_or_refused(text: bytes) -> None:
    try:
        frame = read_frame(io.BytesIO(with_text(text)))
    except BadFrame:
        return
    assert frame is not None
    assert isinstance(json.loads(text), dict)
