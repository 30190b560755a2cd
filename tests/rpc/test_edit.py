"""The Edit RPC with the engine that users get."""

import grpc
import pytest
from PIL import Image, ImageChops
from tests.support import pictures

from celeste_image.v1 import EditRequest, ImageInput, ImageServiceStub, StreamRequest
from celeste_image.v1 import edit_pb2 as edits
from celeste_image.v1 import operation_pb2 as pb
from celeste_image.v1.image_pb2 import Mask

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = pictures.photo(96)


def mask(*box: int) -> Mask:
    image = Image.new("L", (96, 96))
    image.paste(255, (box[0], box[1], box[2], box[3]))
    return Mask(image=ImageInput(data=pictures.encoded(image)))


async def test_erase(channel: grpc.aio.Channel) -> None:
    box = (20, 30, 40, 44)
    request = EditRequest(image=ImageInput(data=SOURCE), seed=3, erase=edits.EraseEdit(mask=mask(*box)))
    result = (await ImageServiceStub(channel).Edit(request)).result
    (image,) = result.images
    assert (result.model, image.seed, len(image.parents)) == ("local/patchmatch", 3, 2)
    changed = ImageChops.difference(pictures.opened(image.data), pictures.opened(SOURCE)).getbbox()
    assert changed
    assert changed[0] >= box[0]
    assert changed[1] >= box[1]
    assert changed[2] <= box[2]
    assert changed[3] <= box[3]


async def test_outpaint_streams_real_progress(channel: grpc.aio.Channel) -> None:
    edit = EditRequest(image=ImageInput(data=SOURCE), outpaint=edits.OutpaintEdit(left=40, top=8, prompt="sky"))
    request = StreamRequest(operation=pb.Operation(edit=edit))
    events = [response.event async for response in ImageServiceStub(channel).Stream(request)]
    fractions = [event.progress.fraction for event in events if event.HasField("progress")]
    assert fractions == sorted(fractions)
    assert len(fractions) == 1 + 1 + 3 + 2
    result = events[-1].completed.result
    assert (result.images[0].width, result.images[0].height) == (136, 104)
    (line,) = [line for line in result.fidelity if line.path == "outpaint.prompt"]
    assert line.outcome == pb.FIDELITY_OUTCOME_DROPPED


async def test_what_no_local_model_does_is_refused(channel: grpc.aio.Channel) -> None:
    instruct = edits.InstructEdit(prompt="a cat")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ImageServiceStub(channel).Edit(EditRequest(image=ImageInput(data=SOURCE), instruct=instruct))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
