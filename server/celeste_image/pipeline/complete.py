"""Completing: collects the events of an operation into its result; logs and counts every call, refused ones too."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime

import structlog

from celeste_image.core.analysis import Analysis
from celeste_image.core.call import Call, is_late
from celeste_image.core.errors import Cancelled, CelesteError, DeadlineExceeded
from celeste_image.core.events import (
    Analyzed,
    Billed,
    Charged,
    Completed,
    ComputeUsed,
    Event,
    Fidelity,
    ImageFailed,
    Reused,
    Run,
    SafetyJudged,
    Saved,
    Started,
)
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.money import Cost, Quantity, merged, total
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ImageOutput, OperationResult, ResultSource, Usage
from celeste_image.core.safety import SafetyVerdict
from celeste_image.ledger import EndedOperation
from celeste_image.pipeline.content import content_of
from celeste_image.telemetry.logs import log_bug

__all__ = ["completing"]

log = structlog.get_logger("celeste_image.calls")


class Outcome:
    """Collects the events of one operation into its result."""

    def __init__(self) -> None:
        self.model = ""
        self.images: list[ImageOutput] = []
        self.failures: dict[int, CelesteError] = {}
        self.analysis: Analysis | None = None
        self.fidelity: dict[tuple[str, int | None], FidelityLine] = {}
        self.compute_seconds: float | None = None
        self.billed: list[Quantity] = []
        self.costs: list[Cost] = []
        self.safety: list[SafetyVerdict] = []
        self.source = ResultSource.MADE

    def add(self, event: Event) -> None:
        """Adds an event."""
        match event:
            case Reused():
                self.source = event.source
            case Started():
                self.model = event.model
                self.fidelity.clear()  # lines of a model that was tried before
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
            case Billed():
                self.billed += event.quantities
            case Charged():
                self.costs.append(event.cost)

    def result(self, request_id: str) -> OperationResult:
        """Returns the result of the events so far."""
        images = tuple(sorted(self.images, key=lambda image: image.index))
        safety = sorted(self.safety, key=lambda verdict: -1 if verdict.image_index is None else verdict.image_index)
        megapixels = sum(image.width * image.height for image in images) / 1e6
        return OperationResult(
            request_id=request_id,
            model=self.model,
            images=images,
            failures=self.failures,
            analysis=self.analysis,
            fidelity=tuple(self.fidelity.values()),
            usage=Usage(len(images), megapixels, self.compute_seconds, merged(self.billed)),
            safety=tuple(safety),
            source=self.source,
            costs=total(self.costs),
        )

    def ended(
        self, request: ImageRequest, call: Call, started: datetime, ended: datetime, reason: str
    ) -> EndedOperation:
        """Returns what is counted of the operation. A result of an earlier operation has used nothing again."""
        is_reused = self.source in (ResultSource.REPLAYED, ResultSource.CACHED)
        return EndedOperation(
            caller=call.caller,
            request_id=call.request_id,
            model=self.model,
            operation=request.kind.value,
            started=started,
            ended=ended,
            outcome=reason,
            images=0 if is_reused else len(self.images),
            pixels=0 if is_reused else sum(image.width * image.height for image in self.images),
            compute_seconds=None if is_reused else self.compute_seconds,
            is_reused=is_reused,
            labels=request.options.labels,
        )


def completing(
    run: Run,
    *,
    logs_prompts: bool = False,
    count: Callable[[EndedOperation], None] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Run:
    """Ends every operation with Completed or with an error for callers, counts it, and writes one line to the log.

    Args:
        run: The steps below.
        logs_prompts: Whether the line has the texts of the request, and the digests of its images.
        count: Takes each operation once it has ended, however, without waiting or failing; None counts nothing.
        now: The time in UTC.
    """

    async def completed(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        outcome, reason = Outcome(), "INTERNAL"
        started, began = now(), time.monotonic()
        facts: dict[str, object] = {}
        try:
            if logs_prompts:
                facts |= await content_of(request)
            async with aclosing(run(request, call)) as events:
                async for event in events:
                    outcome.add(event)
                    yield event
            reason = "OK"
            yield Completed(outcome.result(call.request_id))
        except CelesteError as error:
            reason = error.reason
            raise
        except (GeneratorExit, asyncio.CancelledError):
            if reason != "OK":  # a reader who leaves after the result has everything
                until = call.deadline
                late = until is not None and is_late(until - time.monotonic(), until - began)
                reason = (DeadlineExceeded if late else Cancelled).reason
            raise
        except Exception as error:
            bug = log_bug(request_id=call.request_id)
            facts["log_id"] = bug.metadata["log_id"]
            raise bug from error
        finally:
            if outcome.source is not ResultSource.MADE:
                facts["source"] = outcome.source.value
            if logs_prompts:
                facts["outputs"] = [image.sha256 for image in outcome.images]
            log.info(
                "call",
                operation=request.kind.value,
                request_id=call.request_id,
                model=outcome.model or request.model,
                outcome=reason,
                seconds=round(time.monotonic() - began, 3),
                images=len(outcome.images),
                **facts,
            )
            if count:
                count(outcome.ended(request, call, started, now(), "" if reason == "OK" else reason))

    return completed
