"""The blocking client against scripted answers: what it sends, what it makes of what comes back."""

import asyncio
import inspect
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc_testing
import pytest

from celeste_image.client import AsyncClient, Client
from celeste_image.client.calls import image_input, size_of
from celeste_image.client.saving import place_for
from celeste_image.core.edits import Restyle
from celeste_image.core.errors import ArtifactDamaged, ArtifactNotFound, ModelNotFound, ServerUnavailable, Violation
from celeste_image.core.events import Progress, Warned
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.request import Generate
from celeste_image.core.result import ImageOutput
from celeste_image.v1 import artifact_service_pb2, event_pb2, image_service_pb2, model_service_pb2
from celeste_image.wire.status import DETAILS, status_from_error

SERVICES = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (image_service_pb2, "ImageService"),
        (artifact_service_pb2, "ArtifactService"),
        (model_service_pb2, "ModelService"),
    )
]
STREAM = SERVICES[0].methods_by_name["Stream"]
READ = SERVICES[1].methods_by_name["ReadArtifact"]
LIST = SERVICES[2].methods_by_name["ListModels"]


class Scripted:
    """A client on a channel whose other end is the test."""

    def __init__(self) -> None:
        self.channel = grpc_testing.channel(SERVICES, grpc_testing.strict_real_time())
        self.client = Client(self.channel)
        self._pool = ThreadPoolExecutor(1)

    def start(self, call: Any, *arguments: Any, **parameters: Any) -> Future[Any]:
        return self._pool.submit(call, *arguments, **parameters)

    def events(self, *events: event_pb2.OperationEvent, error: Any = None) -> image_service_pb2.StreamRequest:
        """Answers the stream that the client opens, and returns what it asked for."""
        _, request, rpc = self.channel.take_unary_stream(STREAM)
        rpc.send_initial_metadata(())
        for event in events:
            rpc.send_response(image_service_pb2.StreamResponse(event=event))
        self._end(rpc, error)
        assert isinstance(request, image_service_pb2.StreamRequest)
        return request

    def chunks(self, *chunks: tuple[int, bytes], error: Any = None) -> artifact_service_pb2.ReadArtifactRequest:
        _, request, rpc = self.channel.take_unary_stream(READ)
        rpc.send_initial_metadata(())
        for offset, data in chunks:
            chunk = artifact_service_pb2.ArtifactChunk(offset=offset, data=data)
            rpc.send_response(artifact_service_pb2.ReadArtifactResponse(chunk=chunk))
        self._end(rpc, error)
        assert isinstance(request, artifact_service_pb2.ReadArtifactRequest)
        return request

    @staticmethod
    def _end(rpc: Any, error: Any) -> None:
        if error is None:
            rpc.terminate((), grpc.StatusCode.OK, "")
        elif isinstance(error, grpc.StatusCode):
            rpc.terminate((), error, "gone")
        else:
            status = status_from_error(error)
            details = ((DETAILS, status.SerializeToString()),)
            rpc.terminate(details, grpc.StatusCode[error.code], status.message)


def completed(**result: Any) -> event_pb2.OperationEvent:
    event = event_pb2.OperationEvent(sequence=9)
    event.completed.result.request_id = "r"
    for name, value in result.items():
        setattr(event.completed.result, name, value)
    return event


def test_generate_sends_its_arguments_and_returns_the_result() -> None:
    scripted = Scripted()
    future = scripted.start(scripted.client.generate, "a fox", size="64x32", seed=0, count=2, model="m/x", strict=True)
    sent = scripted.events(completed(model="m/x")).operation.generate
    assert future.result(5).model == "m/x"
    assert (sent.prompt, sent.size.width, sent.size.height, sent.count, sent.model) == ("a fox", 64, 32, 2, "m/x")
    assert sent.HasField("seed")
    assert sent.options.strictness == 2


def test_edit_sends_its_arguments_and_returns_the_result() -> None:
    scripted = Scripted()
    change = Restyle(style="ember", strength=0.0)
    future = scripted.start(scripted.client.edit, b"photo", change, references=[b"one", b"two"], seed=3, size="16:9")
    sent = scripted.events(completed(model="m/x")).operation.edit
    assert future.result(5).model == "m/x"
    assert (sent.image.data, [reference.image.data for reference in sent.references]) == (b"photo", [b"one", b"two"])
    assert (sent.restyle.style, sent.restyle.HasField("strength")) == ("ember", True)
    assert (sent.seed, sent.size.aspect_ratio) == (3, "16:9")


def test_unknown_kinds_of_events_are_skipped() -> None:
    scripted = Scripted()
    future = scripted.start(lambda: list(scripted.client.stream(Generate(prompt="a"))))
    newer = event_pb2.OperationEvent(sequence=1)
    newer.MergeFromString(b"\x9a\x3f\x00")  # field 1011, of a later version
    progress = event_pb2.OperationEvent(progress=event_pb2.ProgressedEvent(fraction=0.5, phase="x"))
    warning = event_pb2.OperationEvent(warning=event_pb2.WarningEvent(path="size", message="t"))
    scripted.events(newer, progress, warning, completed())
    first, second, _ = future.result(5)
    assert first == Progress(0.5, "x")
    assert second == Warned("size", "t")


def test_a_refusal_is_the_class_that_the_server_raised() -> None:
    scripted = Scripted()
    future = scripted.start(scripted.client.generate, "a fox")
    violations = [Violation("model", "is none")]
    error = ModelNotFound("no", metadata={"nearest": "a/b"}, violations=violations, retry_after=2.5)
    scripted.events(error=error)
    with pytest.raises(ModelNotFound) as caught:
        future.result(5)
    assert caught.value.metadata == {"nearest": "a/b"}
    assert caught.value.violations == tuple(violations)
    assert caught.value.retry_after == 2.5


def test_a_stream_that_ends_early_is_no_success() -> None:
    scripted = Scripted()
    future = scripted.start(scripted.client.generate, "a fox")
    scripted.events()
    with pytest.raises(ServerUnavailable):
        future.result(5)


def test_a_read_resumes_at_the_first_byte_missing() -> None:
    scripted = Scripted()
    name = "artifacts/sha256-" + "0" * 64
    chunks = scripted.client.chunks(name)
    future = scripted.start(next, chunks)
    _, request, rpc = scripted.channel.take_unary_stream(READ)
    assert request.offset == 0
    rpc.send_initial_metadata(())
    chunk = artifact_service_pb2.ArtifactChunk(offset=0, data=b"012")
    rpc.send_response(artifact_service_pb2.ReadArtifactResponse(chunk=chunk))
    assert future.result(5) == b"012"
    future = scripted.start(next, chunks)
    rpc.terminate((), grpc.StatusCode.UNAVAILABLE, "gone")
    assert scripted.chunks((3, b"345")).offset == 3
    assert future.result(5) == b"345"


def test_a_refused_read_is_not_repeated() -> None:
    scripted = Scripted()
    future = scripted.start(scripted.client.read, "artifacts/sha256-" + "0" * 64)
    scripted.chunks(error=ArtifactNotFound("no"))
    with pytest.raises(ArtifactNotFound):
        future.result(5)


def test_bytes_that_do_not_fit_the_name_are_refused() -> None:
    scripted = Scripted()
    name = "artifacts/sha256-" + "0" * 64
    future = scripted.start(scripted.client.read, name)
    scripted.chunks((0, b"other"))
    with pytest.raises(ArtifactDamaged):
        future.result(5)


def test_lists_are_read_to_their_last_page() -> None:
    scripted = Scripted()
    future = scripted.start(lambda: [model.id for model in scripted.client.models()])
    for token, following, ids in (("", "b", ("a", "b")), ("b", "", ("c",))):
        _, request, rpc = scripted.channel.take_unary_unary(LIST)
        assert request.page_token == token
        models = [model_service_pb2.Model(id=id_) for id_ in ids]
        rpc.send_initial_metadata(())
        answer = model_service_pb2.ListModelsResponse(models=models, next_page_token=following)
        rpc.terminate(answer, (), grpc.StatusCode.OK, "")
    assert future.result(5) == ["a", "b", "c"]


def output(**fields: Any) -> ImageOutput:
    known = {"artifact": "artifacts/x", "media_type": "image/png", "width": 1, "height": 1, "size_bytes": 3}
    return ImageOutput(**(known | {"sha256": "0" * 64, "data": b"png"} | fields))


def test_save_writes_the_bytes_as_they_are(tmp_path: Path) -> None:
    client = Scripted().client
    assert client.save(output(), tmp_path / "a") == tmp_path / "a.png"
    assert (tmp_path / "a.png").read_bytes() == b"png"
    with pytest.raises(ValueError, match="image/png"):
        client.save(output(), tmp_path / "a.jpg")
    assert place_for(output(media_type="image/jpeg"), "a.JPEG") == Path("a.JPEG")


def test_pictures_are_given_in_any_form(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    for given in (tmp_path / "a.png", str(tmp_path / "a.png"), b"png"):
        assert image_input(given) == ImageInput(data=b"png")
    for named in ("artifacts/x", output()):
        assert image_input(named) == ImageInput(artifact="artifacts/x")
    with pytest.raises(FileNotFoundError):
        image_input("nothing.png")


def test_sizes_are_given_in_any_form() -> None:
    assert size_of(None) == Size()
    assert size_of("768x512") == size_of((768, 512)) == Size(768, 512)
    assert size_of("16:9") == Size(aspect_ratio="16:9")
    assert size_of("12mp") == size_of("12.0MP") == Size(megapixels=12.0)
    for wrong in ("big", "768", "x512", "1.5x2"):
        with pytest.raises(ValueError, match="768x512"):
            size_of(wrong)


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    def surface(cls: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(cls, inspect.isfunction)
            if not name.startswith("_")
        }

    assert surface(Client) == surface(AsyncClient)


async def test_the_async_client_runs_beside_others() -> None:
    client = AsyncClient("127.0.0.1:1")
    results = await asyncio.gather(*(client.generate("a") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, ServerUnavailable) for result in results)
    await client.close()
