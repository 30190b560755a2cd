"""Provider for inference servers such as KServe and Triton, over gRPC by the open inference protocol, version 2.

[providers.cluster]
kind = "kserve"
url = "grpcs://triton.example.com:8001"

[[providers.cluster.models]]
id = "realesrgan-x4"
operation = "upscale"
factor = 4
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import Any

from pydantic import TypeAdapter

from celeste_image.core.analysis import Analysis, ImageContent, ImageTag, LeftOutFinding
from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import ModelCard
from celeste_image.core.edits import RemoveBackground
from celeste_image.core.errors import CelesteError, InvalidRequest, ModelNotFound, OperationNotOffered, ProviderFailed
from celeste_image.core.events import Analyzed, Event, Picture
from celeste_image.core.image import ImageInput
from celeste_image.core.install import install_hint
from celeste_image.core.request import Analyze, Edit, Generate, ImageRequest, Upscale
from celeste_image.engines.events import event_of
from celeste_image.imaging.limits import ImageLimits
from celeste_image.providers.base import Tools
from celeste_image.providers.kit.check import Checked
from celeste_image.providers.kit.credentials import Verdict
from celeste_image.providers.kserve.cards import card_of
from celeste_image.providers.kserve.client import Contents, Inference
from celeste_image.providers.kserve.forms import Form
from celeste_image.providers.kserve.inputs import inputs_of
from celeste_image.providers.kserve.settings import (
    ClassifyModel,
    CutModel,
    GenerateModel,
    KServeModel,
    KServeOptions,
    KServeSettings,
    Model,
    UpscaleModel,
    WholeModel,
)
from celeste_image.providers.kserve.signature import Signature, form_of
from celeste_image.sandbox.frames import Frame, reading

__all__ = ["KIND", "KServe"]

MEMORY_BYTES = 3 << 30
"""Memory of a worker process; the image and the result have at most 40 megapixels each."""
SHAPE = TypeAdapter(list[int])
NOT_LOOKED_FOR = tuple(LeftOutFinding(field, "the model finds only tags") for field in ("objects", "colors", "texts"))
SEAM = 2
"""Pixels of the source by which rounding may enlarge a tile."""


class KServe:
    """The models of one inference server that speaks the open inference protocol. All settings are configuration."""

    name = "kserve"
    title = "Inference server"
    Settings = KServeSettings
    Options = KServeOptions

    def __init__(self, settings: KServeSettings, tools: Tools, *, name: str = "") -> None:
        self.name = name or self.name
        if find_spec("numpy") is None:
            raise ValueError(f"providers.{self.name}: needs numpy; get it with: {install_hint('kserve')}")
        self.settings = settings
        self.cards: Sequence[ModelCard] = [card_of(self.name, model) for model in settings.models]
        self._models = {card.id: model for card, model in zip(self.cards, settings.models, strict=True)}
        most_bytes = max(model.most_bytes for model in settings.models)
        self._server = Inference(self.name, settings, most_bytes, tools.environment)
        self._labels = {model.id: model.names() for model in settings.models if isinstance(model, ClassifyModel)}
        self._signatures: dict[str, Signature] = {}
        self._pool = tools.workers.pool(
            self.name,
            "celeste_image.providers.kserve.engine",
            size=settings.concurrency,
            memory_bytes=MEMORY_BYTES,
            seconds=settings.engine_seconds,
            provider=self.name,
        )
        self._pixels = tools.pixels.of(self.name)

    def ready(self, card: ModelCard) -> bool:
        """Returns true: the operator's configuration says that the model exists."""
        return True

    async def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        """Runs the request on the server."""
        model, call = self._models[request.model], candidate.call
        try:
            signature = await self._signature(model, call)
            match request, model:
                case Upscale(), UpscaleModel():
                    events = self._upscale(request, model, signature, call)
                case Generate(), GenerateModel():
                    events = self._generate(request, model, signature, call)
                case Edit(edit=RemoveBackground()), CutModel():
                    events = self._cut(request, model, signature, call)
                case Analyze(), ClassifyModel():
                    events = self._classify(request, model, signature, call)
                case _:
                    raise OperationNotOffered(f"{request.model} can't {request.kind.value}")
            async with aclosing(events):
                async for event in events:
                    yield event
        except (InvalidRequest, ModelNotFound):
            # The server may have a new version of the model, with other tensors.
            self._signatures.pop(model.id, None)
            raise
        except ProviderFailed as error:
            self._signatures.pop(model.id, None)
            text = error.message if error.metadata else f"{self.name}: {model.id}: {error.message}"
            raise ProviderFailed(text, metadata={"provider": self.name} | error.metadata) from error

    async def check(self, *, online: bool = True) -> Checked:
        """Checks whether the server and its models are ready, without an inference."""
        if not online:
            return Checked(self.name, Verdict.OK, "the table is valid; the server was not asked")
        try:
            if not await self._server.is_ready():
                return Checked(self.name, Verdict.FAILED, "the server answers but is not ready")
            asked = [self._is_ready(model) for model in self.settings.models]
            missing = [text for text in await asyncio.gather(*asked) if text]
        except CelesteError as error:
            return Checked(self.name, Verdict.FAILED, error.message)
        if missing:
            return Checked(self.name, Verdict.FAILED, "; ".join(missing))
        return Checked(self.name, Verdict.OK, f"the server and its {len(asked)} models are ready")

    async def close(self) -> None:
        """Cancels calls, closes connections and ends worker processes."""
        await self._server.close()
        await self._pool.close()

    async def _is_ready(self, model: KServeModel) -> str:
        """Returns why a model is not ready; empty if it is ready."""
        try:
            ready = await self._server.is_ready(model.on_server, model.version)
        except ModelNotFound as error:
            return f"{model.id}: {error.message}"
        return "" if ready else f"{model.id} is not ready"

    async def _signature(self, model: KServeModel, call: Call) -> Signature:
        """Returns the signature of a model, from the cache or the server; empty if the server has no metadata call."""
        if model.id not in self._signatures:
            try:
                found = await self._server.signature(model.on_server, model.version, call.deadline)
            except ProviderFailed as error:
                if error.metadata.get("status") != "UNIMPLEMENTED":
                    raise
                found = Signature()
            self._signatures[model.id] = found
        return self._signatures[model.id]

    async def _upscale(
        self, request: Upscale, model: UpscaleModel, signature: Signature, call: Call
    ) -> AsyncGenerator[Event, None]:
        given = form_of(model.input, signature.inputs, "input")
        made = form_of(model.output, signature.outputs, "output")
        tile = model.tile
        if sides := [side for side in (given.height, given.width) if side]:
            tile = min(sides) - 2 * model.overlap - SEAM
            if tile < 1:
                raise ProviderFailed(f"its tiles have {min(sides)} pixels, too few for an overlap of {model.overlap}")
        task = {
            "do": "upscale",
            "width": request.size.width,
            "height": request.size.height,
            "factor": model.factor,
            "tile": tile,
            "overlap": model.overlap,
            "in_flight": model.in_flight,
            "input": asdict(given),
            "output": asdict(made),
            "limits": ImageLimits.of([request.image.facts]).as_task(),
            "preview_count": request.options.preview_count,
        }
        infer = self._inferring(model, given, made.name, call)
        async with aclosing(self._answered(task, [request.image.data], infer)) as frames:
            async for frame in frames:
                with reading():
                    event = event_of(frame)
                yield event

    async def _classify(
        self, request: Analyze, model: ClassifyModel, signature: Signature, call: Call
    ) -> AsyncGenerator[Event, None]:
        labels = self._labels[model.id]
        task = {
            "do": "classify",
            "fit": model.fit,
            "scores": model.scores,
            "tags": model.tags,
            "minimum_score": model.minimum_score,
        }
        async with aclosing(self._seen(task, request.image, model, signature, call)) as frames:
            async for frame in frames:
                found = frame.fields.get("classes")
                if found != len(labels):
                    raise ProviderFailed(f"the model returned {found} scores, but its table has {len(labels)} labels")
                with reading():
                    named = [(labels[index], float(score)) for index, score in frame.fields["tags"]]
                tags = tuple(ImageTag(name, score) for name, score in named if name)
                yield Analyzed(Analysis(content=ImageContent(tags, left_out=NOT_LOOKED_FOR)))

    async def _cut(
        self, request: Edit, model: CutModel, signature: Signature, call: Call
    ) -> AsyncGenerator[Event, None]:
        task = {"do": "cut", "values": model.values}
        async with aclosing(self._seen(task, request.image, model, signature, call)) as frames:
            async for frame in frames:
                with reading():
                    event = event_of(frame)
                yield event

    def _seen(
        self, task: dict[str, Any], image: ImageInput, model: WholeModel, signature: Signature, call: Call
    ) -> AsyncGenerator[Frame, None]:
        """Runs a task for a network that reads the whole image."""
        given = form_of(model.input, signature.inputs, "input")
        task |= {
            "width": given.width or model.width,
            "height": given.height or model.height,
            "input": asdict(given),
            "limits": ImageLimits.of([image.facts]).as_task(),
        }
        return self._answered(task, [image.data], self._inferring(model, given, model.output, call))

    def _inferring(self, model: Model, given: Form, output: str, call: Call) -> Callable[[Frame], Awaitable[Contents]]:
        """Returns a function that runs one inference on the tensor in an engine's frame."""

        async def infer(asked: Frame) -> Contents:
            with reading():
                shape = SHAPE.validate_python(asked.fields["shape"])
            tensor = Contents(given.name, given.datatype, shape, asked.payload)
            return await self._server.infer(model.on_server, model.version, [tensor], output, call.deadline)

        return infer

    async def _generate(
        self, request: Generate, model: GenerateModel, signature: Signature, call: Call
    ) -> AsyncGenerator[Event, None]:
        made = form_of(model.output, signature.outputs, "output")
        options = KServeOptions.model_validate(request.options.provider_options.get(self.name, {}))
        base = f'options.provider_options["{self.name}"]'
        fields = [
            (model.prompt, "prompt", request.prompt),
            (model.negative_prompt, "negative_prompt", request.negative_prompt),
            (model.seed, "seed", request.seed),
            (model.width, "size.width", request.size.width),
            (model.height, "size.height", request.size.height),
            (model.steps, f"{base}.steps", options.steps),
            (model.guidance_scale, f"{base}.guidance_scale", options.guidance_scale),
        ]
        asked = {name: (path, value) for name, path, value in fields if name and value is not None}
        values = model.constants | {name: value for name, (_, value) in asked.items()}
        inputs = inputs_of(values, signature, {name: path for name, (path, _) in asked.items()})
        contents = await self._server.infer(model.on_server, model.version, inputs, made.name, call.deadline)
        if contents.datatype == "BYTES" == made.datatype:
            data = _only(contents.data)
            yield Picture(data, *await self._pixels.facts(data), seed=request.seed)
            return
        task = {"do": "paint", "datatype": contents.datatype, "shape": list(contents.shape), "output": asdict(made)}
        async with aclosing(self._pool.run(task, [contents.data])) as frames:
            async for frame in frames:
                with reading():
                    event = event_of(frame)
                yield replace(event, seed=request.seed) if isinstance(event, Picture) else event

    async def _answered(
        self, task: dict[str, Any], pictures: Sequence[bytes], infer: Callable[[Frame], Awaitable[Contents]]
    ) -> AsyncGenerator[Frame, None]:
        """Runs a task of the engine, runs the inferences that it requests, and yields its other frames.

        At the end, inferences that are still running are cancelled.

        Raises:
            CelesteError: The engine or `infer` raised it.
        """
        asked: deque[asyncio.Task[Contents]] = deque()
        answer: Frame | None = None
        failure: CelesteError | None = None
        try:
            async with aclosing(self._pool.run(task, pictures)) as frames:
                while True:
                    try:
                        frame = await frames.asend(answer)
                    except StopAsyncIteration:
                        break
                    answer = None
                    match frame.kind:
                        case "ask":
                            asked.append(asyncio.ensure_future(infer(frame)))
                        case "take":
                            try:
                                made = await asked[0]
                                fields = {"datatype": made.datatype, "shape": list(made.shape)}
                                answer = Frame("made", fields, made.data)
                            except CelesteError as error:
                                failure, answer = error, Frame("failed")  # ends the task; the process continues
                            asked.popleft()
                        case _:
                            yield frame
        finally:
            for task_ in asked:
                task_.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if failure:
            raise failure


def _only(data: bytes) -> bytes:
    """Returns the element of a BYTES tensor. Raises ProviderFailed unless it has exactly one."""
    size = int.from_bytes(data[:4], "little")
    if len(data) < 4 or size != len(data) - 4:
        raise ProviderFailed("the model's BYTES output does not have exactly one element")
    return data[4:]


KIND = KServe
