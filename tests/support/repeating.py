"""Callers that repeat a request with the same id until they know its outcome, and write down all that they see."""

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

import grpc
from tests.support.callers import bearer
from tests.support.history import REUSED, UNKNOWN, Call, History
from tests.support.proxies import CuttingProxy

from celeste_image.client import AsyncClient
from celeste_image.core.errors import ArtifactDamaged, CelesteError
from celeste_image.v1 import GenerateRequest, ImageServiceStub
from celeste_image.wire.status import DETAILS, error_from_trailers

__all__ = ["Caller", "Fault", "read_images"]

HEALING = frozenset({"DEADLINE_EXCEEDED", "CANCELLED"})
"""Reasons of errors of one call, not of its request: a repeat with more time may see something else."""
CALL_SECONDS = 20.0
PAUSE_SECONDS = 0.25
"""Longest pause before a repeat, while a server may be starting."""
GIVE_UP_SECONDS = 90.0
ALONE = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
"""Options of a channel with a connection of its own, on which gRPC repeats nothing by itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call on its way.

    Attributes:
        cut_after: Bytes from the server after which the connection is cut; None for no cut.
        seconds: The caller's timeout.
    """

    cut_after: int | None = None
    seconds: float = CALL_SECONDS


class Caller:
    """The callers of some tenants, at some servers.

    Args:
        addresses: The servers. A call goes to one of them, drawn by `draw`.
        keys: The key of each tenant.
        history: Gets each call.
        draw: Draws the servers.
    """

    def __init__(
        self, addresses: Sequence[str], keys: Mapping[str, str], history: History, draw: random.Random | None = None
    ) -> None:
        self._addresses, self._keys, self._history = addresses, keys, history
        self._draw = draw or random.Random(0)

    async def call(self, tenant: str, request: GenerateRequest, fault: Fault | None = None) -> Call:
        """Makes one call, and returns what its caller saw."""
        fault = fault or Fault()
        address = self._draw.choice(self._addresses)
        seen = Call(tenant, request.request_id, body_of(request), time.monotonic(), 0, address, max(1, request.count))
        try:
            async with _way_to(address, fault) as way, grpc.aio.insecure_channel(way, options=ALONE) as channel:
                stub = ImageServiceStub(channel)
                response = await stub.Generate(request, metadata=bearer(self._keys[tenant]), timeout=fault.seconds)
        except grpc.aio.AioRpcError as error:
            reason, is_final = read_failure(error)
            seen = replace(seen, reason=reason, is_final=is_final)
        else:
            seen = replace(seen, images=tuple(image.artifact.rpartition("-")[2] for image in response.result.images))
        seen = replace(seen, end=time.monotonic())
        self._history.calls.append(seen)
        return seen

    async def finish(self, tenant: str, request: GenerateRequest, faults: Sequence[Fault] = ()) -> Call:
        """Repeats a request until its outcome is final. The first calls have faults. Raises TimeoutError."""
        waiting = list(faults)
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while True:
                seen = await self.call(tenant, request, waiting.pop(0) if waiting else None)
                if seen.is_final:
                    return seen
                await asyncio.sleep(PAUSE_SECONDS * self._draw.random())


def body_of(request: GenerateRequest) -> str:
    """Returns the fingerprint of a request without its id."""
    bare = GenerateRequest()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()[:16]


def read_failure(error: grpc.aio.AioRpcError) -> tuple[str, bool]:
    """Returns the reason of a failed call, and whether a repeat has to see the same.

    A failure without a reason of the server is a lost connection or a timeout of the caller.
    """
    trailers = error.trailing_metadata() or ()
    if not any(key == DETAILS for key, _ in trailers):
        return f"LOST: {error.code().name}", False
    found = error_from_trailers(error.code(), error.details() or "", trailers)
    if found.reason == UNKNOWN:
        return found.reason, found.metadata.get("final") == "true"
    return found.reason, found.reason == REUSED or not (found.retryable or found.reason in HEALING)


async def read_images(address: str, keys: Mapping[str, str], history: History) -> None:
    """Reads each image that a caller saw, as each tenant, and writes down what that gave."""
    images = sorted({image for call in history.calls for image in call.images})
    for tenant, key in keys.items():
        async with AsyncClient(address, api_key=key) as client:
            for image in images:
                history.reads[tenant, image] = await _read(client, image)


async def _read(client: AsyncClient, image: str) -> str:
    """Returns the SHA-256 of an image's bytes; empty if it can't be read."""
    try:
        return hashlib.sha256(await client.read(f"artifacts/sha256-{image}")).hexdigest()
    except ArtifactDamaged:
        return "damaged"
    except CelesteError:
        return ""


@contextlib.asynccontextmanager
async def _way_to(address: str, fault: Fault) -> AsyncIterator[str]:
    """Yields the address by which a server is reached: its own, or that of a proxy that cuts the connection."""
    if fault.cut_after is None:
        yield address
        return
    async with CuttingProxy(address, [fault.cut_after]) as proxy:
        yield proxy.address
