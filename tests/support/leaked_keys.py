"""Search for leaked keys: marked keys that occur nowhere else, and a search of all that a server shows or stores.

Vendors here are emulated and hostile: every refusal repeats the key.
"""

import base64
import logging
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web

from celeste_image.core.request import ImageRequest
from celeste_image.emulate import FakeVendor
from celeste_image.emulate.base import Refusal
from celeste_image.v1 import ImageServiceStub, StreamRequest
from celeste_image.wire.requests import request_to_operation
from celeste_image.wire.status import error_from_trailers

__all__ = ["KEYS_OF_VENDORS", "KeySearch", "Listening", "MarkedKey", "hostile", "real_keys_in", "streamed"]

KEYS_OF_VENDORS = {
    "openai": rb"sk-(proj|svcacct|admin)-[\w-]{20,}|sk-[A-Za-z0-9]{48}|T3Blbk" + rb"FJ",
    "anthropic": rb"sk-ant-[\w-]{20,}",
    "google": rb"AIza[\w-]{35}",
    "replicate": rb"r8_[\w-]{37}",
    "hugging face": rb"hf_[A-Za-z]{34}",
    "xai": rb"xai-\w{80}",
    "runway": rb"key_[0-9a-f]{64}",
    "together": rb"tgp_v1_[\w-]{20,}",
    "aws": rb"(AKIA|ASIA)[A-Z2-7]{16}|ABSK[\w+/=]{40,}",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
"""What real keys look like (VENDORS section 8), in bytes."""


def in_base64(data: bytes) -> Iterator[bytes]:
    """Yields the part of some bytes that stays the same in base64, wherever the bytes begin in the encoded text."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data)
        inner = whole[-(-before * 8 // 6) : len(whole) // 4 * 4 - (4 if (before + len(data)) % 3 else 0)]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


class MarkedKey:
    """A random key. `needles` are its random part in halves, in hexadecimal and in base64."""

    def __init__(self, before: str = "sk-") -> None:
        drawn = uuid.uuid4().hex.encode()
        self.key = before + drawn.decode()
        halves = (drawn[:16], drawn[16:])
        self.needles = {*halves, drawn.hex().encode(), *(found for half in halves for found in in_base64(half))}

    def __repr__(self) -> str:
        """Returns a text without the key: pytest prints it."""
        return "MarkedKey()"


@dataclass
class KeySearch:
    """Searches for marked keys, and records how many bytes it searched where, and what it found."""

    canaries: list[MarkedKey]
    found: list[str] = field(default_factory=list)
    looked: dict[str, int] = field(default_factory=dict)

    def look(self, where: str, *things: object) -> None:
        """Searches bytes as they are, and anything else as it prints."""
        for thing in things:
            texts = [thing] if isinstance(thing, bytes) else [str(thing).encode(), repr(thing).encode()]
            self.looked[where] = self.looked.get(where, 0) + sum(map(len, texts))
            for text in texts:
                low = text.lower()
                for number, canary in enumerate(self.canaries):
                    if any(needle in text or needle.lower() in low for needle in canary.needles):
                        self.found.append(f"canary {number} in {where}")

    def look_into(self, where: str, folder: Path) -> None:
        """Searches the names and contents of all files below a folder."""
        for path in self._files(folder):
            self.look(where, path.name, path.read_bytes())

    def look_at(self, where: str, error: BaseException) -> None:
        """Searches an error, its notes and its causes."""
        seen: BaseException | None = error
        while seen is not None:
            self.look(where, seen, seen.args, vars(seen), *getattr(seen, "__notes__", ()))
            seen = seen.__cause__ or seen.__context__

    @staticmethod
    def _files(folder: Path) -> Iterable[Path]:
        return sorted(path for path in folder.rglob("*") if path.is_file())


def real_keys_in(data: bytes) -> list[str]:
    """Returns the vendors whose real keys the bytes seem to contain."""
    return [name for name, pattern in KEYS_OF_VENDORS.items() if re.search(pattern, data)]


def hostile(cls: type[FakeVendor]) -> type[FakeVendor]:
    """Returns a fake vendor that repeats the key in each of its refusals."""

    class Hostile(cls):  # type: ignore[misc, valid-type]
        told = ""

        def _key(self, request: web.Request) -> str:
            key: str = super()._key(request)
            self.told = key
            return key

        def error(self, refusal: Refusal) -> Any:
            text = f"{refusal.text}: Incorrect API key provided: {self.told} (header: Bearer {self.told})"
            return super().error(Refusal(refusal.status, text, refusal.kind, refusal.field))

    return Hostile


async def streamed(sweep: KeySearch, channel: grpc.aio.Channel, request: ImageRequest, seconds: float) -> str:
    """Streams a request, looks at every message and at how it ends; returns the reason, empty when it is done."""
    message = StreamRequest(operation=request_to_operation(request))
    call: Any = ImageServiceStub(channel).Stream(message, timeout=seconds)
    try:
        async for response in call:
            sweep.look("events", response, response.SerializeToString())
    except grpc.aio.AioRpcError as failed:
        sweep.look("statuses", failed.code(), failed.details(), failed.debug_error_string())
        for _, value in failed.trailing_metadata() or ():
            sweep.look("statuses", value)
        error = error_from_trailers(failed.code(), failed.details() or "", failed.trailing_metadata())
        sweep.look("statuses", error, vars(error))
        return error.reason
    return ""


class Listening(logging.Handler):
    """Hears what all libraries log, with their tracebacks."""

    def __init__(self, sweep: KeySearch) -> None:
        super().__init__(logging.DEBUG)
        self._sweep = sweep
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._sweep.look("libraries", self.format(record), record.args)
