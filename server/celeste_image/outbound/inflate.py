"""Inflates compressed answers: some servers and proxies compress although the request asks for `identity`.

Compressed and inflated bytes are counted against the same limit, so a kilobyte can't become half a gigabyte.
"""

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

__all__ = ["Damaged", "inflated", "layers_of"]

MIB: Final = 1 << 20
MOST_LAYERS: Final = 2
"""Compressions of one body, one around the other: a server's, and that of a proxy."""
MOST_MEMBERS: Final = 10_000
"""Parts of gzip data, one behind the other."""
GZIP, DEFLATE, UNSAID = "gzip", "deflate", ""
NAMES: Final = {"gzip": GZIP, "x-gzip": GZIP, "deflate": DEFLATE}
GZIP_MARK: Final = b"\x1f\x8b"
PLAIN: Final = re.compile(rb"[\t\n\r -~]{2}|\xef\xbb|\xfe\xff|\xff\xfe|\x89P|\xff\xd8|[\t\n\r -~]\0|\0[\0-~]")
"""First bytes of texts and images. Some proxies leave `br` in the header of what they inflated, or name a charset."""


class Damaged(Exception):
    """A compressed body is damaged, or is larger than allowed; the text says which."""


def layers_of(encoding: str) -> list[str]:
    """Returns the compressions of a `content-encoding`, the outermost last; of none, one that is seen by its bytes.

    Raises:
        Damaged: There are more than MOST_LAYERS.
    """
    words = [word for each in encoding.split(",") if (word := each.strip().lower()) not in ("", "identity")]
    if len(words) > MOST_LAYERS:
        raise Damaged(f"the answer is compressed more than {MOST_LAYERS} times")
    return [NAMES.get(word, word) for word in words] or [UNSAID]


def inflated(pieces: AsyncGenerator[bytes, None], layers: list[str], most: int) -> AsyncGenerator[bytes, None]:
    """Returns the pieces of a body without its compressions, at most `most` bytes in each layer.

    The first bytes count, not the name: a body that is not compressed after all is passed on as it is. Bytes behind the
    end of the data are dropped.

    Raises:
        Damaged: The data is damaged or too large, or has another form than gzip and deflate. What could be read before
            is yielded first.
    """
    for layer in reversed(layers):
        pieces = _inflated(pieces, layer, most)
    return pieces


async def _inflated(pieces: AsyncGenerator[bytes, None], layer: str, most: int) -> AsyncGenerator[bytes, None]:
    inflater = _Inflater(layer)
    size = 0
    async with aclosing(pieces):
        async for piece in pieces:
            if inflater.is_plain:
                yield piece  # its size was counted before
                continue
            inflater.feed(piece)
            while more := inflater.read():
                if not inflater.is_plain:
                    size += len(more)
                    if size > most:
                        raise Damaged(f"the answer is over {most} bytes after it is inflated")
                    await asyncio.sleep(0)  # other calls go on between two steps
                yield more
        if rest := inflater.rest():
            yield rest
    if not inflater.is_complete:
        raise Damaged("the compressed answer ended early")


class _Inflater:
    """One layer: bytes go in by `feed`, and come out by `read` in steps of at most a MiB."""

    def __init__(self, layer: str) -> None:
        self._layer = layer
        self._waiting = b""
        self._engine: zlib._Decompress | None = None
        self._plain = self._ended = False
        self._members = 1

    @property
    def is_plain(self) -> bool:
        """Whether the data is not compressed."""
        return self._plain

    def rest(self) -> bytes:
        """Returns a body of one byte, if no compression is named: it is too short to be compressed."""
        if self._engine or self._layer != UNSAID:
            return b""
        more, self._waiting = self._waiting, b""
        return more

    @property
    def is_complete(self) -> bool:
        """Whether the data is at its end; data of no bytes is."""
        return self._plain or self._ended or (self._engine is None and not self._waiting)

    def feed(self, piece: bytes) -> None:
        self._waiting += piece

    def read(self) -> bytes:
        """Returns the next bytes; empty until more is fed. Raises Damaged."""
        if self._engine is None and not self._begin():
            return b""
        if self._plain:
            more, self._waiting = self._waiting, b""
            return more
        assert self._engine is not None
        while self._waiting:
            try:
                more = self._engine.decompress(self._waiting, MIB)
            except zlib.error as error:
                raise Damaged("the compressed answer is damaged") from error
            self._waiting = self._engine.unconsumed_tail
            if self._engine.eof:
                self._next_member(self._engine.unused_data)
            if more:
                return more
        return b""

    def _begin(self) -> bool:
        """Chooses how to read the data by its first two bytes; returns whether they are here."""
        if self._plain:
            return True
        if len(self._waiting) < 2:
            return False
        first = self._waiting[:2]
        if first == GZIP_MARK:
            self._engine = zlib.decompressobj(wbits=31)
            return True
        # The word `deflate` stands for zlib's form; some servers send the bare form (RFC 9110 section 8.4.1.2).
        is_zlib = first[0] & 15 == 8 and not int.from_bytes(first, "big") % 31
        if self._layer in (GZIP, DEFLATE) and is_zlib:
            self._engine = zlib.decompressobj(wbits=15)
        elif self._layer == DEFLATE and first[:1] not in (b"{", b"[", b"<"):
            self._engine = zlib.decompressobj(wbits=-15)
        elif self._layer != UNSAID and not PLAIN.match(first):
            name = self._layer if self._layer.isascii() and self._layer.isalnum() else "an unknown form"
            raise Damaged(
                f"the answer is compressed with {name[:20]}, though the request forbids it; only gzip is read"
            )
        else:
            self._plain = True
        return True

    def _next_member(self, rest: bytes) -> None:
        """Goes on with the next member of gzip data; anything else behind the end is dropped."""
        self._ended = True
        self._waiting = rest if rest.startswith(GZIP_MARK) else b""
        self._members += bool(self._waiting)
        if self._members > MOST_MEMBERS:
            raise Damaged(f"the compressed answer has over {MOST_MEMBERS} parts")
        self._engine = zlib.decompressobj(wbits=31)
