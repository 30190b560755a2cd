"""The emulators alone: they answer recorded requests, behave as told, and keep a correct ledger."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.support import pictures
from tests.support.recordings import KEY, Recording, all_recordings, fixture

from celeste_image.emulate import EMULATED, Behavior, BehaviorUnknown, Emulator, emulating, fingerprint
from celeste_image.emulate.forms import parts_of_form

in_loop = pytest.mark.asyncio(loop_scope="module")
BOAT = {"model": "gpt-image-2", "prompt": "a boat", "size": "1024x1024"}
LEFT_OUT = {
    "openai/variation": "the endpoint is gone; the compatible server has it",
    "openai/generate_dalle3": "the model is gone",
    "openai/error_401": "the key is valid here; see test_sdks.py",
    "openai/error_429": "nothing in it asks for that answer",
    "gemini/error_429": "nothing in it asks for that answer",
    "azure_openai/generate": "its deployment is not one of the emulator's",
    "azure_openai/generate_stream": "its deployment is not one of the emulator's",
    "azure_openai/generate_v1": "its deployment is not one of the emulator's",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with emulating(list(EMULATED.values())) as emulator:
        yield emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


async def ask(client: httpx.AsyncClient, emulator: Emulator, words: str, **more: Any) -> httpx.Response:
    body = BOAT | {"prompt": words} | more
    url = emulator["openai"].url + "/images/generations"
    return await client.post(url, json=body, headers={"authorization": f"Bearer {KEY}"})


def filled(value: Any) -> Any:
    match value:
        case {"$base64": {"fixture": name}}:
            return base64.b64encode(fixture(name)).decode()
        case {"type": "image", "mime_type": "image/png", "aspect_ratio": ratio}:
            return {"type": "image", "aspect_ratio": ratio}  # the SDK let a value pass that the API refuses
        case {"webhook_url": str()}:
            return filled({**value, "webhook_url": None})  # it is on the network; see test_bfl.py
        case dict():
            return {key: filled(item) for key, item in value.items()}
        case list():
            return [filled(item) for item in value]
        case _:
            return value


def keys(value: Any, path: str = "") -> set[str]:
    """Returns the paths of all values in JSON that are not null."""
    match value:
        case {"$base64": _}:
            return {path}
        case dict():
            return {k for name, item in value.items() if item is not None for k in keys(item, f"{path}.{name}")}
        case list():
            return {k for item in value for k in keys(item, f"{path}[]")}
        case _:
            return {path}


def sent(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the body of a recorded request as httpx takes it."""
    body = recorded.get("body") or {}
    if "json" in body:
        return {"json": filled(body["json"])}
    files: list[Any] = []
    for part in body.get("multipart", ()):
        if "text" in part:
            files.append((part["name"], (None, part["text"].encode())))
        else:
            data = fixture(part["binary"]["fixture"]) if "fixture" in part["binary"] else b""
            files.append((part["name"], (part["filename"], data, part["binary"]["content-type"])))
    return {"files": files} if files else {}


@pytest.mark.parametrize("call", [call for call in all_recordings() if call not in LEFT_OUT])
@in_loop
async def test_a_recorded_request_gets_an_answer_of_the_recorded_form(
    emulator: Emulator, client: httpx.AsyncClient, call: str
) -> None:
    provider, recording, job, status = call.partition("/")[0], Recording.load(call), "", ""
    for exchange in recording.exchanges:
        wanted, reply = exchange["request"], exchange["reply"]
        headers = {n: v.replace("{API_KEY}", KEY) for n, v in wanted["headers"].items() if n != "content-type"}
        path, query = wanted["path"], dict(wanted.get("query") or {})
        if job:
            path = path.rpartition("/")[0] + f"/{job}" if "results" in path else path
            query = {"id": job} if "id" in query else query
        if status == "done":
            continue
        answer = await client.request(
            wanted["method"], emulator[provider].origin + path, params=query, headers=headers, **sent(wanted)
        )
        assert answer.status_code == 200, answer.text[:300]
        body = reply.get("body") or {}
        if "sse" in body:
            events = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
            assert events == [event["event"] for event in body["sse"]]
        elif "json" in body:
            got = answer.json()
            if got.get("status") == "Ready" or "finish_reason" in got:
                # One poll is enough: by default the emulator's jobs are done at once.
                status, body = (
                    "done",
                    [e["reply"]["body"] for e in recording.exchanges if "json" in e["reply"]["body"]][-1],
                )
            job = got.get("id") or job
            # The recorded reply of Stability's job has the image twice, for two clients.
            assert keys(body["json"]) - {".image"} - keys(got) <= {".sdk", ".progress"}


def test_every_exception_names_a_recording() -> None:
    assert set(all_recordings()) >= LEFT_OUT.keys()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("color=red", "unknown key"),
        ("status=200", "status"),
        ("answer=late", "answer"),
        ("times=-1", "times"),
    ],
)
def test_a_misspelled_directive_is_refused(text: str, words: str) -> None:
    with pytest.raises(BehaviorUnknown, match=words):
        Behavior.parse(text)


@in_loop
async def test_the_vendor_answers_a_misspelled_directive_with_its_error(
    emulator: Emulator, client: httpx.AsyncClient
) -> None:
    answer = await ask(client, emulator, "a boat [emulate: statos=429]")
    assert answer.status_code == 400
    assert "statos" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("after", "header", "value"),
    [
        ("7", "retry-after", "7"),
        ("1500ms", "retry-after-ms", "1500"),
        ("-1", "retry-after", "-1"),
        ('"Sun, 22 Nov 2026 12:00:00 GMT"', "retry-after", "Sun, 22 Nov 2026 12:00:00 GMT"),
    ],
)
@in_loop
async def test_a_status_with_a_delay_before_a_retry(
    emulator: Emulator, client: httpx.AsyncClient, after: str, header: str, value: str
) -> None:
    answer = await ask(client, emulator, f"a boat [emulate: status=429 retry_after={after}]")
    assert answer.status_code == 429
    assert answer.headers[header] == value
    assert emulator.ledger.entries[-1].charged == 0


@in_loop
async def test_a_directive_can_have_a_number_of_times(emulator: Emulator, client: httpx.AsyncClient) -> None:
    words = "a boat [emulate: status=503 times=2]"
    assert [(await ask(client, emulator, words)).status_code for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize(
    ("answer", "is_spoilt"),
    [
        ("html", lambda reply: reply.headers["content-type"].startswith("text/html")),
        ("list", lambda reply: isinstance(reply.json(), list)),
        ("truncated", lambda reply: not reply.text.endswith("}")),
        ("bad-base64", lambda reply: "!!" in reply.json()["data"][0]["b64_json"]),
        ("redirect", lambda reply: reply.status_code == 302 and "169.254" in reply.headers["location"]),
    ],
)
@in_loop
async def test_a_spoilt_answer_was_charged_for(
    emulator: Emulator, client: httpx.AsyncClient, answer: str, is_spoilt: Any
) -> None:
    assert is_spoilt(await ask(client, emulator, f"a boat [emulate: answer={answer}]"))
    assert emulator.ledger.entries[-1].charged > 0


@pytest.mark.parametrize("answer", ["reset", "cut"])
@in_loop
async def test_an_answer_that_breaks_off_was_charged_for(
    emulator: Emulator, client: httpx.AsyncClient, answer: str
) -> None:
    with pytest.raises(httpx.TransportError):
        await ask(client, emulator, f"a boat [emulate: answer={answer}]")
    assert emulator.ledger.entries[-1].charged > 0


@pytest.mark.parametrize("answer", ["hang", "slow", "oversized"])
@in_loop
async def test_an_answer_without_end_ends_with_its_reader(
    emulator: Emulator, client: httpx.AsyncClient, answer: str
) -> None:
    began, read, much = time.monotonic(), 0, 1 << 24
    with suppress(TimeoutError, httpx.ReadTimeout):
        async with asyncio.timeout(20 if answer == "oversized" else 0.5):
            url = emulator["openai"].url + "/images/generations"
            body = BOAT | {"prompt": f"a boat [emulate: answer={answer}]"}
            async with client.stream("POST", url, json=body, headers={"authorization": f"Bearer {KEY}"}) as reply:
                async for piece in reply.aiter_raw():
                    read += len(piece)
                    if read > much:
                        break
    assert time.monotonic() - began < 21
    assert (read == 0) == (answer == "hang")
    assert (read > much) == (answer == "oversized")


@in_loop
async def test_a_connection_is_reset_before_anything_is_read(emulator: Emulator) -> None:
    async with httpx.AsyncClient(trust_env=False) as fresh:
        before = len(emulator.ledger.entries)
        url = emulator["openai"].origin + "/_emulator/next"
        assert (await fresh.post(url, content="answer=reset on=connection")).status_code == 204
    async with httpx.AsyncClient(trust_env=False) as fresh:
        with pytest.raises(httpx.TransportError):
            await ask(fresh, emulator, "a boat")
        assert len(emulator.ledger.entries) == before
        assert (await ask(fresh, emulator, "a boat")).status_code == 200


@in_loop
async def test_the_ledger_lists_and_forgets_and_has_no_key(client: httpx.AsyncClient) -> None:
    async with emulating([EMULATED["openai"], EMULATED["bfl"]]) as emulator:
        await ask(client, emulator, "a boat", n=2, quality="low")
        told = await client.get(emulator["bfl"].origin + "/_emulator/ledger")
        assert KEY not in told.text
        (entry,) = told.json()["entries"]
        assert (entry["provider"], entry["images"], entry["key"]) == ("openai", 2, fingerprint(KEY))
        assert Decimal(told.json()["charged"]) == emulator.ledger.charged() > 0
        assert (await client.delete(emulator["openai"].origin + "/_emulator/ledger")).status_code == 204
        assert not emulator.ledger.entries


@pytest.mark.parametrize(("key", "status"), [("invalid", 401), ("unpaid", 429), ("forbidden", 403), ("", 401)])
@in_loop
async def test_refused_keys(emulator: Emulator, client: httpx.AsyncClient, key: str, status: int) -> None:
    url = emulator["openai"].url + "/images/generations"
    answer = await client.post(url, json=BOAT, headers={"authorization": f"Bearer {key}"} if key else {})
    assert answer.status_code == status
    assert emulator.ledger.entries[-1].charged == 0


@in_loop
async def test_a_job_takes_time_and_reports_progress(emulator: Emulator, client: httpx.AsyncClient) -> None:
    headers = {"x-key": KEY}
    body = {"prompt": "a boat [emulate: latency=0.4]", "width": 1024, "height": 768}
    task = (await client.post(emulator["bfl"].url + "/v1/flux-pro-1.1", json=body, headers=headers)).json()
    assert task["cost"] == 4.0
    seen = []
    async with asyncio.timeout(5):
        while (state := (await client.get(task["polling_url"], headers=headers)).json())["status"] == "Pending":
            seen.append(state["progress"])
            await asyncio.sleep(0.05)
    assert state["status"] == "Ready"
    assert seen == sorted(seen)
    assert 0 <= seen[0] < 0.5 < seen[-1] < 1
    picture = await client.get(state["result"]["sample"])
    assert pictures.opened(picture.content).size == (1024, 768)
    assert emulator.ledger.entries[-1].key == ""


@in_loop
async def test_a_form_is_read_however_its_bytes_arrive(emulator: Emulator) -> None:
    """A small piece before a large one once met a deprecation warning of aiohttp's own reader."""
    fields = [("model", (None, "gpt-image-2")), ("prompt", (None, "a boat"))]
    image = ("image", ("image.png", pictures.noise(256, 256), "image/png"))
    request = httpx.Request(
        "POST",
        emulator["openai"].url + "/images/edits",
        files=[*fields, image],  # type: ignore[list-item]
        headers={"authorization": f"Bearer {KEY}", "connection": "close"},
    )
    body = request.read()
    head = b"".join(b"%s: %s\r\n" % pair for pair in request.headers.raw)
    reader, writer = await asyncio.open_connection("127.0.0.1", request.url.port)
    writer.write(b"POST " + request.url.raw_path + b" HTTP/1.1\r\n" + head + b"\r\n")
    start = 0
    for size in (3000, 5, 20_000, 1, 1, 30_000, 7, len(body)):
        await asyncio.sleep(0.02)  # so that each piece is read separately
        writer.write(body[start : start + size])
        start += size
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:500]
    assert emulator.ledger.entries[-1].request_bytes == len(body) > 53_014


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"--x\r\n", "multipart/form-data", "boundary"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb', "multipart/form-data; boundary=x", "truncated"),
        (b"--x\r\n\r\nb\r\n--x--\r\n", "multipart/form-data; boundary=x", "no name"),
        (b"", "multipart/form-data; boundary=x", "truncated"),
    ],
)
def test_a_malformed_form_is_refused(body: bytes, content_type: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        list(parts_of_form(body, content_type))


def test_a_form_keeps_every_byte() -> None:
    data = b"\r\n--y\r\n\r\n" + bytes(range(256)) + b"\n"
    head = b'--x\r\nContent-Disposition: form-data; name="a"; filename=""\r\n\r\n'
    assert list(parts_of_form(head + data + b"\r\n--x--\r\n", 'multipart/form-data; boundary="x"')) == [("a", "", data)]


@in_loop
async def test_the_same_seed_paints_the_same(emulator: Emulator, client: httpx.AsyncClient) -> None:
    url, headers = (
        emulator["stability"].origin + "/v2beta/stable-image/generate/core",
        {"authorization": f"Bearer {KEY}"},
    )
    made = [
        (
            await client.post(
                url, headers=headers, files=[(n, (None, v)) for n, v in (("prompt", "a"), ("seed", seed))]
            )
        ).json()
        for seed in ("1", "1", "2")
    ]
    assert made[0]["image"] == made[1]["image"] != made[2]["image"]
    assert json.dumps(made[0]["seed"]) == "1"
