"""Bad input as one table: each row a request, and what the caller is told about it."""

import re
import uuid
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from tests.support import pictures
from tests.support.grpc_calls import status_of

from celeste_image.core.caller import ANONYMOUS
from celeste_image.rpc.pages import next_page_token
from celeste_image.v1 import (
    AnalyzeRequest,
    ArtifactHttpServiceStub,
    ArtifactServiceStub,
    DeleteArtifactRequest,
    DownloadArtifactRequest,
    EditRequest,
    FailureInfo,
    FindMissingArtifactsRequest,
    GenerateRequest,
    GetArtifactRequest,
    GetModelRequest,
    GetServerInfoRequest,
    ImageInput,
    ImageReference,
    ImageServiceStub,
    ListArtifactsRequest,
    ListLedgerEntriesRequest,
    ListModelsRequest,
    ListProvidersRequest,
    Mask,
    ModelServiceStub,
    QueryUsageRequest,
    QueryWriteStatusRequest,
    ReadArtifactRequest,
    RequestOptions,
    Size,
    StreamRequest,
    UploadArtifactRequest,
    UpscaleRequest,
    UsageServiceStub,
    WriteArtifactChunkRequest,
    WriteArtifactRequest,
)
from celeste_image.v1.edit_pb2 import EraseEdit, OutpaintEdit

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "artifacts/sha256-" + "0" * 64
PNG = pictures.plain(32, 24)
NIL = "00000000-0000-0000-0000-000000000000"
FOREIGN = next_page_token(ListModelsRequest(), "somebody", "local/compose")
"""A token of another caller, and for most of the rows of another list, too."""
OF_ALL_MODELS = next_page_token(ListModelsRequest(), ANONYMOUS.tenant, "local/compose")
Request = object


@dataclass
class Row:
    """A request, and the status that it must get: code, reason and every field at fault."""

    what: str
    request: Request
    code: str
    reason: str
    fields: tuple[str, ...] = ()


def options(strict: bool = False, **provider_options: dict[str, object]) -> RequestOptions:
    structs = {}
    for name, values in provider_options.items():
        structs[name] = struct_pb2.Struct()
        structs[name].update(values)
    return RequestOptions(strictness=2 if strict else 0, provider_options=structs)


def with_unknown(request: Any) -> Any:
    """Returns the request with field 900, which no version of the contract has."""
    request.MergeFromString(b"\xa0\x38\x01")
    return request


def with_unknown_field(request: GenerateRequest) -> GenerateRequest:
    """Returns the request with field 900 of its size, which no version of the contract has."""
    request.size.MergeFromString(b"\xa0\x38\x01")
    return request


BAD, NOT_FOUND, REFUSED = "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"

TABLE = [
    Row("empty prompt", GenerateRequest(), BAD, "INVALID_FIELD", ("prompt",)),
    Row("prompt beyond the contract", GenerateRequest(prompt="x" * 32_001), BAD, "INVALID_FIELD", ("prompt",)),
    Row("prompt beyond the model", GenerateRequest(prompt="x" * 2_001), BAD, "INVALID_FIELD", ("prompt",)),
    Row(
        "a provider's name with quotes",
        GenerateRequest(prompt="a", options=options(**{'a"b': {}})),
        BAD,
        "INVALID_FIELD",
        (r'options.provider_options["a\"b"]',),
    ),
    Row("zero width", GenerateRequest(prompt="a", size=Size(height=64)), BAD, "INVALID_FIELD", ("size",)),
    Row(
        "negative height",
        GenerateRequest(prompt="a", size=Size(width=64, height=-1)),
        BAD,
        "INVALID_FIELD",
        ("size.height",),
    ),
    Row(
        "huge size",
        GenerateRequest(prompt="a", size=Size(width=20_000, height=20_000)),
        BAD,
        "INVALID_FIELD",
        ("size.width", "size.height"),
    ),
    Row(
        "size beyond the model",
        GenerateRequest(prompt="a", size=Size(width=16_384, height=64)),
        BAD,
        "INVALID_FIELD",
        ("size.width",),
    ),
    Row(
        "width and ratio",
        GenerateRequest(prompt="a", size=Size(width=64, height=64, aspect_ratio="1:1")),
        BAD,
        "INVALID_FIELD",
        ("size",),
    ),
    Row(
        "ratio that is none",
        GenerateRequest(prompt="a", size=Size(aspect_ratio="16x9")),
        BAD,
        "INVALID_FIELD",
        ("size.aspect_ratio",),
    ),
    Row("size with nothing in it", GenerateRequest(prompt="a", size=Size()), BAD, "INVALID_FIELD", ("size",)),
    Row(
        "size of an upscale with nothing in it",
        UpscaleRequest(image=ImageInput(data=PNG), size=Size()),
        BAD,
        "INVALID_FIELD",
        ("size",),
    ),
    Row("too many images", GenerateRequest(prompt="a", count=17), BAD, "INVALID_FIELD", ("count",)),
    Row("request id that is none", GenerateRequest(prompt="a", request_id="x"), BAD, "INVALID_FIELD", ("request_id",)),
    Row("nil request id", GenerateRequest(prompt="a", request_id=NIL), BAD, "INVALID_FIELD", ("request_id",)),
    Row(
        "nil request id of an analysis",
        AnalyzeRequest(image=ImageInput(data=PNG), request_id=NIL),
        BAD,
        "INVALID_FIELD",
        ("request_id",),
    ),
    Row(
        "media type that is none",
        GenerateRequest(prompt="a", output_media_type="png"),
        BAD,
        "INVALID_FIELD",
        ("output_media_type",),
    ),
    Row(
        "reference without image",
        GenerateRequest(prompt="a", references=[ImageReference(role="style")]),
        BAD,
        "INVALID_FIELD",
        ("references[0].image",),
    ),
    Row(
        "reference that is no image",
        GenerateRequest(prompt="a", references=[ImageReference(image=ImageInput(data=b"no image"))]),
        BAD,
        "NOT_AN_IMAGE",
        ("references[0].image",),
    ),
    Row(
        "encoding quality beyond 100",
        GenerateRequest(prompt="a", output_quality=101),
        BAD,
        "INVALID_FIELD",
        ("output_quality",),
    ),
    Row(
        "style that the model does not know",
        GenerateRequest(prompt="a", model="local/compose", style="baroque"),
        BAD,
        "INVALID_FIELD",
        ("style",),
    ),
    Row(
        "mask that marks everything",
        EditRequest(
            image=ImageInput(data=PNG),
            model="local/patchmatch",
            erase=EraseEdit(mask=Mask(image=ImageInput(data=pictures.plain(32, 24, color="white")))),
        ),
        BAD,
        "INVALID_FIELD",
        ("erase.mask.image",),
    ),
    Row("unknown model", GenerateRequest(prompt="a", model="local/composer"), NOT_FOUND, "MODEL_NOT_FOUND", ("model",)),
    Row(
        "model for something else",
        GenerateRequest(prompt="a", model="local/lanczos"),
        REFUSED,
        "OPERATION_NOT_OFFERED",
    ),
    Row(
        "provider option misspelt",
        UpscaleRequest(image=ImageInput(data=PNG), factor=2, options=options(local={"tyle": 64})),
        BAD,
        "INVALID_FIELD",
        ('options.provider_options["local"].tyle',),
    ),
    Row(
        "provider option out of range",
        UpscaleRequest(image=ImageInput(data=PNG), factor=2, options=options(local={"tile": 5})),
        BAD,
        "INVALID_FIELD",
        ('options.provider_options["local"].tile',),
    ),
    Row(
        "provider misspelt",
        UpscaleRequest(image=ImageInput(data=PNG), factor=2, options=options(lokal={"tile": 64})),
        BAD,
        "INVALID_FIELD",
        ('options.provider_options["lokal"]',),
    ),
    Row("no image", UpscaleRequest(factor=2), BAD, "INVALID_FIELD", ("image",)),
    Row("empty image", UpscaleRequest(image=ImageInput(), factor=2), BAD, "INVALID_FIELD", ("image",)),
    Row(
        "not an image",
        UpscaleRequest(image=ImageInput(data=b"<svg xmlns='http://www.w3.org/2000/svg'/>"), factor=2),
        BAD,
        "NOT_AN_IMAGE",
        ("image",),
    ),
    Row(
        "truncated PNG",
        UpscaleRequest(image=ImageInput(data=pictures.noise(64, 64)[:-4000]), factor=2),
        BAD,
        "NOT_AN_IMAGE",
        ("image",),
    ),
    Row(
        "bomb",
        UpscaleRequest(image=ImageInput(data=pictures.bomb(12_000, 12_000)), factor=2),
        BAD,
        "IMAGE_TOO_LARGE",
        ("image",),
    ),
    Row(
        "side too long",
        AnalyzeRequest(image=ImageInput(data=pictures.bomb(17_000, 8))),
        BAD,
        "IMAGE_TOO_LARGE",
        ("image",),
    ),
    Row(
        "bytes and artifact",
        UpscaleRequest(image=ImageInput(data=PNG, artifact=NOBODY), factor=2),
        BAD,
        "INVALID_FIELD",
        ("image",),
    ),
    Row(
        "wrong digest",
        UpscaleRequest(image=ImageInput(data=PNG, sha256="0" * 64), factor=2),
        BAD,
        "INVALID_FIELD",
        ("image.sha256",),
    ),
    Row(
        "neither factor nor size",
        UpscaleRequest(image=ImageInput(data=PNG)),
        BAD,
        "INVALID_FIELD",
        ("factor", "size"),
    ),
    Row(
        "factor and size",
        UpscaleRequest(image=ImageInput(data=PNG), factor=2, size=Size(width=64, height=48)),
        BAD,
        "INVALID_FIELD",
        ("factor", "size"),
    ),
    Row("factor too large", UpscaleRequest(image=ImageInput(data=PNG), factor=17), BAD, "INVALID_FIELD", ("factor",)),
    Row(
        "factor that is no number",
        UpscaleRequest(image=ImageInput(data=PNG), factor=float("nan")),
        BAD,
        "INVALID_FIELD",
        ("factor",),
    ),
    Row(
        "smaller than the image",
        UpscaleRequest(image=ImageInput(data=PNG), size=Size(width=16, height=12)),
        BAD,
        "INVALID_FIELD",
        ("size",),
    ),
    Row(
        "result too large",
        UpscaleRequest(image=ImageInput(data=pictures.plain(2_000, 2_000)), factor=4),
        BAD,
        "INVALID_FIELD",
        ("size",),
    ),
    Row(
        "unknown artifact",
        AnalyzeRequest(image=ImageInput(artifact=NOBODY)),
        NOT_FOUND,
        "ARTIFACT_NOT_FOUND",
        ("image",),
    ),
    Row(
        "artifact name with dots",
        AnalyzeRequest(image=ImageInput(artifact="artifacts/../../etc/passwd")),
        BAD,
        "INVALID_FIELD",
        ("image.artifact",),
    ),
    Row(
        "analysis of nothing known",
        AnalyzeRequest(image=ImageInput(data=PNG), kinds=[77]),  # type: ignore[list-item]
        BAD,
        "INVALID_FIELD",
        ("kinds[0]",),
    ),
    Row("no edit", EditRequest(image=ImageInput(data=PNG)), BAD, "INVALID_FIELD", ("kind",)),
    Row(
        "outpaint by nothing",
        EditRequest(image=ImageInput(data=PNG), outpaint=OutpaintEdit()),
        BAD,
        "INVALID_FIELD",
        ("outpaint",),
    ),
    Row(
        "mask of another size",
        EditRequest(
            image=ImageInput(data=PNG),
            erase=EraseEdit(mask=Mask(image=ImageInput(data=pictures.plain(8, 8)))),
        ),
        BAD,
        "INVALID_FIELD",
        ("erase.mask.image",),
    ),
    Row(
        "mask that is no image",
        EditRequest(image=ImageInput(data=PNG), erase=EraseEdit(mask=Mask(image=ImageInput(data=b"mask")))),
        BAD,
        "NOT_AN_IMAGE",
        ("erase.mask.image",),
    ),
    Row(
        "strict, and an unknown field",
        with_unknown_field(GenerateRequest(prompt="a", size=Size(width=64, height=64), options=options(strict=True))),
        BAD,
        "UNKNOWN_FIELD",
        ("size.#900",),
    ),
    Row(
        "strict, and an option that the model does not read",
        UpscaleRequest(
            model="local/lanczos",
            image=ImageInput(data=PNG),
            factor=2,
            options=options(strict=True, local={"tile": 64}),
        ),
        BAD,
        "INVALID_FIELD",
        ('options.provider_options["local"].tile',),
    ),
    Row("artifact to read unknown", ReadArtifactRequest(name=NOBODY), NOT_FOUND, "ARTIFACT_NOT_FOUND"),
    Row("artifact to read misnamed", ReadArtifactRequest(name="artifacts/x"), BAD, "INVALID_FIELD", ("name",)),
    Row(
        "negative offset",
        ReadArtifactRequest(name=NOBODY, offset=-1),
        BAD,
        "INVALID_FIELD",
        ("offset",),
    ),
    Row("model to get unknown", GetModelRequest(model="nobody/nothing"), NOT_FOUND, "MODEL_NOT_FOUND", ("model",)),
    *(
        Row(f"{what} page token for {kind.__name__}", kind(page_token=token), BAD, "INVALID_FIELD", ("page_token",))
        for kind in (ListModelsRequest, ListProvidersRequest, ListArtifactsRequest, ListLedgerEntriesRequest)
        for what, token in {
            "made-up": "zzz",
            "not base64": "a token!",
            "old form of a": "local/compose" if kind is ListModelsRequest else NOBODY,
            "foreign": FOREIGN,
        }.items()
    ),
    Row(
        "page token of another filter",
        ListModelsRequest(page_token=OF_ALL_MODELS, edit="inpaint"),
        BAD,
        "INVALID_FIELD",
        ("page_token",),
    ),
    *(
        Row(f"negative page size for {kind.__name__}", kind(page_size=-1), BAD, "INVALID_FIELD", ("page_size",))
        for kind in (ListModelsRequest, ListProvidersRequest, ListArtifactsRequest, ListLedgerEntriesRequest)
    ),
    Row("usage since nobody knows when", QueryUsageRequest(), BAD, "INVALID_FIELD", ("start_time",)),
    *(
        Row(f"unknown field for {type(request).__name__}", with_unknown(request), BAD, "UNKNOWN_FIELD", ("#900",))
        for request in (
            ListProvidersRequest(),
            ListModelsRequest(),
            GetModelRequest(model="local/compose"),
            GetServerInfoRequest(),
            WriteArtifactRequest(name=NOBODY, size_bytes=1),
            WriteArtifactChunkRequest(name=NOBODY, size_bytes=1),
            QueryWriteStatusRequest(name=NOBODY),
            ReadArtifactRequest(name=NOBODY),
            GetArtifactRequest(name=NOBODY),
            ListArtifactsRequest(),
            FindMissingArtifactsRequest(names=[NOBODY]),
            DeleteArtifactRequest(name=NOBODY),
            UploadArtifactRequest(name=NOBODY),
            DownloadArtifactRequest(name=NOBODY),
            QueryUsageRequest(start_time=Timestamp(seconds=1)),
            ListLedgerEntriesRequest(),
        )
    ),
]
OPERATIONS = (GenerateRequest, EditRequest, UpscaleRequest, AnalyzeRequest)


def check(row: Row, error: grpc.aio.AioRpcError) -> None:
    assert error.code().name == row.code
    status = status_of(error)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    resource, failure = error_details_pb2.ResourceInfo(), FailureInfo()
    for detail in status.details:
        for kind in (info, bad, resource, failure):
            detail.Unpack(kind)
    is_operation = isinstance(row.request, OPERATIONS)
    assert bool(failure.request_id) == is_operation
    given = getattr(row.request, "request_id", "")
    assert uuid.UUID(failure.request_id).int if is_operation else not failure.request_id
    assert failure.request_id == given or given in ("", "x", NIL)
    assert (info.domain, info.reason) == ("celeste.image", row.reason)
    assert tuple(violation.field for violation in bad.field_violations) == row.fields
    assert all(violation.description for violation in bad.field_violations)
    assert all(re.fullmatch("[A-Z][A-Z0-9_]+[A-Z0-9]", violation.reason) for violation in bad.field_violations)
    assert bool(resource.resource_name) == bool(resource.resource_type)
    assert "Traceback" not in str(status)
    assert status.ByteSize() <= 4096


async def call(channel: grpc.aio.Channel, request: Request) -> object:
    images, artifacts = ImageServiceStub(channel), ArtifactServiceStub(channel)
    models, usage = ModelServiceStub(channel), UsageServiceStub(channel)
    match request:
        case GenerateRequest():
            return await images.Generate(request)
        case EditRequest():
            return await images.Edit(request)
        case UpscaleRequest():
            return await images.Upscale(request)
        case AnalyzeRequest():
            return await images.Analyze(request)
        case ReadArtifactRequest():
            return [response async for response in artifacts.ReadArtifact(request)]
        case WriteArtifactRequest():
            return await artifacts.WriteArtifact(iter([request]))
        case UploadArtifactRequest():
            return await ArtifactHttpServiceStub(channel).UploadArtifact(iter([request]))
        case DownloadArtifactRequest():
            return [response async for response in ArtifactHttpServiceStub(channel).DownloadArtifact(request)]
    for stub in (models, artifacts, usage):
        if method := getattr(stub, type(request).__name__.removesuffix("Request"), None):
            return await method(request)
    raise TypeError(request)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.what)
async def test_the_caller_is_told_code_reason_and_every_field(channel: grpc.aio.Channel, row: Row) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, row.request)
    check(row, caught.value)


@pytest.mark.parametrize("row", [row for row in TABLE if isinstance(row.request, OPERATIONS)], ids=lambda row: row.what)
async def test_a_stream_says_the_same_as_its_last_event_and_as_its_status(channel: grpc.aio.Channel, row: Row) -> None:
    request = StreamRequest()
    kind = type(row.request).__name__.removesuffix("Request").lower()
    getattr(request.operation, kind).CopyFrom(row.request)
    events = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for response in ImageServiceStub(channel).Stream(request):
            events.append(response.event)
    check(row, caught.value)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].failed.status == status_of(caught.value)


async def test_a_violation_has_all_digits_of_an_integer(channel: grpc.aio.Channel) -> None:
    request = GenerateRequest(prompt="a", options=RequestOptions(strictness=2**31 - 1))  # type: ignore[arg-type]
    with pytest.raises(grpc.aio.AioRpcError, match="is 2147483647"):
        await ImageServiceStub(channel).Generate(request)


async def test_a_stream_without_operation(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in ImageServiceStub(channel).Stream(StreamRequest()):
            pass
    assert status_of(caught.value).details
    assert caught.value.code().name == BAD
