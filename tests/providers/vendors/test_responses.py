"""Language models that draw with the image tool of the Responses API, at OpenAI and at Azure."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.support import pictures
from tests.support.recordings import KEY
from tests.support.transport import Body, FakeTransport, answer
from tests.support.vendors import CALL, error_of, events_of, loaded, tools

from celeste_image.core.card import ModelStage
from celeste_image.core.edits import Inpaint, Instruct, Mask
from celeste_image.core.events import Billed, Fidelity, ImageFailed, Picture, Preview
from celeste_image.core.image import ImageReference
from celeste_image.core.money import quantities
from celeste_image.core.request import Edit, Generate, RequestOptions
from celeste_image.providers.vendors.azure_openai import AzureOpenAI, AzureSettings
from celeste_image.providers.vendors.openai import OpenAI, OpenAISettings

RED, BLUE = (pictures.plain(64, 64, color=color) for color in ("red", "blue"))
REQUEST = Generate(model="openai/gpt-5.5", prompt="a fox")
SOURCE = loaded(pictures.photo(1024))


def drawn(data: bytes = RED, **more: Any) -> dict[str, Any]:
    result = base64.b64encode(data).decode()
    return {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": result, **more}


def said(text: str, kind: str = "output_text") -> dict[str, Any]:
    name = "refusal" if kind == "refusal" else "text"
    return {"type": "message", "role": "assistant", "content": [{"type": kind, name: text}]}


def responding(*output: Any, **more: Any) -> dict[str, Any]:
    return {"object": "response", "status": "completed", "error": None, "output": list(output), **more}


def streaming(*events: tuple[str, Mapping[str, Any]], error: Exception | None = None) -> httpx.Response:
    text = "".join(f"event: {name}\ndata: {json.dumps({'type': name, **value})}\n\n" for name, value in events)
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Body(text.encode(), error))


def openai(transport: FakeTransport, **table: Any) -> OpenAI:
    return OpenAI(OpenAISettings(key=KEY, base_url="https://vendor.test/v1", **table), tools(transport))


def azure(transport: FakeTransport, *models: Mapping[str, str], **table: Any) -> AzureOpenAI:
    deployed = models or ({"id": "talker", "model": "gpt-5.5"}, {"id": "painter", "model": "gpt-image-2"})
    settings = AzureSettings(key=KEY, base_url="https://one.openai.azure.com", models=deployed, **table)  # type: ignore[arg-type]
    return AzureOpenAI(settings, tools(transport))


def body_of(transport: FakeTransport) -> dict[str, Any]:
    return dict(json.loads(transport.requests[0].content))


def options(previews: int = 0, name: str = "openai", **given: Any) -> RequestOptions:
    return RequestOptions(preview_count=previews, provider_options={name: given})


async def test_the_tool_is_forced_and_nothing_is_stored() -> None:
    transport = FakeTransport(answer(responding(drawn())))
    await events_of(openai(transport), replace(REQUEST, quality="low"))
    assert body_of(transport) == {
        "model": "gpt-5.5",
        "input": "a fox",
        "tools": [{"type": "image_generation", "quality": "low"}],
        "tool_choice": {"type": "image_generation"},
        "store": False,
    }


async def test_an_operator_may_have_answers_stored_and_a_caller_leave_the_choice() -> None:
    transport = FakeTransport(answer(responding(drawn())))
    given = options(tool_choice="auto", action="generate", image_model="gpt-image-1.5", input_fidelity="high")
    given = replace(given, end_user="tenant-1")
    await events_of(openai(transport, store=True), replace(REQUEST, options=given))
    sent = body_of(transport)
    assert (sent["store"], sent["tool_choice"], sent["safety_identifier"]) == (True, "auto", "tenant-1")
    tool = {"type": "image_generation", "action": "generate", "model": "gpt-image-1.5", "input_fidelity": "high"}
    assert sent["tools"] == [tool]


async def test_images_are_input_and_a_mask_is_the_tools() -> None:
    mask = Mask(loaded(pictures.mask(1024, 1024, (32, 32, 96, 96))))
    transport = FakeTransport(answer(responding(drawn())))
    await events_of(openai(transport), Edit(model=REQUEST.model, image=SOURCE, edit=Inpaint(mask, "a door"), count=1))
    sent = body_of(transport)
    text, image = sent["input"][0]["content"]
    assert text == {"type": "input_text", "text": "a door"}
    assert image["type"] == "input_image" and image["image_url"].startswith("data:image/png;base64,")
    packed = sent["tools"][0]["input_image_mask"]["image_url"].removeprefix("data:image/png;base64,")
    assert pictures.opened(base64.b64decode(packed)).getchannel("A").getextrema() == (0, 255)

    transport = FakeTransport(answer(responding(drawn())))
    references = (ImageReference(SOURCE),)
    request = Edit(model=REQUEST.model, image=SOURCE, edit=Instruct("merge"), references=references, count=1)
    await events_of(openai(transport), request)
    assert [part["type"] for part in body_of(transport)["input"][0]["content"]] == ["input_text", *["input_image"] * 2]
    assert "input_image_mask" not in body_of(transport)["tools"][0]


USAGE = {
    "usage": {"input_tokens": 30, "output_tokens": 20},
    "tool_usage": {"image_gen": {"input_tokens": 9, "input_tokens_details": {"text_tokens": 9}, "output_tokens": 100}},
}
PARTIAL = (
    "response.image_generation_call.partial_image",
    {"partial_image_b64": base64.b64encode(BLUE).decode(), "partial_image_index": 0},
)
ITEM = ("response.output_item.done", {"item": drawn()})
WHOLE = ("response.completed", {"response": responding(drawn(), **USAGE)})


async def test_every_image_is_kept_with_what_the_vendor_says() -> None:
    value = responding(drawn(RED, revised_prompt="a red fox", quality="high"), said("Two!"), drawn(BLUE), **USAGE)
    events = await events_of(openai(FakeTransport(answer(value))), replace(REQUEST, quality="low"))
    images = [event for event in events if isinstance(event, Picture)]
    assert [(image.index, image.data, image.revised_prompt) for image in images] == [
        (0, RED, "a red fox"),
        (1, BLUE, ""),
    ]
    (billed,) = [event.quantities for event in events if isinstance(event, Billed)]
    tool = quantities({"input_text_token": 9, "output_image_token": 100}, "openai/gpt-image-2.6-sunburst")
    assert billed == (*tool, *quantities({"input_token": 30, "output_token": 20})), "two models have a meter each"


async def test_the_quality_of_the_tool_is_held_against_the_request() -> None:
    value = responding(drawn(quality="medium", background="opaque"))
    events = await events_of(openai(FakeTransport(answer(value))), replace(REQUEST, quality="low"))
    lines = {event.line.path: event.line for event in events if isinstance(event, Fidelity)}
    assert (lines["quality"].measured, lines["quality"].outcome.value) == ("medium", "adjusted")
    assert lines["background"].outcome.value == "honored"


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ((PARTIAL, ("response.keepalive", {}), ITEM, WHOLE), None),
        ((PARTIAL, WHOLE), None),
        ((PARTIAL, ITEM), None),
        ((PARTIAL, ITEM), httpx.ReadError("cut")),
        ((PARTIAL, ITEM, ("error", {"code": "server_error", "message": "usage is lost"})), None),
        ((PARTIAL, ITEM, ("response.failed", {"response": {"error": {"code": "server_error"}, "output": []}})), None),
        ((PARTIAL, ("response.incomplete", {"response": responding(drawn(), status="incomplete")})), None),
    ],
    ids=["all", "at the end", "no end", "cut", "error", "failed", "incomplete"],
)
async def test_a_stream_shows_previews_and_loses_no_image(events: Any, error: Exception | None) -> None:
    transport = FakeTransport(streaming(*events, error=error))
    found = await events_of(openai(transport), replace(REQUEST, options=options(2)))
    assert [type(event) for event in found if isinstance(event, Preview | Picture)] == [Preview, Picture]
    sent = body_of(transport)
    assert sent["stream"] is True and sent["tools"][0]["partial_images"] == 2


BLOCKED = {"code": "moderation_blocked", "message": "no", "moderation_details": {"moderation_stage": "output"}}
FAILED_CALL = {"type": "image_generation_call", "status": "failed", "result": None}


@pytest.mark.parametrize(
    ("value", "reason", "stage", "owed"),
    [
        (responding(said("I can't.", "refusal")), "SAFETY_BLOCKED", "prompt", None),
        (
            responding(status="incomplete", incomplete_details={"reason": "content_filter"}),
            "SAFETY_BLOCKED",
            "unknown",
            None,
        ),
        (
            responding(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "PROVIDER_FAILED",
            None,
            None,
        ),
        (responding(FAILED_CALL | {"error": BLOCKED}), "SAFETY_BLOCKED", "output", "unknown"),
        (responding(FAILED_CALL), "PROVIDER_FAILED", None, None),
        (responding(said("I'd rather talk.")), "PROVIDER_FAILED", None, None),
        (responding(drawn(b"no image")), "PROVIDER_FAILED", None, "true"),
        (
            responding(error={"code": "image_content_policy_violation", "message": "no"}),
            "SAFETY_BLOCKED",
            "unknown",
            None,
        ),
        (responding(error={"code": "rate_limit_exceeded", "message": "no"}), "PROVIDER_RATE_LIMITED", None, None),
        (responding(error={"code": "invalid_prompt", "message": "no"}), "INVALID_FIELD", None, None),
        (responding(error={"code": "server_error", "message": "no"}), "OUTCOME_UNKNOWN", None, "unknown"),
        (responding(), "PROVIDER_FAILED", None, None),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_a_refusal_is_one_and_what_was_not_made_is_not_owed(
    value: Any, reason: str, stage: str | None, owed: str | None, streams: bool
) -> None:
    sent = streaming(("response.completed", {"response": value})) if streams else answer(value)
    error = await error_of(openai(FakeTransport(sent)), REQUEST)
    assert (error.reason, error.metadata.get("stage"), error.metadata.get("owed")) == (reason, stage, owed)


async def test_one_call_that_fails_costs_no_other() -> None:
    value = responding(FAILED_CALL | {"error": BLOCKED}, drawn())
    events = await events_of(openai(FakeTransport(answer(value))), REQUEST)
    assert [event.index for event in events if isinstance(event, Picture)] == [0]
    assert not [event for event in events if isinstance(event, ImageFailed)], "one was asked for, and it is there"


@pytest.mark.parametrize(
    ("version", "url"),
    [
        ("2025-04-01-preview", "https://one.openai.azure.com/openai/responses?api-version=2025-04-01-preview"),
        ("", "https://one.openai.azure.com/openai/v1/responses"),
    ],
)
async def test_azure_draws_with_the_deployment_of_an_image_model(version: str, url: str) -> None:
    transport = FakeTransport(answer(responding(drawn())))
    made = azure(transport, api_version=version)
    await events_of(made, replace(REQUEST, model="azure_openai/talker"))
    (sent,) = transport.requests
    assert str(sent.url) == url
    assert sent.headers["x-ms-oai-image-generation-deployment"] == "painter"
    assert body_of(transport)["model"] == "talker" and body_of(transport)["store"] is False


async def test_azure_may_be_told_which_deployment_draws() -> None:
    transport = FakeTransport(answer(responding(drawn())), answer({"data": [{"b64_json": drawn()["result"]}]}))
    models = (
        {"id": "painter", "model": "gpt-image-2"},
        {"id": "talker", "model": "gpt-5.4", "image_deployment": "elsewhere"},
    )
    made = azure(transport, *models)
    await events_of(made, replace(REQUEST, model="azure_openai/talker"))
    await events_of(made, replace(REQUEST, model="azure_openai/painter"))
    language, image = transport.requests
    assert language.headers["x-ms-oai-image-generation-deployment"] == "elsewhere"
    assert "x-ms-oai-image-generation-deployment" not in image.headers
    assert image.url.path == "/openai/deployments/painter/images/generations"


def test_azure_refuses_a_language_model_that_can_not_draw() -> None:
    with pytest.raises(ValueError, match="the language model of 'talker' draws with a deployment of an image model"):
        azure(FakeTransport(), {"id": "talker", "model": "gpt-5.5"})


def test_language_models_are_known_and_name_the_one_to_use() -> None:
    cards = {card.id: card for card in OpenAI.cards if "/gpt-5" in card.id}
    assert {"openai/gpt-5", "openai/gpt-5.1", "openai/gpt-5.5", "openai/gpt-5.6-sol"} <= cards.keys()
    for card in cards.values():
        assert card.previews and "inpaint" in card.edits
        assert card.stage is ModelStage.ACTIVE or cards[card.replacement].stage is ModelStage.ACTIVE
    assert CALL.deadline is None
