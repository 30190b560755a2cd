"""Odd images through a server: empty masks, files without their end, deep colors, long and narrow shapes."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from PIL import Image
from tests.support.pictures import encoded, photo, plain
from tests.support.servers import Running, running

from celeste_image.v1 import (
    FIDELITY_OUTCOME_ADJUSTED,
    AnalyzeRequest,
    EditRequest,
    EraseEdit,
    ImageInput,
    ImageServiceStub,
    Mask,
    OperationResult,
    UpscaleRequest,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


def gray(*levels: int) -> Image.Image:
    image = Image.new("L", (64, 64))
    image.putdata([levels[index % len(levels)] for index in range(64 * 64)])
    return image


NOTHING = {
    "black": gray(0),
    "0 and 1": gray(0, 1),
    "0 to 16": gray(*range(17)),
    "black RGB": Image.new("RGB", (64, 64)),
    "white, transparent": Image.new("RGBA", (64, 64), (255, 255, 255, 0)),
    "one bit": Image.new("1", (64, 64)),
}


@pytest.mark.parametrize("mask", NOTHING)
async def test_a_mask_that_marks_nothing_is_refused(channel: grpc.aio.Channel, mask: str) -> None:
    erase = EraseEdit(mask=Mask(image=ImageInput(data=encoded(NOTHING[mask], "PNG"))))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ImageServiceStub(channel).Edit(
            EditRequest(model="local/patchmatch", image=ImageInput(data=photo(64)), erase=erase)
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "erase.mask.image" in (caught.value.details() or "")
    assert "values are 0" in (caught.value.details() or "")


async def upscaled(channel: grpc.aio.Channel, data: bytes) -> OperationResult:
    request = UpscaleRequest(model="local/lanczos", image=ImageInput(data=data), factor=2)
    return (await ImageServiceStub(channel).Upscale(request)).result


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (plain(24, 24, "JPEG")[:-2], "the end of its file is missing"),
        (plain(24, 24, "JPEG")[:-1], "the end of its file is missing"),
        (plain(24, 24, "PNG")[:-12], "the end of its file is missing"),
        (encoded(Image.new("I;16", (24, 24), 9), "PNG"), "16 bits a channel"),
    ],
)
async def test_what_work_does_not_keep_is_a_line(channel: grpc.aio.Channel, data: bytes, words: str) -> None:
    result = await upscaled(channel, data)
    (line,) = [line for line in result.fidelity if line.path == "image"]
    assert line.outcome == FIDELITY_OUTCOME_ADJUSTED
    assert words in line.message
    assert result.images[0].width == 48


@pytest.mark.faults
@pytest.mark.parametrize("size", [(1, 40), (40, 1), (1, 100), (10, 1000), (40, 4000), (4000, 40), (400, 16_000)])
async def test_long_and_narrow_images_are_analyzed(channel: grpc.aio.Channel, size: tuple[int, int]) -> None:
    request = AnalyzeRequest(image=ImageInput(data=encoded(Image.new("RGB", size, "white"), "PNG")))
    found = (await ImageServiceStub(channel).Analyze(request, timeout=60)).result.analysis
    assert found.HasField("metadata") and found.HasField("quality") and found.content.colors[0].name == "white"
    assert found.content.left_out == [] or all("memory" not in part.message for part in found.content.left_out)
