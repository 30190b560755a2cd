"""Vendors through a running server and real sockets: one call each, from gRPC to the wire and back."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tests.support import pictures
from tests.support.hosts import VendorHost, listening, reply, says
from tests.support.recordings import KEY
from tests.support.servers import Running, running

from celeste_image.client import AsyncClient
from celeste_image.core.edits import Erase, Inpaint, Instruct, Mask, Polarity, RemoveBackground
from celeste_image.core.errors import (
    InvalidRequest,
    ModelRetired,
    OutcomeUnknown,
    ProviderCredentials,
    ProviderFailed,
    SafetyBlocked,
    Violation,
)
from celeste_image.core.events import Completed, Preview, Retrying, Submitted, Warned
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.request import Edit, Generate, OperationKind, OutputMetadata, RequestOptions, Upscale
from celeste_image.core.result import OperationResult

RESULT = pictures.plain(1024, 1024)
SOURCE = ImageInput(data=pictures.photo(128))


def vendor(fake: VendorHost, name: str, path: str = "", **more: Any) -> Any:
    table = {"base_url": fake.host.url + path, "allow_private": True, "key": KEY, **more}
    return running(providers={name: table})


async def result_of(server: Running, request: Any) -> tuple[Any, list[Any]]:
    async with AsyncClient(server.address) as client:
        events = [event async for event in client.stream(request, timeout=30)]
    assert isinstance(events[-1], Completed)
    return events[-1].result, events


B64 = base64.b64encode(RESULT).decode()


async def test_openai() -> None:
    fake = VendorHost({"/v1/images/generations": [says({"created": 1, "data": [{"b64_json": B64}]})]})
    async with listening(fake.host), vendor(fake, "openai", "/v1") as server:
        request = Generate(model="openai/gpt-image-2", prompt="a boat", size=Size(1024, 1024))
        result, _ = await result_of(server, request)
    (image,) = result.images
    assert (image.width, image.height, image.media_type) == (1024, 1024, "image/png")
    assert json.loads(fake.host.asked[0].body)["model"] == "gpt-image-2"
    assert fake.host.asked[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_vendors_words_are_taken_out_and_the_recipe_is_written() -> None:
    info = PngInfo()
    info.add_text("Comment", "a vendor's words")
    data = pictures.encoded(pictures.opened(RESULT), "PNG", pnginfo=info)
    answer = {"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()}]}
    fake = VendorHost({"/v1/images/generations": [says(answer)]})
    async with listening(fake.host), vendor(fake, "openai", "/v1") as server:
        options = RequestOptions(output_metadata=OutputMetadata.STRIP, embed_recipe=True)
        request = Generate(model="openai/gpt-image-2", prompt="a boat", size=Size(1024, 1024), options=options)
        result, _ = await result_of(server, request)
        async with AsyncClient(server.address) as client:
            made = pictures.opened(await client.read(result.images[0]))
    assert made.tobytes() == pictures.opened(RESULT).tobytes()
    assert "Comment" not in made.info
    assert made.info["parameters"].startswith("a boat\nSize: 1024x1024, Model: openai/gpt-image-2, Version: Celeste ")
    assert b"trainedAlgorithmicMedia" in made.info["xmp"]
    told = {line.path: line.outcome for line in result.fidelity if line.path.startswith("options.")}
    assert told == {"options.output_metadata": "honored", "options.embed_recipe": "honored"}


async def test_another_size_than_asked_is_measured_and_said() -> None:
    fake = VendorHost({"/v1/images/generations": [says({"created": 1, "data": [{"b64_json": B64}]})]})
    async with listening(fake.host), vendor(fake, "openai", "/v1") as server:
        request = Generate(model="openai/gpt-image-2", prompt="a boat", size=Size(1536, 1024))
        result, _ = await result_of(server, request)
    (line,) = [line for line in result.fidelity if line.path == "size"]
    assert line.outcome == "adjusted"
    assert line.measured == {"width": 1024, "height": 1024}


async def test_gemini() -> None:
    parts = [{"text": "Here."}, {"inlineData": {"mimeType": "image/png", "data": B64}}]
    answer = says({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]})
    fake = VendorHost({"/v1/models/gemini-2.5-flash-image:generateContent": [answer]})
    async with listening(fake.host), vendor(fake, "gemini", "/v1") as server:
        request = Edit(model="gemini/gemini-2.5-flash-image", image=SOURCE, edit=Instruct("make it blue"))
        result, _ = await result_of(server, request)
    assert len(result.images) == 1
    assert fake.host.asked[0].headers["x-goog-api-key"] == KEY


async def test_stability() -> None:
    answer = says({"image": B64, "finish_reason": "SUCCESS", "seed": 42})
    fake = VendorHost({"/v2beta/stable-image/edit/remove-background": [answer]})
    async with listening(fake.host), vendor(fake, "stability", "/v2beta") as server:
        async with AsyncClient(server.address) as client:
            models = [
                model.id
                async for model in client.models(full=True)
                if model.provider == "stability" and "remove_background" in model.edits
            ]
        request = Edit(model=models[0], image=SOURCE, edit=RemoveBackground())
        result, _ = await result_of(server, request)
    assert len(result.images) == 1


async def test_stability_as_a_job_is_asked_for_as_often_as_the_operator_says() -> None:
    fake = VendorHost(
        {
            "/v2beta/stable-image/upscale/creative": [says({"id": "a" * 64})],
            f"/v2beta/results/{'a' * 64}": [
                says({"id": "a" * 64, "status": "in-progress"}, "202 Accepted"),
                says({"errors": ["busy"], "name": "busy"}, "503 Service Unavailable"),
                says({"result": B64, "finish_reason": "SUCCESS", "seed": 42}),
            ],
        }
    )
    async with listening(fake.host), vendor(fake, "stability", "/v2beta", poll_seconds=0.01) as server:
        request = Upscale(model="stability/upscale-creative", image=SOURCE, factor=4.0, prompt="a boat")
        result, events = await result_of(server, request)
    assert [image.seed for image in result.images] == [42]
    assert [event for event in events if isinstance(event, Submitted)]
    assert [asked.line.split()[0] for asked in fake.host.asked] == ["POST", "GET", "GET", "GET"]


async def test_black_forest_labs_is_polled_and_its_result_fetched_without_the_key() -> None:
    fake = VendorHost({})
    async with listening(fake.host):
        url = fake.host.url
        fake.answers = {
            "/v1/flux-pro-1.1": [says({"id": "task-1", "polling_url": f"{url}/v1/get_result?id=task-1"})],
            "/v1/get_result": [
                says({"id": "task-1", "status": "Pending", "progress": 0.4}),
                says({"id": "task-1", "status": "Ready", "result": {"sample": f"{url}/files/out.png", "seed": 7}}),
            ],
            "/files/out.png": [reply("200 OK", RESULT, "image/png")],
        }
        async with vendor(fake, "bfl", poll_seconds=0.01) as server:
            request = Generate(model="bfl/flux-pro-1.1", prompt="a boat", size=Size(1024, 1024))
            result, events = await result_of(server, request)
    assert len(result.images) == 1
    assert [event for event in events if isinstance(event, Submitted)]
    assert fake.paths.count("/v1/flux-pro-1.1") == 1
    fetch = fake.host.asked[fake.paths.index("/files/out.png")]
    assert KEY not in str(fetch.headers)


async def test_a_rate_limit_is_waited_for_and_said() -> None:
    limited = says({"error": {"message": "slow", "type": "requests"}}, "429 Too Many Requests", "retry-after-ms: 20")
    fake = VendorHost({"/v1/images/generations": [limited, says({"created": 1, "data": [{"b64_json": B64}]})]})
    async with listening(fake.host), vendor(fake, "openai", "/v1") as server:
        result, events = await result_of(server, Generate(model="openai/gpt-image-2", prompt="a boat"))
    assert len(result.images) == 1
    (retrying,) = [event for event in events if isinstance(event, Retrying)]
    assert (retrying.reason, retrying.next_try) == ("PROVIDER_RATE_LIMITED", 2)


async def test_what_was_sent_and_not_answered_is_not_sent_again() -> None:
    fake = VendorHost({"/v1/images/generations": [reply("200 OK", b"{")]})
    async with listening(fake.host), vendor(fake, "openai", "/v1") as server:
        with pytest.raises(OutcomeUnknown) as caught:
            await result_of(server, Generate(model="openai/gpt-image-2", prompt="a boat"))
    assert len(fake.host.asked) == 1
    assert KEY not in str(caught.value)


async def test_refusals_have_their_own_classes() -> None:
    blocked = says({"error": {"message": "no", "code": "moderation_blocked"}}, "400 Bad Request")
    denied = says({"error": {"message": f"bad key {KEY}", "code": "invalid_api_key"}}, "401 Unauthorized")
    fake = VendorHost({"/v1/images/generations": [blocked, denied]})
    async with listening(fake.host), vendor(fake, "openai", "/v1") as server:
        for expected in (SafetyBlocked, ProviderCredentials):
            with pytest.raises(expected) as caught:
                await result_of(server, Generate(model="openai/gpt-image-2", prompt="a boat"))
            assert KEY not in str(caught.value)
        with pytest.raises(ModelRetired) as retired:
            await result_of(server, Generate(model="openai/dall-e-3", prompt="a boat"))
    assert retired.value.metadata["replacement"]


async def test_a_server_without_keys_says_so_and_draws_by_itself() -> None:
    async with running() as server:
        assert server.app.registry.default(OperationKind.GENERATE).id == "local/compose"
        with pytest.raises(ProviderCredentials):
            await result_of(server, Generate(model="openai/gpt-image-2", prompt="a boat"))


async def test_a_compatible_server_is_configuration_alone() -> None:
    fake = VendorHost({"/v1/images/generations": [says({"created": 1, "data": [{"b64_json": B64}]})]})
    more = {"kind": "compatible", "models": [{"id": "qwen-image", "sizes": ["1024x1024"]}]}
    async with listening(fake.host), vendor(fake, "studio", "/v1", **more) as server:
        result, events = await result_of(server, Generate(model="studio/qwen-image", prompt="a boat"))
    assert result.model == "studio/qwen-image"
    assert not [event for event in events if isinstance(event, Preview)]


HOLE = (32, 32, 96, 96)
MASK = Mask(ImageInput(data=pictures.mask(128, 128, HOLE)))


def turned() -> Image.Image:
    return pictures.opened(SOURCE.data).rotate(180)


def painted() -> Image.Image:
    image = pictures.opened(pictures.encoded(pictures.opened(SOURCE.data), "JPEG", quality=75))
    image.paste("teal", HOLE)
    return image


def edited(image: Image.Image) -> bytes:
    """Returns what the vendor makes of the source, larger than it, as GPT Image does."""
    data = pictures.encoded(image.resize((1024, 1024)))
    return says({"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()}]})


async def stored(server: Running, result: OperationResult) -> Image.Image:
    async with AsyncClient(server.address) as client:
        return pictures.opened(await client.read(result.images[0])).convert("RGB")


def lines_of(result: OperationResult) -> dict[str, FidelityLine]:
    return {line.path: line for line in result.fidelity}


IGNORED = "the provider also changed pixels outside the mask, which "


@pytest.mark.parametrize(
    ("made", "lock", "outcome", "note"),
    [
        (painted, None, "defaulted", ""),
        (painted, False, "honored", ""),
        (turned, True, "adjusted", IGNORED + "were restored"),
        (turned, False, "adjusted", IGNORED + "stay as it made them"),
    ],
)
async def test_what_a_vendor_does_outside_of_a_mask_is_measured_and_undone(
    made: Callable[[], Image.Image], lock: bool | None, outcome: str, note: str
) -> None:
    fake = VendorHost({"/v1/images/edits": [edited(made())]})
    async with listening(fake.host), vendor(fake, "openai", "/v1") as server:
        request = Edit(model="openai/gpt-image-2", image=SOURCE, edit=Inpaint(MASK, "a door", lock))
        result, events = await result_of(server, request)
        image = await stored(server, result)
    line = lines_of(result)["inpaint.pixel_lock"]
    assert (line.outcome, line.asked, line.message) == (outcome, lock, note)
    assert set(line.measured) == {"outside_difference", "inside_difference"}
    assert (line.measured["outside_difference"] > 30) == bool(note)
    warned = [event.text for event in events if isinstance(event, Warned) and event.path == line.path]
    assert warned == [note] * bool(note)
    if lock is False:
        assert image.size == (1024, 1024)
        return
    rest, source = image, pictures.opened(SOURCE.data).copy()
    assert rest.getpixel((64, 64)) != source.getpixel((64, 64))
    for picture in (rest, source):
        picture.paste("black", HOLE)
    assert rest.tobytes() == source.tobytes()


def plain(color: str, side: int = 256) -> ImageInput:
    return ImageInput(data=pictures.plain(side, side, color=color))


WRONG_MASKS = {
    "must mark the area to change with white pixels: its values are 0, and 240 to 255 change": Mask(plain("black")),
    "must mark the area to change with black pixels: its values are 255, and 0 to 15 change": Mask(
        plain("white"), Polarity.BLACK
    ),
    "must mark the area to change with transparent pixels: its opacity values are 255, and 0 to 15 change": Mask(
        plain("white"), Polarity.TRANSPARENT
    ),
    "must mark the area to change with white pixels, wider than its feather of 32 pixels: its values are 0 to 255, and "
    "240 to 255 change": Mask(ImageInput(data=pictures.mask(256, 256, (60, 60, 64, 64))), feather=32),
    "must be as large as the image, 256 x 256, is 64 x 64": Mask(plain("white", 64)),
}


async def test_a_wrong_mask_is_refused_by_its_field_and_nothing_is_sent() -> None:
    fake, source = VendorHost({}), ImageInput(data=pictures.photo(256))
    async with listening(fake.host):
        table = {"base_url": fake.host.url, "allow_private": True, "key": KEY}
        async with running(providers=dict.fromkeys(("openai", "bfl", "stability"), table)) as server:
            for text, mask in WRONG_MASKS.items():
                for model, edit in {
                    "openai/gpt-image-2": Inpaint(mask, "a door"),
                    "bfl/flux-pro-1.0-fill": Inpaint(mask, "a door"),
                    "stability/inpaint": Inpaint(mask, "a door"),
                    "stability/erase": Erase(mask),
                }.items():
                    with pytest.raises(InvalidRequest) as caught:
                        await result_of(server, Edit(model=model, image=source, edit=edit))
                    assert caught.value.violations == (Violation(f"{edit.field}.mask.image", text),), model
    assert fake.host.asked == []


async def test_a_vendor_that_changed_nothing_under_the_mask_is_found_out() -> None:
    answer = says({"image": base64.b64encode(SOURCE.data).decode(), "finish_reason": "SUCCESS", "seed": 42})
    fake = VendorHost({"/v2beta/stable-image/edit/erase": [answer]})
    async with listening(fake.host), vendor(fake, "stability", "/v2beta") as server:
        request = Edit(model="stability/erase", image=SOURCE, edit=Erase(MASK), output_media_type="image/jpeg")
        result, events = await result_of(server, request)
        with pytest.raises(InvalidRequest):
            await result_of(server, replace(request, options=RequestOptions(strict=True)))
    assert len(fake.host.asked) == 1, "strict is refused before anything is sent"
    assert b"png" in fake.host.asked[0].body and b"jpeg" not in fake.host.asked[0].body
    assert result.images[0].media_type == "image/png"
    lines, text = lines_of(result), "the provider changed nothing inside the mask"
    assert (lines["erase"].outcome, lines["erase"].message) == ("adjusted", text)
    assert Warned("erase", text, "ADJUSTED") in events
    assert lines["output_media_type"].outcome == "adjusted"
    assert lines["erase.pixel_lock"].measured == {"outside_difference": 0, "inside_difference": 0}


async def test_images_that_a_vendor_did_not_make_are_failures_of_theirs() -> None:
    fake = VendorHost({"/v1/images/generations": [says({"created": 1, "data": [{"b64_json": B64}] * 3})]})
    async with listening(fake.host), vendor(fake, "openai", "/v1") as server:
        request = Generate(model="openai/gpt-image-2", prompt="a boat", count=4, size=Size(1024, 1024))
        result, events = await result_of(server, request)
        more, _ = await result_of(server, replace(request, count=2))
    assert json.loads(fake.host.asked[0].body)["n"] == 4
    assert [image.index for image in result.images] == [0, 1, 2]
    (error,) = result.failures.values()
    assert isinstance(error, ProviderFailed)
    assert (list(result.failures), error.message) == ([3], "openai: it made 3 of 4 images")
    line = lines_of(result)["count"]
    assert (line.outcome, line.asked, line.measured) == ("adjusted", 4, 3)
    assert [event.path for event in events if isinstance(event, Warned)] == ["count"]
    assert ([image.index for image in more.images], more.failures) == ([0, 1, 2], {}), "all are kept: they are paid"
    assert (lines_of(more)["count"].asked, lines_of(more)["count"].measured) == (2, 3)


async def test_an_answer_without_a_picture_is_no_success() -> None:
    fake = VendorHost({"/v1/images/generations": [says({"created": 1, "data": []})]})
    async with listening(fake.host), vendor(fake, "openai", "/v1") as server:
        with pytest.raises(ProviderFailed):
            await result_of(server, Generate(model="openai/gpt-image-2", prompt="a boat"))
    assert len(fake.host.asked) == 1
