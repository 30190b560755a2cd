"""The server behind a real Envoy, with the configuration that users get: JSON over HTTP, gRPC-Web, and plain gRPC."""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import random
import re
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2
from tests.support import pictures
from tests.support.envoy import envoy
from tests.support.grpc_calls import ENGINE, long_upscale, status_of, streamed
from tests.support.servers import Running, running, workers
from tests.support.waiting import until

import celeste_image.v1 as contract
from celeste_image.rpc import server as server_module
from celeste_image.v1 import (
    ArtifactServiceStub,
    FailureInfo,
    GenerateRequest,
    ImageServiceStub,
    ReadArtifactRequest,
    WriteArtifactRequest,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20
LIMIT = 24 * MIB
PNG = pictures.plain(96, 64)
DATA = random.Random(5).randbytes(20 * MIB)


def name_of(data: bytes) -> str:
    return f"artifacts/sha256-{hashlib.sha256(data).hexdigest()}"


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Behind:
    """A server behind Envoy."""

    server: Running
    address: str
    http: httpx.AsyncClient
    channel: grpc.aio.Channel


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    settings = {"budget_wait_seconds": 0.1}
    store = {"spool": str(tmp_path_factory.mktemp("spool"))}
    async with running(server=settings, store=store, images={"max_bytes": LIMIT}) as server:
        async with envoy(server.address) as address, grpc.aio.insecure_channel(address) as channel:
            async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=60) as http:
                yield Behind(server, address, http, channel)


def status(response: httpx.Response) -> dict[str, Any]:
    """Returns the details of an error by the short names of their types, after checking that it is a Status."""
    assert response.headers["content-type"] == "application/json"
    message = json_format.ParseDict(response.json(), status_pb2.Status())
    assert message.message
    details: dict[str, Any] = {}
    for detail in message.details:
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
            error_details_pb2.ResourceInfo,
            FailureInfo,
        ):
            if detail.Is(kind.DESCRIPTOR):
                details[kind.__name__] = kind.FromString(detail.value)
                break
        else:
            raise AssertionError(f"unknown detail {detail.type_url}")
    return details


# Every call of the contract


@dataclass
class Row:
    """A call over HTTP: path, JSON body if it is a POST, and HTTP method."""

    path: str
    body: object = None
    method: str = ""

    async def send(self, http: httpx.AsyncClient) -> httpx.Response:
        method = self.method or ("GET" if self.body is None else "POST")
        if isinstance(self.body, bytes):
            return await http.request(method, self.path, content=self.body)
        return await http.request(method, self.path, json=self.body)


SMALL = b"some small bytes"
RAW = b"raw bytes"
GENERATE = {"prompt": "a red fox", "size": {"width": 96, "height": 64}, "seed": "7"}
IMAGE = {"data": text_of(PNG)}
EDIT = {"image": IMAGE, "erase": {"mask": {"image": {"data": text_of(pictures.mask(96, 64, (8, 8, 24, 24)))}}}}
CALLS = {
    "ImageService.Generate": Row("/v1/images:generate", GENERATE),
    "ImageService.Edit": Row("/v1/images:edit", EDIT),
    "ImageService.Upscale": Row("/v1/images:upscale", {"image": IMAGE, "factor": 2, "model": "local/lanczos"}),
    "ImageService.Analyze": Row("/v1/images:analyze", {"image": IMAGE, "kinds": ["ANALYSIS_KIND_METADATA"]}),
    "ImageService.Stream": Row("/v1/images:stream", {"operation": {"generate": GENERATE}}),
    "ArtifactService.WriteArtifactChunk": Row(
        f"/v1/{name_of(SMALL)}:writeChunk", {"sizeBytes": str(len(SMALL)), "chunk": {"data": text_of(SMALL)}}
    ),
    "ArtifactService.QueryWriteStatus": Row(f"/v1/{name_of(SMALL)}:writeStatus"),
    "ArtifactService.ReadArtifact": Row(f"/v1/{name_of(SMALL)}:read?offset=5"),
    "ArtifactService.GetArtifact": Row(f"/v1/{name_of(SMALL)}"),
    "ArtifactService.ListArtifacts": Row("/v1/artifacts?pageSize=1"),
    "ArtifactService.FindMissingArtifacts": Row("/v1/artifacts:findMissing", {"names": [name_of(b"")]}),
    "ArtifactHttpService.UploadArtifact": Row(f"/v1/{name_of(RAW)}:upload", RAW),
    "ArtifactHttpService.DownloadArtifact": Row(f"/v1/{name_of(RAW)}:download?offset=4&limit=3"),
    "ArtifactService.DeleteArtifact": Row(f"/v1/{name_of(SMALL)}", method="DELETE"),
    "ModelService.ListProviders": Row("/v1/providers?page_size=1000"),
    "ModelService.ListModels": Row("/v1/models?operation=OPERATION_KIND_EDIT&edit=erase&view=MODEL_VIEW_FULL"),
    "ModelService.GetModel": Row("/v1/models/local/compose"),
    "ModelService.GetServerInfo": Row("/v1/server"),
    "UsageService.QueryUsage": Row(
        "/v1/usage:query",
        {"startTime": "2026-11-24T00:00:00Z", "groupBy": ["USAGE_DIMENSION_DAY"], "labels": {"project": "x"}},
    ),
    "UsageService.ListLedgerEntries": Row(
        "/v1/ledger?states=LEDGER_STATE_OPEN&states=LEDGER_STATE_UNCERTAIN&pageSize=1&startTime=2026-11-24T00:00:00Z"
    ),
}
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "ArtifactService.QueryWriteStatus": [{"committedSizeBytes": "16", "complete": True}],
    "ArtifactService.FindMissingArtifacts": [{"missing": [name_of(b"")]}],
    "ArtifactService.DeleteArtifact": [{}],
    "UsageService.QueryUsage": [{}],
    "UsageService.ListLedgerEntries": [{}],
}


def routes() -> dict[str, Any]:
    """Returns the methods of the contract that have a route."""
    image = Path(server_module.__file__).with_name("contract.binpb")
    files = FileDescriptorSet.FromString(image.read_bytes())
    return {
        f"{service.name}.{method.name}": method
        for file in files.file
        for service in file.service
        for method in service.method
        if method.options.HasExtension(annotations_pb2.http)
    }


async def test_the_table_has_every_call() -> None:
    assert set(CALLS) == set(routes())


@pytest.mark.parametrize("call", CALLS)
async def test_each_call(behind: Behind, call: str) -> None:
    method = routes()[call]
    response = await CALLS[call].send(behind.http)
    assert response.status_code == 200, response.text
    if call == "ArtifactHttpService.DownloadArtifact":
        assert (response.headers["content-type"], response.content) == ("application/octet-stream", b"byt")
        return
    assert response.headers["content-type"] == "application/json"
    lines = response.text.splitlines()
    assert method.server_streaming or len(lines) == 1
    kind = getattr(contract, method.output_type.rpartition(".")[2])
    messages = [json_format.Parse(line, kind()) for line in lines]
    assert ANSWERS.get(call, [json.loads(line) for line in lines]) == [json.loads(line) for line in lines]
    match messages[-1]:
        case contract.GenerateResponse() | contract.EditResponse() | contract.UpscaleResponse():
            (image,) = messages[0].result.images
            assert hashlib.sha256(image.data).hexdigest() == image.sha256
        case contract.StreamResponse():
            assert [message.event.sequence for message in messages] == list(range(1, len(messages) + 1))
            assert messages[-1].event.completed.result.images
        case contract.ReadArtifactResponse():
            assert b"".join(message.chunk.data for message in messages) == SMALL[5:]
        case contract.ListModelsResponse():
            assert messages[0].models
            assert all("erase" in model.edits and model.parameters for model in messages[0].models)


@pytest.mark.parametrize("path", ["local/compose", "local%2Fcompose"])
async def test_a_model_is_found_by_its_id_with_slashes(behind: Behind, path: str) -> None:
    assert (await behind.http.get(f"/v1/models/{path}")).json()["model"]["id"] == "local/compose"


async def test_ids_with_colons_reach_the_server(behind: Behind) -> None:
    response = await behind.http.get("/v1/models/openai/ft:gpt-image:org:1")
    assert response.status_code == 404
    assert "openai/ft:gpt-image:org:1" in response.json()["message"]


async def test_numbers_of_64_bits_are_strings_and_accepted_as_both(behind: Behind) -> None:
    largest = (1 << 64) - 1
    for seed in (largest, str(largest)):
        response = await behind.http.post("/v1/images:generate", json=GENERATE | {"seed": seed})
        (image,) = response.json()["result"]["images"]
        assert image["seed"] == str(largest)
        assert image["sizeBytes"] == len(base64.b64decode(image["data"]))


async def test_defaults_are_left_out_and_enums_have_names(behind: Behind) -> None:
    result = (await behind.http.post("/v1/images:generate", json=GENERATE)).json()["result"]
    assert "index" not in result["images"][0]
    assert {line["outcome"] for line in result["fidelity"]} >= {"FIDELITY_OUTCOME_HONORED"}


async def test_images_of_three_megabytes_in_and_out(behind: Behind) -> None:
    picture = pictures.noise(950, 950)
    assert 2.7e6 < len(picture) < 3e6
    request = {"image": {"data": text_of(picture)}, "factor": 1, "model": "local/lanczos"}
    response = await behind.http.post("/v1/images:upscale", json=request | {"options": {"inlineLimitBytes": 3 * MIB}})
    assert response.status_code == 200, response.text
    (image,) = response.json()["result"]["images"]
    assert len(base64.b64decode(image["data"])) > 2.5e6


async def test_events_come_as_they_happen_and_closing_stops_the_work(behind: Behind) -> None:
    request = json_format.MessageToDict(streamed(long_upscale()))
    async with behind.http.stream("POST", "/v1/images:stream", json=request) as response:
        async for line in response.aiter_lines():
            if "progress" in json.loads(line)["event"]:
                break
        assert workers(ENGINE)
    await until(lambda: not workers(ENGINE))


async def test_a_deadline_may_be_given_over_http(behind: Behind) -> None:
    request = json_format.MessageToDict(long_upscale())
    response = await behind.http.post("/v1/images:upscale", json=request, headers={"grpc-timeout": "500m"})
    assert response.status_code == 504
    assert response.json()["code"] == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    await until(lambda: not workers(ENGINE))


# Bytes


async def test_twenty_mebibytes_in_chunks_of_json(behind: Behind) -> None:
    url = f"/v1/{name_of(DATA)}"
    for offset in range(0, len(DATA), MIB):
        chunk = {"offset": offset, "data": text_of(DATA[offset : offset + MIB])}
        response = await behind.http.post(f"{url}:writeChunk", json={"sizeBytes": len(DATA), "chunk": chunk})
        assert response.json()["committedSizeBytes"] == str(offset + MIB)
    assert response.json()["artifact"]["sizeBytes"] == str(len(DATA))
    read = b""
    async with behind.http.stream("GET", f"{url}:read") as response:
        async for line in response.aiter_lines():
            chunk = json.loads(line)["chunk"]
            assert int(chunk.get("offset", 0)) == len(read)
            read += base64.b64decode(chunk["data"])
    assert read == DATA
    assert (await behind.http.delete(url)).json() == {}
    assert (await behind.http.get(f"{url}:writeStatus")).json() == {}


async def test_twenty_mebibytes_as_bodies(behind: Behind) -> None:
    url = f"/v1/{name_of(DATA)}"
    response = await behind.http.post(f"{url}:upload", content=DATA)
    assert response.json()["artifact"]["name"] == name_of(DATA)
    response = await behind.http.get(f"{url}:download")
    assert (response.headers["content-type"], response.content) == ("application/octet-stream", DATA)
    assert response.headers["x-content-type-options"] == "nosniff"
    response = await behind.http.post(f"{url}:upload", content=DATA)
    assert response.json()["artifact"]["name"] == name_of(DATA), "known bytes"
    await behind.http.delete(url)


async def test_an_image_is_shown_by_its_own_type(behind: Behind) -> None:
    url = f"/v1/{name_of(PNG)}"
    await behind.http.post(f"{url}:upload", content=PNG, headers={"content-type": "text/html"})
    response = await behind.http.get(f"{url}:download")
    assert (response.headers["content-type"], response.content) == ("image/png", PNG)


async def test_bodies_that_are_refused(behind: Behind) -> None:
    for data, name, reason, field in (
        (SMALL, name_of(b"others"), "DIGEST_MISMATCH", "name"),
        (bytes(LIMIT + 1), name_of(b"too large"), "IMAGE_TOO_LARGE", "body"),
        (SMALL, "artifacts/sha256-5", "INVALID_FIELD", "name"),
    ):
        response = await behind.http.post(f"/v1/{name}:upload", content=data)
        assert response.status_code == 400
        details = status(response)
        assert details["ErrorInfo"].reason == reason
        assert [violation.field for violation in details["BadRequest"].field_violations] == [field]
    response = await behind.http.get(f"/v1/{name_of(b'nobody')}:download")
    assert (response.status_code, status(response)["ErrorInfo"].reason) == (404, "ARTIFACT_NOT_FOUND")


async def test_a_body_that_is_cut_is_no_artifact_and_its_bytes_stay(behind: Behind) -> None:
    data = random.Random(6).randbytes(3 * MIB)
    host, port = behind.address.split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/{name_of(data)}:upload HTTP/1.1\r\nhost: a\r\ncontent-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data[: 2 * MIB])
    await writer.drain()
    while (await behind.http.get(f"/v1/{name_of(data)}:writeStatus")).json() != {"committedSizeBytes": str(2 * MIB)}:
        await asyncio.sleep(0.01)
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    await until(lambda: not behind.server.app.chunks.held_bytes)
    assert (await behind.http.get(f"/v1/{name_of(data)}:writeStatus")).json() == {"committedSizeBytes": str(2 * MIB)}
    assert (await behind.http.post(f"/v1/{name_of(data)}:upload", content=data)).status_code == 200


# Errors


async def test_errors_of_the_server_are_a_status_with_its_details(behind: Behind) -> None:
    response = await behind.http.post("/v1/images:generate", json={"size": {"width": 9}, "count": 99})
    assert response.status_code == 400
    details = status(response)
    assert (details["ErrorInfo"].domain, details["ErrorInfo"].reason) == ("celeste.image", "INVALID_FIELD")
    fields = {violation.field for violation in details["BadRequest"].field_violations}
    assert fields == {"size.width", "size.height", "size", "prompt", "count"} & fields
    assert {"prompt", "count"} <= fields
    assert details["FailureInfo"].request_id
    response = await behind.http.get("/v1/models/local/nobody")
    assert (response.status_code, status(response)["ErrorInfo"].reason) == (404, "MODEL_NOT_FOUND")
    with behind.server.app.budget.count(behind.server.app.budget.total_bytes):
        response = await behind.http.get("/v1/server")
    assert response.status_code == 429
    details = status(response)
    assert details["ErrorInfo"].reason == "MEMORY_BUDGET"
    assert details["RetryInfo"].retry_delay.ToSeconds() == 1


async def test_a_stream_that_fails_says_so_in_its_last_event(behind: Behind) -> None:
    request = {"operation": {"generate": GENERATE | {"model": "local/nobody"}}}
    response = await behind.http.post("/v1/images:stream", json=request)
    assert response.status_code == 200, "the first event has been sent"
    *_, last = (json.loads(line) for line in response.text.splitlines())
    assert last["event"]["failed"]["status"]["code"] == 5


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row("/v1/models?pageSze=2"), "pageSze"),
        (Row("/v1/models?operation=edit"), "operation"),
        (Row("/v1/images:generate", b'{"prompt": '), "Unexpected end"),
        (Row("/v1/images:generate", {"prompt": 5}), "prompt"),
        (Row("/v1/images:generate", {"prompt": "a", "options": {"strictness": "STRICT"}}), "options.strictness"),
    ],
)
async def test_errors_of_the_transcoder_are_a_status_too(behind: Behind, row: Row, words: str) -> None:
    response = await row.send(behind.http)
    assert response.status_code == 400
    assert status(response)["ErrorInfo"].reason == "INVALID_FIELD"
    assert words in response.json()["message"]


# JSON fields that the contract does not have


def filled(descriptor: Descriptor, *, camel: bool) -> dict[str, Any]:
    """Returns the JSON of a message with every field, also of its messages."""
    found: dict[str, Any] = {}
    for field in descriptor.fields:
        message = field.message_type
        value: Any
        if message is not None and message.GetOptions().map_entry:
            is_text = message.fields_by_name["value"].message_type is None
            any_value = {"any": [1, {"name": ["}", '"', "\\"]}, None]}
            found[field.json_name if camel else field.name] = {"local": '}"' if is_text else any_value}
            continue
        if message is not None and message.full_name == "google.protobuf.Timestamp":
            value = "2026-11-24T00:00:00Z"
        elif message is not None:
            value = filled(message, camel=camel)
        elif field.type == field.TYPE_STRING:
            value = 'a "quoted" {text}, with [marks] \\ and ümläute'
        elif field.type == field.TYPE_BYTES:
            value = text_of(b"bytes")
        elif field.type == field.TYPE_BOOL:
            value = True
        else:
            value = 1
        found[field.json_name if camel else field.name] = [value, value] if field.is_repeated else value
    return found


def places(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields every message inside a JSON message, by its path; the members of Structs and maps are no messages."""
    if isinstance(value, dict):
        yield path, value
        for name, inner in value.items():
            if name not in ("providerOptions", "provider_options", "labels"):
                yield from places(inner, f"{path}.{name}".removeprefix("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, f"{path}[{index}]")


BODIES = {name: row for name, row in CALLS.items() if isinstance(row.body, dict)}


@pytest.mark.parametrize("camel", [True, False])
@pytest.mark.parametrize("call", BODIES)
async def test_every_field_of_the_contract_is_known(behind: Behind, call: str, camel: bool) -> None:
    request = filled(getattr(contract, routes()[call].input_type.rpartition(".")[2]).DESCRIPTOR, camel=camel)
    for spaces in (None, 1):
        body = json.dumps(request, indent=spaces, ensure_ascii=False)
        response = await behind.http.post(BODIES[call].path, content=body.encode())
        assert "the contract has no such field" not in response.text
    messages = dict(places(request))
    for message in messages.values():
        message["misspelt"] = {"a": [1, "]"]}
    expected = [f"{path}.misspelt".removeprefix(".") for path in messages]
    response = await behind.http.post(BODIES[call].path, json=request)
    assert response.status_code == 400
    details = status(response)
    assert details["ErrorInfo"].reason == "UNKNOWN_FIELD"
    told, _, words = response.json()["message"].partition(": ")
    assert words == "the contract has no such field"
    assert len(told.split(", ")) == min(8, len(expected))
    assert set(told.split(", ")) <= set(expected)
    assert [violation.field for violation in details["BadRequest"].field_violations] == [told.split(", ")[0]]


@pytest.mark.parametrize("name", ["promt", "Prompt", "prompt ", "prömpt", "a\nb", 'a"b', "__proto__", "x" * 5000])
async def test_a_misspelt_field_is_refused(behind: Behind, name: str) -> None:
    response = await behind.http.post("/v1/images:generate", json={"prompt": "a", name: 5})
    assert response.status_code == 400
    assert status(response)["ErrorInfo"].reason == "UNKNOWN_FIELD"


async def test_wide_requests_are_left_to_the_server(behind: Behind) -> None:
    """The filter does not look for misspelt names among more fields than the server takes."""
    body = '{"references":[' + ",".join(["{}"] * 100_000) + '],"promt":1}'
    response = await behind.http.post("/v1/images:generate", content=body)
    assert "more than 5,000 fields" in response.json()["message"]


async def test_an_unknown_path_is_unimplemented(behind: Behind) -> None:
    response = await behind.http.get("/v1/pictures")
    assert response.status_code == 404
    assert status(response) == {}
    assert response.json()["code"] == grpc.StatusCode.UNIMPLEMENTED.value[0]


async def test_a_server_that_is_gone_is_unavailable() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with running() as server:
            address = await stack.enter_async_context(envoy(server.address))
        async with httpx.AsyncClient(trust_env=False) as http:
            response = await http.get(f"http://{address}/v1/server")
        assert response.status_code == 503
        assert status(response)["ErrorInfo"].reason == "SERVER_UNAVAILABLE"
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ImageServiceStub(channel).Generate(GenerateRequest(prompt="a"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


# Browsers


async def test_a_page_may_ask_whether_it_may_call(behind: Behind) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-grpc-web"}
    path = "/celeste.image.v1.ImageService/Generate"
    response = await behind.http.options(path, headers=asked | {"origin": "http://localhost:5173"})
    assert response.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert {"content-type", "x-grpc-web", "grpc-timeout"} <= set(
        response.headers["access-control-allow-headers"].split(", ")
    )
    response = await behind.http.options(path, headers=asked | {"origin": "http://localhost.example"})
    assert "access-control-allow-origin" not in response.headers


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """Returns the frames of a gRPC-Web body: (0, message) or (128, trailers)."""
    found = []
    while body:
        flag, size = struct.unpack(">BI", body[:5])
        found.append((flag, body[5 : 5 + size]))
        body = body[5 + size :]
    return found


async def web(behind: Behind, method: str, request: Any) -> httpx.Response:
    data = request.SerializeToString()
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": "http://localhost:5173"}
    path = f"/celeste.image.v1.ImageService/{method}"
    response = await behind.http.post(path, content=struct.pack(">BI", 0, len(data)) + data, headers=headers)
    exposed = response.headers["access-control-expose-headers"].split(", ")
    assert exposed == ["grpc-status", "grpc-message", "grpc-status-details-bin"]
    return response


async def test_grpc_web(behind: Behind) -> None:
    request = json_format.ParseDict(GENERATE, GenerateRequest())
    message, trailers = frames((await web(behind, "Generate", request)).content)
    assert contract.GenerateResponse.FromString(message[1]).result.images[0].seed == 7
    assert b"grpc-status:0" in trailers[1]
    stream = contract.StreamRequest()
    stream.operation.generate.CopyFrom(request)
    *messages, trailers = frames((await web(behind, "Stream", stream)).content)
    assert contract.StreamResponse.FromString(messages[-1][1]).event.HasField("completed")
    assert b"grpc-status:0" in trailers[1]
    response = await web(behind, "Generate", GenerateRequest())
    assert response.headers["grpc-status"] == "3"
    details = response.headers["grpc-status-details-bin"]
    found = status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
    assert found.message == "prompt: must not be empty"


# gRPC


async def test_grpc_passes_as_it_is(behind: Behind) -> None:
    images = ImageServiceStub(behind.channel)
    request = json_format.ParseDict(GENERATE, GenerateRequest())
    made = (await images.Generate(request)).result
    stream = contract.StreamRequest()
    stream.operation.generate.CopyFrom(request)
    *_, last = [response async for response in images.Stream(stream)]
    assert last.event.completed.result.images[0].sha256 == made.images[0].sha256
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await images.Generate(GenerateRequest(prompt="a", model="local/nobody"))
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status_of(caught.value).details)
    assert info.reason == "MODEL_NOT_FOUND"


async def test_twenty_mebibytes_there_and_back(behind: Behind) -> None:
    artifacts = ArtifactServiceStub(behind.channel)

    def requests() -> Any:
        yield WriteArtifactRequest(name=name_of(DATA), size_bytes=len(DATA))
        for offset in itertools.takewhile(lambda at: at < len(DATA), itertools.count(0, MIB)):
            request = WriteArtifactRequest()
            request.chunk.offset, request.chunk.data = offset, DATA[offset : offset + MIB]
            yield request

    artifact = (await artifacts.WriteArtifact(requests())).artifact
    assert artifact.name == name_of(DATA)
    read = artifacts.ReadArtifact(ReadArtifactRequest(name=artifact.name))
    assert b"".join([response.chunk.data async for response in read]) == DATA


async def test_a_deadline_passes_through(behind: Behind) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ImageServiceStub(behind.channel).Upscale(long_upscale(), timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: not workers(ENGINE))


async def test_a_cancel_passes_through(behind: Behind) -> None:
    call = ImageServiceStub(behind.channel).Stream(streamed(long_upscale()))
    async for response in call:
        if response.event.HasField("progress"):
            break
    assert workers(ENGINE)
    call.cancel()
    await until(lambda: not workers(ENGINE))


async def test_a_message_that_is_too_large_is_refused_without_details(behind: Behind) -> None:
    """gRPC itself refuses it; docs/rest.md says what callers over HTTP see."""
    request = {"image": {"data": text_of(bytes(4 * MIB))}, "kinds": ["ANALYSIS_KIND_METADATA"]}
    response = await behind.http.post("/v1/images:analyze", json=request)
    assert (response.status_code, response.json()["code"], status(response)) == (429, 8, {})
    assert re.search(r"larger than max \(\d+ vs\. 4194304\)", response.json()["message"])


async def test_json_that_is_too_large_is_refused_by_the_proxy(behind: Behind) -> None:
    request = {"image": {"data": text_of(bytes(5 * MIB))}, "kinds": ["ANALYSIS_KIND_METADATA"]}
    response = await behind.http.post("/v1/images:analyze", json=request)
    assert (response.status_code, response.json()["code"]) == (413, 8)
    assert status(response)["ErrorInfo"].reason == "REQUEST_TOO_LARGE"
