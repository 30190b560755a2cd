"""Fingerprint: a digest of what a request asks for. Two requests for the same work have the same one.

It is the SHA-256 of a canonical form, JSON with sorted keys. Fields that equal their default are left out, so that a
field which a later version adds changes no digest of a request without it. Images are their digests: bytes inside the
request and an artifact of the same bytes are equal. tests/core/test_fingerprint.py has a list of digests: a server
compares digests that an earlier version wrote.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from celeste_image.core.edits import AnyEdit
from celeste_image.core.image import ImageInput
from celeste_image.core.request import ImageRequest, RequestOptions

__all__ = ["fingerprint", "fingerprint_here"]

FORM = "celeste request 1"
"""Name of the form, a part of each digest."""
LEFT_OUT = frozenset({"inline_limit_bytes", "preview_count", "labels", "cache_mode", "unknown"})
"""Fields of the options that change how a result is delivered, counted or looked up, and not what is made."""
INLINE_BYTES = 256 << 10
"""Bytes of images up to which the digest is made at once, in at most 0.3 ms. More are hashed in a thread."""


async def fingerprint(request: ImageRequest) -> bytes:
    """Returns the digest of a request, 32 bytes; see `fingerprint_here`. Many bytes are hashed in a thread."""
    unhashed = sum(len(image.data) for _, image in request.images() if not image.facts)
    if unhashed <= INLINE_BYTES:
        return fingerprint_here(request)
    return await asyncio.to_thread(fingerprint_here, request)


def fingerprint_here(request: ImageRequest) -> bytes:
    """Returns the digest of a request, 32 bytes, in this thread: it hashes images whose facts are unknown.

    An image that is not loaded counts as its bytes, its artifact, or the digest that comes with its URI. A URI without
    a digest counts as the URI itself: what it leads to is unknown.
    """
    form = [FORM, request.kind.value, _canonical(request)]
    return hashlib.sha256(json.dumps(form, sort_keys=True, separators=(",", ":")).encode()).digest()


def _canonical(value: Any) -> Any:
    """Returns a value of a request as JSON; equal values have the same text."""
    match value:
        case ImageInput():
            return _image(value)
        case AnyEdit():
            return {value.field: _fields(value)}
        case Mapping():
            return {str(key): _canonical(each) for key, each in value.items()}
        case list() | tuple():
            return [_canonical(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return _fields(value) if is_dataclass(value) else value


def _fields(value: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass that differ from their defaults."""
    left_out = LEFT_OUT if isinstance(value, RequestOptions) else ()
    told = {}
    for known in fields(value):
        item = getattr(value, known.name)
        if known.name in left_out or item == _default(known):
            continue
        form = _canonical(item)
        if form or not is_dataclass(item):  # options may differ in nothing but fields that are left out
            told[known.name] = form
    return told


def _default(known: Field[Any]) -> Any:
    return known.default if known.default_factory is MISSING else known.default_factory()


def _image(image: ImageInput) -> dict[str, str]:
    if image.facts:
        return {"sha256": image.facts.sha256}
    if image.data:
        return {"sha256": hashlib.sha256(image.data).hexdigest()}
    if image.artifact:
        return {"sha256": image.artifact.rpartition("-")[2]}
    return {"sha256": image.sha256} if image.sha256 else {"uri": image.uri}
