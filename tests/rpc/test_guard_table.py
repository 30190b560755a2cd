"""Each kind of odd, bad and malicious picture through a server: read rightly, or refused for what it is."""

import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from PIL import Image
from tests.support.hostile_images import KINDS, Kind
from tests.support.pictures import opened
from tests.support.servers import Running, running, workers

from celeste_image.v1 import ANALYSIS_KIND_METADATA, AnalyzeRequest, ImageInput, ImageServiceStub, UpscaleRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOUND = [kind for kind in KINDS if not kind.reason]
REFUSED = [kind for kind in KINDS if kind.reason]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Running]:
    """A server with one decoder, which all of them share: it must be there at the end."""
    async with running(images={"decoders": 1}) as server:
        yield server


def difference(image: Image.Image, kind: Kind) -> dict[str, object]:
    found = {}
    for (x, y), expected in kind.pixels.items():
        got = image.getpixel((x % image.width, y % image.height))
        values = got if isinstance(got, tuple) else (got,)
        wanted, tolerance = expected, kind.tolerance
        if len(expected) == 4:  # the engine weighs colors by alpha: what is not seen loses its own, others a little
            wanted = expected if expected[3] else (0, 0, 0, 0)
            tolerance = max(2, tolerance)
        if len(values) != len(wanted) or max(abs(a - b) for a, b in zip(values, wanted, strict=True)) > tolerance:
            found[f"{x}, {y}"] = (values, expected)
    return found


async def refusal(channel: grpc.aio.Channel, data: bytes) -> tuple[str, str, list[str], str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ImageServiceStub(channel).Analyze(
            AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=data))
        )
    info, bad, status = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), status_pb2.Status()
    for key, value in caught.value.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    fields = [violation.field for violation in bad.field_violations]
    return caught.value.code().name, info.reason, fields, caught.value.details() or ""


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.what)
async def test_it_is_refused_for_what_it_is(channel: grpc.aio.Channel, kind: Kind) -> None:
    code, reason, fields, text = await refusal(channel, kind.make())
    assert (code, reason, fields) == ("INVALID_ARGUMENT", kind.reason, ["image"])
    assert kind.words in text


@pytest.mark.parametrize("kind", SOUND, ids=lambda kind: kind.what)
async def test_it_is_read_rightly(channel: grpc.aio.Channel, kind: Kind) -> None:
    data = kind.make()
    images = ImageServiceStub(channel)
    analyze = AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=data))
    facts = (await images.Analyze(analyze)).result.analysis.metadata
    assert facts.size_bytes == len(data)
    if kind.size != (0, 0):
        assert (facts.width, facts.height) == kind.size
    request = UpscaleRequest(model="local/lanczos", image=ImageInput(data=data), factor=1)
    (output,) = (await images.Upscale(request)).result.images
    picture = opened(output.data)
    assert picture.size == (facts.width, facts.height)
    assert not difference(picture, kind)
    assert picture.info == {}, "what an engine makes has nothing of what came with its source"
    assert output.data.rstrip()[-12:] == base64.b64decode("AAAAAElFTkSuQmCC"), "nor of what came behind it"


async def test_a_picture_that_ends_decoders_is_refused_by_name(server: Running, channel: grpc.aio.Channel) -> None:
    digest = hashlib.sha256(b"deadly").hexdigest()
    server.app.guard.losses[digest] = 2
    code, reason, fields, text = await refusal(channel, b"deadly")
    assert (code, reason, fields) == ("INVALID_ARGUMENT", "IMAGE_REFUSED", ["image"])
    assert "two decoders" in text
    del server.app.guard.losses[digest]


async def test_no_decoder_was_lost(server: Running, channel: grpc.aio.Channel) -> None:
    images = ImageServiceStub(channel)
    await images.Analyze(AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=SOUND[-1].make())))
    before = workers("imaging.guard_engine")
    assert len(before) == 1
    for kind in KINDS[::7]:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await images.Analyze(AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=kind.make())))
    assert workers("imaging.guard_engine") == before
    assert not server.app.guard.losses
