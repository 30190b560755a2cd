"""The local provider: runs image engines on this machine, each in its own worker processes."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from celeste_image.admission import UNLIMITED, Slots, asker
from celeste_image.core.call import Candidate
from celeste_image.core.card import ModelCard
from celeste_image.core.errors import EngineLost, EngineMemory, WeightsMissing
from celeste_image.core.events import (
    Analyzed,
    ComputeUsed,
    Event,
    Fidelity,
    Picture,
    Preview,
    Progress,
    Queued,
    Warned,
)
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.request import ImageRequest
from celeste_image.engines.events import event_of
from celeste_image.providers.base import Tools
from celeste_image.providers.local.findings import analysis_of
from celeste_image.providers.local.models import MODELS, all_models
from celeste_image.providers.local.models.model import LocalModel
from celeste_image.providers.local.models.shared import ANY_PROMPT
from celeste_image.providers.local.options import LocalOptions, LocalSettings
from celeste_image.sandbox.frames import Frame, reading

__all__ = ["PROVIDER", "LocalProvider"]

FAILURES = (EngineMemory, EngineLost, WeightsMissing, RuntimeError)
"""What one engine of several may raise without harm to the others; RuntimeError is a bug, see `WorkerPool.run`."""


PROGRESS, MESSAGES = 100_000, 100
"""Most messages of a kind in a call. An engine that was taken over sends any number."""


class LocalProvider:
    """Runs the engines of this machine. Closing a call early ends its worker process.

    The class attribute `cards` has the models of every installation. An instance also has those in the models folder.
    """

    name = "local"
    title = "This machine"
    cards = tuple(model.card for model in MODELS)
    Settings = LocalSettings
    Options = LocalOptions

    def __init__(self, settings: LocalSettings, tools: Tools) -> None:
        self.settings = settings
        self.small_concurrency = settings.small_concurrency
        self._clock = tools.clock
        models = all_models()
        self.cards = tuple(model.card for model in models)
        self._models: Mapping[str, LocalModel] = {model.card.id: model for model in models}
        stages = {(stage.card.id, stage.engine): stage for model in models for stage in model.stages()}
        most = settings.concurrency + settings.small_concurrency
        self._slots = {key: Slots(stage.processes or most, UNLIMITED) for key, stage in stages.items()}
        self.pools = {
            key: tools.workers.pool(
                f"{stage.card.id} ({stage.engine})",
                f"celeste_image.engines.{stage.engine}",
                size=stage.processes or most,
                memory_bytes=stage.memory_bytes,
                threads=settings.threads,
                weights=stage.weights(),
                seconds=settings.engine_seconds,
            )
            for key, stage in stages.items()
        }

    def ready(self, card: ModelCard) -> bool:
        """Returns whether the model's weights are on this machine; a model without weights is always ready."""
        return self._models[card.id].ready()

    def is_small(self, request: ImageRequest) -> bool:
        """Returns whether the request takes some seconds at most."""
        return all(stage.is_small(request) for stage in self._models[request.model].stages(request))

    def places(self, request: ImageRequest) -> int:
        """Returns the most calls of a request that run at a time: a model with large weights has one process."""
        most = self.settings.concurrency + (self.small_concurrency if self.is_small(request) else 0)
        return min(most, *(stage.processes or most for stage in self._models[request.model].stages(request)))

    async def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        """Runs the model's engines, one after the other, and yields their events."""
        options = LocalOptions.model_validate(request.options.provider_options.get(self.name, {}))
        model = self._models[request.model]
        for warning in model.warnings(request, options):
            yield warning
        began = self._clock()
        failures: list[Exception] = []
        stages = model.stages(request)
        left = Counter({Progress: PROGRESS, Picture: max(1, getattr(request, "count", 1))})
        left.update(dict.fromkeys((Analyzed, Fidelity, Preview, Warned), MESSAGES))
        for stage in stages:
            task, pictures = stage.task_for(request, options, self.settings.threads)
            key = stage.card.id, stage.engine
            turn = self._slots[key].enter(candidate.operation, who=asker.get())
            try:
                while position := await turn.news():  # for the only process of a model with large weights
                    yield Queued(position)
                async with aclosing(self.pools[key].run(task, pictures)) as frames:
                    async for frame in frames:
                        with reading():
                            event = _event(frame)
                            left[type(event)] -= 1
                            if left[type(event)] < 0:
                                raise ValueError("more messages than a call can have")
                        yield event
            except FAILURES as error:
                failures.append(error)
                left_out = model.without(stage, request, error)
                if left_out is None or len(failures) == len(stages):
                    raise failures[0] from error
                yield left_out
            finally:
                self._slots[key].leave(turn)
        yield ComputeUsed(self._clock() - began)

    async def close(self) -> None:
        """Ends idle worker processes."""
        for pool in self.pools.values():
            await pool.close()


PROVIDER = LocalProvider


class _Told(BaseModel):
    """Fields of the messages `warned` and `measured`."""

    model_config = ConfigDict(strict=True)

    path: Annotated[str, Field(max_length=200)]
    text: Annotated[str, Field(max_length=2000)] = ""
    value: JsonValue = None


def _event(frame: Frame) -> Event:
    """Returns the event for an engine's message. Raises an error that `reading` knows for a malformed one."""
    match frame.kind:
        case "warned":
            told = _Told.model_validate(frame.fields)
            more = f"; {ANY_PROMPT}" if told.path.endswith("prompt") else ""
            return Warned(told.path, told.text + more)
        case "measured":
            told = _Told.model_validate(frame.fields)
            return Fidelity(FidelityLine.found(told.path, told.value, problem=told.text))
        case "analysis":
            return Analyzed(analysis_of(frame.fields["part"], frame.fields["found"]))
        case _:
            return event_of(frame)
