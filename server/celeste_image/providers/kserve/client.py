"""Inference: the calls of the open inference protocol over gRPC, to the one address that the operator named.

The second way out, next to `outbound/client.py`: see server/decisions/0017-inference-over-grpc.md.
"""

import asyncio
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

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
from celeste_image.providers.kit.answers import vendor_text
from celeste_image.providers.kserve.settings import KServeSettings
from celeste_image.providers.kserve.signature import Signature, Tensor
from celeste_image.providers.kserve.v2 import inference_pb2 as pb

__all__ = ["Contents", "Inference"]

Response = TypeVar("Response", bound=Message)

SERVICE = "/inference.GRPCInferenceService/"
SPARE_BYTES = 1 << 20
"""For everything in a message but its tensors' values."""
ASK_SECONDS = 15.0
"""For what is not an inference."""
TOO_LARGE = "larger than max"
"""What gRPC says, of either side, where a message is beyond a limit."""

OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.enable_http_proxy", 0),  # the operator named where to go; a variable of the environment did not
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.primary_user_agent", "celeste"),
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
"""Where typed contents are, and what `array` calls their values; FP16 has raw ones alone."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A tensor and its values: raw, little-endian, row by row; for BYTES each element with its length before it."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: bytes = field(repr=False)


class Inference:
    """One server, or as many as its name has addresses for.

    Args:
        provider: Whose it is, for errors.
        settings: Its table of the configuration.
        most_bytes: The largest tensor that is expected.

    Raises:
        OSError: A file that the settings name can't be read.
    """

    def __init__(self, provider: str, settings: KServeSettings, most_bytes: int) -> None:
        self._provider, self._seconds = provider, settings.infer_seconds
        origin = settings.origin
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        self._target = f"dns:///{host}:{origin.port}"
        # Typed contents take up to twice the bytes of raw ones.
        limit = 2 * most_bytes + SPARE_BYTES
        limits = [("grpc.max_send_message_length", limit), ("grpc.max_receive_message_length", limit)]
        self._options = [*OPTIONS, *limits]
        self._credentials = _credentials(settings) if settings.is_tls else None
        self._token = _token_of(settings)
        self._metadata = [(name, value.reveal()) for name, value in settings.headers.items()]
        self._secrets = [self._token, *(value for _, value in self._metadata)]
        if self._token:
            self._metadata.append(("authorization", f"Bearer {self._token}"))
        self._channel: grpc.aio.Channel | None = None

    async def infer(
        self, model: str, version: str, inputs: Sequence[Contents], output: str, deadline: float | None
    ) -> Contents:
        """Returns what a model makes of some tensors, in the output of that name; "" is the only one there is.

        Cancelling it cancels the call at the server.

        Raises:
            CelesteError: See `_error`; ProviderFailed also for an answer that has no such output.
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
        """Returns what the server says of a model's tensors. Raises CelesteError, see `_error`."""
        request = pb.ModelMetadataRequest(name=model, version=version)
        response = await self._call("ModelMetadata", request, pb.ModelMetadataResponse, ASK_SECONDS, deadline)
        return Signature(_tensors(response.inputs), _tensors(response.outputs))

    async def is_ready(self, model: str = "", version: str = "") -> bool:
        """Tells whether a model is ready, or, without one, the server. Raises CelesteError, see `_error`."""
        if model:
            asked = pb.ModelReadyRequest(name=model, version=version)
            return (await self._call("ModelReady", asked, pb.ModelReadyResponse, ASK_SECONDS)).ready
        return (await self._call("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse, ASK_SECONDS)).ready

    async def close(self) -> None:
        """Closes the connections; calls under way are cancelled."""
        if self._channel:
            await self._channel.close()
            self._channel = None

    async def _call(
        self, method: str, request: Message, response: type[Response], seconds: float, deadline: float | None = None
    ) -> Response:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceeded("the deadline passed before the model's server was asked")
        stub = self._opened().unary_unary(
            SERVICE + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        timeout = seconds if left is None else min(left, seconds)
        try:
            return await stub(request, timeout=timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._error(error, is_late=timeout == left) from None

    def _opened(self) -> grpc.aio.Channel:
        if self._channel is None:  # not at the start: a channel belongs to the loop that runs
            if self._credentials:
                self._channel = grpc.aio.secure_channel(self._target, self._credentials, self._options)
            else:
                self._channel = grpc.aio.insecure_channel(self._target, self._options)
        return self._channel

    def _error(self, error: grpc.aio.AioRpcError, *, is_late: bool) -> CelesteError:
        """Returns the error for a status; `is_late` tells that it was the caller who did not wait longer.

        An inference may be done again: it changes nothing and nobody sends a bill for each.
        """
        code = error.code()
        said = vendor_text(error.details(), self._secrets)
        text = f"{self._provider}: {said}" if said else f"{self._provider} answered with {code.name}"
        metadata = {"provider": self._provider, "status": code.name}
        match code:
            case grpc.StatusCode.DEADLINE_EXCEEDED if is_late:
                return DeadlineExceeded("the deadline passed while the model's server worked")
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
            names = ", ".join(output.name for output in response.outputs) or "nothing"
            raise ProviderFailed(f"it made {names}, of which one is wanted: set output.name in its table")
        ((index, output),) = found
        if raw := response.raw_output_contents:
            data = raw[index] if index < len(raw) else b""
        else:
            # Value by value, and there may be millions.
            data = await asyncio.to_thread(_raw, output.datatype, output.contents)
        return Contents(output.name, output.datatype, tuple(output.shape), data)


def _tensors(found: Sequence[pb.ModelMetadataResponse.TensorMetadata]) -> tuple[Tensor, ...]:
    return tuple(Tensor(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in found)


def _raw(datatype: str, contents: pb.InferTensorContents) -> bytes:
    """Returns typed contents as raw ones; nothing for a type that has no contents."""
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


def _token_of(settings: KServeSettings) -> str:
    if settings.token:
        return settings.token.reveal().strip()
    return settings.token_file.read_text().strip() if settings.token_file else ""
