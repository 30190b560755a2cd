"""The emulators refuse what the vendors refuse, in the vendors' words, and write every exchange down."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.support import pictures

from celeste_image.emulate import EMULATED, Emulator, emulating

in_loop = pytest.mark.asyncio(loop_scope="module")
KEYS = {"openai": "authorization", "azure_openai": "api-key", "gemini": "x-goog-api-key", "bfl": "x-key"}
NANO, GPT = "gemini-3-pro-image", "gpt-image-2"
PNG = base64.b64encode(pictures.noise(64, 64)).decode()
FORM = {"type": "image"}
URL = f"data:image/png;base64,{PNG}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with emulating(list(EMULATED.values())) as emulator:
        yield emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        yield client


def keyed(name: str) -> dict[str, str]:
    return {KEYS.get(name, "authorization"): "k" if name in ("azure_openai", "gemini", "bfl") else "Bearer k"}


class Ask:
    """Posts JSON to a vendor and returns the answer."""

    def __init__(self, emulator: Emulator, client: httpx.AsyncClient) -> None:
        self.emulator, self.client = emulator, client

    async def __call__(
        self, name: str, path: str, body: Any = None, method: str = "POST", **more: Any
    ) -> httpx.Response:
        url = self.emulator[name].origin + path
        more = more if body is None else {"json": body, **more}
        return await self.client.request(method, url, headers={**keyed(name), **more.pop("headers", {})}, **more)


@pytest.fixture
def ask(emulator: Emulator, client: httpx.AsyncClient) -> Ask:
    return Ask(emulator, client)


def image_of(text: str) -> Any:
    return pictures.opened(base64.b64decode(text))


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"quality": "banana"}, "invalid_value", "quality"),
        ({"quality": "xhigh"}, "invalid_value", "quality"),
        ({"quality": 3}, "invalid_type", "quality"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"n": 11}, "integer_above_max_value", "n"),
        ({"n": "2"}, "invalid_type", "n"),
        ({"n": True}, "invalid_type", "n"),
        ({"partial_images": 9}, "integer_above_max_value", "partial_images"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"seed": 7}, "unknown_parameter", "seed"),
        ({"response_format": "b64_json"}, "unknown_parameter", "response_format"),
        ({"size": "1000x1000"}, "invalid_value", "size"),
        ({"size": "3840x480"}, "invalid_value", "size"),
        ({"size": "٣٠٠x٣٠٠"}, "invalid_value", "size"),
        ({"output_format": "gif"}, "invalid_value", "output_format"),
        ({"output_compression": 101}, "integer_above_max_value", "output_compression"),
        ({"background": "transparent", "output_format": "jpeg"}, "invalid_value", "background"),
        ({"moderation": "none"}, "invalid_value", "moderation"),
        ({"prompt": ["a"]}, "invalid_type", "prompt"),
        ({"prompt": "a" * 32_001}, "string_above_max_length", "prompt"),
        ({"prompt": None}, "missing_required_parameter", "prompt"),
        ({"model": "gpt-5"}, "invalid_value", "model"),
        ({"model": {}}, "invalid_type", "model"),
        ({"model": "dall-e-3"}, "model_not_found", "model"),
    ],
    ids=str,
)
@in_loop
async def test_openai_holds_its_fields(ask: Ask, fields: dict[str, Any], code: str, param: str) -> None:
    answer = await ask("openai", "/v1/images/generations", {"model": GPT, "prompt": "a boat"} | fields)
    assert answer.status_code in (400, 404)
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert "of: ." not in error["message"]
    assert ask.emulator.ledger.entries[-1].status == answer.status_code
    assert ask.emulator.ledger.entries[-1].charged == 0


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        (
            "/v1/interactions",
            {"input": "a", "response_format": FORM | {"mime_type": "image/png"}},
            "mime_type",
        ),
        (
            "/v1/interactions",
            {"input": "a", "response_format": FORM | {"aspect_ratio": "5:1"}},
            "aspect_ratio",
        ),
        ("/v1/interactions", {"input": "a", "colour": 1}, "colour"),
        ("/v1/interactions", {"input": [{"type": "banana"}]}, "input[0].type"),
        ("/v1/interactions", {}, "input"),
        (f"/v1/models/{NANO}:generateContent", {"contents": []}, "contents"),
        (f"/v1/models/{NANO}:generateContent", {"contents": [{"parts": [{"txt": "a"}]}]}, "txt"),
        (f"/v1/models/{NANO}:generateContent", {"contents": [{"parts": ["a"]}]}, "parts"),
        (f"/v1/models/{NANO}:generateContent", {"generation_config": {"image_config": {"mimeType": ""}}}, "mimeType"),
        ("/v1/models/gemini-9:generateContent", {"contents": [{"parts": [{"text": "a"}]}]}, "gemini-9"),
    ],
    ids=str,
)
@in_loop
async def test_gemini_holds_its_fields(ask: Ask, path: str, body: dict[str, Any], word: str) -> None:
    model = {"model": NANO} if path.endswith("interactions") else {"contents": [{"parts": [{"text": "a"}]}]}
    answer = await ask("gemini", path, model | body)
    assert answer.status_code in (400, 404)
    error = answer.json()["error"]
    assert word in error["message"]
    assert isinstance(error["code"], str if path.endswith("interactions") else int)


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        ("flux-pro-1.1", {}, "prompt"),
        ("flux-pro-1.1", {"prompt": "a", "width": 100}, "width"),
        ("flux-pro-1.1", {"prompt": "a", "safety_tolerance": 9}, "safety_tolerance"),
        ("flux-pro-1.1", {"prompt": "a", "output_format": "gif"}, "output_format"),
        ("flux-pro-1.1", {"prompt": "a", "seed": "x"}, "seed"),
        ("flux-pro-1.1-ultra", {"prompt": "a", "aspect_ratio": "50:1"}, "aspect_ratio"),
        ("flux-kontext-pro", {"prompt": "a", "input_image": PNG}, "input_image"),
        ("flux-kontext-pro", {"prompt": "a", "input_image": "https://example.com/a.png"}, "input_image"),
        ("flux-pro-1.1", {"prompt": "a", "webhook_url": "https://example.com/"}, "webhook_url"),
        ("flux-pro-1.1", {"prompt": "a", "webhook_url": "http://localhost.example.com/"}, "webhook_url"),
        ("flux-pro-1.1", {"prompt": "a", "webhook_url": "http://169.254.169.254/"}, "webhook_url"),
        ("flux-pro-1.1", {"prompt": "a", "webhook_url": "http://127.0.0.1@10.0.0.1/"}, "webhook_url"),
        ("flux-pro-1.1", {"prompt": "a", "webhook_url": "file:///etc/passwd"}, "webhook_url"),
    ],
    ids=str,
)
@in_loop
async def test_bfl_holds_its_fields(ask: Ask, model: str, body: dict[str, Any], field: str) -> None:
    answer = await ask("bfl", f"/v1/{model}", body)
    assert answer.status_code == 422
    (detail,) = answer.json()["detail"]
    assert detail["loc"] == ["body", field]
    assert not detail["msg"].endswith("one of ")


@pytest.mark.parametrize(
    ("service", "fields"),
    [
        ("generate/core", {"prompt": "a", "seed": "-1"}),
        ("generate/core", {"prompt": "a", "aspect_ratio": "50:1"}),
        ("generate/core", {"prompt": "a", "style_preset": "banana"}),
        ("generate/core", {"prompt": "a", "output_format": "bmp"}),
        ("generate/sd3", {"prompt": "a", "cfg_scale": "11"}),
        ("generate/sd3", {"prompt": "a", "model": "sd9"}),
        ("generate/core", {}),
    ],
    ids=str,
)
@in_loop
async def test_stability_holds_its_fields(ask: Ask, service: str, fields: dict[str, str]) -> None:
    parts = [(name, (None, value)) for name, value in (fields or {"none": ""}).items()]
    answer = await ask("stability", f"/v2beta/stable-image/{service}", files=parts)
    assert answer.status_code == 400
    assert answer.json()["name"] == "bad_request"
    assert not answer.json()["errors"][0].endswith("one of ")


@pytest.mark.parametrize("name", list(EMULATED))
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v9/nothing"), ("DELETE", "//"), ("OPTIONS", "/v1/images/generations")]
)
@in_loop
async def test_an_unknown_path_has_the_vendors_error_and_a_line(ask: Ask, name: str, method: str, path: str) -> None:
    answer = await ask(name, path, {"prompt": "a"}, method)
    entry = ask.emulator.ledger.entries[-1]
    assert answer.status_code in (404, 405)
    assert (entry.provider, entry.path, entry.status) == (name, path, answer.status_code)
    assert answer.json().keys() & {"error", "detail", "errors"}


BODIES = {
    "text": {"content": b"{", "headers": {"content-type": "application/json"}},
    "list": {"content": b"[1]", "headers": {"content-type": "application/json"}},
    "deep": {"content": b'{"a":' * 3000, "headers": {"content-type": "application/json"}},
    "nested": {"content": b'{"x":' + b"[" * 900 + b"]" * 900 + b"}", "headers": {"content-type": "application/json"}},
    "latin": {"content": b'{"prompt":"\xff"}', "headers": {"content-type": "application/json"}},
    "no gzip": {"content": b"{}", "headers": {"content-type": "application/json", "content-encoding": "gzip"}},
    "form": {"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=x"}},
    "no boundary": {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
}
CALLS = {
    "openai": ["/v1/images/generations", "/v1/images/edits", "/v1/responses"],
    "azure_openai": ["/openai/v1/images/generations", "/openai/v1/responses"],
    "compatible": ["/v1/images/generations", "/v1/images/edits"],
    "gemini": ["/v1/interactions", f"/v1/models/{NANO}:generateContent", f"/v1/models/{NANO}:countTokens"],
    "bfl": ["/v1/flux-pro-1.1"],
    "stability": ["/v2beta/stable-image/generate/core"],
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in CALLS.items() for path in paths])
@in_loop
async def test_a_bad_body_has_the_vendors_error(ask: Ask, name: str, path: str, body: str) -> None:
    answer = await ask(name, path, **{**BODIES[body], "headers": dict(BODIES[body]["headers"])})  # type: ignore[arg-type]
    assert 400 <= answer.status_code < 500
    assert answer.json().keys() & {"error", "detail", "errors"}
    assert ask.emulator.ledger.entries[-1].status == answer.status_code


@in_loop
async def test_a_body_comes_in_pieces_compressed_by_old_clients_and_after_a_question(ask: Ask) -> None:
    body = json.dumps({"model": GPT, "prompt": "a boat", "quality": "low"}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    plain = {"content-type": "application/json"}
    packed = {**plain, "content-encoding": "gzip"}
    path = "/v1/images/generations"
    assert (await ask("openai", path, content=pieces(), headers=plain)).status_code == 200
    assert (await ask("openai", path, content=gzip.compress(body), headers=packed)).status_code == 200
    for version, expect in (("1.0", b""), ("1.1", b"Expect: 100-continue\r\n"), ("1.1", b"Expect: wonders\r\n")):
        host, port = ask.emulator["openai"].origin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {path} HTTP/{version}\r\nHost: x\r\nAuthorization: bearer k\r\nConnection: close\r\n"
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + more.encode() + expect + b"\r\n")
        if b"100" in expect:
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        writer.write(body)
        assert b" 200 OK\r\n" in await reader.read()
        writer.close()


@in_loop
async def test_a_head_is_a_get_without_a_body(ask: Ask) -> None:
    answer = await ask("openai", "/v1/models", method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert ask.emulator.ledger.entries[-1].method == "HEAD"


@pytest.mark.parametrize("form", ["png", "webp"])
@in_loop
async def test_transparent_is_transparent_and_previews_have_the_format(ask: Ask, form: str) -> None:
    body = {"model": GPT, "prompt": "a boat", "size": "1024x1024", "background": "transparent", "output_format": form}
    answer = await ask("openai", "/v1/images/generations", {**body, "stream": True, "partial_images": 2})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert [event["type"].partition(".")[2] for event in events] == ["partial_image", "partial_image", "completed"]
    for event in events:
        image = image_of(event["b64_json"])
        assert (image.format, event["output_format"]) == (form.upper(), form)
        assert image.convert("RGBA").getpixel((0, 0))[3] == 0
        assert image.convert("RGBA").getpixel((512, 512))[3] == 255


INPUTS = [
    "a boat",
    [{"role": "user", "content": "a boat"}],
    [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a boat"}]}],
    [{"role": "system", "content": "draw"}, {"role": "user", "content": "a boat"}],
    [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "a boat"}],
    [{"role": "user", "content": "a boat"}, {"type": "function_call_output", "call_id": "c", "output": "{}"}],
    [{"role": "user", "content": [{"type": "input_text", "text": "red"}, {"type": "input_image", "image_url": URL}]}],
    [
        {"type": "image_generation_call", "id": "ig_1", "result": PNG},
        {"role": "user", "content": "red"},
    ],
]


@pytest.mark.faults
@pytest.mark.parametrize("given", INPUTS, ids=range(len(INPUTS)))
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai", "/v1/responses"),
        ("azure_openai", "/openai/v1/responses"),
        ("azure_openai", "/openai/responses?api-version=2025-03-01-preview"),
    ],
)
@in_loop
async def test_responses_read_every_input(ask: Ask, name: str, path: str, stream: bool, given: Any) -> None:
    tool = {"type": "image_generation", "partial_images": 1, "size": "1024x1024"}
    body = {"model": "gpt-5.1", "input": given, "tools": [tool], "stream": stream}
    answer = await ask(name, path, body)
    assert answer.status_code == 200, answer.text[:300]
    if stream:
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert "response.image_generation_call.partial_image" in [event["type"] for event in events]
        response = events[-1]["response"]
    else:
        response = answer.json()
    call = response["output"][0]
    assert image_of(call["result"]).size == (1024, 1024)
    assert call["action"] == ("edit" if "data:" in str(given) or "ig_1" in str(given) else "generate")
    assert response["usage"]["total_tokens"] > 0
    stored = f"{path.partition('?')[0]}/{response['id']}?api-version=2025-03-01"
    assert (await ask(name, stored, method="GET")).json()["id"] == response["id"]


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [{"role": "user"}]},
        {"input": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"input": [{"role": "robot", "content": "a"}]},
        {"input": ["a"]},
        {"input": 7},
        {"input": None},
        {"tools": [{"type": "image_generation", "quality": "banana"}]},
        {"tools": [{"type": "image_generation", "n": 2}]},
        {"tools": [{"type": "image_generation", "action": "edit"}]},
        {"tools": [{"type": "image_generation", "model": "gpt-image-1"}]},
        {"previous_response_id": "resp_none"},
        {"model": GPT},
        {"imput": "a"},
    ],
    ids=str,
)
@in_loop
async def test_responses_refuse_in_openais_format(ask: Ask, fields: dict[str, Any]) -> None:
    answer = await ask("openai", "/v1/responses", {"model": "gpt-5", "input": "a", "tools": []} | fields)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["type"] == "invalid_request_error"


STEP = {"type": "user_input", "content": [{"type": "text", "text": "a boat"}]}
IMAGE = {"type": "image", "mime_type": "image/png", "data": PNG}


@pytest.mark.faults
@pytest.mark.parametrize(
    "given",
    [
        "a boat",
        {"type": "text", "text": "a boat"},
        [{"type": "text", "text": "red"}, IMAGE],
        [STEP],
        [STEP, {"type": "model_output", "content": [IMAGE]}, STEP],
        [{"type": "thought", "signature": "x"}, STEP],
    ],
    ids=range(6),
)
@in_loop
async def test_interactions_read_every_input_and_stream(ask: Ask, given: Any) -> None:
    form = {"type": "image", "mime_type": "image/jpeg", "aspect_ratio": "16:9"}
    body = {"model": NANO, "input": given, "response_format": form}
    whole, events = (await ask("gemini", "/v1beta/interactions", body)).json(), []
    (image,) = (item for item in whole["steps"][0]["content"] if item["type"] == "image")
    assert image_of(image["data"]).format == "JPEG"
    streamed = await ask("gemini", "/v1beta/interactions", {**body, "stream": True})
    events = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
    assert [event["event_type"] for event in events][0::6] == ["interaction.created", "interaction.completed"]
    assert len({event["event_id"] for event in events}) == len(events)
    done = events[-1]["interaction"]
    assert (done["status"], done["usage"]["total_output_tokens"]) == ("completed", 1290)
    assert done["id"] != whole["id"]
    assert (await ask("gemini", f"/v1beta/interactions/{done['id']}", method="GET")).json()["steps"]
    assert (await ask("gemini", "/v1beta/interactions/none", method="GET")).json()["error"]["code"] == "not_found"


@in_loop
async def test_edits_by_json_with_urls_and_files(ask: Ask) -> None:
    part = {"file": ("a.png", pictures.noise(64, 64), "image/png")}
    file = (await ask("openai", "/v1/files", files=part, data={"purpose": "vision"})).json()["id"]
    body = {"model": GPT, "prompt": "red", "size": "1024x1024"}
    for image in ({"image_url": URL}, {"file_id": file}):
        answer = await ask("openai", "/v1/images/edits", {**body, "images": [image]})
        assert image_of(answer.json()["data"][0]["b64_json"]).size == (1024, 1024)
    for image in ({"image_url": "https://example.com/a.png"}, {"file_id": "file-none"}, {}, "a"):
        assert (await ask("openai", "/v1/images/edits", {**body, "images": [image]})).status_code in (400, 404)


@in_loop
async def test_azures_versions(ask: Ask) -> None:
    body, path = {"prompt": "a"}, f"/openai/deployments/{GPT}/images/generations"
    known = {"2024-02-01": 200, "2026-01-01-preview": 200, "2026-13-01": 404, "x": 404, "": 404}
    for version, status in known.items():
        assert (await ask("azure_openai", f"{path}?api-version={version}", body)).status_code == status


@in_loop
async def test_models_are_listed_one_by_one_and_without_the_retired(ask: Ask) -> None:
    listed = [model["id"] for model in (await ask("openai", "/v1/models", method="GET")).json()["data"]]
    assert GPT in listed
    assert not {"gpt-image-1", "dall-e-3", "dall-e-2"} & set(listed)
    assert (await ask("openai", f"/v1/models/{GPT}", method="GET")).json()["id"] == GPT
    assert (await ask("openai", "/v1/models/dall-e-3", method="GET")).status_code == 404
    assert (await ask("gemini", f"/v1beta/models/{NANO}", method="GET")).json()["name"] == f"models/{NANO}"


@in_loop
async def test_geminis_key_in_the_query_and_its_stream_as_an_array(ask: Ask) -> None:
    body, url = {"contents": {"parts": {"text": "a"}}}, ask.emulator["gemini"].origin
    path = f"{url}/v1beta/models/{NANO}:streamGenerateContent"
    answer = await ask.client.post(f"{path}?key=k", json=body)
    assert [list(chunk) for chunk in answer.json()][1][0] == "candidates"
    assert (await ask.client.post(path, json=body)).status_code == 400
    counted = await ask("gemini", f"/v1/models/{NANO}:countTokens", body)
    assert counted.json()["totalTokens"] > 0


@in_loop
async def test_a_webhook_on_loopback_is_called_with_the_result(ask: Ask) -> None:
    called: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        called.set_result(head.encode() + await reader.readexactly(length))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        body = {"prompt": "a", "webhook_url": f"http://127.0.0.1:{port}/done", "webhook_secret": "s"}
        task = (await ask("bfl", "/v1/flux-kontext-pro", body)).json()
        said = json.loads((await asyncio.wait_for(called, 10)).partition(b"\r\n\r\n")[2])
    assert (said["id"], said["status"]) == (task["id"], "Ready")
    async with asyncio.timeout(5):
        while not (lines := [e for e in ask.emulator.ledger.of("bfl", "webhook") if e.status]):
            await asyncio.sleep(0.01)
    assert [line.status for line in lines] == [302]
