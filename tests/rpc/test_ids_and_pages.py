"""Ids of requests, pages of lists, and reflection, as every client sees them."""

import grpc
import pytest
from google.rpc import status_pb2
from grpc_reflection.v1alpha import reflection_pb2

from celeste_image.v1 import (
    FailureInfo,
    GenerateRequest,
    ImageServiceStub,
    ListModelsRequest,
    ListProvidersRequest,
    ModelServiceStub,
    Size,
    StreamRequest,
    operation_pb2,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPPER = "6F1C2D3E-AAAA-4000-8000-00000000000F"


def generate(**fields: object) -> GenerateRequest:
    return GenerateRequest(model="local/compose", prompt="a boat", size=Size(width=64, height=64), **fields)  # type: ignore[arg-type]


def id_in(error: grpc.aio.AioRpcError) -> str:
    """Returns the id of the request in an error."""
    trailers = dict(error.trailing_metadata() or ())
    failure = FailureInfo()
    for detail in status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details:  # type: ignore[arg-type]
        detail.Unpack(failure)
    return failure.request_id


async def test_an_id_in_upper_case_is_the_same_in_lower_case(channel: grpc.aio.Channel) -> None:
    stub = ImageServiceStub(channel)
    assert (await stub.Generate(generate(request_id=UPPER))).result.request_id == UPPER.lower()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Generate(generate(request_id=UPPER, count=99))
    assert id_in(caught.value) == UPPER.lower()


@pytest.mark.parametrize("given", ["", UPPER])
@pytest.mark.parametrize("wrong", [False, True])
async def test_the_first_message_of_a_stream_has_the_id(channel: grpc.aio.Channel, given: str, wrong: bool) -> None:
    request = StreamRequest()
    request.operation.generate.CopyFrom(generate(request_id=given, **({"count": 99} if wrong else {})))
    responses, failed = [], ""
    try:
        async for response in ImageServiceStub(channel).Stream(request):
            responses.append(response)
    except grpc.aio.AioRpcError as error:
        failed = id_in(error)
    first, *rest = responses
    assert first.request_id == (given.lower() or first.request_id) and len(first.request_id) == 36
    assert not any(response.request_id for response in rest)
    last = responses[-1].event
    assert first.request_id == (failed if wrong else last.completed.result.request_id)


async def test_providers_come_in_pages(channel: grpc.aio.Channel) -> None:
    stub = ModelServiceStub(channel)
    everything = [each.name for each in (await stub.ListProviders(ListProvidersRequest())).providers]
    assert everything == sorted(everything) and "local" in everything
    for size in (1, 2, 1_000_000):
        found, token, pages = [], "", 0
        while token or not pages:
            page = await stub.ListProviders(ListProvidersRequest(page_size=size, page_token=token))
            found += [each.name for each in page.providers]
            token, pages = page.next_page_token, pages + 1
            assert "/" not in token and "local" not in token, "a token is opaque"
        assert found == everything


async def test_models_of_an_edit(channel: grpc.aio.Channel) -> None:
    stub = ModelServiceStub(channel)
    models = (await stub.ListModels(ListModelsRequest(edit="outpaint"))).models
    assert "local/patchmatch" in [model.id for model in models]
    assert all("outpaint" in model.edits and operation_pb2.OPERATION_KIND_EDIT in model.operations for model in models)
    assert not (await stub.ListModels(ListModelsRequest(edit="no-such-edit"))).models
    full = (await stub.ListModels(ListModelsRequest(view=2))).models  # type: ignore[arg-type]
    assert not [p.path for model in full for p in model.parameters if p.path in model.edits]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_in_both_versions(channel: grpc.aio.Channel, version: str) -> None:
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="celeste.image.v1.ImageService"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"grpc.reflection.{version}.ServerReflection"),
    ]
    listed, file, own = [response async for response in call(iter(asked))]
    names = {service.name for service in listed.list_services_response.service}
    assert {"celeste.image.v1.ImageService", f"grpc.reflection.{version}.ServerReflection"} <= names
    assert file.file_descriptor_response.file_descriptor_proto
    assert own.file_descriptor_response.file_descriptor_proto, "buf asks for the file of each service that is listed"
