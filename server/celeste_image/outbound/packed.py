"""Takes the images in base64 out of a JSON text before it is parsed: each is decoded from its place, without a copy.

A parser would make a text of megabytes first, and counting its values would read every byte of it.
"""

from typing import Any, Final

import pybase64

from celeste_image.core.media import media_type

__all__ = ["unpacked", "with_images"]

LONG_BYTES: Final = 4 << 10
"""Shortest text that may be taken out; the parser reads a shorter one faster."""
MOST_TEXTS: Final = 2_000
"""Most texts of a body that are looked at, so that the search takes about a millisecond at most."""
HEAD_BYTES: Final = 64
"""How much of a text is looked at for the start of a `data:` URL, and for escapes before its end."""
DATA_URL: Final = b";base64,"
QUOTE, BACKSLASH = b'"', b"\\"
MARK: Final = "\0"
"""Begins the text that stands for an image, before its number."""


def unpacked(body: bytes) -> tuple[bytes, list[bytes]]:
    """Returns a JSON text with a short text in the place of each image in base64, and these images.

    An image is a text of at least LONG_BYTES without escapes, in strict base64 or a `data:` URL of it, that begins like
    a format that the server reads. Any other text stays where it is.
    """
    images: list[bytes] = []
    parts: list[bytes | memoryview] = []
    view, kept = memoryview(body), 0
    start, looks = body.find(QUOTE), 0
    while start >= 0 and looks < MOST_TEXTS and len(body) - start > LONG_BYTES:
        looks += 1
        end = body.find(QUOTE, start + 1)
        while end > 0 and _is_escaped(body, end):
            looks += 1
            end = body.find(QUOTE, end + 1) if looks < MOST_TEXTS else -1
        if end < 0:
            break
        if end - start > LONG_BYTES and (image := _image_in(view[start + 1 : end])) is not None:
            parts += (view[kept : start + 1], f"\\u0000{len(images)}".encode())
            images.append(image)
            kept = end
        start = body.find(QUOTE, end + 1)
    return b"".join((*parts, view[kept:])) if images else body, images


def with_images(value: Any, images: list[bytes]) -> Any:
    """Returns a parsed value with the images of `unpacked` as bytes, in the places of their texts."""
    if isinstance(value, dict):
        return {name: with_images(inner, images) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_images(inner, images) for inner in value]
    if isinstance(value, str) and value[:1] == MARK and (number := value[1:]).isdecimal() and number.isascii():
        return images[int(number)] if len(number) < 6 and int(number) < len(images) else value
    return value


def _is_escaped(body: bytes, place: int) -> bool:
    """Returns whether the byte at a place has an odd number of backslashes before it; HEAD_BYTES are looked at."""
    before = body[max(0, place - HEAD_BYTES) : place]
    return bool((len(before) - len(before.rstrip(BACKSLASH))) % 2)


def _image_in(text: memoryview) -> bytes | None:
    """Returns the image of a text in base64; None if it has none."""
    head = bytes(text[:HEAD_BYTES])
    if head[:5].lower() == b"data:" and DATA_URL in head:
        text = text[head.index(DATA_URL) + len(DATA_URL) :]
    try:
        if media_type(pybase64.b64decode(text[:24], validate=True)) == "application/octet-stream":
            return None
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        return None
