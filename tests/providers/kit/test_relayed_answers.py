"""Answers as relays, proxies and further gateways pass them on: refusals stay refusals, and paid images are read."""

import gzip
import json
import time
import zlib
from typing import Any

import pytest
from tests.providers.kit.test_odd_answers import BLUE, GOOD, RED, Body, Case, Place, check, failing, in_loop, ran
from tests.providers.kit.test_odd_answers import place as place  # noqa: PLC0414 (a fixture)
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.errors import CelesteError
from celeste_image.core.request import Generate, RequestOptions, Routing
from celeste_image.outbound.json_values import json_values
from celeste_image.providers.kit.answers import retry_after, vendor_text
from celeste_image.providers.kit.failures import Failure

ANSWER = json.dumps({"created": 1, "data": [GOOD]}).encode()
ONE = (0,)
UNKNOWN = "OUTCOME_UNKNOWN"
SAFETY = "SAFETY_BLOCKED"
MODERATED = b'{"error": {"code": "moderation_blocked", "message": "no"}}'


def refusing(name: str, answer: Any, status: int = 400, **more: Any) -> Case:
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return failing(name, Body(content, status=status, **more), SAFETY)


OLD = "Your request was rejected as a result of our safety system."
UPSTREAM = {"error": {"message": "no", "code": "moderation_blocked", "type": "image_generation_user_error"}}
FLAGGED = "Your chosen model requires moderation on input and your input was flagged"
LITELLM = "litellm.ContentPolicyViolationError: OpenAIException - {'error': {'code': 'moderation_blocked'}}"
IMAGEN = "The prompt could not be submitted. Your current safety filter threshold prohibited one or more words."
REFUSALS = [
    refusing("xAI", {"code": "Client specified an invalid argument", "error": "Rejected by content moderation."}),
    refusing("OpenRouter", {"error": {"code": 403, "message": FLAGGED, "metadata": {"reasons": ["sexual"]}}}, 403),
    refusing("reasons alone", {"error": {"code": 403, "message": "no", "metadata": {"reasons": ["other"]}}}, 200),
    refusing("raw", {"error": {"message": "Provider error", "code": 400, "metadata": {"raw": json.dumps(UPSTREAM)}}}),
    refusing("JSON in a message", {"error": {"message": json.dumps(UPSTREAM), "code": "BAD_REQUEST"}}, 422),
    refusing("a general type", {"error": {"code": None, "message": OLD, "type": "invalid_request_error"}}),
    refusing("LiteLLM", {"error": {"message": LITELLM, "type": "invalid_request_error", "code": "400"}}),
    refusing("DashScope", {"code": "DataInspectionFailed", "message": "Output data may be bad."}, 200),
    refusing("Volcengine", {"error": {"code": "OutputImageRiskDetection", "message": "no", "type": "BadRequest"}}),
    refusing("Imagen", {"error": {"code": 400, "message": IMAGEN, "status": "INVALID_ARGUMENT"}}),
    refusing("Stability's text", {"name": "forbidden", "errors": ["was flagged by our content moderation"]}, 403),
    refusing("an event", b'event: error\ndata: {"error": {"code": "content_policy_violation"}}\n\n'),
    refusing("plain text", b"moderation_blocked: no", kind="text/plain"),
    refusing("gzip unsaid", gzip.compress(MODERATED)),
    failing("xAI's item", {"data": [{"url": "", "respect_moderation": False}]}, SAFETY, owed="unknown"),
    failing("Imagen's item", {"predictions": [{"raiFilteredReason": "filtered out"}]}, SAFETY, owed="unknown"),
    Case(
        "one of two",
        {"data": [GOOD, {"url": "", "respect_moderation": False}]},
        ONE,
        ((1, SAFETY),),
        owed="unknown",
        count=2,
    ),
]
OTHERS = [
    failing(
        "a parameter of moderation",
        Body(
            b'{"error": {"message": "Unknown parameter: \'content filter\'.", "param": "x", "code": "unknown"}}',
            status=400,
        ),
        "INVALID_FIELD",
    ),
    failing(
        "a blocked account",
        Body(
            b'{"error": {"code": "Forbidden", "message": "Your resource has been blocked: content policy."}}',
            status=403,
        ),
        "PROVIDER_CREDENTIALS",
    ),
    failing("a relay's quota", Body(b'{"error": {"code": "insufficient_user_quota"}}', status=403), "PROVIDER_BILLING"),
    failing("arrears", Body(b'{"code": "Arrearage", "message": "no"}', status=400), "PROVIDER_BILLING"),
    failing("text of an error event", "event: error\ndata: CUDA out of memory\n\n", "PROVIDER_FAILED", "out of memory"),
    failing(
        "a date beyond all clocks",
        Body(b"{}", status=429, headers={"retry-after": "Mon, 01 Jan 2024 99999999999999999999:00:00 GMT"}),
        "PROVIDER_RATE_LIMITED",
    ),
]


@pytest.mark.parametrize("case", [*REFUSALS, *OTHERS], ids=str)
@in_loop
async def test_a_failure_that_is_passed_on_keeps_its_reason(place: Place, case: Case) -> None:
    await check(place, case)


@in_loop
async def test_a_refusal_is_not_sent_to_a_fallback(place: Place) -> None:
    place.studio.case = REFUSALS[0]
    other = place.table | {"base_url": f"{place.studio.host.url}/spare/v1"}
    async with (
        running(providers={"studio": place.table, "spare": other}) as server,
        AsyncClient(server.address) as client,
    ):
        before = len(place.studio.host.asked)
        options = RequestOptions(routing=Routing(("spare/m",)))
        with pytest.raises(CelesteError, match="content moderation") as caught:
            async for _ in client.stream(Generate(model="studio/m", prompt="a fox", options=options), timeout=20):
                pass
    assert (caught.value.reason, len(place.studio.host.asked) - before) == (SAFETY, 1)


def encoded(name: str, content: bytes, encoding: str) -> Case:
    return Case(name, Body(content, headers={"content-encoding": encoding} if encoding else {}), ONE)


PACKED = gzip.compress(ANSWER)
ENCODINGS = [
    encoded("gzip unsaid", PACKED, ""),
    encoded("gzip as deflate", PACKED, "deflate"),
    encoded("deflate as gzip", zlib.compress(ANSWER), "gzip"),
    *(encoded(f"{name}, inflated on the way", ANSWER, name) for name in ("br", "zstd", "UTF-8", "none", "aws-chunked")),
    failing("brotli", Body(b"\x1b\xff\x0f\x00\xfe", headers={"content-encoding": "br"}), UNKNOWN, owed="unknown"),
]
PYTHON = str({"data": [{"b64_json": RED, "url": None, "prompt": 'a "fox\'s" den', "safe": True}]})
TEXTS = [
    Case("surplus commas", f'{{"data": [{{"b64_json": "{RED}",}},],}}', ONE),
    Case("comments", f'{{// it\'s\n"data": /* ], */ [{{"b64_json": "{RED}"}}]}}', ONE),
    Case("a warning of PHP", b"<br />\n<b>Notice</b>: x[1] in /a.php on line 3<br />\n" + ANSWER, ONE),
    Case("a fence", b"```json\n" + ANSWER + b"\n```", ONE),
    Case("a function", b"callback(" + ANSWER + b");", ONE),
    Case("Python", PYTHON, ONE),
    Case("JSON in JSON", json.dumps(ANSWER.decode()), ONE),
    Case("a huge integer", f'{{"created": {"1" * 5000}, "data": [{{"b64_json": "{RED}"}}]}}', ONE),
    Case("two bytes short", Body(ANSWER[:-2]), ONE),
    failing("half", Body(ANSWER[: len(ANSWER) // 2]), UNKNOWN, owed="unknown"),
    Case("a prompt of megabytes", {"data": [GOOD | {"revised_prompt": "word " * 1_000_000}]}, ONE),
    Case("a prefix", {"data": [{"b64_json": f"base64,{RED}"}]}, ONE),
]
PLACES = [
    Case(
        "an answer in an answer",
        {"code": 0, "data": {"images": [{"url": "/a.png"}, {"url": "/b.png"}]}},
        (0, 1),
        count=2,
    ),
    Case("results in output", {"output": {"task_status": "SUCCEEDED", "results": [{"url": "/a.png"}]}}, ONE),
    Case("a list of URLs", {"data": {"image_urls": ["/a.png", "/b.png"]}}, (0, 1), count=2),
    Case("a list of base64", {"base64": [RED, BLUE], "finishReason": "SUCCESS"}, (0, 1), count=2),
]


@pytest.mark.parametrize("case", [*ENCODINGS, *TEXTS, *PLACES], ids=str)
@in_loop
async def test_a_paid_image_is_read_whatever_stood_in_between(place: Place, case: Case) -> None:
    await check(place, case)


def event(name: str, **fields: Any) -> str:
    return f"event: image_generation.{name}\ndata: {json.dumps({'type': f'image_generation.{name}', **fields})}\n\n"


def of_a_set(index: int, data: str) -> str:
    return event("partial_succeeded", image_index=index, b64_json=data)


WITHHELD = {"code": "OutputImageSensitiveContentDetected", "message": "no"}
SET_ENDS = event("completed", usage={"generated_images": 2}) + "data: [DONE]\n\n"
SETS = [
    Case("two", of_a_set(0, RED) + of_a_set(1, BLUE) + SET_ENDS, (0, 1), count=2, previews=1),
    Case("one", of_a_set(0, RED) + SET_ENDS, ONE, previews=1),
    Case(
        "one of two",
        of_a_set(0, RED) + event("partial_failed", error=WITHHELD) + SET_ENDS,
        ONE,
        ((1, SAFETY),),
        count=2,
    ),
    failing("none", event("partial_failed", error=WITHHELD) + SET_ENDS, SAFETY),
    failing("cut in the last event", (event("completed", b64_json=RED))[:-200], "PROVIDER_FAILED", owed="true"),
]


@pytest.mark.parametrize("case", SETS, ids=str)
@in_loop
async def test_a_stream_of_finished_images(place: Place, case: Case) -> None:
    await check(place, case)


@in_loop
async def test_no_more_previews_than_were_asked_for(place: Place) -> None:
    partial = "".join(event("partial_image", b64_json=BLUE, partial_image_index=index) for index in range(20))
    result, previews = await ran(place, Case("many", partial + event("completed", b64_json=RED), previews=2))
    assert (len(result.images), len(previews)) == (1, 2)


@pytest.mark.parametrize(
    "content",
    [b"1 " * 2_000_000, b"{}" + b" " * 8_000_000 + b"{}", b'{"error": {"message": "%s"}}' % (b"A " * 4_000_000)],
    ids=["numbers", "blanks", "a long message"],
)
def test_reading_costs_little(content: bytes) -> None:
    began = time.process_time()
    try:
        (value, *_) = json_values(content)
        text = value.get("error", {}).get("message", "")
        vendor_text(text, ["key"])
        assert not Failure(text).is_refusal
    except ValueError:
        pass
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "body",
    [
        Body(gzip.compress(b"") * 200_000, headers={"content-encoding": "gzip"}),
        Body(b":\n\n" * 600_000, kind="text/event-stream"),
        Body(b"data: 1\n\n" * 200_000, kind="text/event-stream"),
    ],
    ids=["members", "lines", "events"],
)
@in_loop
async def test_an_endless_answer_is_given_up(place: Place, body: Body) -> None:
    await check(place, failing("endless", body, UNKNOWN, says="over", owed="unknown"))


def test_a_date_beyond_all_clocks_is_none() -> None:
    assert retry_after({"retry-after": "Mon, 01 Jan 2024 99999999999999999999:00:00 GMT"}) is None


def test_a_key_at_the_edge_of_a_long_text_is_left_out() -> None:
    key = "sk-" + "x" * 40
    text = " " * ((16 << 10) - 20) + key + " more"
    assert "sk-" not in vendor_text(text, [key])
