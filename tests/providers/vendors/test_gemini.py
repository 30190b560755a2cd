"""Gemini: requests equal those of google-genai, and each possible answer has its outcome."""

import base64
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.support import pictures
from tests.support.recordings import KEY, fixture
from tests.support.transport import FakeTransport, answer
from tests.support.vendors import (
    BASE,
    CALL,
    error_of,
    events_of,
    fixture_image,
    tools,
    vendor,
)

from celeste_image.core.edits import (
    AnyEdit,
    Erase,
    Mask,
    Restyle,
)
from celeste_image.core.errors import (
    InvalidRequest,
    ModelNotFound,
    OutcomeUnknown,
    ProviderBilling,
    ProviderCredentials,
    ProviderFailed,
    ProviderRateLimited,
    ProviderUnavailable,
    SafetyBlocked,
)
from celeste_image.core.events import Fidelity, Picture, Warned
from celeste_image.core.image import Size
from celeste_image.core.request import Edit, Generate, RequestOptions
from celeste_image.providers.families.google import image_size_for
from celeste_image.providers.vendors.gemini import Gemini

FLASH = "gemini/gemini-3.1-flash-image"
OLD = "gemini/gemini-2.5-flash-image"
PRO = "gemini/gemini-3-pro-image"
RESULT = fixture("RESULT")
OPTION = 'options.provider_options["gemini"]'


def options(strict: bool = False, **values: Any) -> RequestOptions:
    return RequestOptions(strict=strict, provider_options={"gemini": values} if values else {})


GENERATE = Generate(model=FLASH, prompt="a fox", count=1)


def envelope(*parts: dict[str, Any], reason: str = "STOP", **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": reason, **more}]}


def picture_part(data: bytes = RESULT, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}, **more}


def gemini(*answers: Any, key: str = KEY) -> tuple[Gemini, FakeTransport]:
    transport = FakeTransport(*answers)
    return vendor(Gemini, transport, "/v1", key), transport


def sent(transport: FakeTransport) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(transport.requests[-1].content)
    return body


@pytest.mark.parametrize(
    "reason",
    [
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
        *("SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"),
    ],
)
async def test_a_picture_that_was_refused_is_no_picture(reason: str) -> None:
    made, _ = gemini(answer(envelope(picture_part(), reason=reason, finishMessage="Not this one.")))
    error = await error_of(made, GENERATE)
    assert isinstance(error, SafetyBlocked)
    assert error.metadata == {"provider": "gemini", "stage": "output", "owed": "unknown"}
    assert error.message == f"gemini: the image was refused ({reason}): Not this one."


async def test_a_prompt_that_was_refused() -> None:
    made, _ = gemini(answer({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}))
    error = await error_of(made, GENERATE)
    assert isinstance(error, SafetyBlocked)
    assert error.metadata["stage"] == "prompt"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (envelope(reason="NO_IMAGE"), "the model made no image (NO_IMAGE)"),
        (envelope(reason="IMAGE_OTHER"), "the model made no image (IMAGE_OTHER)"),
        (envelope({"text": "Which\nfox?"}), "the model made no image: Which fox?"),
        (envelope({"text": "a"}, reason="MAX_TOKENS", finishMessage="Too long."), "(MAX_TOKENS): Too long."),
        (envelope(picture_part(thought=True)), "the model made no image"),
        (envelope({"inlineData": {"data": "no base64!"}}), "the image in the answer is neither a URL nor base64"),
        ({}, "the model made no image"),
        ([], "the model made no image"),
        ({"candidates": [{"content": {"parts": 7}}]}, "the model made no image"),
        (envelope(picture_part(b"no picture")), "its image can't be used"),
    ],
)
async def test_an_answer_without_a_picture(value: Any, said: str) -> None:
    made, _ = gemini(answer(value))
    error = await error_of(made, GENERATE)
    assert isinstance(error, ProviderFailed)
    assert said in error.message


async def test_drafts_of_its_thoughts_are_passed_over() -> None:
    draft = pictures.plain(9, 9)
    made, _ = gemini(answer(envelope(picture_part(draft, thought=True), {"text": "Here."}, picture_part())))
    (picture,) = await events_of(made, GENERATE)
    assert isinstance(picture, Picture)
    assert picture.data == RESULT


def failing(status: int, word: str, *details: dict[str, Any], message: str = "It said so.") -> httpx.Response:
    return answer({"error": {"code": status, "message": message, "status": word, "details": list(details)}}, status)


INVALID_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (failing(400, "INVALID_ARGUMENT", INVALID_KEY), ProviderCredentials),
        (failing(400, "INVALID_ARGUMENT"), InvalidRequest),
        (failing(400, "FAILED_PRECONDITION"), ProviderBilling),
        (failing(403, "PERMISSION_DENIED"), ProviderCredentials),
        (failing(404, "NOT_FOUND"), ModelNotFound),
        (failing(429, "RESOURCE_EXHAUSTED"), ProviderRateLimited),
        (failing(500, "INTERNAL"), OutcomeUnknown),
        (failing(503, "UNAVAILABLE"), ProviderUnavailable),
        (failing(504, "DEADLINE_EXCEEDED"), OutcomeUnknown),
    ],
)
async def test_errors(response: httpx.Response, error: type[Exception]) -> None:
    made, _ = gemini(response)
    found = await error_of(made, GENERATE)
    assert type(found) is error
    assert found.message == "gemini: It said so."
    assert found.metadata["provider"] == "gemini"


async def test_errors_that_are_no_json_and_answers_that_are_none() -> None:
    made, _ = gemini(httpx.Response(503, headers={"retry-after": "9"}, content=b"<html>"))
    found = await error_of(made, GENERATE)
    assert isinstance(found, ProviderUnavailable)
    assert found.retry_after == 9
    made, _ = gemini(httpx.Response(200, content=b"<html>"))
    assert isinstance(await error_of(made, GENERATE), OutcomeUnknown)
    made, _ = gemini(httpx.ReadError("gone"))
    assert isinstance(await error_of(made, GENERATE), OutcomeUnknown)
    made, _ = gemini(httpx.ConnectError("no way"))
    assert isinstance(await error_of(made, GENERATE), ProviderUnavailable)


async def test_no_key_is_told_or_sent_elsewhere() -> None:
    made, _ = gemini(failing(400, "INVALID_ARGUMENT", INVALID_KEY, message=f"API key not valid: {KEY}"))
    error = await error_of(made, GENERATE)
    assert error.message == "gemini: API key not valid: [key]"
    made, transport = gemini(answer(envelope(picture_part())))
    await events_of(made, GENERATE)
    (request,) = transport.requests
    assert KEY not in str(request.url)
    assert [name for name, value in request.headers.items() if KEY in value] == ["x-goog-api-key"]


async def test_without_a_key_nothing_is_sent() -> None:
    made, transport = gemini(key="")
    assert not made.ready(made.cards[0])
    assert isinstance(await error_of(made, GENERATE), ProviderCredentials)
    assert not transport.requests


@pytest.mark.parametrize(
    ("model", "size", "config"),
    [
        (FLASH, Size(), None),
        (FLASH, Size(512, 512), {"aspectRatio": "1:1", "imageSize": "512"}),
        (FLASH, Size(1000, 4000), {"aspectRatio": "1:4", "imageSize": "2K"}),
        (PRO, Size(512, 512), {"aspectRatio": "1:1", "imageSize": "1K"}),
        (PRO, Size(3840, 2160), {"aspectRatio": "16:9", "imageSize": "2K"}),
        (PRO, Size(4000, 4000), {"aspectRatio": "1:1", "imageSize": "4K"}),
        (PRO, Size(aspect_ratio="21:9"), {"aspectRatio": "21:9", "imageSize": "1K"}),
        (OLD, Size(4000, 4000), {"aspectRatio": "1:1"}),
    ],
)
async def test_sizes_are_a_ratio_and_a_word(model: str, size: Size, config: dict[str, str] | None) -> None:
    made, transport = gemini(answer(envelope(picture_part())))
    await events_of(made, Generate(model=model, prompt="a fox", size=size), fit=True)
    assert sent(transport)["generationConfig"].get("imageConfig") == config


async def test_the_option_goes_before_the_pixels() -> None:
    made, transport = gemini(answer(envelope(picture_part())))
    await events_of(made, replace(GENERATE, size=Size(512, 512), options=options(image_size="4K")), fit=True)
    assert sent(transport)["generationConfig"]["imageConfig"] == {"aspectRatio": "1:1", "imageSize": "4K"}


def test_the_nearest_size_is_by_the_ratio_of_the_areas() -> None:
    assert image_size_for(724, 724, ["512", "1K"]) == "512"
    assert image_size_for(725, 725, ["512", "1K"]) == "1K"


async def test_a_ratio_that_it_does_not_have_is_adjusted_or_refused() -> None:
    made, transport = gemini(answer(envelope(picture_part())))
    request = Generate(model=OLD, prompt="a fox", size=Size(1000, 400))
    events = await events_of(made, request, fit=True)
    assert sent(transport)["generationConfig"]["imageConfig"] == {"aspectRatio": "21:9"}
    (line,) = [event.line for event in events if isinstance(event, Fidelity) and event.line.path == "size"]
    assert line.outcome == "adjusted"
    error = await error_of(made, replace(request, options=options(strict=True)), fit=True)
    assert isinstance(error, InvalidRequest)
    assert len(transport.requests) == 1


async def test_a_size_that_a_model_does_not_have_is_refused() -> None:
    made, transport = gemini()
    error = await error_of(made, replace(GENERATE, model=PRO, options=options(image_size="512")), fit=True)
    assert isinstance(error, InvalidRequest)
    assert error.violations[0].field == f"{OPTION}.image_size"
    assert not transport.requests


async def test_seeds_of_the_server_are_made_to_fit() -> None:
    made, transport = gemini(answer(envelope(picture_part())))
    (picture,) = await events_of(made, replace(GENERATE, seed=(1 << 32) - 1))
    assert sent(transport)["generationConfig"]["seed"] == picture.seed == (1 << 31) - 1  # type: ignore[union-attr]


async def test_restyling_is_an_instruction_and_says_so() -> None:
    made, transport = gemini(answer(envelope(picture_part())), answer(envelope(picture_part())))
    edit: AnyEdit = Restyle(style_image=fixture_image("IMAGE2"), prompt="Keep the wall white.")
    request = Edit(model=FLASH, image=fixture_image("IMAGE"), edit=edit)
    warned, picture = await events_of(made, request)
    assert isinstance(warned, Warned)
    assert isinstance(picture, Picture)
    source, style, words = sent(transport)["contents"][0]["parts"]
    assert base64.b64decode(source["inlineData"]["data"]) == fixture("IMAGE")
    assert base64.b64decode(style["inlineData"]["data"]) == fixture("IMAGE2")
    assert words == {"text": "Redraw the first picture in the style of the second. Keep the wall white."}

    events = await events_of(made, replace(request, edit=Restyle(style="woodcut")), fit=True)
    assert sent(transport)["contents"][0]["parts"][1] == {"text": "Redraw the first picture in this style: woodcut"}
    lines = [event.line for event in events if isinstance(event, Fidelity) and event.line.path == "restyle"]
    assert lines[-1].outcome == "adjusted"

    error = await error_of(made, replace(request, options=options(strict=True)), fit=True)
    assert isinstance(error, InvalidRequest)
    assert len(transport.requests) == 2


async def test_masks_are_not_offered() -> None:
    made, transport = gemini()
    request = Edit(model=FLASH, image=fixture_image("IMAGE"), edit=Erase(Mask(fixture_image("MASK_WHITE"))))
    assert (await error_of(made, request, fit=True)).reason == "OPERATION_NOT_OFFERED"
    assert (await error_of(made, request)).reason == "OPERATION_NOT_OFFERED"
    assert not transport.requests


async def test_the_deadline_holds() -> None:
    made, transport = gemini()
    error = await error_of(made, GENERATE, replace(CALL, deadline=0.0))
    assert isinstance(error, ProviderUnavailable)  # nothing was sent
    assert not transport.requests


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"status": "failed", "steps": []}, "the model made no image (failed)"),
        (
            {"status": "completed", "steps": [{"content": [{"type": "text", "text": "No."}]}]},
            "the model made no image: No.",
        ),
        (
            {"status": "completed", "outputs": [{"type": "image", "data": "%"}]},
            "the image in the answer is neither a URL nor base64",
        ),
        ({"steps": 7, "outputs": {}}, "the model made no image"),
        ([], "the model made no image"),
    ],
)
async def test_an_interaction_without_a_picture(value: Any, said: str) -> None:
    transport = FakeTransport(answer(value))
    settings = Gemini.Settings(key=KEY, base_url=f"{BASE}/v1", api="interactions")
    error = await error_of(Gemini(settings, tools(transport)), GENERATE)
    assert isinstance(error, ProviderFailed)
    assert said in error.message
    assert transport.requests[0].url.path == "/v1/interactions"


SAFETY = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}]


@pytest.mark.parametrize(
    "given",
    [
        SAFETY,
        [{"category": "harassment", "threshold": "block_only_high"}],
        {"HARM_CATEGORY_HARASSMENT": "BLOCK_ONLY_HIGH"},
        json.dumps(SAFETY),
        '{"harassment": "BLOCK_ONLY_HIGH"}',
    ],
    ids=str,
)
async def test_safety_settings_have_one_form_on_the_wire(given: Any) -> None:
    made, transport = gemini(answer(envelope(picture_part())))
    await events_of(made, replace(GENERATE, options=options(strict=True, safety_settings=given)), fit=True)
    assert sent(transport)["safetySettings"] == SAFETY


@pytest.mark.parametrize(
    ("given", "config"),
    [
        ({"thinking_level": "high"}, {"thinkingLevel": "HIGH"}),
        ({"thinkingLevel": "LOW"}, {"thinkingLevel": "LOW"}),
        ({"thinking_budget": 0}, {"thinkingBudget": 0}),
        ('{"thinkingBudget": 1024}', {"thinkingBudget": 1024}),
        ({}, None),
    ],
    ids=str,
)
async def test_thinking_and_candidates(given: Any, config: Any) -> None:
    made, transport = gemini(answer(envelope(picture_part())))
    chosen = options(strict=True, thinking_config=given, candidate_count=2.0)
    await events_of(made, replace(GENERATE, options=chosen), fit=True)
    assert sent(transport)["generationConfig"].get("thinkingConfig") == config
    assert sent(transport)["generationConfig"]["candidateCount"] == 2


@pytest.mark.parametrize(
    "given",
    [
        {"safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "NEVER"}]},
        {"safety_settings": "none"},
        {"safety_settings": 7},
        {"thinking_config": {"thinking_level": "very"}},
        {"thinking_config": {"thoughts": True}},
        {"thinking_config": "much"},
        {"candidate_count": 0},
        {"candidate_count": 9},
    ],
    ids=str,
)
async def test_options_of_another_form_are_refused_before_anything_is_sent(given: Any) -> None:
    made, transport = gemini()
    error = await error_of(made, replace(GENERATE, options=options(**given)), fit=True)
    assert isinstance(error, InvalidRequest)
    assert error.violations[0].field.startswith(f"{OPTION}.{next(iter(given))}")
    assert not transport.requests


async def test_an_interaction_has_the_options_that_it_knows() -> None:
    item = {"type": "image", "data": base64.b64encode(RESULT).decode()}
    transport = FakeTransport(answer({"status": "completed", "steps": [{"type": "model_output", "content": [item]}]}))
    made = Gemini(Gemini.Settings(key=KEY, base_url=f"{BASE}/v1", api="interactions"), tools(transport))
    chosen = options(safety_settings=SAFETY, thinking_config={"thinking_level": "high"}, candidate_count=2)
    events = await events_of(made, replace(GENERATE, options=chosen), fit=True)
    body = sent(transport)
    assert body["safety_settings"] == [{"type": "harassment", "threshold": "block_only_high"}]
    assert body["generation_config"]["thinking_level"] == "high"
    (line,) = [e.line for e in events if isinstance(e, Fidelity) and e.line.outcome == "adjusted"]
    assert line.path == f"{OPTION}.candidate_count"
    error = await error_of(made, replace(GENERATE, options=replace(chosen, strict=True)), fit=True)
    assert isinstance(error, InvalidRequest)
    assert len(transport.requests) == 1
