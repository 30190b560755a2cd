"""What images say of themselves: kept, stripped, or with the recipe, which `Analyze` reads back."""

import uuid
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from google.protobuf import json_format
from tests.support import pictures
from tests.support.servers import Running, running

from celeste_image.v1 import (
    ANALYSIS_KIND_METADATA,
    OUTPUT_METADATA_KEEP,
    OUTPUT_METADATA_STRIP,
    STRICTNESS_STRICT,
    AnalyzeRequest,
    FidelityLine,
    GenerateRequest,
    ImageInput,
    ImageMetadata,
    ImageOutput,
    ImageServiceStub,
    OperationResult,
    RequestOptions,
    Size,
    UpscaleRequest,
)
from celeste_image.v1 import operation_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = 'a red fox, "quoted" & <odd>\nand 雪'
SIZE = Size(width=128, height=96)


async def generated(channel: grpc.aio.Channel, count: int = 1, **options: object) -> OperationResult:
    request = GenerateRequest(
        request_id=str(uuid.uuid4()),
        prompt=PROMPT,
        negative_prompt="rain",
        seed=(1 << 64) - 1,
        count=count,
        size=SIZE,
        options=RequestOptions(**options),  # type: ignore[arg-type]
    )
    return (await ImageServiceStub(channel).Generate(request)).result


async def metadata(channel: grpc.aio.Channel, image: ImageOutput) -> ImageMetadata:
    request = AnalyzeRequest(image=ImageInput(artifact=image.artifact), kinds=[ANALYSIS_KIND_METADATA])
    return (await ImageServiceStub(channel).Analyze(request)).result.analysis.metadata


def lines(result: OperationResult) -> dict[str, FidelityLine]:
    return {line.path: line for line in result.fidelity if line.path.startswith("options.")}


async def test_the_recipe_reads_back_and_no_pixel_changes(channel: grpc.aio.Channel) -> None:
    plain, told = await generated(channel), await generated(channel, embed_recipe=True)
    assert lines(told)["options.embed_recipe"].outcome == pb.FIDELITY_OUTCOME_HONORED
    assert not lines(plain)
    before, after = (pictures.opened(result.images[0].data) for result in (plain, told))
    assert before.tobytes() == after.tobytes()
    assert plain.images[0].sha256 != told.images[0].sha256
    assert not (await metadata(channel, plain.images[0])).entries, "nothing is added when nobody asked"

    found = await metadata(channel, told.images[0])
    made = found.generation
    assert (made.tool, made.prompt, made.negative_prompt) == ("celeste", PROMPT, "rain")
    assert (made.seed, made.model) == ((1 << 64) - 1, "local/compose")
    more = json_format.MessageToDict(made.more)
    assert (more["request_id"], more["operation"], more["size"]) == (told.request_id, "generate", "128x96")
    assert more["software"].startswith("Celeste ")
    entries = {(e.group, e.name): e.value.string_value for e in found.entries}
    assert entries["xmp", "Iptc4xmpExt:DigitalSourceType"].endswith("/algorithmicMedia"), "it is no trained model"
    assert entries["png", "parameters"].startswith(f"{PROMPT}\nNegative prompt: rain\nSeed: {(1 << 64) - 1}, ")


async def test_each_of_several_has_its_own_seed(channel: grpc.aio.Channel) -> None:
    result = await generated(channel, count=2, embed_recipe=True)
    seeds = [(await metadata(channel, image)).generation.seed for image in result.images]
    assert seeds == [image.seed for image in result.images] == [(1 << 64) - 1, 0]


async def test_an_upscale_names_its_source(channel: grpc.aio.Channel) -> None:
    source = ImageInput(data=pictures.photo(32))
    request = UpscaleRequest(model="local/lanczos", image=source, factor=2, options=RequestOptions(embed_recipe=True))
    result = (await ImageServiceStub(channel).Upscale(request)).result
    made = (await metadata(channel, result.images[0])).generation
    assert (made.model, made.HasField("seed")) == ("local/lanczos", False)
    assert json_format.MessageToDict(made.more)["sources"] == list(result.images[0].parents)


async def test_an_analysis_makes_none(channel: grpc.aio.Channel) -> None:
    request = AnalyzeRequest(image=ImageInput(data=pictures.plain(8, 8)), kinds=[ANALYSIS_KIND_METADATA])
    request.options.embed_recipe = False
    result = (await ImageServiceStub(channel).Analyze(request)).result
    assert lines(result)["options.embed_recipe"].outcome == pb.FIDELITY_OUTCOME_DROPPED
    request.options.strictness = STRICTNESS_STRICT
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ImageServiceStub(channel).Analyze(request)
    assert "options.embed_recipe" in (caught.value.details() or "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def telling() -> AsyncIterator[Running]:
    """A server whose operator wants recipes in images, and nothing else."""
    async with running(images={"output_metadata": "strip", "embed_recipe": True}) as server:
        yield server


async def test_the_operators_choice_is_a_default_and_told(telling: Running) -> None:
    async with grpc.aio.insecure_channel(telling.address) as channel:
        result = await generated(channel)
        assert {path: line.outcome for path, line in lines(result).items()} == {
            "options.output_metadata": pb.FIDELITY_OUTCOME_DEFAULTED,
            "options.embed_recipe": pb.FIDELITY_OUTCOME_DEFAULTED,
        }
        assert lines(result)["options.output_metadata"].sent.string_value == "strip"
        assert (await metadata(channel, result.images[0])).generation.tool == "celeste"
        other = await generated(channel, embed_recipe=False, output_metadata=OUTPUT_METADATA_KEEP)
        assert not (await metadata(channel, other.images[0])).entries
        assert {line.outcome for line in lines(other).values()} == {pb.FIDELITY_OUTCOME_HONORED}


async def test_stripping_what_has_nothing_changes_nothing(channel: grpc.aio.Channel) -> None:
    plain, bare = await generated(channel), await generated(channel, output_metadata=OUTPUT_METADATA_STRIP)
    assert plain.images[0].sha256 == bare.images[0].sha256
