"""What the local engines make of photographs, through the API, by numbers that a copy or a resize would fail."""

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from tests.support import pictures

from celeste_image.v1 import EditRequest, GetModelRequest, ImageInput, ImageServiceStub, ModelServiceStub, StreamRequest
from celeste_image.v1 import edit_pb2 as edits
from celeste_image.v1 import operation_pb2 as pb
from celeste_image.v1.image_pb2 import Mask

pytestmark = pytest.mark.asyncio(loop_scope="module")

Values = NDArray[np.float64]
Box = tuple[int, int, int, int]

PHOTOS = pictures.PHOTO.parent / "photos"
COFFEE = (PHOTOS / "coffee.jpg").read_bytes()
CAT = (PHOTOS / "cat.jpg").read_bytes()
STRICT = pb.RequestOptions(strictness=pb.STRICTNESS_STRICT)


def values(picture: Image.Image, box: Box | None = None) -> Values:
    return np.asarray(picture.crop(box) if box else picture).astype(np.float64)


def given(data: bytes) -> ImageInput:
    return ImageInput(data=data)


async def made(channel: grpc.aio.Channel, request: EditRequest) -> tuple[Image.Image, pb.OperationResult]:
    request.options.inline_limit_bytes = 2_000_000
    result = (await ImageServiceStub(channel).Edit(request)).result
    return pictures.opened(result.images[0].data), result


def line(result: pb.OperationResult, path: str) -> pb.FidelityLine:
    (found,) = [line for line in result.fidelity if line.path == path]
    return found


async def refused(channel: grpc.aio.Channel, request: EditRequest) -> tuple[grpc.aio.AioRpcError, list[str]]:
    """Returns the error of a request, and the events before it."""
    seen = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for response in ImageServiceStub(channel).Stream(StreamRequest(operation=pb.Operation(edit=request))):
            seen.append(response.event.WhichOneof("kind"))
    return caught.value, seen


def edges(picture: Image.Image) -> Values:
    """How steep a picture is, coarsely: a style draws its own fine strokes."""
    gray = values(picture.convert("L").filter(ImageFilter.GaussianBlur(4)))
    return np.hypot(*np.gradient(gray))


def correlation(one: Values, other: Values) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


STYLED = {
    "named": lambda: edits.RestyleEdit(style="starry-night"),
    "picture": lambda: edits.RestyleEdit(style_image=given(COFFEE)),
}


@pytest.mark.parametrize("style", STYLED)
async def test_restyling_changes_the_colors_and_keeps_the_structure(channel: grpc.aio.Channel, style: str) -> None:
    picture, result = await made(channel, EditRequest(image=given(CAT), restyle=STYLED[style]()))
    source = pictures.opened(CAT)
    assert (result.model, picture.size) == ("local/restyle", source.size)
    before, after = (np.concatenate([v.mean((0, 1)), v.std((0, 1))]) for v in map(values, (source, picture)))
    assert np.abs(after - before).max() > 20
    assert correlation(edges(source), edges(picture)) > 0.5
    assert line(result, "restyle").measured.struct_value["worked_at"]["width"] in (source.width, 384)


async def test_strength_blends_from_the_picture_itself(channel: grpc.aio.Channel) -> None:
    source = pictures.opened(pictures.photo(96))
    request = EditRequest(image=given(pictures.photo(96)), restyle=edits.RestyleEdit(style="ember"))
    apart = []
    for strength in (0, 0.25, 0.5, 1):
        request.restyle.strength = strength
        apart.append(np.abs(values((await made(channel, request))[0]) - values(source)).mean())
    assert apart[0] == 0
    assert apart[1:3] == pytest.approx([apart[3] / 4, apart[3] / 2], rel=0.02)
    request.restyle.ClearField("strength")
    assert np.abs(values((await made(channel, request))[0]) - values(source)).mean() == apart[3]


async def test_the_styles_are_on_the_card(channel: grpc.aio.Channel) -> None:
    model = (await ModelServiceStub(channel).GetModel(GetModelRequest(model="local/restyle"))).model
    (style,) = [parameter for parameter in model.parameters if parameter.path == "restyle.style"]
    names = list(style.choice.values)
    assert len(names) == len(set(names)) == 26
    error, _ = await refused(channel, EditRequest(image=given(CAT), restyle=edits.RestyleEdit(style="cubist")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert all(name in str(error.details()) for name in names)


async def test_restyling_by_words_alone_is_refused(channel: grpc.aio.Channel) -> None:
    error, seen = await refused(channel, EditRequest(image=given(CAT), restyle=edits.RestyleEdit(prompt="as a stamp")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ignores the prompt" in str(error.details())
    assert "progress" not in seen


@pytest.mark.parametrize(
    ("photo", "subject", "background"),
    [
        (COFFEE, [(190, 60, 380, 200), (150, 250, 180, 330)], [(0, 0, 60, 80), (540, 0, 600, 80), (0, 340, 40, 400)]),
        (
            pictures.PHOTO.read_bytes(),
            [(200, 30, 260, 160), (100, 260, 200, 400)],
            [(330, 0, 512, 250), (0, 0, 100, 60)],
        ),
    ],
    ids=["coffee", "astronaut"],
)
async def test_a_cut_out_has_the_subject_and_not_the_background(
    channel: grpc.aio.Channel, photo: bytes, subject: list[Box], background: list[Box]
) -> None:
    request = EditRequest(image=given(photo), remove_background=edits.RemoveBackgroundEdit())
    picture, result = await made(channel, request)
    source = pictures.opened(photo)
    assert (result.model, picture.size, picture.mode) == ("local/u2netp", source.size, "RGBA")
    alpha = picture.getchannel("A")
    assert min(values(alpha, box).mean() for box in subject) > 250
    assert max(values(alpha, box).mean() for box in background) < 1
    assert np.array_equal(values(picture.convert("RGB")), values(source.convert("RGB")))
    foreground = line(result, "remove_background").measured.struct_value["foreground"]
    assert foreground == pytest.approx(values(alpha).mean() / 255, abs=0.001)


async def test_nothing_in_front_is_said(channel: grpc.aio.Channel) -> None:
    request = EditRequest(image=given(pictures.plain(96, 96)), remove_background=edits.RemoveBackgroundEdit())
    found = line((await made(channel, request))[1], "remove_background")
    assert found.outcome == pb.FIDELITY_OUTCOME_ADJUSTED
    assert "nothing stands out" in found.message


async def test_a_background_is_a_color_a_picture_or_a_scene(channel: grpc.aio.Channel) -> None:
    async def replaced(seed: int = 3, **by: object) -> tuple[Image.Image, pb.OperationResult]:
        edit = edits.ReplaceBackgroundEdit(**by)
        return await made(channel, EditRequest(image=given(COFFEE), seed=seed, replace_background=edit))

    corner, cup = (0, 0, 60, 80), (200, 80, 360, 180)
    source = pictures.opened(COFFEE).convert("RGB")
    yellow, _ = await replaced(prompt="#ffcc00")
    assert np.abs(values(yellow, corner) - (255, 204, 0)).max() == 0
    cat, _ = await replaced(background=given(CAT))
    expected = pictures.opened(CAT).resize((602, 400), Image.Resampling.LANCZOS)
    assert np.abs(values(cat, corner) - values(expected, (1, 0, 61, 80))).mean() < 3
    scene, result = await replaced(prompt="a beach at sunset with a flumph")
    again, _ = await replaced(prompt="a beach at sunset with a flumph")
    other, _ = await replaced(prompt="a beach at sunset with a flumph", seed=4)
    assert result.images[0].seed == 3
    assert scene.tobytes() == again.tobytes() != other.tobytes()
    assert "flumph" in line(result, "replace_background.prompt").message
    assert len(np.unique(values(scene, corner).reshape(-1, 3), axis=0)) > 100
    for picture in (yellow, cat, scene):
        assert (picture.mode, picture.size) == ("RGB", source.size)
        assert np.abs(values(picture, cup) - values(source, cup)).mean() < 2


async def test_a_prompt_beside_a_background_is_not_used(channel: grpc.aio.Channel) -> None:
    edit = edits.ReplaceBackgroundEdit(prompt="a beach", background=given(CAT))
    request = EditRequest(image=given(pictures.photo(96)), replace_background=edit)
    assert line((await made(channel, request))[1], "replace_background.prompt").outcome == pb.FIDELITY_OUTCOME_ADJUSTED
    request.options.MergeFrom(STRICT)
    error, seen = await refused(channel, request)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "progress" not in seen


async def test_strict_refuses_words_that_are_not_understood_before_the_cut(channel: grpc.aio.Channel) -> None:
    edit = edits.ReplaceBackgroundEdit(prompt="a beach with a flumph")
    request = EditRequest(image=given(pictures.photo(96)), replace_background=edit, options=STRICT)
    stream = StreamRequest(operation=pb.Operation(edit=request))
    phases = []
    with pytest.raises(grpc.aio.AioRpcError, match="flumph"):
        async for response in ImageServiceStub(channel).Stream(stream):
            phases.append(response.event.progress.phase)
    assert "cut out" not in phases


@pytest.mark.parametrize("mode", ["L", "RGBA"])
async def test_a_background_of_another_mode(channel: grpc.aio.Channel, mode: str) -> None:
    back = Image.new("RGB", (40, 40), "green").convert(mode)
    if mode == "RGBA":
        back.putalpha(100)
    edit = edits.ReplaceBackgroundEdit(background=given(pictures.encoded(back)))
    picture, _ = await made(channel, EditRequest(image=given(COFFEE), replace_background=edit))
    assert picture.mode == ("RGB" if mode == "L" else "RGBA")
    behind = picture.getpixel((2, 2)), back.convert(picture.mode).getpixel((0, 0))
    assert np.abs(np.subtract(*behind)).max() <= 1
    cup, source = picture.convert("RGB").getpixel((280, 130)), pictures.opened(COFFEE).getpixel((280, 130))
    assert np.abs(np.subtract(cup, source)).max() <= 2


async def test_an_inpainted_square_beats_the_mean_color_around_it(channel: grpc.aio.Channel) -> None:
    """On stripes; on cloth and grain no filling beats the mean by this measure."""
    data, box = pictures.PHOTO.read_bytes(), (20, 150, 60, 190)
    photo = pictures.opened(data).convert("RGB")
    left, top, right, bottom = box
    mask = Mask(image=given(pictures.mask(*photo.size, box)))
    inpaint = edits.InpaintEdit(mask=mask, prompt="more of the same")
    picture, result = await made(channel, EditRequest(image=given(data), seed=7, inpaint=inpaint))
    wide = (left - 8, top - 8, right + 8, bottom + 8)
    ring = np.ones((56, 56), bool)
    ring[8:-8, 8:-8] = False
    plain = values(photo, wide)[ring].mean(axis=0)
    mean, filled = (np.mean((values(photo, box) - fill) ** 2) for fill in (plain, values(picture, box)))
    assert 10 * np.log10(mean / filled) > 8
    assert line(result, "inpaint.prompt").outcome == pb.FIDELITY_OUTCOME_DROPPED
    assert line(result, "inpaint").measured.struct_value["method"] == "patchmatch"


async def test_strict_refuses_a_prompt_that_is_not_read_before_any_work(channel: grpc.aio.Channel) -> None:
    mask = Mask(image=given(pictures.mask(96, 96, (8, 8, 20, 20))), feather=2)
    inpaint = edits.InpaintEdit(mask=mask, prompt="a cat")
    error, seen = await refused(channel, EditRequest(image=given(pictures.photo(96)), inpaint=inpaint, options=STRICT))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "inpaint.prompt" in str(error.details())
    assert not {"progress", "image"} & set(seen)


async def test_a_scratch_is_mended_by_telea(channel: grpc.aio.Channel) -> None:
    mask = Mask(image=given(pictures.mask(96, 96, (10, 40, 80, 43))))
    erase = edits.EraseEdit(mask=mask)
    _, result = await made(channel, EditRequest(image=given(pictures.photo(96)), erase=erase, options=STRICT))
    assert line(result, "erase").measured.struct_value["method"] == "telea"
    assert line(result, "erase").outcome == pb.FIDELITY_OUTCOME_HONORED


@pytest.mark.parametrize(
    ("mode", "model"),
    [
        (pb.UPSCALE_MODE_FAST, "local/realesrgan-animevideov3"),
        (pb.UPSCALE_MODE_CONSERVATIVE, "local/realesrgan-x4plus"),
    ],
)
async def test_the_mode_chooses_the_upscaler(channel: grpc.aio.Channel, mode: int, model: str) -> None:
    request = pb.UpscaleRequest(image=given(pictures.photo(24)), factor=3, mode=mode)
    result = (await ImageServiceStub(channel).Upscale(request)).result
    assert (result.model, result.images[0].width) == (model, 72)
    assert pictures.opened(result.images[0].data).size == (72, 72)
    assert line(result, "mode").outcome == pb.FIDELITY_OUTCOME_HONORED


async def test_real_esrgan_is_no_resize_and_no_invention(channel: grpc.aio.Channel) -> None:
    async def upscaled(data: bytes, model: str) -> Image.Image:
        request = pb.UpscaleRequest(image=given(data), factor=4, model=model)
        request.options.inline_limit_bytes = 2_000_000
        return pictures.opened((await ImageServiceStub(channel).Upscale(request)).result.images[0].data)

    edge = Image.new("L", (96, 96), 60)
    edge.paste(190, (48, 0, 96, 96))
    soft = pictures.encoded(edge.filter(ImageFilter.GaussianBlur(1.2)).convert("RGB"))
    network, classic = "local/realesrgan-animevideov3", "local/lanczos"
    steepest = [np.diff(values((await upscaled(soft, model)).convert("L"))[192]).max() for model in (network, classic)]
    assert steepest[0] > 1.5 * steepest[1]
    again = (await upscaled(pictures.photo(96), network)).resize((96, 96), Image.Resampling.BOX)
    apart = values(again) - values(pictures.opened(pictures.photo(96)))
    assert 10 * np.log10(255**2 / np.mean(apart**2)) >= 30


async def test_no_local_upscaler_invents(channel: grpc.aio.Channel) -> None:
    request = pb.UpscaleRequest(image=given(pictures.photo(24)), factor=3, mode=pb.UPSCALE_MODE_CREATIVE)
    with pytest.raises(grpc.aio.AioRpcError, match="mode: must be one of fast") as caught:
        await ImageServiceStub(channel).Upscale(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
