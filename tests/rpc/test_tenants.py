"""Tenants: every RPC with every artifact of another tenant answers as if there were no such artifact."""

import base64
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import ParseDict
from tests.support import pictures, stores
from tests.support.callers import bearer, key_table, new_key
from tests.support.fake_provider import Fake
from tests.support.grpc_calls import status_of
from tests.support.methods import METHODS, called, request_of
from tests.support.servers import running

from celeste_image.core.artifact import artifact_name
from celeste_image.core.call import Call
from celeste_image.core.caller import Caller
from celeste_image.core.errors import ArtifactNotFound
from celeste_image.core.image import ImageInput as Image
from celeste_image.core.request import Upscale
from celeste_image.pipeline.authorize import authorizing
from celeste_image.v1 import ImageInput

pytestmark = pytest.mark.asyncio(loop_scope="module")

A, A_TOO, B = new_key(), new_key(), new_key()
KEYS = {"one": key_table(A, "a"), "two": key_table(A_TOO, "a"), "other": key_table(B, "b")}
PICTURE = pictures.plain(8, 8)
V1 = "/celeste.image.v1."
ARTIFACTS, IMAGES = f"{V1}ArtifactService/", f"{V1}ImageService/"
HTTP = f"{V1}ArtifactHttpService/"
WITHOUT = {f"{V1}ModelService/{name}" for name in ("ListProviders", "ListModels", "GetModel", "GetServerInfo")}
WITHOUT |= {f"{V1}UsageService/{name}" for name in ("QueryUsage", "ListLedgerEntries")}
"""Methods that name no artifact."""


def sha_of(name: str) -> str:
    return name.rpartition("-")[2]


BY_NAME: Mapping[str, Any] = {
    f"{ARTIFACTS}GetArtifact": lambda name: {"name": name},
    f"{ARTIFACTS}ReadArtifact": lambda name: {"name": name},
    f"{ARTIFACTS}DeleteArtifact": lambda name: {"name": name},
    f"{ARTIFACTS}QueryWriteStatus": lambda name: {"name": name},
    f"{ARTIFACTS}FindMissingArtifacts": lambda name: {"names": [name]},
    f"{ARTIFACTS}ListArtifacts": lambda name: {},
    f"{ARTIFACTS}WriteArtifact": lambda name: {"name": name, "sizeBytes": 3 << 20},
    f"{ARTIFACTS}WriteArtifactChunk": lambda name: {"name": name, "sizeBytes": 3 << 20},
    f"{HTTP}DownloadArtifact": lambda name: {"name": name},
    f"{HTTP}UploadArtifact": lambda name: {"name": name},
}
"""Requests that name an artifact by its name, as JSON."""
BASES: Mapping[str, list[dict[str, Any]]] = {
    "Generate": [{"prompt": "x", "references": [{"image": "HERE"}]}],
    "Upscale": [{"image": "HERE", "factor": 2, "model": "local/lanczos"}],
    "Analyze": [{"image": "HERE"}],
    "Edit": [
        {"image": "HERE", "removeBackground": {}},
        {"image": "DATA", "instruct": {"prompt": "x"}, "references": [{"image": "HERE"}]},
        {"image": "DATA", "erase": {"mask": {"image": "HERE"}}},
        {"image": "DATA", "inpaint": {"mask": {"image": "HERE"}, "prompt": "x"}},
        {"image": "DATA", "replaceBackground": {"background": "HERE"}},
        {"image": "DATA", "restyle": {"styleImage": "HERE"}},
        {"image": "DATA", "relight": {"reference": "HERE"}},
    ],
}
"""Requests that name an artifact in an image."""


def filled(value: Any, name: str) -> Any:
    """Returns a request as JSON, with an artifact's name in the place of HERE."""
    match value:
        case "HERE":
            return {"artifact": name}
        case "DATA":
            return {"data": base64.b64encode(PICTURE).decode()}
        case dict():
            return {key: filled(item, name) for key, item in value.items()}
        case list():
            return [filled(item, name) for item in value]
    return value


def places(value: Any, path: str = "") -> Iterator[str]:
    """Yields the paths of HERE."""
    if value == "HERE":
        yield path
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from places(item, f"{path}.{key}")
    for item in value if isinstance(value, list) else ():
        yield from places(item, path)


def image_fields(message: Descriptor, path: str = "") -> Iterator[str]:
    """Yields the paths of all images of a request."""
    for field in message.fields:
        if field.message_type is ImageInput.DESCRIPTOR:
            yield f"{path}.{field.json_name}"
        elif field.message_type and field.message_type.full_name.startswith("celeste."):
            yield from image_fields(field.message_type, f"{path}.{field.json_name}")


def requests(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each method with each request that names an artifact."""
    for method, make in BY_NAME.items():
        yield method, make(name)
    for operation, bases in BASES.items():
        for base in bases:
            yield IMAGES + operation, filled(base, name)
            yield f"{IMAGES}Stream", {"operation": {operation.lower(): filled(base, name)}}


async def test_the_requests_are_complete() -> None:
    """A method, or a field with an image, that is new fails here."""
    walked = {method for method, _ in requests("")}
    assert walked | WITHOUT == {name for name in METHODS if name.startswith("/celeste.")}
    for operation, bases in BASES.items():
        found = {path for base in bases for path in places(base)}
        assert found == set(image_fields(METHODS[IMAGES + operation].input_type)), operation


@dataclass
class Shop:
    """A server with the artifacts of tenant `a`, by how they came to be."""

    channel: grpc.aio.Channel
    artifacts: dict[str, str]

    async def answer(self, key: str, method: str, request: dict[str, Any]) -> tuple[Any, ...]:
        """Returns what a caller learns: the responses, or the code and the details; without the name it asked for."""
        message = ParseDict(request, request_of(method)())
        try:
            responses = await called(self.channel, method, message, bearer(key))
            return "OK", [str(each) for each in responses]
        except grpc.aio.AioRpcError as error:
            status = status_of(error)
            for detail in list(status.details):
                if detail.type_url.endswith("FailureInfo"):  # its request id is new in each call
                    status.details.remove(detail)
            return error.code().name, error.details(), str(status)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop() -> AsyncIterator[Shop]:
    async with running(callers={"keys": KEYS}) as server:
        store = server.app.store
        small, large, partial = os.urandom(100), os.urandom(300_000), os.urandom(3 << 20)
        async with grpc.aio.insecure_channel(server.address) as channel:
            unfinished = artifact_name(hashlib.sha256(partial).hexdigest())
            upload = {"chunk": {}, "sizeBytes": 3 << 20, "name": unfinished}
            message = ParseDict(upload, request_of(f"{ARTIFACTS}WriteArtifact")())
            message.chunk.data = partial[: 1 << 20]
            (response,) = await called(channel, f"{ARTIFACTS}WriteArtifact", message, bearer(A))
            assert response.committed_size_bytes == 1 << 20
            artifacts = {
                "image": (await store.put("a", PICTURE, width=8, height=8)).name,
                "few bytes": (await store.put("a", small)).name,
                "many bytes": (await store.put("a", large)).name,
                "unfinished": unfinished,
            }
            yield Shop(channel, artifacts)


@pytest.mark.parametrize("kind", ["image", "few bytes", "many bytes", "unfinished"])
async def test_another_tenants_artifact_is_none(shop: Shop, kind: str) -> None:
    theirs = shop.artifacts[kind]
    nobodys = artifact_name(hashlib.sha256(os.urandom(8)).hexdigest())
    for (method, of_theirs), (_, of_nobodys) in zip(requests(theirs), requests(nobodys), strict=True):
        learned = await shop.answer(B, method, of_theirs)
        expected = await shop.answer(B, method, of_nobodys)
        assert str(learned).replace(theirs, nobodys).replace(sha_of(theirs), sha_of(nobodys)) == str(expected), method
        if method.startswith(IMAGES):
            assert learned[0] == "NOT_FOUND", (method, of_theirs)


async def test_the_owner_still_has_them_and_so_has_the_other_caller_of_the_tenant(shop: Shop) -> None:
    """Runs after every RPC of the other tenant, DeleteArtifact among them; alone it holds as well."""
    for key in (A, A_TOO):
        for kind in ("image", "few bytes", "many bytes"):
            name = shop.artifacts[kind]
            await shop.answer(B, f"{ARTIFACTS}DeleteArtifact", {"name": name})
            code, *_ = await shop.answer(key, f"{ARTIFACTS}ReadArtifact", {"name": name})
            assert code == "OK"
            assert await shop.answer(key, f"{ARTIFACTS}FindMissingArtifacts", {"names": [name]}) == ("OK", [""])
        code, (text,) = await shop.answer(key, f"{ARTIFACTS}ListArtifacts", {})
        assert all(shop.artifacts[kind] in text for kind in ("image", "few bytes", "many bytes"))
        _, (text,) = await shop.answer(key, f"{ARTIFACTS}QueryWriteStatus", {"name": shop.artifacts["unfinished"]})
        assert "1048576" in text


async def test_the_same_bytes_of_two_tenants_are_two_artifacts(shop: Shop) -> None:
    name = shop.artifacts["image"]
    upload = ParseDict({"name": name}, request_of(f"{HTTP}UploadArtifact")())
    upload.body.data = PICTURE
    await called(shop.channel, f"{HTTP}UploadArtifact", upload, bearer(B))
    _, (listed,) = await shop.answer(B, f"{ARTIFACTS}ListArtifacts", {})
    assert listed.count("artifacts/") == 1 and "width" not in listed, "not the facts of the other's"
    await shop.answer(B, f"{ARTIFACTS}DeleteArtifact", {"name": name})
    assert (await shop.answer(B, f"{ARTIFACTS}GetArtifact", {"name": name}))[0] == "NOT_FOUND"
    assert (await shop.answer(A, f"{ARTIFACTS}ReadArtifact", {"name": name}))[0] == "OK"


async def test_a_page_token_is_of_its_tenant(shop: Shop) -> None:
    message = ParseDict({"pageSize": 1}, request_of(f"{ARTIFACTS}ListArtifacts")())
    (page,) = await called(shop.channel, f"{ARTIFACTS}ListArtifacts", message, bearer(A))
    token = {"pageSize": 1, "pageToken": page.next_page_token}
    assert (await shop.answer(A_TOO, f"{ARTIFACTS}ListArtifacts", token))[0] == "OK"
    assert (await shop.answer(B, f"{ARTIFACTS}ListArtifacts", token))[0] == "INVALID_ARGUMENT"


async def test_the_road_authorizes_before_it_looks_at_prompts() -> None:
    """The step answers alone: nothing below it is asked for another tenant's artifact."""

    store, fake = stores.memory(), Fake()
    artifact = await store.put("a", PICTURE)
    run = authorizing(fake, store)
    request = Upscale(image=Image(artifact=artifact.name))
    with pytest.raises(ArtifactNotFound, match=r"^image: there is no artifact"):
        [event async for event in run(request, Call("id", Caller("b", "other")))]
    assert fake.asked == []
    [event async for event in run(request, Call("id", Caller("a", "one")))]
    assert fake.asked == [request]
