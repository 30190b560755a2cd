"""Closed-loop load: so many requests by so many callers, each of whom asks again when its answer has come.

Two programs can drive it. `h2load` (Debian's package nghttp2-client) is written in C and takes a tenth of a Python
client's processor time, so that the figures are the server's. It sees HTTP's status and the sum of bytes, no gRPC
status: an error inside an answer shows as too few bytes. Without h2load, or to check each answer, a Python client does
it, which competes with the server for the processors.
"""

import asyncio
import hashlib
import io
import json
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Literal
from urllib.parse import urlsplit

import aiohttp
import grpc
from PIL import Image

from celeste_image import v1

__all__ = ["Call", "Sample", "check", "checked", "drive", "engine", "parsed", "percentile"]

LONGEST_SECONDS = 600
CONNECTIONS = 4
"""Connections of gRPC callers, who share them; a caller over HTTP/1.1 has one of its own."""
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
FINISHED = re.compile(r"finished in ([\d.]+)(us|ms|s|m|h),")
TRAFFIC = re.compile(r"\((\d+)\) data")


@dataclass(frozen=True)
class Call:
    """How to ask a gateway for an image.

    Attributes:
        kind: `grpc`, or `http` for HTTP/1.1 with JSON.
        path: Path of the URL, or of the gRPC method.
        body: The JSON, or the serialized message.
        least_bytes: A shorter answer holds no image, so it is an error.
        headers: Further HTTP headers.
    """

    kind: Literal["grpc", "http"]
    path: str
    body: bytes
    least_bytes: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Sample:
    """What a run of load saw: seconds of the run, seconds of each good answer, and errors by their names."""

    seconds: float
    latencies: list[float]
    errors: Counter[str]

    def figures(self) -> dict[str, float]:
        """Returns requests a second and latencies in milliseconds."""
        ordered = sorted(self.latencies)
        return {
            "req/s": len(ordered) / self.seconds,
            "p50 ms": 1000 * median(ordered) if ordered else float("nan"),
            "p99 ms": 1000 * percentile(ordered, 0.99),
            "errors": float(self.errors.total()),
        }


def percentile(ordered: list[float], part: float) -> float:
    """Returns the value under which that part of the ordered values lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


def engine() -> str:
    """Returns which program drives the load."""
    return "h2load" if shutil.which("h2load") else "python"


def drive(base: str, call: Call, requests: int, callers: int) -> Sample:
    """Sends so many requests by so many callers. Raises RuntimeError if h2load fails."""
    if engine() == "h2load":
        return _by_h2load(base, call, requests, callers)
    return asyncio.run(_by_python(base, call, requests, callers))


def check(base: str, call: Call, requests: int, callers: int) -> Counter[str]:
    """Does what `checked` does, in a loop of its own."""
    return asyncio.run(checked(base, call, requests, callers))


async def checked(base: str, call: Call, requests: int, callers: int) -> Counter[str]:
    """Reads each of some answers in full. Returns its errors by name: none, if each has a whole image of its own."""
    digests: set[str] = set()

    def look(answer: bytes) -> None:
        data = image_of(call, answer)
        Image.open(io.BytesIO(data)).load()
        digests.add(hashlib.sha256(data).hexdigest())

    sample = await _by_python(base, call, requests, callers, look)
    if repeated := len(sample.latencies) - len(digests):
        sample.errors["the same image again"] += repeated
    return sample.errors


def image_of(call: Call, answer: bytes) -> bytes:
    """Returns the first image of an answer. Raises ValueError or LookupError if there is none."""
    if call.kind == "http":
        return b64decode(json.loads(answer)["data"][0]["b64_json"])
    return v1.GenerateResponse.FromString(answer).result.images[0].data


def _by_h2load(base: str, call: Call, requests: int, callers: int) -> Sample:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body, log = folder / "body", folder / "log"
        framed = b"\0" + len(call.body).to_bytes(4, "big") + call.body
        body.write_bytes(framed if call.kind == "grpc" else call.body)
        command = ["h2load", "-n", str(requests), "-t", "1", "-d", str(body), f"--log-file={log}"]
        headers = dict(call.headers)
        if call.kind == "grpc":
            connections = next(number for number in range(CONNECTIONS, 0, -1) if callers % number == 0)
            # Windows that a megabyte fits, or the answers would wait for the client.
            command += ["-c", str(connections), "-m", str(callers // connections), "-w", "24", "-W", "28"]
            headers |= {"content-type": "application/grpc", "te": "trailers"}
        else:
            command += ["--h1", "-c", str(callers), "-m", "1"]
            headers |= {"content-type": "application/json"}
        for header, value in headers.items():
            command += ["-H", f"{header}: {value}"]
        ran = subprocess.run([*command, base + call.path], capture_output=True, text=True, check=False)
        lines = log.read_text().splitlines() if log.exists() else []
    return parsed(ran.stdout, lines, requests, call.least_bytes)


def parsed(output: str, lines: list[str], requests: int, least_bytes: int) -> Sample:
    """Returns the sample of a run of h2load, from its output and its log: start, status, microseconds.

    If the answers are too short on average, each counts as an error: errors over gRPC have status 200, too.
    """
    finished, traffic = FINISHED.search(output), TRAFFIC.search(output)
    if not finished or not traffic:
        raise RuntimeError(f"h2load failed: {output[-500:]}")
    fields = [line.split() for line in lines]
    latencies = [int(microseconds) / 1e6 for _, status, microseconds in fields if status == "200"]
    errors = Counter(f"status {status}" for _, status, _ in fields if status != "200")
    if missing := requests - len(fields):
        errors["no answer"] += missing
    if int(traffic[1]) < least_bytes * len(latencies):
        errors["no image"] += len(latencies)
        latencies = []
    return Sample(float(finished[1]) * UNITS[finished[2]], latencies, errors)


Ask = Callable[[], Awaitable[bytes]]
Look = Callable[[bytes], None]


async def _by_python(base: str, call: Call, requests: int, callers: int, look: Look | None = None) -> Sample:
    latencies: list[float] = []
    errors: Counter[str] = Counter()
    left = iter(range(requests))

    async def caller(ask: Ask) -> None:
        for _ in left:
            began = time.perf_counter()
            try:
                answer = await ask()
                took = time.perf_counter() - began
                if len(answer) < call.least_bytes:
                    errors["no image"] += 1
                    continue
                if look:
                    look(answer)
                latencies.append(took)
            except grpc.aio.AioRpcError as error:
                errors[f"{error.code().name} {error.details()}"] += 1
            except Exception as error:
                errors[f"{type(error).__name__}: {error}"[:200]] += 1

    async with _asking(base, call, callers) as asks:
        began = time.perf_counter()
        await asyncio.gather(*map(caller, asks))
        return Sample(time.perf_counter() - began, latencies, errors)


@asynccontextmanager
async def _asking(base: str, call: Call, callers: int) -> AsyncIterator[list[Ask]]:
    """Opens connections, and gives each caller a function that asks once. It raises ValueError for an HTTP error."""
    if call.kind == "http":
        timeout = aiohttp.ClientTimeout(total=LONGEST_SECONDS)
        headers = call.headers | {"content-type": "application/json"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

            async def post() -> bytes:
                async with session.post(base + call.path, data=call.body, headers=headers) as response:
                    answer = await response.read()
                    if response.status != 200:
                        raise ValueError(f"status {response.status} {answer[:150]!r}")
                    return answer

            yield [post] * callers
        return
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    place, metadata = urlsplit(base), tuple(call.headers.items())
    trust = None
    if place.scheme == "https":  # the certificate that is there is the one to trust
        pem = ssl.get_server_certificate((place.hostname or "", place.port or 0))
        trust = grpc.ssl_channel_credentials(pem.encode())
    channels = [
        grpc.aio.secure_channel(place.netloc, trust, options)
        if trust
        else grpc.aio.insecure_channel(place.netloc, options)
        for _ in range(min(CONNECTIONS, callers))
    ]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        methods = [channel.unary_unary(call.path) for channel in channels]
        ask = (partial(method, call.body, metadata=metadata, timeout=LONGEST_SECONDS) for method in cycle(methods))
        yield list(islice(ask, callers))
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
