"""APIs like OpenAI's: requests equal recordings of OpenAI's SDK, and cases without recordings, mainly failures."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.support import pictures
from tests.support.fake_provider import fitted
from tests.support.recorded_requests import play
from tests.support.recordings import KEY, Playing, Recording, fixture
from tests.support.transport import Body, FakeTransport, answer
from tests.support.vendors import candidate

from celeste_image.core.call import Call
from celeste_image.core.card import ModelStage
from celeste_image.core.edits import (
    AnyEdit,
    Inpaint,
    Instruct,
    Mask,
    Outpaint,
    Polarity,
)
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Event, Picture, Preview, Warned
from celeste_image.core.image import ImageFacts, ImageInput, ImageReference, Size
from celeste_image.core.media import media_type
from celeste_image.core.request import Edit, Generate, ImageRequest, RequestOptions
from celeste_image.imaging.pixels import Pixels
from celeste_image.providers.base import Tools
from celeste_image.providers.families.openai_like import OpenAILike
from celeste_image.providers.kit.vendor import VendorSettings
from celeste_image.providers.vendors.compatible import Compatible, CompatibleSettings
from celeste_image.providers.vendors.openai import OpenAI

in_loop = pytest.mark.asyncio(loop_scope="module")

HOST = "https://vendor.test"
PROMPT = "a red bicycle leaning on a white wall"
CALL = Call("00000000-0000-4000-8000-000000000000")
RESULT = fixture("RESULT")
Make = Callable[[httpx.AsyncBaseTransport, Pixels], OpenAILike]


def image(name: str = "", data: bytes = b"") -> ImageInput:
    data = data or fixture(name)
    opened = pictures.opened(data)
    kind = media_type(data[:16])
    return ImageInput(data=data, facts=ImageFacts(kind, *opened.size, len(data), "0" * 64, opened.mode, False))


def options(name: str = "openai", preview_count: int = 0, strict: bool = False, **given: Any) -> RequestOptions:
    return RequestOptions(provider_options={name: given}, preview_count=preview_count, strict=strict)


def openai(transport: httpx.AsyncBaseTransport, work: Pixels) -> OpenAILike:
    settings = VendorSettings(base_url=f"{HOST}/v1", result_hosts=("files.example.net",))
    return OpenAI(settings, Tools(work, transport, {"OPENAI_API_KEY": KEY}))


def studio(transport: httpx.AsyncBaseTransport, work: Pixels, **more: Any) -> OpenAILike:
    models = [{"id": "dall-e-3", "sizes": ["1792x1024"], "reads": ["quality", "style", "end_user"], "seed": True}]
    given = {"base_url": f"{HOST}/v1", "models": models, "key": KEY, "response_format": "url"} | more
    return Compatible(CompatibleSettings(**given), Tools(work, transport, {}), name="studio")


MINIMAL = Generate(model="openai/gpt-image-2", prompt=PROMPT)
MASKED = Edit(
    model="openai/gpt-image-2",
    image=image("IMAGE"),
    edit=Inpaint(Mask(image("MASK_WHITE")), PROMPT),
    size=Size(1024, 1024),
    count=1,
    output_media_type="image/png",
    quality="high",
    background="auto",
)
DALLE3 = Generate(
    model="studio/dall-e-3",
    prompt=PROMPT,
    size=Size(1792, 1024),
    quality="hd",
    style="vivid",
    options=RequestOptions(end_user="tenant-1"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def work() -> AsyncIterator[Pixels]:
    work = Pixels("openai")
    yield work
    await work.close()


def made(data: bytes = RESULT, count: int = 1, **more: Any) -> httpx.Response:
    return answer({"created": 1, "data": [{"b64_json": base64.b64encode(data).decode(), **more}] * count})


def streamed(*events: tuple[str, Any]) -> httpx.Response:
    lines = "".join(f"event: {kind}\ndata: {json.dumps({'type': kind, **value})}\n\n" for kind, value in events)
    return answer(lines.encode(), content_type="text/event-stream; charset=utf-8")


async def events_of(provider: OpenAILike, request: ImageRequest, call: Call = CALL) -> list[Event]:
    async with aclosing(provider.run(request, candidate(provider, request, call))) as events:
        return [event async for event in events]


async def run(work: Pixels, request: ImageRequest, *answers: httpx.Response | Exception) -> list[Event]:
    return await events_of(openai(FakeTransport(*answers), work), request)


async def failure(work: Pixels, *answers: httpx.Response | Exception, request: ImageRequest = MINIMAL) -> CelesteError:
    with pytest.raises(CelesteError) as caught:
        await run(work, request, *answers)
    return caught.value


def parts(request: httpx.Request) -> dict[str, list[bytes]]:
    head = b"content-type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    found: dict[str, list[bytes]] = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + request.content).iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        found.setdefault(name, []).append(part.get_payload(decode=True))
    return found


@in_loop
async def test_the_polarity_of_a_mask_does_not_matter() -> None:
    for name, polarity in (("MASK_BLACK", Polarity.BLACK), ("MASK_ALPHA", Polarity.TRANSPARENT)):
        played = await play("openai/edit_mask", replace(MASKED, edit=Inpaint(Mask(image(name), polarity), PROMPT)))
        assert played.error is None


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ("https://files.example.net", ""),
        ("https://evil.example.net", "PROVIDER_FAILED"),
        ("http://files.example.net", "PROVIDER_FAILED"),
        ("https://files.example.net@evil.example.net", "PROVIDER_FAILED"),
    ],
)
@in_loop
async def test_results_are_fetched_from_allowed_hosts_alone(work: Pixels, base: str, reason: str) -> None:
    playing = Playing(Recording.load("openai/generate_dalle3"), base)
    provider = studio(playing, work, result_hosts=["files.example.net"])
    if reason:
        with pytest.raises(CelesteError) as caught:
            await events_of(provider, DALLE3)
        assert (caught.value.reason, caught.value.retryable, playing.fetched) == (reason, False, 0)
    else:
        assert any(isinstance(event, Picture) for event in await events_of(provider, DALLE3))
        assert playing.fetched == 1


MESSAGE = f"no {KEY} for you"


@pytest.mark.parametrize(
    ("status", "error", "headers", "reason", "retry_after"),
    [
        (400, {"code": "moderation_blocked", "type": "image_generation_user_error"}, {}, "SAFETY_BLOCKED", None),
        (400, {"code": None, "type": "image_generation_user_error"}, {}, "SAFETY_BLOCKED", None),
        (400, {"code": "content_policy_violation"}, {}, "SAFETY_BLOCKED", None),
        (400, {"code": "contentFilter", "innererror": {"code": "X"}}, {}, "SAFETY_BLOCKED", None),
        (400, {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, {}, "SAFETY_BLOCKED", None),
        (400, {"code": "invalid_value", "param": "size"}, {}, "INVALID_FIELD", None),
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, {}, "PROVIDER_BILLING", None),
        (400, {"code": "billing_hard_limit_reached"}, {}, "PROVIDER_BILLING", None),
        (401, {"code": "invalid_api_key"}, {}, "PROVIDER_CREDENTIALS", None),
        (403, {"code": "unsupported_country"}, {}, "PROVIDER_CREDENTIALS", None),
        (404, {"code": "model_not_found"}, {}, "MODEL_NOT_FOUND", None),
        (429, {"code": "rate_limit_exceeded"}, {"retry_after": "7"}, "PROVIDER_RATE_LIMITED", 7.0),
        (429, {"code": "rate_limit_exceeded"}, {"retry_after_ms": "1500"}, "PROVIDER_RATE_LIMITED", 1.5),
        (429, {"code": "rate_limit_exceeded"}, {"x_should_retry": "false"}, "PROVIDER_FAILED", None),
        (503, {"type": "server_error"}, {"retry_after": "3"}, "PROVIDER_UNAVAILABLE", 3.0),
        (500, {"type": "server_error"}, {}, "OUTCOME_UNKNOWN", None),
        (500, {"type": "server_error"}, {"x_should_retry": "true"}, "PROVIDER_UNAVAILABLE", None),
        (500, {"code": "moderation_blocked"}, {"x_should_retry": "true"}, "SAFETY_BLOCKED", None),
        (400, {"code": {"odd": 1}, "type": [1]}, {}, "INVALID_FIELD", None),
    ],
)
@in_loop
async def test_errors(
    work: Pixels, status: int, error: dict[str, Any], headers: dict[str, str], reason: str, retry_after: float | None
) -> None:
    caught = await failure(work, answer({"error": {"message": MESSAGE, **error}}, status, **headers))
    assert (caught.reason, caught.retry_after) == (reason, retry_after)
    assert KEY not in caught.message + str(caught.metadata) + repr(caught)
    assert caught.message.startswith("openai: ")


@pytest.mark.parametrize(
    ("parameter", "fields"),
    [
        ("size", ("size",)),
        ("n", ("count",)),
        ("output_compression", ("output_quality",)),
        ("mask", ("inpaint.mask.image",)),
        ("prompt", ()),  # may be `prompt` or `inpaint.prompt`
        (["size"], ()),
        (None, ()),
    ],
)
@in_loop
async def test_a_refused_parameter_is_named_by_its_field(work: Pixels, parameter: Any, fields: tuple[str, ...]) -> None:
    caught = await failure(work, answer({"error": {"message": MESSAGE, "param": parameter}}, 400))
    assert tuple(violation.field for violation in caught.violations) == fields
    assert all(violation.text == "no [key] for you" for violation in caught.violations)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'"x"', b"null", b'{"error": "text"}', b'{"detail": "text"}', b"[" * 10_000]
)
@in_loop
async def test_errors_in_any_form(work: Pixels, body: bytes) -> None:
    caught = await failure(work, answer(body, 422))
    assert caught.reason == "INVALID_FIELD"
    assert ("text" in caught.message) == (b"text" in body)


@in_loop
async def test_nothing_of_the_key_is_told_when_it_is_refused(work: Pixels) -> None:
    text = f"Incorrect API key provided: {KEY[:8]}*****{KEY[-4:]}."
    caught = await failure(work, answer({"error": {"message": text, "code": "invalid_api_key"}}, 401))
    assert KEY[:8] not in caught.message and KEY[-4:] not in caught.message


@pytest.mark.parametrize(
    ("wrong", "reason", "retryable"),
    [
        (httpx.ConnectError("no"), "PROVIDER_UNAVAILABLE", True),
        (httpx.ReadError("cut"), "OUTCOME_UNKNOWN", False),
        (answer(b"not json"), "OUTCOME_UNKNOWN", False),
        (answer({"data": []}), "PROVIDER_FAILED", False),
        (answer({"data": "x"}), "PROVIDER_FAILED", False),
        (answer({"data": [{}]}), "PROVIDER_FAILED", False),
        (answer({"data": [{"b64_json": "%%%"}]}), "PROVIDER_FAILED", False),
        (made(b"no picture"), "PROVIDER_FAILED", False),
        (httpx.Response(302, headers={"location": "https://elsewhere.test"}), "PROVIDER_FAILED", False),
        (streamed(), "OUTCOME_UNKNOWN", False),
        (streamed(("error", {"error": {"code": "moderation_blocked", "message": "x"}})), "SAFETY_BLOCKED", False),
        (streamed(("error", {"error": {"type": "server_error", "message": "x"}})), "OUTCOME_UNKNOWN", False),
        (streamed(("error", {"error": {"code": "rate_limit_exceeded"}})), "PROVIDER_RATE_LIMITED", True),
        (streamed(("error", {"error": {"code": "what"}})), "PROVIDER_FAILED", False),
        (answer(b"data: {\n\n", content_type="text/event-stream"), "OUTCOME_UNKNOWN", False),
    ],
)
@in_loop
async def test_what_may_have_been_paid_is_not_retried(
    work: Pixels, wrong: httpx.Response | Exception, reason: str, retryable: bool
) -> None:
    caught = await failure(work, wrong)
    assert (caught.reason, caught.retryable) == (reason, retryable)
    assert caught.metadata["provider"] == "openai"


@in_loop
async def test_without_a_key_nothing_is_sent(work: Pixels) -> None:
    transport = FakeTransport()
    provider = OpenAI(VendorSettings(), Tools(work, transport, {}))
    with pytest.raises(CelesteError) as caught:
        await events_of(provider, MINIMAL)
    assert caught.value.reason == "PROVIDER_CREDENTIALS" and "OPENAI_API_KEY" in caught.value.message
    assert not transport.requests
    assert not any(provider.ready(card) for card in provider.cards)


def body_of(provider: FakeTransport) -> dict[str, Any]:
    return dict(json.loads(provider.requests[0].content))


@in_loop
async def test_what_the_card_does_not_have_is_not_sent(work: Pixels) -> None:
    transport = FakeTransport(made())
    request = replace(
        MINIMAL, negative_prompt="dogs", seed=3, style="vivid", quality="low", options=options(input_fidelity="low")
    )
    await events_of(openai(transport, work), request)
    assert body_of(transport) == {"model": "gpt-image-2", "prompt": PROMPT, "quality": "low"}


@in_loop
async def test_a_seed_of_zero_is_a_seed(work: Pixels) -> None:
    transport = FakeTransport(made())
    events = await events_of(studio(transport, work, response_format=""), replace(DALLE3, seed=0, size=Size()))
    assert body_of(transport)["seed"] == 0 and "response_format" not in body_of(transport)
    assert [event.seed for event in events if isinstance(event, Picture)] == [0]


@in_loop
async def test_more_or_fewer_than_asked(work: Pixels) -> None:
    request = replace(MINIMAL, count=2)
    for there, kept in ((1, 1), (3, 3), (30, 16)):
        events = await run(work, request, made(count=there))
        assert [event.index for event in events if isinstance(event, Picture)] == list(range(kept))
        assert len(events) == kept, "they are counted further up"


@in_loop
async def test_a_prompt_that_was_rewritten_comes_with_its_image(work: Pixels) -> None:
    for said, revised in (("a blue bicycle", "a blue bicycle"), ("x" * 5000, "x" * 5000), (7, ""), (None, "")):
        events = await run(work, MINIMAL, made(revised_prompt=said))
        assert [event.revised_prompt for event in events if isinstance(event, Picture)] == [revised]
        assert not [event for event in events if isinstance(event, Warned)]


@in_loop
async def test_images_that_guide_go_to_the_path_of_edits(work: Pixels) -> None:
    transport = FakeTransport(made())
    references = (ImageReference(image("IMAGE2")), ImageReference(image("IMAGE")))
    await events_of(openai(transport, work), replace(MINIMAL, references=references))
    assert transport.requests[0].url.path == "/v1/images/edits"
    assert parts(transport.requests[0])["image[]"] == [fixture("IMAGE2"), fixture("IMAGE")]


@in_loop
async def test_moderation_is_not_read_beside_references(work: Pixels) -> None:
    request = replace(MINIMAL, references=(ImageReference(image("IMAGE2")),), options=options(moderation="low"))
    transport = FakeTransport(made())
    events = await events_of(openai(transport, work), request)
    path = 'options.provider_options["openai"].moderation'
    assert [event.path for event in events if isinstance(event, Warned)] == [path]
    assert "moderation" not in parts(transport.requests[0])


PARTIAL = ("image_generation.partial_image", {"b64_json": base64.b64encode(RESULT).decode(), "partial_image_index": 0})
FINAL = ("image_generation.completed", {"b64_json": base64.b64encode(RESULT).decode(), "usage": {"total_tokens": 1}})


@in_loop
async def test_previews_are_as_many_as_there_can_be(work: Pixels) -> None:
    transport = FakeTransport(streamed(PARTIAL, ("image_generation.news", {}), FINAL))
    events = await events_of(openai(transport, work), replace(MINIMAL, options=options(preview_count=8)))
    assert [type(event) for event in events] == [Warned, Preview, Picture]
    assert body_of(transport)["partial_images"] == 3 and body_of(transport)["stream"] is True
    transport = FakeTransport(made(count=2))
    events = await events_of(openai(transport, work), replace(MINIMAL, count=2, options=options(preview_count=1)))
    assert [event.path for event in events if isinstance(event, Warned)] == ["options.preview_count"]
    assert "stream" not in body_of(transport)


@in_loop
async def test_a_server_that_does_not_stream_is_understood(work: Pixels) -> None:
    events = await run(work, replace(MINIMAL, options=options(preview_count=1)), made())
    assert [type(event) for event in events] == [Picture]


@in_loop
async def test_a_bad_preview_costs_no_picture(work: Pixels) -> None:
    bad = ("image_generation.partial_image", {"b64_json": "bm8gcGljdHVyZQ=="})
    events = await run(work, replace(MINIMAL, options=options(preview_count=2)), streamed(bad, PARTIAL, FINAL))
    assert [type(event) for event in events] == [Preview, Picture]


@in_loop
async def test_an_edit_streams_too(work: Pixels) -> None:
    renamed = [(kind.replace("image_generation", "image_edit"), value) for kind, value in (PARTIAL, FINAL)]
    transport = FakeTransport(streamed(*renamed))
    request = replace(MASKED, edit=Instruct("make it blue"), options=options(preview_count=1))
    assert [type(event) for event in await events_of(openai(transport, work), request)] == [Preview, Picture]
    sent = parts(transport.requests[0])
    assert sent["stream"] == [b"true"] and sent["partial_images"] == [b"1"]


def endless() -> tuple[httpx.Response, Body]:
    """Returns a response that sends a preview and then waits forever, and its body."""
    body = Body(f"event: {PARTIAL[0]}\ndata: {json.dumps(PARTIAL[1])}\n\n".encode(), hangs=True)
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body), body


@in_loop
async def test_closing_early_frees_the_connection(work: Pixels) -> None:
    response, body = endless()
    provider = openai(FakeTransport(response, made()), work)
    request = replace(MINIMAL, options=options(preview_count=1))
    events = provider.run(request, candidate(provider, request))
    assert isinstance(await anext(events), Preview)
    await events.aclose()
    assert body.closed
    assert await events_of(provider, MINIMAL), "its slot is free again"


@in_loop
async def test_a_stream_that_stands_still_ends_at_the_deadline(work: Pixels) -> None:
    response, body = endless()
    provider = openai(FakeTransport(response), work)
    call = replace(CALL, deadline=time.monotonic() + 0.2)
    with pytest.raises(CelesteError) as caught:
        await events_of(provider, replace(MINIMAL, options=options(preview_count=1)), call)
    assert caught.value.reason == "OUTCOME_UNKNOWN"
    assert body.closed


@in_loop
async def test_one_picture_or_several(work: Pixels) -> None:
    for references, name in (((), "image"), ((ImageReference(image("IMAGE2")),), "image[]")):
        transport = FakeTransport(made())
        request = replace(MASKED, edit=Instruct("merge them"), references=references, options=RequestOptions())
        await events_of(openai(transport, work), request)
        sent = parts(transport.requests[0])
        assert sent[name] == [fixture("IMAGE"), *(reference.image.data for reference in references)]
        assert sent["prompt"] == [b"merge them"] and "mask" not in sent


def edit(how: AnyEdit, **more: Any) -> Edit:
    return Edit(model="openai/gpt-image-2", image=image(data=pictures.photo(128)), edit=how, count=1, **more)


LARGE = image(data=pictures.noise(1024, 1008))


@pytest.mark.parametrize(
    ("source", "canvas", "size", "kept"),
    [
        (image(data=pictures.photo(128)), (160, 144), None, (147, 135)),  # smaller than the model makes
        (LARGE, (1056, 1024), [b"1056x1024"], (1043, 1015)),
    ],
)
@in_loop
async def test_outpainting_pads_to_what_the_model_makes_and_cuts_back(
    work: Pixels, source: ImageInput, canvas: tuple[int, int], size: list[bytes] | None, kept: tuple[int, int]
) -> None:
    transport = FakeTransport(made(pictures.plain(canvas[0] * 2, canvas[1] * 2)))
    request = Edit(model="openai/gpt-image-2", image=source, edit=Outpaint(left=10, right=9, bottom=7), count=1)
    events = await events_of(openai(transport, work), request)
    sent = parts(transport.requests[0])
    assert sent.get("size") == size
    padded, mask = pictures.opened(sent["image"][0]), pictures.opened(sent["mask"][0])
    assert padded.size == mask.size == canvas
    given = pictures.opened(source.data)
    box = (10, 0, 10 + given.width, given.height)
    assert padded.getchannel("A").getbbox() == mask.getchannel("A").getbbox() == box
    assert padded.crop(box).convert("RGB").tobytes() == given.tobytes()
    assert sent["prompt"][0]
    assert isinstance(events[0], Warned) and events[0].path == "outpaint", "before anything is sent"
    (picture,) = (event for event in events if isinstance(event, Picture))
    assert pictures.opened(picture.data).size == (picture.width, picture.height) == kept


@in_loop
async def test_a_cut_keeps_the_format(work: Pixels) -> None:
    for kind in ("image/jpeg", "image/webp"):
        request = edit(Outpaint(left=10), output_media_type=kind)
        data = pictures.plain(288, 256, kind.rpartition("/")[2].upper())
        (picture,) = (event for event in await run(work, request, made(data)) if isinstance(event, Picture))
        assert media_type(picture.data[:16]) == picture.media_type == kind
        assert (picture.width, picture.height) == (138, 128)


@in_loop
async def test_what_is_not_done_to_the_letter_is_no_surprise_with_strict(work: Pixels) -> None:
    for request in (
        edit(Outpaint(left=10), options=options(strict=True)),
        replace(MINIMAL, options=options(strict=True, preview_count=5)),
    ):
        transport = FakeTransport()
        provider = openai(transport, work)
        with pytest.raises(CelesteError) as caught:
            async with aclosing(fitted(provider.run, provider)(request, CALL)) as events:  # type: ignore[arg-type]
                async for _ in events:
                    pass
        assert caught.value.reason == "INVALID_FIELD" and not transport.requests


@in_loop
async def test_an_outpaint_of_another_shape_is_told(work: Pixels) -> None:
    events = await run(work, edit(Outpaint(left=128)), made(pictures.plain(64, 64)))
    assert [event.path for event in events if isinstance(event, Warned)] == ["outpaint", "outpaint"]
    assert [(event.width, event.height) for event in events if isinstance(event, Picture)] == [(64, 64)]


@pytest.mark.parametrize(
    ("source", "size"), [(LARGE, [b"1024x1008"]), (image(data=pictures.photo(128)), None)], ids=["large", "small"]
)
@in_loop
async def test_a_mask_is_sent_with_the_size_of_its_image_where_the_model_can(
    work: Pixels, source: ImageInput, size: list[bytes] | None
) -> None:
    across, down = pictures.opened(source.data).size
    mask = Mask(image(data=pictures.mask(across, down, (32, 32, 96, 96))))
    data = pictures.plain(across * 2, down * 2)
    transport = FakeTransport(made(data))
    request = Edit(model="openai/gpt-image-2", image=source, edit=Inpaint(mask, "a door"), count=1)
    (picture,) = await events_of(openai(transport, work), request)
    assert parts(transport.requests[0]).get("size") == size
    assert isinstance(picture, Picture)
    assert picture.data == data, "what it did outside of the mask is undone further up"


def test_retired_models_name_the_one_to_use() -> None:
    cards = {card.id: card for card in OpenAI.cards}
    retired = {card.id for card in cards.values() if card.stage is ModelStage.RETIRED}
    assert retired == {"openai/gpt-image-1", "openai/dall-e-3", "openai/dall-e-2"}
    for name in retired:
        assert cards[name].ends_on and cards[cards[name].replacement].stage is ModelStage.ACTIVE
    assert all(price.source and price.checked_on for card in cards.values() for price in card.prices)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "I'd rather not."}]}]}, "FAILED"),
        ({"output": [{"type": "image_generation_call", "error": {"code": "moderation_blocked"}}]}, "SAFETY"),
        ({"error": {"code": "server_error", "message": "It broke."}, "output": []}, "OUTCOME"),
        ({"output": [{"type": "image_generation_call", "result": None}]}, "FAILED"),
        ({"output": 7}, "FAILED"),
        ([], "FAILED"),
    ],
)
@in_loop
async def test_a_language_model_that_draws_nothing(work: Pixels, value: Any, reason: str) -> None:
    provider = FakeTransport(answer(value))
    with pytest.raises(CelesteError) as caught:
        await events_of(openai(provider, work), replace(MINIMAL, model="openai/gpt-5"))
    assert reason in caught.value.reason
    assert provider.requests[0].url.path == "/v1/responses"
