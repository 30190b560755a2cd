"""Client: the blocking Python client. `AsyncClient` has the same methods."""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Self, Unpack

import grpc

from celeste_image.client.access import AccessParameters
from celeste_image.client.arguments import refuse_unknown_arguments
from celeste_image.client.calls import (
    AnalyzeParameters,
    EditParameters,
    GenerateParameters,
    ImageLike,
    Tries,
    UploadTries,
    UpscaleParameters,
    analyze_request,
    check_digest,
    data_or_name,
    edit_request,
    error_of,
    generate_request,
    new_request_id,
    request_id_of,
    too_large_inline,
    upload_chunks,
    uploaded,
    upscale_request,
)
from celeste_image.client.channels import CLOSED, open_channel
from celeste_image.client.checks import check_request, check_text, check_timeout, check_word
from celeste_image.client.ledger import entries_request, usage_request
from celeste_image.client.saving import checked_place, write_image
from celeste_image.client.traces import trace_metadata
from celeste_image.core.artifact import Artifact, artifact_name
from celeste_image.core.edits import AnyEdit
from celeste_image.core.errors import ServerUnavailable
from celeste_image.core.events import Completed, Event
from celeste_image.core.request import ImageRequest, OperationKind
from celeste_image.core.result import ImageOutput, OperationResult
from celeste_image.core.usage import CallState, SpendEntry, UsageDimension, UsageRow
from celeste_image.v1 import (
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    image_service_pb2,
    image_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    operation_pb2,
    usage_service_pb2_grpc,
)
from celeste_image.wire.artifacts import artifact_from_proto
from celeste_image.wire.requests import request_to_operation
from celeste_image.wire.results import event_from_proto
from celeste_image.wire.usage import entry_from_proto, row_from_proto
from celeste_image.wire.values import enum_number

__all__ = ["Client"]


@refuse_unknown_arguments
class Client:
    """A connection to a server. Close the client, or use it as a context manager.

    Args:
        channel: A channel, or the address of a server: `host:port`, `[IPv6]:port` or `unix:PATH`.
        **access: API key, TLS and certificate; see `AccessParameters`. The environment is not read.

    Raises:
        ValueError: The address or a parameter of the access has another form.
        TypeError: The channel is neither, or there is no such parameter.
        OSError: A file of the access can't be read.
    """

    def __init__(self, channel: grpc.Channel | str, **access: Unpack[AccessParameters]) -> None:
        opened, calls = open_channel(grpc, channel, access)
        self.channel: grpc.Channel = opened
        self._images: Any = image_service_pb2_grpc.ImageServiceStub(calls)
        self._artifacts: Any = artifact_service_pb2_grpc.ArtifactServiceStub(calls)
        self._models: Any = model_service_pb2_grpc.ModelServiceStub(calls)
        self._usage: Any = usage_service_pb2_grpc.UsageServiceStub(calls)
        self._owner = os.getpid()
        self._at_close = ExitStack()
        self._at_close.callback(self.channel.close)

    def __enter__(self) -> Self:
        """Returns the client itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the connection."""
        self.close()

    def close(self) -> None:
        """Closes the connection, and stops the server that `connect("local:")` started.

        In a fork of the process that opened it, a client can't be used, and `close` does nothing: gRPC's would not end.
        """
        if self._owner == os.getpid():
            self._images = self._artifacts = self._models = self._usage = CLOSED
            self._at_close.close()

    def generate(
        self, prompt: str, *, timeout: float | None = None, **parameters: Unpack[GenerateParameters]
    ) -> OperationResult:
        """Generates images from words. Raises CelesteError, OSError for a file, ValueError for an invalid size."""
        request = generate_request(prompt, parameters)
        return self.run(request, request_id=request_id_of(parameters), timeout=timeout)

    def edit(
        self, image: ImageLike, edit: AnyEdit, *, timeout: float | None = None, **parameters: Unpack[EditParameters]
    ) -> OperationResult:
        """Edits an image. Raises CelesteError, OSError for a file, ValueError for an invalid size.

        `edit` is a class of `core/edits.py`, such as `Restyle(style="starry-night")`; `image_input` reads its images.
        """
        request = edit_request(image, edit, parameters)
        return self.run(request, request_id=request_id_of(parameters), timeout=timeout)

    def upscale(
        self, image: ImageLike, *, timeout: float | None = None, **parameters: Unpack[UpscaleParameters]
    ) -> OperationResult:
        """Enlarges an image. Raises CelesteError, OSError for a file, ValueError for an invalid size."""
        request = upscale_request(image, parameters)
        return self.run(request, request_id=request_id_of(parameters), timeout=timeout)

    def analyze(
        self, image: ImageLike, *, timeout: float | None = None, **parameters: Unpack[AnalyzeParameters]
    ) -> OperationResult:
        """Analyzes an image. Raises CelesteError, and OSError for a file."""
        request = analyze_request(image, parameters)
        return self.run(request, request_id=request_id_of(parameters), timeout=timeout)

    def run(self, request: ImageRequest, *, request_id: str = "", timeout: float | None = None) -> OperationResult:
        """Runs any operation and returns its result. Raises CelesteError."""
        request_id = request_id or new_request_id()
        with_events = self.stream(request, request_id=request_id, timeout=timeout)
        result = next((event.result for event in with_events if isinstance(event, Completed)), None)
        if result is None:
            raise ServerUnavailable("the stream ended without a result", request_id=request_id)
        return result

    def stream(self, request: ImageRequest, *, request_id: str = "", timeout: float | None = None) -> Iterator[Event]:
        """Yields the events of an operation; closing the iterator cancels the operation. Raises CelesteError."""
        check_request(request)
        timeout = check_timeout(timeout)
        names = {path: self.upload(image.data).name for path, image in too_large_inline(request).items()}
        request = uploaded(request, names) if names else request
        request_id = request_id or new_request_id()
        check_text(request_id, "request_id")
        message = image_service_pb2.StreamRequest(operation=request_to_operation(request, request_id))
        call = self._images.Stream(message, timeout=timeout, metadata=trace_metadata())
        try:
            for response in call:
                if event := event_from_proto(response.event):
                    yield event
        except grpc.RpcError as error:
            raise error_of(error, request_id) from error
        finally:
            call.cancel()

    def read(self, image: ImageOutput | str) -> bytes:
        """Returns the bytes of an image, from the result or by name; resumes after a lost connection.

        Raises:
            ArtifactDamaged: The bytes do not match the digest in the name.
            CelesteError: The server refused.
        """
        name = data_or_name(image)
        if isinstance(name, bytes):
            return name
        digest, data = hashlib.sha256(), bytearray()
        for chunk in self.chunks(name):
            digest.update(chunk)
            data += chunk
        check_digest(name, digest)
        return bytes(data)

    def chunks(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """Yields the bytes of an artifact from an offset; resumes after a lost connection. Raises CelesteError."""
        check_text(name, "name")
        tries = Tries()
        while True:
            request = artifact_service_pb2.ReadArtifactRequest(name=name, offset=offset)
            call = self._artifacts.ReadArtifact(request)
            try:
                for response in call:
                    tries.reset()
                    offset += len(response.chunk.data)
                    yield response.chunk.data
                return
            except grpc.RpcError as error:
                time.sleep(tries.pause_after(error))
            finally:
                call.cancel()

    def upload(self, data: bytes) -> Artifact:
        """Stores bytes and returns their artifact; resumes after a lost connection.

        Raises:
            CelesteError: The server refused.
        """
        name = artifact_name(hashlib.sha256(data).hexdigest())
        tries = UploadTries()
        while True:
            try:
                if tries.offset is None:
                    query = artifact_service_pb2.QueryWriteStatusRequest(name=name)
                    status = self._artifacts.QueryWriteStatus(query)
                    if status.complete:
                        request = artifact_service_pb2.GetArtifactRequest(name=name)
                        return artifact_from_proto(self._artifacts.GetArtifact(request).artifact)
                    tries.offset = status.committed_size_bytes
                chunks = upload_chunks(name, data, tries.offset)
                return artifact_from_proto(self._artifacts.WriteArtifact(chunks).artifact)
            except grpc.RpcError as error:
                time.sleep(tries.pause_after(error))

    def save(self, image: ImageOutput, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the bytes of an image and returns the path of the file.

        Args:
            image: An image of a result.
            path: A file, whose folder is made if it is missing, or an existing folder, in which the image gets an
                unused name. A path without a suffix gets the right one.
            overwrite: Whether the file may be overwritten. Until the new file is complete, the old one stays.

        Raises:
            ValueError: The suffix belongs to another format than the image.
            OSError: The file can't be written; FileExistsError if it exists. The server keeps the image under the name
                in the message.
            CelesteError: The server did not send the bytes.
        """
        place = checked_place(image, path, overwrite=overwrite)
        write_image(image, place, self.read(image), overwrite=overwrite)
        return place

    def models(
        self, *, full: bool = False, operation: OperationKind | None = None, edit: str = ""
    ) -> Iterator[model_service_pb2.Model]:
        """Yields the server's models, of one operation or one edit if given. Raises CelesteError."""
        check_text(edit, "edit")
        view = model_service_pb2.MODEL_VIEW_FULL if full else model_service_pb2.MODEL_VIEW_BASIC
        if operation:
            check_word(operation, list(OperationKind), "operation")
        kind = enum_number(operation_pb2.OperationKind, operation or "unspecified")
        request = model_service_pb2.ListModelsRequest(view=view, operation=kind, edit=edit)
        while True:
            try:
                page = self._models.ListModels(request)
            except grpc.RpcError as error:
                raise error_of(error) from error
            yield from page.models
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def model(self, model: str) -> model_service_pb2.Model:
        """Returns one model with all its parameters and prices. Raises CelesteError."""
        check_text(model, "model")
        try:
            answer = self._models.GetModel(model_service_pb2.GetModelRequest(model=model))
        except grpc.RpcError as error:
            raise error_of(error) from error
        found: model_service_pb2.Model = answer.model
        return found

    def aliases(self) -> dict[str, Sequence[str]]:
        """Returns the operator's aliases, each with its model ids in order. Raises CelesteError."""
        request = model_service_pb2.ListModelsRequest(page_size=1)
        try:
            page = self._models.ListModels(request)
        except grpc.RpcError as error:
            raise error_of(error) from error
        return {alias.name: tuple(alias.models) for alias in page.aliases}

    def providers(self) -> Sequence[model_service_pb2.Provider]:
        """Returns the server's providers. Raises CelesteError."""
        request = model_service_pb2.ListProvidersRequest()
        providers: list[model_service_pb2.Provider] = []
        while True:
            try:
                page = self._models.ListProviders(request)
            except grpc.RpcError as error:
                raise error_of(error) from error
            providers += page.providers
            request.page_token = page.next_page_token
            if not request.page_token:
                return providers

    def server_info(self) -> model_service_pb2.GetServerInfoResponse:
        """Returns the server's version and limits. Raises CelesteError."""
        try:
            info: model_service_pb2.GetServerInfoResponse
            info = self._models.GetServerInfo(model_service_pb2.GetServerInfoRequest())
            return info
        except grpc.RpcError as error:
            raise error_of(error) from error

    def usage(
        self,
        start: datetime,
        *,
        end: datetime | None = None,
        group_by: Sequence[UsageDimension | str] = (),
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[UsageRow]:
        """Yields what the caller's tenant used and what it cost, in the order of `group_by`. Raises CelesteError.

        Args:
            start: Earliest start of an operation.
            end: End of the time, itself not included; None is now.
            group_by: `day`, `model`, `operation` and `caller`, those that have a row for each of their values; empty
                means one row for all operations.
            labels: Labels that the operations have, all of them; None means all operations.

        Raises:
            ValueError: A time has no time zone, or a word is unknown.
            TypeError: An argument has another type.
        """
        request = usage_request(start, end, group_by, labels)
        while True:
            try:
                page = self._usage.QueryUsage(request)
            except grpc.RpcError as error:
                raise error_of(error) from error
            yield from map(row_from_proto, page.rows)
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def ledger(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        states: Sequence[CallState | str] = (),
        request_id: str = "",
    ) -> Iterator[SpendEntry]:
        """Yields the tenant's calls to providers that may have to be paid, newest first. Raises CelesteError.

        Args:
            start: Earliest start of a call; None means no limit.
            end: End of the time, itself not included; None means no limit.
            states: `open`, `settled`, `uncertain`; empty means all.
            request_id: Id of a request; empty means all.

        Raises:
            ValueError: A time has no time zone, or a word is unknown.
            TypeError: An argument has another type.
        """
        request = entries_request(start, end, states, request_id)
        while True:
            try:
                page = self._usage.ListLedgerEntries(request)
            except grpc.RpcError as error:
                raise error_of(error) from error
            yield from map(entry_from_proto, page.entries)
            request.page_token = page.next_page_token
            if not request.page_token:
                return
