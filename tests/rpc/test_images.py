"""What callers get: results, streams, bytes inline or by name, the same picture for the same seed."""

import hashlib
import uuid

import grpc
import pytest
from tests.support import pictures

from celeste_image.v1 import (
    ANALYSIS_KIND_METADATA,
    AnalyzeRequest,
    ArtifactServiceStub,
    GenerateRequest,
    ImageInput,
    ImageOutput,
    ImageServiceStub,
    OperationResult,
    ReadArtifactRequest,
    RequestOptions,
    Size,
    StreamRequest,
    UpscaleRequest,
)
from celeste_image.v1 import operation_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEFAULT_LIMIT = 4 << 20


async def read(channel: grpc.aio.Channel, image: ImageOutput) -> bytes:
    if image.data:
        return image.data
    request = ReadArtifactRequest(name=image.artifact)
    return b"".join([r.chunk.data async for r in ArtifactServiceStub(channel).ReadArtifact(request)])


def check(image: ImageOutput, data: bytes) -> None:
    """Holds what is said of an image against its bytes."""
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert image.artifact == f"artifacts/sha256-{image.sha256}"
    assert image.size_bytes == len(data)
    picture = pictures.opened(data)
    assert (image.width, image.height) == picture.size
    assert image.media_type == picture.get_format_mimetype()


def outcome(result: OperationResult, path: str) -> str:
    (line,) = [line for line in result.fidelity if line.path == path]
    return pb.FidelityOutcome.Name(line.outcome).removeprefix("FIDELITY_OUTCOME_")


async def test_generate(channel: grpc.aio.Channel) -> None:
    request_id = str(uuid.uuid4())
    request = GenerateRequest(request_id=request_id, prompt="two red apples", seed=7, size=Size(width=320, height=200))
    result = (await ImageServiceStub(channel).Generate(request)).result
    (image,) = result.images
    check(image, image.data)
    assert (image.width, image.height, image.seed, image.index) == (320, 200, 7, 0)
    assert (result.request_id, result.model) == (request_id, "local/compose")
    assert {line.path: outcome(result, line.path) for line in result.fidelity} == {
        "prompt": "HONORED",
        "seed": "HONORED",
        "size": "HONORED",
    }
    assert result.usage.images == 1
    assert result.usage.compute_time.ToMilliseconds() > 0


async def test_what_was_left_open_is_said(channel: grpc.aio.Channel) -> None:
    result = (await ImageServiceStub(channel).Generate(GenerateRequest(prompt="a boat"))).result
    assert uuid.UUID(result.request_id)
    assert outcome(result, "seed") == outcome(result, "size") == "DEFAULTED"
    (seed,) = [line.sent.number_value for line in result.fidelity if line.path == "seed"]
    assert seed == result.images[0].seed


async def test_the_same_seed_gives_the_same_bytes_and_another_another(channel: grpc.aio.Channel) -> None:
    stub = ImageServiceStub(channel)
    digests = []
    for seed in (5, 5, 6):
        request = GenerateRequest(prompt="a castle on a hill", seed=seed, size=Size(width=256, height=256))
        digests.append((await stub.Generate(request)).result.images[0].sha256)
    assert digests[0] == digests[1] != digests[2]


async def test_several_images_have_following_seeds(channel: grpc.aio.Channel) -> None:
    request = GenerateRequest(prompt="a tree", seed=(1 << 64) - 1, count=3, size=Size(width=128, height=128))
    result = (await ImageServiceStub(channel).Generate(request)).result
    assert [(image.index, image.seed) for image in result.images] == [(0, (1 << 64) - 1), (1, 0), (2, 1)]
    assert len({image.sha256 for image in result.images}) == 3


async def test_an_unknown_field_is_dropped_and_said_so(channel: grpc.aio.Channel) -> None:
    request = GenerateRequest(prompt="a tree", size=Size(width=128, height=128))
    request.size.MergeFromString(b"\xa0\x38\x01")
    result = (await ImageServiceStub(channel).Generate(request)).result
    assert outcome(result, "size.#900") == "DROPPED"


async def test_analyze(channel: grpc.aio.Channel) -> None:
    data = pictures.PHOTO.read_bytes()
    result = (
        await ImageServiceStub(channel).Analyze(
            AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=data))
        )
    ).result
    metadata = result.analysis.metadata
    assert (metadata.media_type, metadata.width, metadata.height) == ("image/jpeg", 512, 512)
    assert metadata.sha256 == hashlib.sha256(data).hexdigest()
    entries = {(entry.group, entry.name): entry.value.string_value for entry in metadata.entries}
    assert entries["exif", "Artist"] == "NASA"
    assert not result.images


async def test_an_artifact_goes_in_again_by_its_name(channel: grpc.aio.Channel) -> None:
    stub = ImageServiceStub(channel)
    made = (await stub.Generate(GenerateRequest(prompt="a fish", size=Size(width=64, height=64)))).result.images[0]
    request = UpscaleRequest(image=ImageInput(artifact=made.artifact), factor=2, model="local/lanczos")
    larger = (await stub.Upscale(request)).result.images[0]
    assert (larger.width, larger.height) == (128, 128)
    assert list(larger.parents) == [made.sha256]


@pytest.mark.parametrize("limit", [0, 1, None])
async def test_inline_or_by_name(channel: grpc.aio.Channel, limit: int | None) -> None:
    options = RequestOptions() if limit is None else RequestOptions(inline_limit_bytes=limit)
    request = GenerateRequest(prompt="a bird", seed=1, size=Size(width=64, height=64), options=options)
    image = (await ImageServiceStub(channel).Generate(request)).result.images[0]
    assert bool(image.data) == (limit is None)
    check(image, await read(channel, image))


async def test_the_first_images_that_fit_together_come_inline(channel: grpc.aio.Channel) -> None:
    size = Size(width=64, height=64)
    one = (await ImageServiceStub(channel).Generate(GenerateRequest(prompt="a bird", seed=1, size=size))).result
    options = RequestOptions(inline_limit_bytes=int(one.images[0].size_bytes * 1.5))
    request = GenerateRequest(prompt="a bird", seed=1, size=size, count=2, options=options)
    first, second = (await ImageServiceStub(channel).Generate(request)).result.images
    assert first.data == one.images[0].data
    assert not second.data
    check(second, await read(channel, second))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("inline_limit", [None, (1 << 31) - 1])
async def test_a_default_client_gets_a_png_beyond_its_limit(
    channel: grpc.aio.Channel, streamed: bool, inline_limit: int | None
) -> None:
    options = RequestOptions() if inline_limit is None else RequestOptions(inline_limit_bytes=inline_limit)
    source = ImageInput(data=pictures.noise(600, 600))
    request = UpscaleRequest(image=source, factor=4, model="local/lanczos", options=options)
    if streamed:
        stream = StreamRequest()
        stream.operation.upscale.CopyFrom(request)
        *_, last = [response.event async for response in ImageServiceStub(channel).Stream(stream)]
        result = last.completed.result
    else:
        result = (await ImageServiceStub(channel).Upscale(request)).result
    assert result.ByteSize() < DEFAULT_LIMIT
    (image,) = result.images
    assert image.size_bytes > DEFAULT_LIMIT
    assert not image.data
    check(image, await read(channel, image))


async def test_a_stream_tells_everything_in_order(channel: grpc.aio.Channel) -> None:
    request = StreamRequest()
    request.operation.upscale.CopyFrom(
        UpscaleRequest(
            image=ImageInput(data=pictures.photo(200)),
            factor=4,
            model="local/realesrgan-animevideov3",
            options=RequestOptions(preview_count=2),
        )
    )
    events = [response.event async for response in ImageServiceStub(channel).Stream(request)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert all(event.time.seconds for event in events)
    kinds = [event.WhichOneof("kind") for event in events]
    assert kinds[0] == "started"
    assert kinds[-2:] == ["image", "completed"]
    assert events[0].started.model == "local/realesrgan-animevideov3"
    fractions = [event.progress.fraction for event in events if event.WhichOneof("kind") == "progress"]
    assert len(fractions) >= 4
    assert fractions == sorted(fractions)
    previews = [event.preview for event in events if event.WhichOneof("kind") == "preview"]
    assert len(previews) == 2
    for preview in previews:
        assert len(preview.data) <= 256 << 10
        assert pictures.opened(preview.data).size == (preview.width, preview.height)
    assert events[-2].image.output.sha256 == events[-1].completed.result.images[0].sha256


async def test_a_stream_and_a_unary_call_have_one_result(channel: grpc.aio.Channel) -> None:
    stub = ImageServiceStub(channel)
    generate = GenerateRequest(prompt="a moon over the sea", seed=3, size=Size(width=128, height=64))
    generate.request_id = str(uuid.uuid4())
    unary = (await stub.Generate(generate)).result
    request = StreamRequest()
    request.operation.generate.CopyFrom(generate)
    *_, last = [response.event async for response in stub.Stream(request)]
    streamed = last.completed.result
    assert (unary.source, streamed.source) == (pb.RESULT_SOURCE_MADE, pb.RESULT_SOURCE_REPLAYED)
    for result in (unary, streamed):
        result.ClearField("source")
    assert streamed == unary
