"""gRPC client of the open inference protocol, for the one server address in the operator's configuration.

Besides `outbound/client.py`, this is the only module that sends requests to other machines: see
server/decisions/0017-inference-over-grpc.md.
"""

import asyncio
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from celeste_image.config.references import FILE, secret_of
from celeste_image.core.errors import (
    CelesteError,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    ProviderCredentials,
    ProviderFailed,
    ProviderRateLimited,
    ProviderUnavailable,
)
from celeste_image.core.secret import Secret
from celeste_image.providers.kit.answers import vendor_text
from celeste_image.providers.kserve.settings import KServeSettings
from celeste_image.providers.kserve.signature import Signature, Tensor
from celeste_image.providers.kserve.v2 import inference_pb2 as pb
from celeste_image.telemetry.tracing import CLIENT, child, trace_headers

__all__ = ["Contents", "Inference"]

Response = TypeVar("Response", bound=Message)

SERVICE = "/inference.GRPCInferenceService/"
SPARE_BYTES = 1 << 20
"""Allowance for the parts of a message other than the values of its tensors."""
QUERY_SECONDS = 15.0
"""Timeout of calls other than inferences."""
TOO_LARGE = "larger than max"
"""Part of gRPC's error text if a message exceeds the limit of either side."""

OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.enable_http_proxy", 0),  # the operator's address is used, never a proxy from the environment
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.primary_user_agent", "celeste"),
    # Channels of one process share connections, and so the pause after a failed one; a reload begins without it.
    ("grpc.use_local_subchannel_pool", 1),
)

CONTENTS: dict[str, tuple[str, str]] = {
    "BOOL": ("bool_contents", "B"),
    "INT8": ("int_contents", "b"),
    "INT16": ("int_contents", "h"),
    "INT32": ("int_contents", "i"),
    "INT64": ("int64_contents", "q"),
    "UINT8": ("uint_contents", "B"),
    "UINT16": ("uint_contents", "H"),
    "UINT32": ("uint_contents", "I"),
    "UINT64": ("uint64_contents", "Q"),
    "FP32": ("fp32_contents", "f"),
    "FP64": ("fp64_contents", "d"),
}
"""The field of typed contents by datatype, and the type code for `array`; FP16 has only raw contents."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A tensor. `data` is raw, little-endian and row by row; for BYTES, each element follows its length in 4 bytes."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: bytes = field(repr=False)


class Inference:
    """One inference server, or several: calls are spread over all addresses of its host name.

    Args:
        provider: The provider's name, for errors.
        settings: The provider's table of the configuration.
        most_bytes: Size of the largest expected tensor.

        environment: The variables that secrets may refer to.

    Raises:
        OSError: A file in the settings can't be read.
        ValueError: A secret refers to nothing, or can't be sent. The message begins with the setting's name.
    """

    def __init__(
        self, provider: str, settings: KServeSettings, most_bytes: int, environment: Mapping[str, str]
    ) -> None:
        self._provider, self._seconds = provider, settings.infer_seconds
        origin = settings.origin
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        self._target = f"dns:///{host}:{origin.port}"
        # Typed contents take up to twice the bytes of raw ones.
        limit = 2 * most_bytes + SPARE_BYTES
        limits = [("grpc.max_send_message_length", limit), ("grpc.max_receive_message_length", limit)]
        self._options = [*OPTIONS, *limits]
        self._credentials = _credentials(settings) if settings.is_tls else None
        given: dict[str, Secret] = {f"headers.{name}": value for name, value in settings.headers.items()}
        if token := settings.token or (settings.token_file and Secret(f"{FILE}{settings.token_file}")):
            given["token"] = token
        secrets = {name: _resolved(f"providers.{provider}.{name}", value, environment) for name, value in given.items()}
        self._token = secrets.pop("token", "")
        self._metadata = [(name.removeprefix("headers."), value) for name, value in secrets.items()]
        self._secrets = [self._token, *(value for _, value in self._metadata)]
        if self._token:
            self._metadata.append(("authorization", f"Bearer {self._token}"))
        self._channel: grpc.aio.Channel | None = None

    async def infer(
        self, model: str, version: str, inputs: Sequence[Contents], output: str, deadline: float | None
    ) -> Contents:
        """Runs a model on tensors and returns the output named `output`; an empty name means its only output.

        Cancelling this coroutine cancels the call at the server.

        Raises:
            CelesteError: The call failed, see `_error`. ProviderFailed: the answer does not have the output.
        """
        request = pb.ModelInferRequest(model_name=model, model_version=version)
        for given in inputs:
            request.inputs.add(name=given.name, datatype=given.datatype, shape=given.shape)
            request.raw_input_contents.append(given.data)
        if output:
            request.outputs.add(name=output)
        response = await self._call("ModelInfer", request, pb.ModelInferResponse, self._seconds, deadline)
        return await self._contents(response, output)

    async def signature(self, model: str, version: str, deadline: float | None = None) -> Signature:
        """Returns the inputs and outputs in a model's metadata. Raises CelesteError, see `_error`."""
        request = pb.ModelMetadataRequest(name=model, version=version)
        response = await self._call("ModelMetadata", request, pb.ModelMetadataResponse, QUERY_SECONDS, deadline)
        return Signature(_tensors(response.inputs), _tensors(response.outputs))

    async def is_ready(self, model: str = "", version: str = "") -> bool:
        """Returns whether a model is ready, or the server if `model` is empty. Raises CelesteError, see `_error`."""
        if model:
            asked = pb.ModelReadyRequest(name=model, version=version)
            return (await self._call("ModelReady", asked, pb.ModelReadyResponse, QUERY_SECONDS)).ready
        return (await self._call("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse, QUERY_SECONDS)).ready

    async def close(self) -> None:
        """Closes the connections and cancels the calls in progress."""
        if self._channel:
            await self._channel.close()
            self._channel = None

    async def _call(
        self, method: str, request: Message, response: type[Response], seconds: float, deadline: float | None = None
    ) -> Response:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceeded("the deadline passed before the request was sent to the inference server")
        stub = self._opened().unary_unary(
            SERVICE + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        timeout = seconds if left is None else min(left, seconds)
        name = f"{SERVICE}{method}".lstrip("/")
        with child(name, {"rpc.system.name": "grpc", "rpc.method": name}, CLIENT) as span:
            try:
                metadata = [*self._metadata, *trace_headers(span).items()]
                return await stub(request, timeout=timeout, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if span:
                    span.set("rpc.response.status_code", error.code().name)
                raise self._error(error, is_late=timeout == left) from None

    def _opened(self) -> grpc.aio.Channel:
        if self._channel is None:  # not in the constructor: a channel belongs to the running event loop
            if self._credentials:
                self._channel = grpc.aio.secure_channel(self._target, self._credentials, self._options)
            else:
                self._channel = grpc.aio.insecure_channel(self._target, self._options)
        return self._channel

    def _error(self, error: grpc.aio.AioRpcError, *, is_late: bool) -> CelesteError:
        """Returns the error for a gRPC status; `is_late` says that the caller's deadline ended the call.

        An inference may be retried: it changes nothing and is not billed.
        """
        code = error.code()
        said = vendor_text(error.details(), self._secrets)
        text = f"{self._provider}: {said}" if said else f"{self._provider} answered with {code.name}"
        metadata = {"provider": self._provider, "status": code.name}
        match code:
            case grpc.StatusCode.DEADLINE_EXCEEDED if is_late:
                return DeadlineExceeded("the deadline passed during the inference")
            case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE:
                return InvalidRequest(text, metadata=metadata)
            case grpc.StatusCode.NOT_FOUND:
                return ModelNotFound(text, metadata=metadata)
            case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
                return ProviderCredentials(text, metadata=metadata)
            case grpc.StatusCode.RESOURCE_EXHAUSTED if TOO_LARGE not in said:
                return ProviderRateLimited(text, metadata=metadata)
            case (
                grpc.StatusCode.UNAVAILABLE
                | grpc.StatusCode.DEADLINE_EXCEEDED
                | grpc.StatusCode.ABORTED
                | grpc.StatusCode.CANCELLED
            ):
                return ProviderUnavailable(text, metadata=metadata)
            case _:
                return ProviderFailed(text, metadata=metadata)

    async def _contents(self, response: pb.ModelInferResponse, name: str) -> Contents:
        found = [(index, output) for index, output in enumerate(response.outputs) if name in ("", output.name)]
        if len(found) != 1:
            names = ", ".join(output.name for output in response.outputs) or "no output"
            raise ProviderFailed(f"the model returned {names}; set output.name in its table to choose one")
        ((index, output),) = found
        if raw := response.raw_output_contents:
            data = raw[index] if index < len(raw) else b""
        else:
            # In a thread: the values are copied one by one, and there may be millions.
            data = await asyncio.to_thread(_raw, output.datatype, output.contents)
        return Contents(output.name, output.datatype, tuple(output.shape), data)


def _tensors(found: Sequence[pb.ModelMetadataResponse.TensorMetadata]) -> tuple[Tensor, ...]:
    return tuple(Tensor(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in found)


def _raw(datatype: str, contents: pb.InferTensorContents) -> bytes:
    """Returns typed contents as raw bytes; empty for a datatype without typed contents."""
    if datatype == "BYTES":
        return b"".join(len(element).to_bytes(4, "little") + element for element in contents.bytes_contents)
    if datatype not in CONTENTS:
        return b""
    part, code = CONTENTS[datatype]
    values = array(code, getattr(contents, part))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _credentials(settings: KServeSettings) -> grpc.ChannelCredentials:
    ca, key, cert = (
        path.read_bytes() if path else None for path in (settings.ca_file, settings.key_file, settings.cert_file)
    )
    return grpc.ssl_channel_credentials(ca, key, cert)


def _resolved(key: str, given: Secret, environment: Mapping[str, str]) -> str:
    """Returns a secret of the settings as text. Raises ValueError if it is not there or can't be sent."""
    try:
        text = secret_of(given, environment).reveal().strip()
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{key}: is not printable ASCII")
    return text
