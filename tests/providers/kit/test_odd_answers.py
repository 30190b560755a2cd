"""Odd answers that real servers send: no paid image is lost, and each missing one has its reason.

A vendor on a socket gives the answer of a case, and a real server with a real client says what comes of it. Each table
is one kind of fault; other vendors inherit what holds here, since all of it is done by the kit.
"""

import asyncio
import base64
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio
from tests.support import pictures
from tests.support.hosts import Asked, Host, listening
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Completed, Preview
from celeste_image.core.money import quantities
from celeste_image.core.request import Generate, RequestOptions
from celeste_image.core.result import OperationResult

in_loop = pytest.mark.asyncio(loop_scope="module")

PNG = pictures.plain(64, 64)
JPEG = pictures.plain(64, 64, "JPEG")
RED, BLUE = (base64.b64encode(pictures.plain(64, 64, color=color)).decode() for color in ("red", "blue"))
GOOD = {"b64_json": RED}
BROKEN = {"b64_json": base64.b64encode(b"no image").decode()}
ODD_PORT = "http://127.0.0.1:9/img.png"
"""A port of this machine that nobody allowed."""


@dataclass(frozen=True)
class Body:
    """An answer, byte by byte; `cut` closes the connection before the end that the headers promise."""

    content: bytes
    kind: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    def sent(self) -> bytes:
        named = {"content-type": self.kind, "content-length": str(len(self.content) + self.cut), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return f"HTTP/1.1 {self.status} X\r\n{lines}\r\n".encode() + self.content


@dataclass(frozen=True)
class Case:
    """An answer and what must come of it.

    Attributes:
        name: What the case is, for the test's name.
        answer: JSON, text, bytes, or a Body. `{here}` in a text stands for the vendor's address.
        images: Indexes of the images.
        missed: Reasons of the images that are missing beside others.
        reason: Reason of the error, if there is no image.
        says: What the error's text must have in it.
        owed: `owed` of the error, or of all missing images.
        count: Images asked for.
        previews: Previews asked for.
    """

    name: str
    answer: Any
    images: tuple[int, ...] = ()
    missed: tuple[tuple[int, str], ...] = ()
    reason: str = ""
    says: str = ""
    owed: str | None = None
    count: int = 1
    previews: int = 0

    def __str__(self) -> str:
        return self.name

    def body(self, here: str) -> Body:
        if isinstance(self.answer, Body):
            return replace(self.answer, content=self.answer.content.replace(b"{here}", here.encode()))
        if isinstance(self.answer, bytes):
            return Body(self.answer)
        text = self.answer if isinstance(self.answer, str) else json.dumps(self.answer)
        return Body(text.replace("{here}", here).encode())


class Studio:
    """The vendor: gives each request the answer of the current case, and images by any GET."""

    def __init__(self) -> None:
        self.case = Case("none", {})
        self.host = Host(self.answer)
        self.fetched: list[str] = []

    async def answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.line.startswith("GET"):
            self.fetched.append(asked.line.split()[1])
            missing = "/gone" in asked.line
            body = Body(b"" if missing else PNG, "image/png", 404 if missing else 200)
        else:
            body = self.case.body(self.host.url)
        writer.write(body.sent())
        await writer.drain()
        if body.cut or "close" in body.headers.get("connection", ""):
            writer.close()


@dataclass
class Place:
    studio: Studio
    client: AsyncClient
    table: dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Place]:
    studio = Studio()
    async with listening(studio.host):
        model = {"id": "m", "previews": True, "max_count": 4, "seed": True, "reads": ["quality"]}
        table = {"kind": "compatible", "base_url": f"{studio.host.url}/v1", "allow_private": True, "tries": 1}
        table |= {"models": [model]}
        async with running(providers={"studio": table}) as server, AsyncClient(server.address) as client:
            yield Place(studio, client, table)


async def ran(place: Place, case: Case, **more: Any) -> tuple[OperationResult, list[Preview]]:
    place.studio.case = case
    options = RequestOptions(preview_count=case.previews)
    request = Generate(model="studio/m", prompt="a fox", count=case.count, options=options, **more)
    previews, result = [], None
    async for event in place.client.stream(request, timeout=20):
        if isinstance(event, Preview):
            previews.append(event)
        elif isinstance(event, Completed):
            result = event.result
    assert result
    return result, previews


async def check(place: Place, case: Case) -> None:
    if case.reason:
        with pytest.raises(CelesteError) as caught:
            await ran(place, case)
        error = caught.value
        assert (error.reason, error.metadata.get("owed")) == (case.reason, case.owed), error.message
        assert case.says in error.message
        return
    result, _ = await ran(place, case)
    assert tuple(image.index for image in result.images) == case.images
    assert {index: error.reason for index, error in result.failures.items()} == dict(case.missed)
    assert {error.metadata.get("owed") for error in result.failures.values()} <= {case.owed}
    assert all(case.says in error.message for error in result.failures.values())


def failing(name: str, answer: Any, reason: str, says: str = "", owed: str | None = None, **more: Any) -> Case:
    return Case(name, answer, reason=reason, says=says, owed=owed, **more)


NO = "The safety system says no."
FAILED = "PROVIDER_FAILED"
FAILURES = [
    failing("moderation", {"error": {"message": NO, "code": "moderation_blocked"}}, "SAFETY_BLOCKED", NO),
    failing(
        "quota", {"error": {"message": "No credits.", "code": "insufficient_quota"}}, "PROVIDER_BILLING", "No credits"
    ),
    failing("data null", {"created": 1, "data": None, "error": {"message": "no memory"}}, FAILED, "no memory"),
    failing("numeric 429", {"error": {"code": 429, "message": "slow down"}}, "PROVIDER_RATE_LIMITED", "slow down"),
    failing("text 429", {"error": {"code": "429", "message": "slow down"}}, "PROVIDER_RATE_LIMITED", "slow down"),
    failing("numeric 401", {"error": {"code": 401, "message": "bad key"}}, "PROVIDER_CREDENTIALS"),
    failing("numeric 402", {"code": 402, "message": "pay first"}, "PROVIDER_BILLING", "pay first"),
    failing("numeric 503", {"data": [], "error": {"code": 503}}, "PROVIDER_UNAVAILABLE"),
    failing("numeric 500", {"error": {"code": 500, "message": "bang"}}, "OUTCOME_UNKNOWN", "bang", "unknown"),
    failing("numeric 422", {"error": {"status": 422, "message": "bad size"}}, "INVALID_FIELD", "bad size"),
    failing("not a status", {"error": {"code": 1301, "message": "odd"}}, FAILED, "odd"),
    failing("Google's status", {"error": {"status": "RESOURCE_EXHAUSTED", "message": "busy"}}, "PROVIDER_RATE_LIMITED"),
    failing("a text", {"error": "the model is not loaded"}, FAILED, "the model is not loaded"),
    failing(
        "a refusing text", {"error": "Your prompt was rejected by our safety system"}, "SAFETY_BLOCKED", "rejected"
    ),
    failing("a code as text", {"error": "rate_limit_exceeded"}, "PROVIDER_RATE_LIMITED"),
    failing(
        "JSON in a text", {"error": '{"error": {"code": "content_filter", "message": "no"}}'}, "SAFETY_BLOCKED", "no"
    ),
    failing(
        "nested",
        {"error": {"error": {"message": "deep", "code": "rate_limit_exceeded"}}},
        "PROVIDER_RATE_LIMITED",
        "deep",
    ),
    failing(
        "errors",
        {"errors": [{"message": "one", "code": "billing_not_active"}, {"message": "two"}]},
        "PROVIDER_BILLING",
        "one; two",
    ),
    failing("errors as texts", {"errors": ["one", "two"]}, FAILED, "one; two"),
    failing("FastAPI's text", {"detail": "CUDA out of memory"}, FAILED, "CUDA out of memory"),
    failing(
        "FastAPI's list",
        {"detail": [{"loc": ["body", "n"], "msg": "n is too large", "type": "value_error"}]},
        "INVALID_FIELD",
        "n is too large",
    ),
    failing("message alone", {"message": "the worker died"}, FAILED, "the worker died"),
    failing("success false", {"success": False, "msg": "try later", "data": []}, FAILED, "try later"),
    failing("status failed", {"status": "failed", "message": "no", "images": []}, FAILED, "no"),
    failing("a list", [{"error": {"code": 429, "message": "slow"}}], "PROVIDER_RATE_LIMITED", "slow"),
    failing("an empty error", {"error": {}, "data": []}, FAILED, "no image"),
    failing("another spelling", {"error": {"code": "contentFilter", "message": "no"}}, "SAFETY_BLOCKED", "no"),
    failing(
        "Azure's inner code",
        {"error": {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        "SAFETY_BLOCKED",
    ),
    failing("unspecified is none", {"error": {"code": "SAFETY_UNSPECIFIED", "message": "odd"}}, FAILED, "odd"),
    failing(
        "a relay's 502",
        Body(b'{"error": {"code": 429, "message": "slow"}}', status=502),
        "PROVIDER_RATE_LIMITED",
        "slow",
    ),
    failing(
        "201", Body(b'{"error": {"code": "moderation_blocked", "message": "no"}}', status=201), "SAFETY_BLOCKED", "no"
    ),
    Case("an error beside an image", {"data": [GOOD], "error": {"message": "low on credits", "code": 402}}, (0,)),
    Case("error null", {"data": [GOOD], "error": None}, (0,)),
    Case("code 0 and a message", {"code": 0, "message": "success", "data": [GOOD]}, (0,)),
]
"""V1: a failure inside of status 200."""

FILTERED = {"error": {"code": "content_policy_violation", "message": "It was filtered."}}
ITEMS = [
    Case(
        "filtered", {"data": [GOOD, FILTERED]}, (0,), ((1, "SAFETY_BLOCKED"),), says="filtered", owed="unknown", count=2
    ),
    Case("filtered first", {"data": [FILTERED, GOOD]}, (1,), ((0, "SAFETY_BLOCKED"),), owed="unknown", count=2),
    Case("unreadable", {"data": [GOOD, BROKEN, {"b64_json": BLUE}]}, (0, 2), ((1, FAILED),), owed="true", count=3),
    Case("no base64", {"data": [{"b64_json": "%%%"}, GOOD]}, (1,), ((0, FAILED),), owed="true", count=2),
    Case(
        "unfetchable",
        {"data": [{"url": "{here}/gone.png"}, GOOD]},
        (1,),
        ((0, FAILED),),
        says="404",
        owed="true",
        count=2,
    ),
    Case(
        "not allowed",
        {"data": [{"url": ODD_PORT}, GOOD]},
        (1,),
        ((0, FAILED),),
        says="result_origins",
        owed="true",
        count=2,
    ),
    Case("null", {"data": [None, GOOD]}, (1,), ((0, FAILED),), count=2),
    Case("empty", {"data": [{}, GOOD]}, (1,), ((0, FAILED),), count=2),
    Case(
        "an error of its own", {"data": [{"error": "no memory"}, GOOD]}, (1,), ((0, FAILED),), says="no memory", count=2
    ),
    Case(
        "a finish reason",
        {"data": [{"b64_json": BLUE, "finish_reason": "CONTENT_FILTERED"}, GOOD]},
        (1,),
        ((0, "SAFETY_BLOCKED"),),
        owed="unknown",
        count=2,
    ),
    Case(
        "Azure's filter",
        {"data": [{"content_filter_results": {"hate": {"filtered": True}}}, GOOD]},
        (1,),
        ((0, "SAFETY_BLOCKED"),),
        owed="unknown",
        count=2,
    ),
    Case(
        "a flag", {"data": [{"nsfw": True, "url": ""}, GOOD]}, (1,), ((0, "SAFETY_BLOCKED"),), owed="unknown", count=2
    ),
    Case("Azure's filter, passed", {"data": [GOOD | {"content_filter_results": {"hate": {"filtered": False}}}]}, (0,)),
    Case("fewer", {"data": [GOOD]}, (0,), ((1, FAILED),), says="made 1 of 2", count=2),
    Case("fewer with a reason", {"data": [GOOD], "error": FILTERED["error"]}, (0,), ((1, "SAFETY_BLOCKED"),), count=2),
    Case("a bad one too many", {"data": [BROKEN, GOOD]}, (0,)),
    Case("more", {"data": [GOOD, {"b64_json": BLUE}]}, (0, 1)),
    Case("base64 bad, URL good", {"data": [{"b64_json": "%%%", "url": "{here}/img.png"}]}, (0,)),
    failing("all filtered", {"data": [FILTERED, FILTERED]}, "SAFETY_BLOCKED", "filtered", "unknown", count=2),
    failing("alone and unreadable", {"data": [BROKEN]}, FAILED, "image", "true"),
    failing("all bad", {"data": [BROKEN, FILTERED]}, FAILED, "", "true", count=2),
]
"""V2: one bad item among good ones, and V11: who pays."""


def event(name: str, data: Any) -> str:
    named = f"event: {name}\n" if name else ""
    return f"{named}data: {data if isinstance(data, str) else json.dumps(data)}\n\n"


KIND = "image_generation"
PART = event(f"{KIND}.partial_image", {"type": f"{KIND}.partial_image", "b64_json": BLUE, "partial_image_index": 0})
DONE_VALUE = {"type": f"{KIND}.completed", "b64_json": RED, "usage": {"input_tokens": 5, "output_tokens": 7}}
DONE = event(f"{KIND}.completed", DONE_VALUE)
TROUBLE = event("error", {"error": {"message": "usage could not be counted", "code": "server_error"}})


def stream(name: str, text: str | bytes, *, cut: bool = False, kind: str = "text/event-stream", **more: Any) -> Case:
    content = text if isinstance(text, bytes) else text.encode()
    expected = {} if "reason" in more else {"images": (0,)}
    return Case(name, Body(content, kind, cut=cut), previews=2, **{**expected, **more})


STREAMS = [
    stream("keepalive without data", PART + "event: keepalive\ndata:\n\n" + DONE),
    stream("ping", PART + "event: ping\ndata: ping\n\n" + DONE),
    stream("text behind", DONE + "data: bye\n\n"),
    stream("error behind", DONE + TROUBLE),
    stream("cut behind", DONE, cut=True),
    stream("comments", ": OPENROUTER PROCESSING\n\n" + PART + ":\n\n" + DONE + ": bye\n\n"),
    stream("untyped", event("", {"created": 1, "data": [GOOD]}) + "data: [DONE]\n\n"),
    stream("untyped with url", event("", {"data": [{"url": "{here}/img.png"}]})),
    stream("done with spaces", DONE + "data:  [DONE] \n\n"),
    stream("done before keepalives", DONE + "data: [DONE]\n\n" + "data: {\n\n"),
    stream("twice", DONE + DONE),
    stream("no blank line at the end", PART + DONE.rstrip("\n")),
    stream("cut in the usage", DONE[: DONE.index('"usage"') + 12], cut=True),
    stream("CR", (PART + DONE).replace("\n", "\r")),
    stream("CRLF", (PART + DONE).replace("\n", "\r\n")),
    stream(
        "lines of one value",
        f"event: {KIND}.completed\n"
        + "".join(f"data: {line}\n" for line in json.dumps(DONE_VALUE, indent=1).split("\n"))
        + "\n",
    ),
    stream("garbage events", "event: x\ndata: {{{\n\nevent: y\ndata: \xff\n\n" + DONE),
    stream("a mark", "\ufeff" + DONE),
    stream("another type", DONE, kind="application/json"),
    stream("no type", DONE, kind="text/plain"),
    stream("JSON as a stream", json.dumps({"data": [GOOD]})),
    stream("error null", event(f"{KIND}.completed", DONE_VALUE | {"error": None})),
    stream("edit's name", DONE.replace(KIND, "image_edit")),
    stream("NaN in an event", DONE.replace('"usage"', '"score": NaN, "usage"')),
    stream("two of two", DONE + event(f"{KIND}.completed", {"b64_json": BLUE}), count=2, images=(0, 1)),
    stream("one of two, then an error", DONE + TROUBLE, count=2, missed=((1, "OUTCOME_UNKNOWN"),), owed="unknown"),
    stream("one of two, then cut", DONE, cut=True, count=2, missed=((1, "OUTCOME_UNKNOWN"),), owed="unknown"),
    stream("one of two, then refused", DONE + event("error", FILTERED), count=2, missed=((1, "SAFETY_BLOCKED"),)),
    stream("refused", PART + event("error", FILTERED), reason="SAFETY_BLOCKED", says="filtered"),
    stream("refused without a name", event("", FILTERED), reason="SAFETY_BLOCKED", says="filtered"),
    stream("limited", event("error", {"error": {"type": "rate_limit_error"}}), reason="PROVIDER_RATE_LIMITED"),
    stream("failed by name", event(f"{KIND}.failed", {"error": "no memory"}), reason=FAILED, says="no memory"),
    stream("cut before", PART, cut=True, reason="OUTCOME_UNKNOWN", owed="unknown"),
    stream("over before", PART + "data: [DONE]\n\n", reason="OUTCOME_UNKNOWN", owed="unknown"),
    stream("cut in the image", DONE[: len(DONE) // 3], cut=True, reason="OUTCOME_UNKNOWN", owed="unknown"),
    stream("completed without an image", event(f"{KIND}.completed", {}), reason=FAILED, says="no image", owed="true"),
]
"""V3: what stands beside or behind a finished image in a stream."""

URL_SAFE = RED.replace("+", "-").replace("/", "_")
JPEG64 = base64.b64encode(JPEG).decode()


def base64_case(name: str, text: str, field: str = "b64_json") -> Case:
    return Case(name, {"data": [{field: text}]}, (0,))


BASE64 = [
    base64_case("lines", "\n".join(RED[i : i + 76] for i in range(0, len(RED), 76))),
    base64_case("CRLF lines", "\r\n".join(RED[i : i + 64] for i in range(0, len(RED), 64)) + "\r\n"),
    base64_case("spaces", "  " + RED.replace("A", "A ", 5) + "\t"),
    base64_case("no padding", RED.rstrip("=")),
    base64_case("too much padding", RED.rstrip("=") + "===="),
    base64_case("URL-safe", URL_SAFE),
    base64_case("URL-safe without padding", URL_SAFE.rstrip("=")),
    base64_case("data URL", f"data:image/png;base64,{RED}"),
    base64_case("DATA URL", f"DATA:IMAGE/PNG;BASE64,{RED}", "url"),
    base64_case("data URL with parameters", f"data:image/png;charset=utf-8;name=x.png;base64,{RED}", "url"),
    base64_case("data URL without a type", f"data:;base64,{RED}", "url"),
    base64_case("data URL with spaces", f" data:image/png; base64, {RED}"),
    base64_case("percent-encoded", RED.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"), "url"),
    base64_case("percent-encoded data URL", "data:image/png," + "".join(f"%{byte:02X}" for byte in PNG), "url"),
    base64_case("quoted", f'"{RED}"'),
    base64_case("escaped twice", "\\n".join(RED[i : i + 76] for i in range(0, len(RED), 76))),
    base64_case("without its data:", f"image/png;base64,{RED}"),
    base64_case("JPEG begins like a path", JPEG64, "url"),
    base64_case("base64 in url", RED, "url"),
    base64_case("URL in b64_json", "{here}/img.png"),
    failing("not base64", {"data": [{"b64_json": "{}{}{}"}]}, FAILED, "neither", "true"),
    failing("base64 of text", {"data": [BROKEN]}, FAILED, "", "true"),
]
"""V4: base64 in other forms."""

PLACES = [
    Case("relative", {"data": [{"url": "/img.png"}]}, (0,)),
    Case("relative to the base", {"data": [{"url": "files/1/img.png?x=1"}]}, (0,)),
    Case("a name", {"data": [{"url": "img.png"}]}, (0,)),
    Case("dots", {"data": [{"url": "../img.png"}]}, (0,)),
    Case("without a scheme", Body(b'{"data": [{"url": "//127.0.0.1:{port}/img.png"}]}'), (0,)),
    Case("capitals", Body(b'{"data": [{"url": "HTTP://127.0.0.1:{port}/img.png"}]}'), (0,)),
    Case("localhost", Body(b'{"data": [{"url": "http://localhost:{port}/img.png"}]}'), (0,)),
    Case("spaces around", {"data": [{"url": " {here}/img.png\n"}]}, (0,)),
    Case("images", {"images": [{"url": "{here}/img.png"}], "seed": 7}, (0,)),
    Case("images of texts", {"images": [RED, "{here}/img.png"]}, (0, 1), count=2),
    Case("images, data null", {"data": None, "images": [GOOD]}, (0,)),
    Case("images, data empty", {"data": [], "images": [GOOD]}, (0,)),
    Case("image", {"image": RED}, (0,)),
    Case("image object", {"image": {"url": "{here}/img.png"}}, (0,)),
    Case("image_url object", {"data": [{"image_url": {"url": "{here}/img.png"}}]}, (0,)),
    Case("url at the top", {"url": "{here}/img.png"}, (0,)),
    Case("b64_json at the top", {"b64_json": RED, "created": 1}, (0,)),
    Case("output", {"output": ["{here}/img.png"]}, (0,)),
    Case("artifacts", {"artifacts": [{"base64": RED, "finishReason": "SUCCESS", "seed": 3}]}, (0,)),
    Case("a list", [GOOD], (0,)),
    Case("a list of texts", [RED], (0,)),
    Case("the image itself", Body(PNG, "image/png"), (0,)),
    Case("the image as bytes", Body(JPEG, "application/octet-stream"), (0,)),
    failing(
        "another port",
        {"data": [{"url": ODD_PORT}]},
        FAILED,
        '"http://127.0.0.1:9" to providers.studio.result_origins',
        "true",
    ),
    failing(
        "a private host",
        {"data": [{"url": "http://10.1.2.3/i.png"}]},
        FAILED,
        "providers.studio.result_origins",
        "true",
    ),
    failing(
        "a public host",
        {"data": [{"url": "https://cdn.example.com/i.png"}]},
        FAILED,
        '"cdn.example.com" to providers.studio.result_hosts',
        "true",
    ),
    failing("metadata service", {"data": [{"url": "http://169.254.169.254/x"}]}, FAILED, "result_origins", "true"),
    failing("file", {"data": [{"url": "file:///etc/passwd"}]}, FAILED, "http", "true"),
    failing("a user in it", {"data": [{"url": "http://a@127.0.0.1/x"}]}, FAILED, "", "true"),
    failing("gone", {"data": [{"url": "/gone"}]}, FAILED, "404", "true"),
]
"""V5: where images are said to be."""

WHOLE = json.dumps({"data": [GOOD]}).encode()


def packed(name: str, content: bytes, encoding: str, **more: Any) -> Case:
    kind = {"status": more.pop("status")} if "status" in more else {}
    answer = Body(content, headers={"content-encoding": encoding}, **kind)
    return Case(name, answer, **({} if "reason" in more else {"images": (0,)}), **more)


bare = zlib.compressobj(wbits=-15)
DEFLATED = bare.compress(WHOLE) + bare.flush()
BOMB = gzip.compress(b" " * (1 << 20)) * 80
PACKED = [
    packed("gzip", gzip.compress(WHOLE), "gzip"),
    packed("x-gzip in capitals", gzip.compress(WHOLE), "X-GZIP"),
    packed("deflate", zlib.compress(WHOLE), "deflate"),
    packed("bare deflate", DEFLATED, "deflate"),
    packed("twice", gzip.compress(gzip.compress(WHOLE)), "gzip, gzip"),
    packed("two members", gzip.compress(WHOLE[:40]) + gzip.compress(WHOLE[40:]), "gzip"),
    packed("garbage behind", gzip.compress(WHOLE) + b"\0\0garbage", "gzip"),
    packed("not packed after all", WHOLE, "gzip"),
    packed("identity", WHOLE, "identity, "),
    packed("a stream", gzip.compress(event("", {"data": [GOOD]}).encode()), "gzip"),
    packed("a cut end", gzip.compress(WHOLE)[:-8], "gzip"),
    packed("a moderation", gzip.compress(json.dumps(FILTERED).encode()), "gzip", reason="SAFETY_BLOCKED", status=400),
    packed("br", b"\x0b\x02\x80{}\x03", "br", reason="OUTCOME_UNKNOWN", says="compressed with br", owed="unknown"),
    packed("zstd", b"(\xb5/\xfd", "zstd", reason="OUTCOME_UNKNOWN", says="compressed with zstd", owed="unknown"),
    packed("br of a refusal", b"x", "br", reason="INVALID_FIELD", says="compressed", status=400),
    packed(
        "damaged",
        gzip.compress(WHOLE)[:-8] + b"\0" * 8,
        "gzip",
        reason="OUTCOME_UNKNOWN",
        says="damaged",
        owed="unknown",
    ),
    packed("too often", WHOLE, "gzip, gzip, gzip", reason="OUTCOME_UNKNOWN", says="more than 2", owed="unknown"),
    packed("a bomb", BOMB, "gzip", reason="OUTCOME_UNKNOWN", says="over", owed="unknown"),
]
"""V14: compressed answers though identity was asked."""

TEXT = WHOLE.decode()
JSONS = [
    Case("NaN", TEXT.replace("}]", ', "score": NaN}]'), (0,)),
    Case("infinities", TEXT.replace("}]", ', "a": Infinity, "b": -Infinity}]'), (0,)),
    Case("a mark", "\ufeff" + TEXT, (0,)),
    Case("two marks", "\ufeff\ufeff" + TEXT, (0,)),
    Case("UTF-16", TEXT.encode("utf-16"), (0,)),
    Case("UTF-16 without a mark", TEXT.encode("utf-16-le"), (0,)),
    Case("UTF-32", TEXT.encode("utf-32"), (0,)),
    Case("text behind", TEXT + "\n<!-- 0.3 s -->", (0,)),
    Case("zeros behind", TEXT + "\0\0\0", (0,)),
    Case("control characters", TEXT.replace("}]", ', "note": "a\tb\nc"}]'), (0,)),
    Case("lone surrogate", TEXT.replace("}]", ', "revised_prompt": "\\ud83d"}]'), (0,)),
    Case("broken UTF-8", TEXT.encode().replace(b"}]", b', "note": "\xe9"}]'), (0,)),
    Case("a guard", ")]}',\n" + TEXT, (0,)),
    Case("lines of JSON", '{"status": "working"}\n' + TEXT + "\n", (0,)),
    Case("huge numbers", TEXT.replace("}]", ', "n": 1e999, "m": ' + "9" * 400 + "}]"), (0,)),
    Case("cut behind", Body(WHOLE, cut=True), (0,)),
    Case("cut in the usage", Body(WHOLE[:-1] + b', "usage": {"input_tok', cut=True), (0,)),
    Case(
        "cut behind one of two",
        Body(WHOLE[:-2] + b', {"b64_json": "iVBORw', cut=True),
        (0,),
        ((1, "OUTCOME_UNKNOWN"),),
        owed="unknown",
        count=2,
    ),
    failing("cut in the image", Body(WHOLE[:60], cut=True), "OUTCOME_UNKNOWN", "", "unknown"),
    failing("HTML", "<html>", "OUTCOME_UNKNOWN", "not JSON", "unknown"),
    failing("nothing", "", "OUTCOME_UNKNOWN", "not JSON", "unknown"),
    failing("deep", "[" * 5000, "OUTCOME_UNKNOWN", "not JSON", "unknown"),
    failing("an error with a mark", "\ufeff" + json.dumps(FILTERED), "SAFETY_BLOCKED", "filtered"),
]
"""V15: paid JSON with a byte order mark or NaN."""


@pytest.mark.parametrize("case", FAILURES, ids=str)
@in_loop
async def test_a_failure_in_an_answer_of_success(place: Place, case: Case) -> None:
    await check(place, case)


@pytest.mark.parametrize("case", ITEMS, ids=str)
@in_loop
async def test_a_bad_item_costs_no_good_one(place: Place, case: Case) -> None:
    await check(place, case)


@pytest.mark.parametrize("case", STREAMS, ids=str)
@in_loop
async def test_what_else_is_in_a_stream_costs_no_image(place: Place, case: Case) -> None:
    await check(place, case)


@pytest.mark.parametrize("case", BASE64, ids=str)
@in_loop
async def test_base64_in_any_form(place: Place, case: Case) -> None:
    await check(place, case)


@pytest.mark.parametrize("case", PLACES, ids=str)
@in_loop
async def test_an_image_is_found_where_it_is_said_to_be(place: Place, case: Case) -> None:
    if isinstance(case.answer, Body):
        port = str(place.studio.host.port).encode()
        case = replace(case, answer=replace(case.answer, content=case.answer.content.replace(b"{port}", port)))
    await check(place, case)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.faults if case.answer.content is BOMB else ()) for case in PACKED],
    ids=str,
)
@in_loop
async def test_a_compressed_answer(place: Place, case: Case) -> None:
    await check(place, case)


@pytest.mark.parametrize("case", JSONS, ids=str)
@in_loop
async def test_json_that_is_not_quite(place: Place, case: Case) -> None:
    await check(place, case)


@in_loop
async def test_relative_urls_belong_to_the_base_url(place: Place) -> None:
    place.studio.fetched.clear()
    for url in ("/img.png", "files/1.png", "../up.png", "?id=3"):
        await check(place, Case("a URL", {"data": [{"url": url}]}, (0,)))
    assert place.studio.fetched == ["/img.png", "/v1/files/1.png", "/up.png", "/v1/?id=3"]


@in_loop
async def test_an_origin_that_the_operator_names_is_fetched_from(place: Place) -> None:
    other = Host(Body(PNG, "image/png").sent())
    async with listening(other):
        table = place.table | {"result_origins": [other.url]}
        answer = {"data": [{"url": f"{other.url}/x.png"}]}
        await check(place, failing("not named", answer, FAILED, "result_origins", "true"))
        assert other.connections == 0
        async with running(providers={"studio": table}) as server, AsyncClient(server.address) as client:
            await check(replace(place, client=client), Case("named", answer, (0,)))
        assert not re.search("authorization", str(other.asked[0].headers), re.I)


USAGE = {
    "input_tokens": 60,
    "output_tokens": 1056,
    "input_tokens_details": {"text_tokens": 50, "image_tokens": 10},
    "output_tokens_details": {"text_tokens": 0, "image_tokens": 1056},
}


@pytest.mark.parametrize(
    ("usage", "billed"),
    [
        (USAGE, {"input_text_token": 50, "input_image_token": 10, "output_image_token": 1056}),
        ({"input_tokens": 60, "output_tokens": 7}, {"input_token": 60, "output_image_token": 7}),
        (
            {"input_tokens": 60, "input_tokens_details": {"text_tokens": 50}},
            {"input_text_token": 50, "input_token": 10},
        ),
        ({"input_tokens": "60", "output_tokens": -1}, {}),
        ({"input_tokens": True, "output_tokens": 1e300, "input_tokens_details": []}, {}),
        (None, {}),
        ([], {}),
        ("much", {}),
    ],
)
@in_loop
async def test_what_the_vendor_counted_is_told(place: Place, usage: Any, billed: dict[str, float]) -> None:
    result, _ = await ran(place, Case("usage", {"data": [GOOD], "usage": usage}))
    assert result.usage.billed == quantities(billed)


@in_loop
async def test_usage_of_a_stream_and_its_previews(place: Place) -> None:
    result, previews = await ran(place, stream("usage", PART + DONE))
    assert result.usage.billed == quantities({"input_token": 5, "output_image_token": 7})
    assert len(previews) == 1


@pytest.mark.parametrize(
    ("answer", "path", "outcome", "measured"),
    [
        ({"quality": "low"}, "quality", "adjusted", "low"),
        ({"quality": "HIGH"}, "quality", "honored", "HIGH"),
        ({"quality": 7}, "quality", "honored", None),
        ({"seed": 9}, "seed", "adjusted", 9),
        ({"seed": "5"}, "seed", "honored", 5),
        ({"seed": -1}, "seed", "honored", None),
    ],
)
@in_loop
async def test_what_the_vendor_used_is_held_against_what_was_asked(
    place: Place, answer: dict[str, Any], path: str, outcome: str, measured: Any
) -> None:
    result, _ = await ran(place, Case("facts", {"data": [GOOD], **answer}), quality="high", seed=5)
    (line,) = [line for line in result.fidelity if line.path == path]
    assert (line.outcome.value, line.measured) == (outcome, measured)
    assert result.images[0].seed == (9 if answer.get("seed") == 9 else 5)
