"""recording: the outermost step. It makes the result, and a line in the log for every call, refused ones too."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from celeste_image.core.analysis import Analysis
from celeste_image.core.call import Call
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import (
    Analyzed,
    Completed,
    ComputeUsed,
    Event,
    Fidelity,
    ImageFailed,
    Run,
    SafetyJudged,
    Saved,
    Started,
)
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ImageOutput, OperationResult, Usage
from celeste_image.core.safety import SafetyVerdict
from celeste_image.telemetry import log_bug

__all__ = ["completing"]

log = structlog.get_logger("celeste_image.calls")


class Outcome:
    """What was seen of one operation so far."""

    def __init__(self) -> None:
        self.model = ""
        self.images: list[ImageOutput] = []
        self.failures: dict[int, CelesteError] = {}
        self.analysis: Analysis | None = None
        self.fidelity: dict[tuple[str, int | None], FidelityLine] = {}
        self.compute_seconds: float | None = None
        self.safety: list[SafetyVerdict] = []

    def add(self, event: Event) -> None:
        """Takes note of an event."""
        match event:
            case Started():
                self.model = event.model
                self.fidelity.clear()  # of a model that was left
            case Saved():
                self.images.append(event.image)
            case ImageFailed():
                self.failures[event.index] = event.error
            case Analyzed():
                self.analysis = (self.analysis or Analysis()).with_parts_of(event.analysis)
            case Fidelity():
                self.fidelity[event.line.path, event.line.image_index] = event.line
            case SafetyJudged():
                self.safety.append(event.verdict)
            case ComputeUsed():
                self.compute_seconds = (self.compute_seconds or 0.0) + event.compute_seconds

    def result(self, request_id: str) -> OperationResult:
        """Returns the result."""
        images = tuple(sorted(self.images, key=lambda image: image.index))
        megapixels = sum(image.width * image.height for image in images) / 1e6
        return OperationResult(
            request_id=request_id,
            model=self.model,
            images=images,
            failures=self.failures,
            analysis=self.analysis,
            fidelity=tuple(self.fidelity.values()),
            usage=Usage(len(images), megapixels, self.compute_seconds),
            safety=tuple(self.safety),
        )


def completing(run: Run) -> Run:
    """Ends every operation with Completed, or with an error that callers may see."""

    async def recorded(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        record = Outcome()
        began = time.monotonic()
        outcome = "INTERNAL"
        facts: dict[str, object] = {}
        try:
            async with aclosing(run(request, call)) as events:
                async for event in events:
                    record.add(event)
                    yield event
            outcome = "OK"
            yield Completed(record.result(call.request_id))
        except CelesteError as error:
            outcome = error.reason
            raise
        except (GeneratorExit, asyncio.CancelledError):
            if outcome != "OK":  # a reader that leaves after the result has all it came for
                late = call.deadline is not None and time.monotonic() >= call.deadline
                outcome = "DEADLINE_EXCEEDED" if late else "CANCELLED"
            raise
        except Exception as error:
            bug = log_bug(request_id=call.request_id)
            facts["log_id"] = bug.metadata["log_id"]
            raise bug from error
        finally:
            log.info(
                "call",
                operation=request.kind.value,
                request_id=call.request_id,
                model=record.model or request.model,
                outcome=outcome,
                seconds=round(time.monotonic() - began, 3),
                images=len(record.images),
                **facts,
            )

    return recorded
