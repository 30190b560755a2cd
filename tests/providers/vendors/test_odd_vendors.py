"""Odd answers of Google, Stability and BFL: every image is kept, both spellings are read, a refusal is known as one.

A vendor on a socket gives the answer of a case, and a real server with a real client says what comes of it.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from tests.support import pictures
from tests.support.hosts import Asked, Host, listening, reply, says
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.errors import CelesteError
from celeste_image.core.image import Size
from celeste_image.core.money import quantities
from celeste_image.core.result import OperationResult

in_loop = pytest.mark.asyncio(loop_scope="module")

RED_PNG, BLUE_PNG = (pictures.plain(64, 64, color=color) for color in ("red", "blue"))
RED, BLUE = (base64.b64encode(data).decode() for data in (RED_PNG, BLUE_PNG))
MODELS = {
    "gemini": "gemini/gemini-2.5-flash-image",
    "interactions": "gemini/gemini-2.5-flash-image",
    "stability": "stability/core",
    "stability_job": "stability/upscale-creative",
    "bfl": "bfl/flux-2-pro",
}


@dataclass(frozen=True)
class Case:
    """An answer of a vendor and what must come of it.

    Attributes:
        name: What the case is, for the test's name.
        at: The vendor, a key of MODELS.
        answer: JSON of status 200, or the bytes of a whole answer. For BFL it is the answer to a poll.
        colors: The images of the result, `r` or `b`, in order.
        reason: Reason of the error, if there is no image.
        stage: Metadata `stage` of the error.
        says: What the error's message must have in it.
        billed: What must be among the usage.
    """

    name: str
    at: str
    answer: Any
    colors: str = "r"
    reason: str = ""
    stage: str | None = None
    says: str = ""
    billed: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.at}-{self.name}"


class Fake:
    """All vendors on one port: gives each paid request the answer of the current case."""

    def __init__(self) -> None:
        self.case = Case("none", "gemini", {})
        self.host = Host(self.answer)
        self.bodies: list[Any] = []

    async def answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        method, path = asked.line.split()[:2]
        told = self.case.answer if isinstance(self.case.answer, bytes) else says(self.case.answer)
        if path.startswith("/img"):
            told = reply("200 OK", RED_PNG, "image/png")
        elif method == "POST" and self.case.at == "stability_job":
            told = says({"id": "a" * 64})
        elif method == "POST" and self.case.at == "bfl" and not self.case.name.startswith("submit"):
            told = says({"id": "t-1", "polling_url": f"{self.host.url}/v1/get_result?id=t-1", "cost": 3.5})
        if method == "POST" and asked.headers.get("content-type") == "application/json":
            self.bodies.append(json.loads(asked.body))
        if b"{here}" in told:
            told = reply("200 OK", told.partition(b"\r\n\r\n")[2].replace(b"{here}", self.host.url.encode()))
        writer.write(told)
        await writer.drain()


@dataclass
class Place:
    fake: Fake
    clients: Mapping[str, AsyncClient]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Place]:
    fake = Fake()
    async with listening(fake.host):
        url = fake.host.url
        shared = {"allow_private": True, "tries": 1}
        tables = {
            "gemini": {"key": "AIza" + "a" * 35, "base_url": f"{url}/v1", **shared},
            "stability": {"key": "sk-" + "a" * 30, "base_url": f"{url}/v2beta", "poll_seconds": 0.01, **shared},
            "bfl": {"key": "a" * 36, "base_url": url, "poll_seconds": 0.01, **shared},
        }
        newer = {"gemini": tables["gemini"] | {"api": "interactions"}}
        async with running(providers=tables) as one, running(providers=newer) as two:
            async with AsyncClient(one.address) as old, AsyncClient(two.address) as new:
                yield Place(
                    fake, {"interactions": new} | dict.fromkeys(("gemini", "stability", "stability_job", "bfl"), old)
                )


async def outcome(place: Place, case: Case) -> OperationResult | CelesteError:
    place.fake.case = case
    client, model = place.clients[case.at], MODELS[case.at]
    try:
        if case.at == "stability_job":
            source = pictures.plain(128, 128)
            return await client.upscale(source, model=model, factor=4.0, prompt="a fox", strict=True, timeout=30)
        return await client.generate("a fox", model=model, timeout=30)
    except CelesteError as error:
        return error


async def check(place: Place, case: Case) -> None:
    result = await outcome(place, case)
    if isinstance(result, CelesteError):
        assert case.reason, f"{result.reason}: {result.message}"
        assert (result.reason, result.metadata.get("stage")) == (case.reason, case.stage), result.message
        assert case.says.lower() in result.message.lower()
        return
    assert not case.reason, "it must fail"
    colors = []
    for image in sorted(result.images, key=lambda image: image.index):
        pixel = pictures.opened(image.data).convert("RGB").getpixel((0, 0))
        colors.append("r" if isinstance(pixel, tuple) and pixel[0] > pixel[2] else "b")
    assert "".join(colors) == case.colors
    (count,) = [line for line in result.fidelity if line.path == "count"] or [None]
    if len(case.colors) > 1:
        assert count is not None and count.outcome == "adjusted" and count.measured == len(case.colors)
    assert {*quantities(case.billed)} <= {*result.usage.billed}


def part(data: str = RED, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": data}, **more}


def candidate(*parts: Any, reason: Any = "STOP", **more: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason, **more}


def made(*parts: Any, reason: Any = "STOP", **more: Any) -> dict[str, Any]:
    return {"candidates": [candidate(*parts, reason=reason)], **more}


def image(data: str = RED, **more: Any) -> dict[str, Any]:
    return {"type": "image", "mime_type": "image/png", "data": data, **more}


def step(*content: Any, kind: str = "model_output", **more: Any) -> dict[str, Any]:
    return {"type": kind, "content": list(content), **more}


def steps(*listed: Any, status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"id": "i", "object": "interaction", "status": status, "steps": list(listed), **more}


TEXT = {"text": "Here it is."}
SEVERAL = [
    Case("two parts", "gemini", made(TEXT, part(RED), TEXT, part(BLUE)), "rb"),
    Case("two candidates", "gemini", {"candidates": [candidate(part(RED)), candidate(part(BLUE))]}, "rb"),
    Case("three in two", "gemini", {"candidates": [candidate(part(RED), part(BLUE)), candidate(part(BLUE))]}, "rbb"),
    Case("after a draft", "gemini", made(part(BLUE, thought=True), part(RED), part(BLUE)), "rb"),
    Case(
        "a refused candidate", "gemini", {"candidates": [candidate(reason="IMAGE_SAFETY"), candidate(part(BLUE))]}, "b"
    ),
    Case("a broken part", "gemini", made(part("bm8gaW1hZ2U="), part(BLUE)), "b"),
    Case("chunks of a stream", "gemini", [made(TEXT), made(part(RED)), made(part(BLUE))], "rb"),
    Case(
        "by address",
        "gemini",
        made({"fileData": {"mimeType": "image/png", "fileUri": "{here}/img.png"}}, part(BLUE)),
        "rb",
    ),
    Case("text that is data", "gemini", made({"inlineData": {"mimeType": "text/plain", "data": RED}}, part(BLUE)), "b"),
    Case("the last first", "interactions", steps(step(image(BLUE)), step(image(RED))), "rb"),
    Case("in one step", "interactions", steps(step(image(BLUE), {"type": "text", "text": "or"}, image(RED))), "rb"),
    Case("not the user's", "interactions", steps(step(image(BLUE), kind="user_input"), step(image(RED)))),
    Case("an earlier turn", "interactions", steps(step(image(BLUE)), step(kind="user_input"), step(image(RED)))),
    Case("not a thought", "interactions", steps(step(image(BLUE), kind="thought"), step(image(RED)))),
    Case("not a tool's", "interactions", steps(step(image(BLUE), kind="function_result"), step(image(RED)))),
    Case("beside outputs", "interactions", steps(step(image(RED)), outputs=[image(RED)])),
    Case("outputs alone", "interactions", steps(outputs=[image(BLUE), image(RED)]), "rb"),
    Case("the SDK's field", "interactions", steps(output_image=image(RED))),
    Case(
        "only the user's",
        "interactions",
        steps(step(image(BLUE), kind="user_input"), step({"type": "text", "text": "No."})),
        reason="PROVIDER_FAILED",
        says="the model made no image: No.",
    ),
]
USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 1290}
SPELLINGS = [
    Case(
        "snake",
        "gemini",
        {
            "candidates": [
                {
                    "content": {"parts": [{"inline_data": {"mime_type": "image/png", "data": RED}}]},
                    "finish_reason": "STOP",
                }
            ],
            "usage_metadata": {
                "prompt_token_count": 7,
                "candidates_token_count": 1290,
                "candidates_tokens_details": [{"modality": "IMAGE", "token_count": 1290}],
            },
        },
        billed={"input_token": 7, "output_image_token": 1290},
    ),
    Case("mixed", "gemini", made({"inlineData": {"mime_type": "image/png", "data": RED}}, usageMetadata=USAGE)),
    Case(
        "both, one empty", "gemini", made({"inlineData": None, "inline_data": {"mimeType": "image/png", "data": RED}})
    ),
    Case("lower case", "gemini", made(part(), reason="stop")),
    Case("with its prefix", "gemini", made(part(), reason="FINISH_REASON_STOP")),
    Case("as a number", "gemini", made(part(), reason=1)),
    Case("unspecified finish", "gemini", made(part(), reason="FINISH_REASON_UNSPECIFIED")),
    Case("number 0", "gemini", made(part(), reason=0)),
    Case("unspecified block", "gemini", made(part(), promptFeedback={"blockReason": "BLOCK_REASON_UNSPECIFIED"})),
    Case("its other name", "gemini", made(part(), prompt_feedback={"block_reason": "BLOCKED_REASON_UNSPECIFIED"})),
    Case("block number 0", "gemini", made(part(), promptFeedback={"blockReason": 0})),
    Case(
        "int64 as text",
        "gemini",
        made(
            part(), usageMetadata={"promptTokenCount": "7", "candidatesTokenCount": "1290", "thoughtsTokenCount": "5"}
        ),
        billed={"input_token": 7, "output_token": 1290, "output_text_token": 5},
    ),
    Case(
        "snake refusal",
        "gemini",
        {"candidates": [{"finish_reason": "image_safety", "finish_message": "Not this."}]},
        reason="SAFETY_BLOCKED",
        stage="output",
        says="image_safety): Not this.",
    ),
    Case(
        "snake block",
        "gemini",
        {"prompt_feedback": {"block_reason": "prohibited_content", "block_reason_message": "No."}},
        reason="SAFETY_BLOCKED",
        stage="prompt",
        says="No.",
    ),
    Case("number 11", "gemini", made(reason=11), reason="SAFETY_BLOCKED", stage="output", says="IMAGE_SAFETY"),
    Case(
        "camel interaction",
        "interactions",
        {
            "steps": [{"type": "MODEL_OUTPUT", "content": [{"type": "image", "mimeType": "image/png", "data": RED}]}],
            "status": "COMPLETED",
        },
    ),
    Case(
        "camel output", "interactions", {"status": "completed", "outputImage": {"mimeType": "image/png", "data": RED}}
    ),
    Case(
        "relay's error",
        "gemini",
        says({"error": {"code": 400, "details": [{"reason": "API_KEY_INVALID"}]}}, "400 B"),
        reason="PROVIDER_CREDENTIALS",
    ),
]


def coded(code: str, status: str = "400 Bad Request", message: str = "Blocked.") -> bytes:
    return says({"error": {"code": code, "message": message}}, status)


def blurred(word: str, *headers: str) -> bytes:
    return says({"image": RED, "finish_reason": word, "seed": 7}, "200 OK", *headers)


def bfl(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "t-1", "status": status, "result": None, **more}


READY = bfl("Ready") | {"result": {"sample": "{here}/img.png", "seed": 42}}
BLOCKED = "SAFETY_BLOCKED"
REFUSALS = [
    *(
        Case(word, "gemini", made(part(), reason=word), reason=BLOCKED, stage="output", says=word)
        for word in (
            *("ESCALATION", "MODEL_ARMOR", "LANGUAGE", "PUP_LIMITED_DISABLED", "IMAGE_RECITATION", "SPII", "BLOCKLIST"),
            *("model_armor", "IMAGE_CELEBRITY_SAFETY"),
        )
    ),
    *(
        Case(f"block {word}", "gemini", {"promptFeedback": {"blockReason": word}}, reason=BLOCKED, stage="prompt")
        for word in ("MODEL_ARMOR", "JAILBREAK", "OTHER", "SOMETHING_NEW", 5)
    ),
    Case("rated", "gemini", {"promptFeedback": {"safetyRatings": [{"blocked": True}]}}, reason=BLOCKED, stage="prompt"),
    Case(
        "unknown word", "gemini", made(part(), reason="QUOTA_OF_FOXES"), reason="PROVIDER_FAILED", says="QUOTA_OF_FOXES"
    ),
    Case("number 99", "gemini", made(part(), reason=99), reason="PROVIDER_FAILED", says="99"),
    Case("no image", "gemini", made(reason="IMAGE_OTHER"), reason="PROVIDER_FAILED", says="IMAGE_OTHER"),
    *(
        Case(word, "interactions", coded(word), reason=BLOCKED, stage="output", says=f"({word}): Blocked.")
        for word in ("image_safety", "image_prohibited_content", "image_recitation", "image_other")
    ),
    *(
        Case(word, "interactions", coded(word), reason=BLOCKED, stage="unknown", says=f"({word}): Blocked.")
        for word in ("safety", "prohibited_content", "blocklist", "spii", "recitation", "language", "content_blocked")
    ),
    Case("status 403", "interactions", coded("image_safety", "403 Forbidden"), reason=BLOCKED, stage="output"),
    Case("a bad field", "interactions", coded("invalid_request"), reason="INVALID_FIELD"),
    Case("no such field", "interactions", coded("parameter_unknown"), reason="INVALID_FIELD"),
    Case("too many", "interactions", coded("rate_limit_exceeded", "429 T"), reason="PROVIDER_RATE_LIMITED"),
    Case(
        "errors in a good answer",
        "interactions",
        steps(status="failed", errors=[{"code": "image_safety", "message": "No."}]),
        reason=BLOCKED,
        stage="output",
        says="No.",
    ),
    Case(
        "an error of a step",
        "interactions",
        steps(step(image(RED), error={"code": 3, "message": "No.", "details": [{"reason": "PROHIBITED_CONTENT"}]})),
        reason=BLOCKED,
        stage="unknown",
    ),
    Case("an unknown state", "interactions", steps(step(image(RED)), status="quarantined"), reason="PROVIDER_FAILED"),
    Case("not over", "interactions", steps(status="in_progress"), reason="OUTCOME_UNKNOWN"),
    *(
        Case(word, "stability", blurred(word), reason=BLOCKED, stage="output", says=word)
        for word in ("CONTENT_FILTERED", "content_filtered", "NSFW", "BLURRED", "SOMETHING_NEW")
    ),
    Case("header", "stability", blurred("SUCCESS", "finish-reason: CONTENT_FILTERED"), reason=BLOCKED, stage="output"),
    Case(
        "header of an image",
        "stability",
        reply("200 OK", RED_PNG, "image/png", "finish-reason: CONTENT_FILTERED"),
        reason=BLOCKED,
        stage="output",
    ),
    Case(
        "image and its header", "stability", reply("200 OK", RED_PNG, "image/png", "finish-reason: SUCCESS", "seed: 7")
    ),
    Case("success", "stability", blurred("SUCCESS")),
    Case("lower success", "stability", blurred("success")),
    Case("failed", "stability", blurred("ERROR"), reason="PROVIDER_FAILED", says="ERROR"),
    Case("job filtered", "stability_job", blurred("CONTENT_FILTERED"), reason=BLOCKED, stage="output"),
    Case(
        "job's header", "stability_job", blurred("", "finish-reason: CONTENT_FILTERED"), reason=BLOCKED, stage="output"
    ),
    Case("job done", "stability_job", blurred("SUCCESS")),
    Case(
        "reasons",
        "bfl",
        bfl("Request Moderated", details={"Moderation Reasons": ["Derivative Works Filter", "Safety"]}),
        reason=BLOCKED,
        stage="prompt",
        says="(Request Moderated): Derivative Works Filter, Safety",
    ),
    Case(
        "a reason",
        "bfl",
        bfl("Content Moderated", details={"Moderation Reasons": "Safety Filter"}),
        reason=BLOCKED,
        stage="output",
        says="(Content Moderated): Safety Filter",
    ),
    Case("no reasons", "bfl", bfl("Content Moderated"), reason=BLOCKED, stage="output", says="(Content Moderated)"),
    Case("lower", "bfl", bfl("request moderated"), reason=BLOCKED, stage="prompt"),
    Case("joined", "bfl", bfl("Content_Moderated"), reason=BLOCKED, stage="output"),
    Case("a new word", "bfl", bfl("Prompt Moderated"), reason=BLOCKED, stage="unknown"),
    Case("moderated with an image", "bfl", READY | {"status": "Content Moderated"}, reason=BLOCKED, stage="output"),
    Case("failed", "bfl", bfl("Failed", details={"error": "no memory"}), reason="PROVIDER_FAILED", says="no memory"),
    Case("submit moderated", "bfl", bfl("Request Moderated"), reason=BLOCKED, stage="prompt"),
    Case("submit's error", "bfl", {"error": {"message": "No credits.", "code": 402}}, reason="PROVIDER_BILLING"),
    Case("done", "bfl", READY, billed={"credit": 3.5}),
    Case("done at its own cost", "bfl", READY | {"cost": 4.5}, billed={"credit": 4.5}),
]


def typed(text: str) -> bytes:
    return reply("200 OK", text.encode())


RATED = {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}
PAID = [
    Case("a byte order mark", "gemini", typed("\ufeff" + json.dumps(made(part())))),
    Case("NaN", "gemini", typed(json.dumps(made(part(), avgLogprobs=float("nan"))))),
    Case("lines of base64", "gemini", made(part(RED[:76] + "\r\n" + RED[76:]))),
    Case("base64 for URLs", "gemini", made(part(RED.replace("+", "-").replace("/", "_").rstrip("=")))),
    Case("a data URL", "gemini", made(part("DATA:image/png;BASE64," + RED))),
    Case("BFL's mark", "bfl", typed("\ufeff" + json.dumps(READY))),
    Case(
        "Stability's NaN", "stability", typed(json.dumps({"image": RED, "finish_reason": "SUCCESS", "x": float("nan")}))
    ),
    Case("interaction's mark", "interactions", typed("\ufeff" + json.dumps(steps(step(image()))))),
]
LOST = [
    (Case("unreadable", "gemini", made(part("bm8gaW1hZ2U=")), reason="PROVIDER_FAILED"), "true"),
    (Case("unreadable", "interactions", steps(step(image("bm8gaW1hZ2U="))), reason="PROVIDER_FAILED"), "true"),
    (
        Case(
            "unreadable", "stability", {"image": "bm8gaW1hZ2U=", "finish_reason": "SUCCESS"}, reason="PROVIDER_FAILED"
        ),
        "true",
    ),
    (
        Case(
            "not allowed", "gemini", made({"fileData": {"fileUri": "https://a.test/a.png"}}), reason="PROVIDER_FAILED"
        ),
        "true",
    ),
    (Case("not used", "gemini", made(part(), reason="TOO_FEW_FOXES"), reason="PROVIDER_FAILED"), "unknown"),
    (Case("blurred", "stability", blurred("CONTENT_FILTERED"), reason=BLOCKED, stage="output"), "true"),
    (Case("a prompt", "gemini", {"promptFeedback": {"blockReason": "SAFETY"}}, reason=BLOCKED, stage="prompt"), None),
    (Case("a relay's 429", "gemini", RATED, reason="PROVIDER_RATE_LIMITED", says="Slow down."), None),
    (
        Case(
            "a relay's quota",
            "gemini",
            {"error": {"message": "No.", "code": "insufficient_quota"}},
            reason="PROVIDER_BILLING",
        ),
        None,
    ),
    (
        Case("a relay's text", "gemini", {"error": "no memory on the GPU"}, reason="PROVIDER_FAILED", says="no memory"),
        None,
    ),
    (
        Case(
            "a relay's no", "gemini", {"error": {"code": 400, "status": "IMAGE_SAFETY"}}, reason=BLOCKED, stage="output"
        ),
        "unknown",
    ),
    (
        Case(
            "its errors",
            "stability",
            {"name": "content_moderation", "errors": ["No."]},
            reason=BLOCKED,
            stage="unknown",
        ),
        "false",
    ),
    (Case("no image", "gemini", made({"text": "Which fox?"}), reason="PROVIDER_FAILED", says="Which fox?"), None),
]


@pytest.mark.parametrize("case", PAID, ids=str)
@in_loop
async def test_an_image_that_was_paid_for_is_read(place: Place, case: Case) -> None:
    await check(place, case)


@pytest.mark.parametrize(("case", "owed"), LOST, ids=str)
@in_loop
async def test_an_error_says_who_pays(place: Place, case: Case, owed: str | None) -> None:
    await check(place, case)
    error = await outcome(place, case)
    assert isinstance(error, CelesteError)
    assert error.metadata.get("owed") == owed


@pytest.mark.parametrize("case", SEVERAL, ids=str)
@in_loop
async def test_every_image_of_an_answer_is_kept(place: Place, case: Case) -> None:
    await check(place, case)


@pytest.mark.parametrize("case", SPELLINGS, ids=str)
@in_loop
async def test_both_spellings_are_read(place: Place, case: Case) -> None:
    await check(place, case)


@pytest.mark.parametrize("case", REFUSALS, ids=str)
@in_loop
async def test_a_refusal_is_known_as_one_and_an_unknown_word_is_no_success(place: Place, case: Case) -> None:
    await check(place, case)


@in_loop
async def test_an_upscaler_that_chooses_the_size_can_be_asked_strictly(place: Place) -> None:
    place.fake.case = Case("done", "stability", blurred("SUCCESS"))
    client, source = place.clients["stability"], pictures.plain(128, 128)
    model = "stability/upscale-conservative"
    result = await client.upscale(source, model=model, factor=3.0, prompt="a fox", strict=True, timeout=30)
    (factor,) = [line for line in result.fidelity if line.path == "factor"]
    assert (factor.outcome, factor.asked) == ("defaulted", 3.0)
    result = await client.upscale(source, model=model, size=Size(300, 300), prompt="a fox", strict=True, timeout=30)
    (size,) = [line for line in result.fidelity if line.path == "size"]
    assert (size.outcome, size.measured) == ("adjusted", {"width": 64, "height": 64})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("User location is not supported for the API use.", "PROVIDER_CREDENTIALS"),
        ("The free tier is not available in your country, please enable billing.", "PROVIDER_BILLING"),
        ("Billing is not enabled.", "PROVIDER_BILLING"),
    ],
)
@in_loop
async def test_a_place_is_no_bill(place: Place, text: str, reason: str) -> None:
    error = {"error": {"code": 400, "message": text, "status": "FAILED_PRECONDITION"}}
    await check(place, Case(reason, "gemini", says(error, "400 Bad Request"), reason=reason, says=text))


@in_loop
async def test_an_interaction_is_not_kept_unless_the_operator_says_so(place: Place) -> None:
    await check(place, Case("done", "interactions", steps(step(image()))))
    assert place.fake.bodies[-1]["store"] is False
    table = {"key": "AIza" + "a" * 35, "base_url": f"{place.fake.host.url}/v1", "allow_private": True}
    keeping = {"gemini": table | {"api": "interactions", "store": True}}
    async with running(providers=keeping) as server, AsyncClient(server.address) as client:
        await client.generate("a fox", model=MODELS["gemini"], timeout=30)
    assert place.fake.bodies[-1]["store"] is True
