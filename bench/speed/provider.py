"""Fake image provider: OpenAI's image route, answered from memory with a different PNG each time.

    .venv/bin/python -m bench.speed.provider [--port 0]

The prompt says what comes back: `small-0` is a PNG of about 30 KB at once, `big-100` one of 1.6 MB after 100 ms. Each
image has a text chunk with a number of its own, so that no store and no cache knows its digest. `GET /stats` tells how
many requests came, and how many were open at once. The first line on standard output is the port.
"""

import argparse
import asyncio
import base64
import functools
import io
import json
import random
import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import cast

from PIL import Image

__all__ = ["Images", "Provider", "png", "serve"]

WISH = re.compile(rb"\b(small|big)-(\d{1,5})\b")
COUNT = re.compile(rb'"n"\s*:\s*(\d+)')
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)")
HEADER_BYTES = 33
"""A PNG's signature and its IHDR chunk; the number comes after them. A multiple of three, as base64 wants."""
NUMBER_BYTES = 30
USAGE = b'"usage":{"input_tokens":10,"output_tokens":1056,"total_tokens":1066}}'


@functools.cache
def png(kind: str) -> bytes:
    """Returns a PNG of noise, which hardly compresses, like a photograph: `small` has 256 pixels a side, `big` 1024."""
    # Two levels, the brighter one rarer, make 30 KB; sixteen levels make 1.6 MB.
    side, levels = {
        "small": (256, bytes(255 * (value >= 180) for value in range(256))),
        "big": (1024, bytes(17 * (value >> 4) for value in range(256))),
    }[kind]
    noise = random.Random(7).randbytes(side * side * 3).translate(levels)
    data = io.BytesIO()
    Image.frombytes("RGB", (side, side), noise).save(data, "PNG", compress_level=6)
    return data.getvalue()


def numbered(number: int) -> bytes:
    """Returns a PNG text chunk of `NUMBER_BYTES` with a number."""
    body = b"tEXt" + b"number\0%011d" % number
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


class Images:
    """Answers of one kind, each with a number that no other has."""

    def __init__(self, kind: str) -> None:
        data = png(kind)
        self._before = b'{"b64_json":"' + base64.b64encode(data[:HEADER_BYTES])
        self._after = base64.b64encode(data[HEADER_BYTES:]) + b'"}'
        self._next = 0

    def answer(self, count: int) -> list[bytes]:
        """Returns the parts of a body with so many images."""
        parts = [b'{"created":1750000000,"data":[']
        for index in range(count):
            self._next += 1
            parts += [b"," if index else b"", self._before, base64.b64encode(numbered(self._next)), self._after]
        return [*parts, b"],", USAGE]


@dataclass
class Provider:
    """The answers, and what was asked for."""

    images: dict[str, Images] = field(default_factory=lambda: {kind: Images(kind) for kind in ("small", "big")})
    requests: int = 0
    open: int = 0
    most_open: int = 0

    def stats(self) -> bytes:
        return json.dumps({"requests": self.requests, "most_open": self.most_open}).encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1, as much as clients of the image route need."""

    transport: asyncio.Transport

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own

    def data_received(self, data: bytes) -> None:
        self._received += data
        while request := self._request():
            self._answer(*request)

    def _request(self) -> tuple[bytes, bytes] | None:
        """Returns head and body of the next request, once it is whole. A chunked body stays in its chunks."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head, start = bytes(self._received[:end]), end + 4
        low = head.lower()
        if b"transfer-encoding: chunked" in low:
            # The line break before the last chunk belongs to the head, if the body is empty.
            found = self._received.find(b"\r\n0\r\n\r\n", start - 2)
            end = found + 7
        else:
            length = LENGTH.search(low)
            end = start + (int(length[1]) if length else 0)
            found = end if len(self._received) >= end else -1
        if found < 0:
            return None
        body = bytes(self._received[start:end])
        del self._received[:end]
        return head, body

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/stats"):
            return self._send([self._provider.stats()])
        if not path.endswith(b"/images/generations"):
            return self._send([b'{"object":"list","data":[]}'])
        wish, count = WISH.search(body), COUNT.search(body)
        if wish is None:
            return self._send(
                [b'{"error":{"message":"the prompt has no size and delay, such as small-0"}}'], b"400 Bad"
            )
        parts = self._provider.images[wish[1].decode()].answer(max(1, min(10, int(count[1]))) if count else 1)
        self._provider.requests += 1
        self._provider.open += 1
        self._provider.most_open = max(self._provider.most_open, self._provider.open)
        if milliseconds := int(wish[2]):
            asyncio.get_running_loop().call_later(milliseconds / 1000, self._finish, parts)
        else:
            self._finish(parts)
        return None

    def _finish(self, parts: list[bytes]) -> None:
        self._provider.open -= 1
        if not self.transport.is_closing():
            self._send(parts)

    def _send(self, parts: list[bytes], status: bytes = b"200 OK") -> None:
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.transport.writelines([head % (status, sum(map(len, parts))), *parts])


async def serve(port: int = 0) -> asyncio.Server:
    """Starts the provider on a port of this machine; 0 means a free one."""
    provider = Provider()
    return await asyncio.get_running_loop().create_server(lambda: Connection(provider), "127.0.0.1", port, backlog=4096)


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=0)
    server = await serve(arguments.parse_args().port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
