"""Images in base64 are taken out of JSON before it is parsed: as bytes, in the places of their texts, and no others."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from celeste_image.outbound import json_values as reading
from celeste_image.outbound.json_values import json_values
from celeste_image.outbound.packed import MOST_TEXTS, unpacked

HEADS = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff\xe0",
    "webp": b"RIFF\0\0\0\0WEBP",
    "avif": b"\0\0\0\x1cftypavif",
}
IMAGE = HEADS["png"] + bytes(range(256)) * 40


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def read(body: bytes, **how: Any) -> Any:
    (value,) = json_values(body, images=True, **how)
    return value


images = st.builds(
    lambda head, rest, size: head + (rest * size)[: 4096 + size],
    st.sampled_from(sorted(HEADS.values())),
    st.binary(min_size=1, max_size=9),
    st.integers(4096, 5000),
)


def is_mark(text: str) -> bool:
    """Returns whether a text looks like one that stands for an image: see the test below."""
    return text[:1] == "\0" and text[1:].isdecimal()


texts = (st.text(max_size=8) | st.sampled_from(["\0", '"', "\\", "\\\\", '\\"', "{[,"])).filter(
    lambda text: not is_mark(text)
)
values = st.recursive(
    images | texts | st.integers(-(2**53), 2**53) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


def as_json(value: Any, head: str) -> Any:
    """Returns a value with its images as texts."""
    if isinstance(value, bytes):
        return head + packed(value)
    if isinstance(value, dict):
        return {name: as_json(inner, head) for name, inner in value.items()}
    return [as_json(inner, head) for inner in value] if isinstance(value, list) else value


@given(
    st.lists(values, min_size=1, max_size=3),
    st.sampled_from(["", "data:image/png;base64,", "DATA:;base64,"]),
    st.booleans(),
)
@example([{"\\": IMAGE, '\\"': IMAGE}], "", True)
def test_every_image_is_bytes_in_its_place(value: Any, head: str, plain: bool) -> None:
    body = json.dumps(as_json(value, head), ensure_ascii=plain).encode()
    assert read(body) == value
    assert json_values(body) == [as_json(value, head)], "only where images are asked for"


def test_a_text_like_a_mark_means_an_image_of_the_same_body_or_itself() -> None:
    marks = ["\0" + "0", "\0" + "1", "\0" + "²", "\0"]
    body = json.dumps({"a": packed(IMAGE), "b": marks}).encode()
    assert read(body) == {"a": IMAGE, "b": [IMAGE, *marks[1:]]}


@pytest.mark.parametrize("kind", HEADS)
def test_every_format_that_is_read(kind: str) -> None:
    data = HEADS[kind] + bytes(5000)
    assert read(json.dumps({"a": packed(data)}).encode()) == {"a": data}


@pytest.mark.parametrize(
    "text",
    [
        packed(bytes(6000)),
        packed(b"GIF89a" + bytes(6000)),
        packed(HEADS["png"] + bytes(100)),
        packed(IMAGE) + "=",
        packed(IMAGE)[:-5],
        packed(IMAGE).replace("A", "-", 1),
        packed(IMAGE)[:5000] + " " + packed(IMAGE)[5000:],
        packed(IMAGE)[:5000] + "\n" + packed(IMAGE)[5000:],
        "see " + packed(IMAGE),
        "data:image/png," + packed(IMAGE),
        '"' + packed(IMAGE) + '"',
        "\\" * 99 + packed(IMAGE),
    ],
    ids=[
        *(
            "no image",
            "no format of ours",
            "short",
            "padded",
            "cut",
            "url",
            "space",
            "line",
            "words",
            "no 64",
            "quotes",
        ),
        "backslashes",
    ],
)
def test_any_other_text_is_a_text(text: str) -> None:
    assert read(json.dumps({"a": text}).encode()) == {"a": text}


def test_the_parser_never_sees_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    parse = reading.orjson.loads
    monkeypatch.setattr(reading.orjson, "loads", lambda body: sizes.append(len(body)) or parse(body))
    body = json.dumps({"data": [{"b64_json": packed(IMAGE)}, {"b64_json": packed(IMAGE[:-3])}]}).encode()
    assert read(body) == {"data": [{"b64_json": IMAGE}, {"b64_json": IMAGE[:-3]}]}
    assert len(sizes) == 1 and sizes[0] < 100


@pytest.mark.parametrize("end", range(0, 30))
def test_a_cut_body_keeps_the_images_that_are_complete(end: int) -> None:
    whole = json.dumps({"data": [{"b64_json": packed(IMAGE)}, {"b64_json": packed(IMAGE)}]}).encode()
    body = whole[: whole.index(b'{"b64_json"', 30) + end]
    assert read(body, cut=True)["data"][0] == {"b64_json": IMAGE}


def test_lenient_json_has_its_images_too() -> None:
    text = packed(IMAGE)
    for body in (
        f'Warning: "x" \' is odd\n{{"a": "{text}",}}',
        f'\ufeff{{"a": "{text}", "b": NaN}} and "more',
        f'{{\'b\': None, "a": "{text}"}}',
    ):
        assert read(body.encode())["a"] in (IMAGE, text)


def test_the_search_is_bounded() -> None:
    for body in (b'"' + b'\\"' * 500_000 + b'"', b"[" + b'"",' * 400_000 + b'""]', b'"' + b"\\" * 1_000_000 + b'"'):
        looks = Looks(body + b' "' + packed(IMAGE).encode() + b'"')
        unpacked(looks)
        assert looks.number <= 2 * MOST_TEXTS + 2


class Looks(bytes):
    """Bytes that count how often they are searched."""

    number = 0

    def find(self, *how: Any) -> int:  # type: ignore[override]
        self.number += 1
        return super().find(*how)
