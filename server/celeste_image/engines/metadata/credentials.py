"""Finds content credentials (C2PA): whether a file has them, and which generator and source type they declare.

The credentials are not verified and no address is fetched. Their place in a file follows the C2PA specification 2.1,
appendix A (embedding).
"""

import re
from collections.abc import Iterator
from typing import Any

from celeste_image.imaging.parts import parts_of

__all__ = ["find_credentials"]

AVIF_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
GENERATOR, INFO = b"\x6fclaim_generator", b"\x74claim_generator_info"
"""The CBOR keys of the claim with the generator: texts of 15 and 20 bytes with their length byte in front."""
SOURCE_TYPE = re.compile(rb"cv\.iptc\.org/newscodes/digitalsourcetype/(\w{1,60})")
NEAR = 200
"""The name is expected within this number of bytes of the generator's info."""
MAX_NAME = 500


def find_credentials(data: bytes, remote_uri: str) -> dict[str, Any] | None:
    """Returns the fields of ContentCredentials, None if the file has none and `remote_uri` is empty."""
    store = b"".join(_stores(data))
    if not store and not remote_uri:
        return None
    kinds = SOURCE_TYPE.findall(store)
    return {
        "generator": _generator(store),
        "digital_source_type": kinds[-1].decode() if kinds else "",
        "size_bytes": len(store),
        "remote_uri": remote_uri[:2000],
    }


def _stores(data: bytes) -> Iterator[bytes]:
    """Yields the pieces of the manifest store, a JUMBF box."""
    png, jpeg = data.startswith(b"\x89PNG"), data.startswith(b"\xff\xd8")
    started = False
    for part in parts_of(data):
        body = data[part.body : part.stop]
        if png and part.kind == b"caBX":
            yield body
        elif jpeg and part.kind == b"\xeb" and body[:2] == b"JP":
            # Each segment begins with 8 bytes that number the piece; then the box's header follows, in every segment.
            if started or (body[12:16] == b"jumb" and b"c2pa" in body[:80]):
                yield body[16:] if started else body[8:]
                started = True
        elif part.kind == b"C2PA" and data.startswith(b"RIFF"):
            yield body
        elif part.kind == b"uuid" and body.startswith(AVIF_UUID):
            yield body[16:]


def _generator(store: bytes) -> str:
    """Returns the generator of the last claim, which is the active one; empty if it is absent or unreadable."""
    info = store.rfind(INFO)
    if info >= 0:
        window = store[info : info + NEAR]
        name = window.find(b"\x64name")
        if name >= 0 and (text := _cbor_text(window, name + 5)):
            return text
    at = store.rfind(GENERATOR)
    return _cbor_text(store, at + len(GENERATOR)) if at >= 0 else ""


def _cbor_text(data: bytes, at: int) -> str:
    """Returns the CBOR text at an offset, empty for other types and beyond MAX_NAME bytes."""
    head = data[at : at + 3]
    if not head:
        return ""
    if 0x60 <= head[0] <= 0x77:
        size, start = head[0] - 0x60, at + 1
    elif head[0] == 0x78 and len(head) > 1:
        size, start = head[1], at + 2
    elif head[0] == 0x79 and len(head) > 2:
        size, start = int.from_bytes(head[1:3], "big"), at + 3
    else:
        return ""
    whole = size <= MAX_NAME and start + size <= len(data)
    return data[start : start + size].decode("utf-8", "replace") if whole else ""
