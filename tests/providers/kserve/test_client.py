"""gRPC client of the inference protocol, against servers with rare behavior."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from celeste_image.core.errors import ERRORS, CelesteError, DeadlineExceeded
from celeste_image.providers.kserve.client import Contents, Inference
from celeste_image.providers.kserve.settings import KServeSettings
from celeste_image.providers.kserve.signature import Signature
from celeste_image.providers.kserve.v2 import inference_pb2 as pb

METHODS = {"ModelInfer": pb.ModelInferRequest, "ModelMetadata": pb.ModelMetadataRequest}
MIB = 1 << 20
Answer = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]
X = Contents("x", "UINT8", [4], b"abcd")


@asynccontextmanager
async def answering(
    answer: Answer, credentials: grpc.ServerCredentials | None = None, **settings: Any
) -> AsyncIterator[Inference]:
    """Yields a client of a server that answers every call with one function."""
    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)])
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=request.FromString, response_serializer=lambda made: made.SerializeToString()
        )
        for name, request in METHODS.items()
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)])
    if credentials:
        port = server.add_secure_port("localhost:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    url = f"grpcs://localhost:{port}" if credentials else f"grpc://127.0.0.1:{port}"
    models = [{"id": "x4", "operation": "upscale"}]
    given = KServeSettings.model_validate({"url": url, "models": models, **settings})
    client = Inference("cluster", given, MIB, {})
    try:
        yield client
    finally:
        await client.close()
        await server.stop(0)


async def asked(client: Inference, output: str = "", deadline: float | None = None) -> Contents:
    return await client.infer("m", "", [X], output, deadline)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("INVALID_ARGUMENT", "INVALID_FIELD"),
        ("OUT_OF_RANGE", "INVALID_FIELD"),
        ("NOT_FOUND", "MODEL_NOT_FOUND"),
        ("UNAUTHENTICATED", "PROVIDER_CREDENTIALS"),
        ("PERMISSION_DENIED", "PROVIDER_CREDENTIALS"),
        ("RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED"),
        ("UNAVAILABLE", "PROVIDER_UNAVAILABLE"),
        ("ABORTED", "PROVIDER_UNAVAILABLE"),
        ("CANCELLED", "PROVIDER_UNAVAILABLE"),
        ("DEADLINE_EXCEEDED", "PROVIDER_UNAVAILABLE"),
        ("INTERNAL", "PROVIDER_FAILED"),
        ("UNKNOWN", "PROVIDER_FAILED"),
        ("UNIMPLEMENTED", "PROVIDER_FAILED"),
        ("FAILED_PRECONDITION", "PROVIDER_FAILED"),
        ("DATA_LOSS", "PROVIDER_FAILED"),
    ],
)
async def test_statuses_are_errors_of_the_one_tree(code: str, reason: str) -> None:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        await context.abort(getattr(grpc.StatusCode, code), "no\nmore")

    async with answering(answer) as client:
        with pytest.raises(CelesteError) as caught:
            await asked(client)
    error = caught.value
    assert type(error) is ERRORS[reason]
    assert (error.message, error.metadata) == ("cluster: no more", {"provider": "cluster", "status": code})


async def test_a_deadline_that_passes_is_the_callers_own() -> None:
    left: list[float] = []

    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        left.append(context.time_remaining())
        if len(left) > 1:
            await asyncio.Event().wait()
        return pb.ModelInferResponse(outputs=[tensor("y", "UINT8", 1, uint_contents=[1])])

    async with answering(answer) as client:
        await asked(client, deadline=time.monotonic() + 60)  # opens the connection
        with pytest.raises(DeadlineExceeded):
            await asked(client, deadline=time.monotonic() + 1)
        assert len(left) == 2
        assert 30 < left[0] < 61, "gRPC rounds it up a little on the way"
        assert 0 < left[1] < 1.1
        with pytest.raises(DeadlineExceeded):
            await asked(client, deadline=time.monotonic() - 1)
        assert len(left) == 2, "and with none left nobody is asked"


async def test_a_server_that_takes_too_long_is_unavailable() -> None:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        await asyncio.Event().wait()

    async with answering(answer, infer_seconds=0.2) as client:
        with pytest.raises(CelesteError) as caught:
            await asked(client)
    assert caught.value.reason == "PROVIDER_UNAVAILABLE"


async def test_a_cancelled_inference_is_cancelled_there() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with answering(answer) as client:
        task = asyncio.create_task(asked(client))
        await began.wait()
        task.cancel()
        async with asyncio.timeout(10):
            await ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


def tensor(name: str, datatype: str, *shape: int, **contents: Any) -> pb.ModelInferResponse.InferOutputTensor:
    return pb.ModelInferResponse.InferOutputTensor(
        name=name, datatype=datatype, shape=shape, contents=pb.InferTensorContents(**contents)
    )


@pytest.mark.parametrize(
    ("output", "data"),
    [
        (tensor("y", "FP32", 2, fp32_contents=[1, -2]), b"\0\0\x80?\0\0\0\xc0"),
        (tensor("y", "UINT8", 3, uint_contents=[1, 2, 255]), b"\1\2\xff"),
        (tensor("y", "INT64", 1, int64_contents=[-2]), b"\xfe" + b"\xff" * 7),
        (tensor("y", "BYTES", 1, bytes_contents=[b"png"]), b"\3\0\0\0png"),
        (tensor("y", "FP16", 2), b""),
    ],
    ids=lambda given: getattr(given, "datatype", ""),
)
async def test_typed_contents_are_taken_for_raw_ones(output: Any, data: bytes) -> None:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        return pb.ModelInferResponse(outputs=[output])

    async with answering(answer) as client:
        made = await asked(client)
    assert (made.name, made.datatype, tuple(made.shape), made.data) == ("y", output.datatype, tuple(output.shape), data)


async def test_the_output_that_is_wanted_is_taken() -> None:
    requests: list[pb.ModelInferRequest] = []

    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        requests.append(request)
        outputs = [tensor("a", "UINT8", 1), tensor("b", "UINT8", 2)]
        return pb.ModelInferResponse(outputs=outputs, raw_output_contents=[b"1", b"22"])

    async with answering(answer) as client:
        assert (await asked(client, "b")).data == b"22"
        assert requests[0].raw_input_contents == [b"abcd"]
        assert [each.name for each in requests[0].outputs] == ["b"]
        for wanted in ("", "c"):
            with pytest.raises(CelesteError, match=r"the model returned a, b; set output\.name"):
                await asked(client, wanted)


async def test_a_tensor_beyond_what_is_expected_is_not_taken() -> None:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        return pb.ModelInferResponse(outputs=[tensor("y", "UINT8", 4 * MIB)], raw_output_contents=[bytes(4 * MIB)])

    async with answering(answer) as client:
        with pytest.raises(CelesteError, match="larger than max") as caught:
            await asked(client)
    assert caught.value.reason == "PROVIDER_FAILED", "no later try would be any better"


async def test_metadata_is_a_signature() -> None:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        assert (request.name, request.version) == ("m", "3")
        return pb.ModelMetadataResponse(inputs=[{"name": "x", "datatype": "FP32", "shape": [-1, 3]}])

    async with answering(answer) as client:
        found = await client.signature("m", "3")
    assert isinstance(found, Signature)
    assert [(each.name, each.datatype, each.shape) for each in found.inputs] == [("x", "FP32", (-1, 3))]


@pytest.fixture(scope="session")
def certificate(kserve_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cert.pem` for localhost, and `key.pem`."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run([kserve_python, Path(__file__).parent / "server" / "certificates.py", folder], check=True)
    return folder


async def test_a_token_goes_over_tls_and_comes_back_in_no_error(certificate: Path, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        seen.append(dict(context.invocation_metadata() or ()))
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{seen[0]['authorization']} and {seen[0]['x-key']} no")

    cert, key = (certificate / name for name in ("cert.pem", "key.pem"))
    # The server requires a client certificate; the same one serves both sides.
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())], cert.read_bytes(), True)
    (tmp_path / "token").write_text("canary-1\n")
    own = {"ca_file": cert, "cert_file": cert, "key_file": key}
    secrets = {"token_file": tmp_path / "token", "headers": {"x-key": "canary-2"}}
    async with answering(answer, credentials, **own, **secrets) as client:
        with pytest.raises(CelesteError) as caught:
            await asked(client)
    assert (seen[0]["authorization"], seen[0]["x-key"]) == ("Bearer canary-1", "canary-2")
    assert seen[0]["user-agent"].startswith("celeste ")
    assert caught.value.message == "cluster: Bearer [key] and [key] no"


async def test_a_server_whose_certificate_nobody_signed_is_not_talked_to(certificate: Path) -> None:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        raise AssertionError

    pair = [((certificate / "key.pem").read_bytes(), (certificate / "cert.pem").read_bytes())]
    async with answering(answer, grpc.ssl_server_credentials(pair), infer_seconds=5) as client:
        with pytest.raises(CelesteError) as caught:
            await asked(client)
    assert caught.value.reason == "PROVIDER_UNAVAILABLE"


@pytest.mark.parametrize("order", ["ours first", "ours last"])
def test_our_messages_do_not_get_in_the_way_of_others(order: str) -> None:
    """kserve and tritonclient register their messages in the default pool, under other file names."""
    lines = [
        "from google.protobuf import descriptor_pb2, descriptor_pool",
        "from celeste_image.providers.kserve.v2 import inference_pb2 as ours",
        "theirs = descriptor_pb2.FileDescriptorProto.FromString(ours.DESCRIPTOR.serialized_pb)",
        "theirs.name = 'grpc_service.proto'",
        "pool = descriptor_pool.Default()",
        "pool.Add(theirs)" if order == "ours last" else "import celeste_image.providers.kserve.client",
        "pool.FindMessageTypeByName('inference.ModelInferRequest')" if order == "ours last" else "pool.Add(theirs)",
        "import importlib; importlib.reload(ours)",
        "assert ours.DESCRIPTOR.pool is not pool",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=60)
