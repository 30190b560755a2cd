"""A tiny diffusion model behind a real server. It draws noise, with the same code as a large model."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from tests.support import pictures
from tests.support.model_hub import TINY
from tests.support.servers import Running, running, workers

from celeste_image.providers.local.models.diffusion import describe
from celeste_image.providers.local.weights import hub
from celeste_image.v1 import (
    EditRequest,
    GenerateRequest,
    ImageInput,
    ImageServiceStub,
    ListModelsRequest,
    ModelServiceStub,
    OperationEvent,
    Size,
    StreamRequest,
)
from celeste_image.v1 import edit_pb2 as edits
from celeste_image.v1 import model_service_pb2 as model_pb
from celeste_image.v1 import operation_pb2 as pb
from celeste_image.v1.image_pb2 import Mask

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENGINE = "engines.diffusion"
SMALL = Size(width=64, height=64)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELESTE_MODELS_DIR", str(tmp_path_factory.mktemp("models")))
        hub.add_folder("tiny", TINY, ready=describe)
        async with running() as server:
            yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(server: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


def asked(request: GenerateRequest | EditRequest, **options: float) -> StreamRequest:
    request.options.provider_options["local"].update(options)
    stream = StreamRequest()
    (stream.operation.generate if isinstance(request, GenerateRequest) else stream.operation.edit).CopyFrom(request)
    return stream


async def events(channel: grpc.aio.Channel, request: StreamRequest) -> list[OperationEvent]:
    return [response.event async for response in ImageServiceStub(channel).Stream(request, timeout=60)]


def phases(found: list[OperationEvent]) -> list[str]:
    return [event.progress.phase for event in found if event.HasField("progress")]


async def drawn(channel: grpc.aio.Channel, prompt: str, **fields: object) -> pb.OperationResult:
    given = {"size": SMALL, "seed": 5, "prompt": prompt} | fields
    return (await ImageServiceStub(channel).Generate(GenerateRequest(**given), timeout=60)).result  # type: ignore[arg-type]


async def test_it_is_the_default_and_tells_each_step(channel: grpc.aio.Channel) -> None:
    request = GenerateRequest(prompt="a red fox", size=Size(width=96, height=64), seed=5)
    request.options.preview_count = 1
    found = await events(channel, asked(request, steps=6))
    result = found[-1].completed.result
    assert result.model == "local/tiny"
    image = result.images[0]
    assert (image.width, image.height, image.seed) == (96, 64, 5)
    assert np.asarray(pictures.opened(image.data)).std() > 5
    assert [phase for phase in phases(found) if phase.startswith("step")] == [f"step {n} of 6" for n in range(1, 7)]
    fractions = [event.progress.fraction for event in found if event.HasField("progress")]
    assert fractions == sorted(fractions)
    kinds = [(event.WhichOneof("kind"), event.progress.phase) for event in found]
    place = kinds.index(("preview", ""))
    assert kinds[place - 1] == ("progress", "step 3 of 6")
    assert kinds[place + 1] == ("progress", "step 4 of 6")
    (preview,) = [event.preview for event in found if event.HasField("preview")]
    assert pictures.opened(preview.data).size == (96, 64)


async def test_seed_and_words_make_the_picture(channel: grpc.aio.Channel) -> None:
    first, again = await drawn(channel, "a red fox"), await drawn(channel, "a red fox")
    assert first.images[0].sha256 == again.images[0].sha256
    others = [await drawn(channel, "a red fox", seed=6), await drawn(channel, "the sea")]
    assert len({first.images[0].sha256, *(other.images[0].sha256 for other in others)}) == 3


async def test_two_at_once_have_seeds_in_a_row(channel: grpc.aio.Channel) -> None:
    result = await drawn(channel, "a red fox", count=2)
    assert [image.seed for image in result.images] == [5, 6]
    assert result.images[0].sha256 == (await drawn(channel, "a red fox")).images[0].sha256


async def test_guidance_and_what_not_to_show(channel: grpc.aio.Channel) -> None:
    def line(result: pb.OperationResult, path: str) -> pb.FidelityLine:
        return next(line for line in result.fidelity if line.path == path)

    request = GenerateRequest(prompt="a red fox", negative_prompt="the sea", size=SMALL, seed=5)
    digests = set()
    for guidance in (1.0, 4.0):
        found = await events(channel, asked(request, guidance=guidance, steps=3))
        result = found[-1].completed.result
        digests.add(result.images[0].sha256)
        outcome = line(result, "negative_prompt").outcome
        assert outcome == (pb.FIDELITY_OUTCOME_HONORED if guidance > 1 else pb.FIDELITY_OUTCOME_ADJUSTED)
        assert line(result, 'options.provider_options["local"].guidance').outcome == pb.FIDELITY_OUTCOME_HONORED
    request.negative_prompt = "a red fox in the sea"
    digests.add((await events(channel, asked(request, guidance=4.0, steps=3)))[-1].completed.result.images[0].sha256)
    assert len(digests) == 3


async def test_sizes_are_whole_cells(channel: grpc.aio.Channel) -> None:
    result = await drawn(channel, "a red fox", size=Size(width=70, height=61))
    image = result.images[0]
    assert (image.width % 8, image.height % 8) == (0, 0)
    (line,) = [line for line in result.fidelity if line.path == "size"]
    assert line.outcome == pb.FIDELITY_OUTCOME_ADJUSTED
    for wrong, path in ({"steps": 0}, "steps"), ({"guidance": 31}, "guidance"), ({"stepps": 3}, "stepps"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await events(channel, asked(GenerateRequest(prompt="a", size=SMALL), **wrong))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert path in (caught.value.details() or "")


@pytest.mark.alone
async def test_cancelling_at_step_2_of_20_stops_within_one_step(channel: grpc.aio.Channel) -> None:
    request = asked(
        GenerateRequest(prompt="a red fox", size=Size(width=160, height=160), seed=1), steps=20, guidance=2.0
    )
    call = ImageServiceStub(channel).Stream(request)
    steps = []
    async for response in call:
        if response.event.progress.phase.startswith("step"):
            steps.append(response.event.progress.phase)
        if len(steps) == 2:
            (pid,) = workers(ENGINE)
            call.cancel()
            break
    assert steps == ["step 1 of 20", "step 2 of 20"]
    async with asyncio.timeout(1):
        while pid in workers(ENGINE):
            await asyncio.sleep(0.005)
    assert (await drawn(channel, "a red fox")).images


async def test_a_picture_is_drawn_anew(channel: grpc.aio.Channel) -> None:
    source = pictures.photo(64)
    far = []
    for strength in (0.25, 1.0):
        edit = edits.InstructEdit(prompt="a red fox", strength=strength)
        request = EditRequest(model="local/tiny", image=ImageInput(data=source), instruct=edit, seed=5)
        found = await events(channel, asked(request, steps=8))
        result = found[-1].completed.result
        made, before = (np.asarray(pictures.opened(data), float) for data in (result.images[0].data, source))
        assert made.shape == before.shape
        far.append(made)
        assert [p for p in phases(found) if p.startswith("step")][
            -1
        ] == f"step {int(8 * strength)} of {int(8 * strength)}"
    assert np.abs(far[0] - far[1]).mean() > 1


async def test_a_large_picture_keeps_its_size(channel: grpc.aio.Channel) -> None:
    edit = edits.InstructEdit(prompt="a red fox")
    request = EditRequest(model="local/tiny", image=ImageInput(data=pictures.plain(700, 300)), instruct=edit)
    found = await events(channel, asked(request, steps=2))
    image = found[-1].completed.result.images[0]
    assert (image.width, image.height) == (700, 300)
    assert "resized back" in next(event.warning.message for event in found if event.HasField("warning"))


async def test_only_what_the_mask_marks_is_painted(channel: grpc.aio.Channel) -> None:
    source, box = pictures.photo(64), (16, 8, 48, 40)
    mask = Image.new("L", (64, 64))
    mask.paste(255, box)
    edit = edits.InpaintEdit(mask=Mask(image=ImageInput(data=pictures.encoded(mask))), prompt="the sea")
    request = EditRequest(model="local/tiny", image=ImageInput(data=source), inpaint=edit, seed=5)
    result = (await events(channel, asked(request, steps=3)))[-1].completed.result
    made, before = (np.asarray(pictures.opened(data).convert("RGB"), int) for data in (result.images[0].data, source))
    marked = np.asarray(mask) > 0
    assert (made[~marked] == before[~marked]).all()
    assert np.abs(made - before)[marked].mean() > 10
    (line,) = [line for line in result.fidelity if line.path == "inpaint.pixel_lock"]
    assert line.measured.struct_value["inside_difference"] > 10


async def test_it_is_listed_beside_what_can_be_pulled(channel: grpc.aio.Channel) -> None:
    response = await ModelServiceStub(channel).ListModels(ListModelsRequest())
    models = {model.id: model for model in response.models}
    tiny, turbo = models["local/tiny"], models["local/sd-turbo"]
    assert (tiny.state, turbo.state) == (model_pb.MODEL_STATE_READY, model_pb.MODEL_STATE_WEIGHTS_MISSING)
    assert (tiny.evidence, turbo.evidence) == (model_pb.MODEL_EVIDENCE_PUBLISHER,) * 2
    assert list(tiny.default_for) == [pb.OPERATION_KIND_GENERATE, pb.OPERATION_KIND_EDIT]
    assert list(models["local/compose"].default_for) == []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await drawn(channel, "a red fox", model="local/sd-turbo")
    assert "celeste models pull local/sd-turbo" in (caught.value.details() or "")


async def test_without_one_the_composer_is_the_default(models: Path) -> None:
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        assert (await drawn(channel, "a red fox")).model == "local/compose"


async def test_a_damaged_model_fails_with_the_command_that_mends_it(models: Path) -> None:
    hub.add_folder("tiny", TINY, ready=describe)
    file = models / "tiny" / "unet" / "openvino_model.xml"
    file.write_bytes(b"x" * file.stat().st_size)
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drawn(channel, "a red fox")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "do not load" in (caught.value.details() or "")
