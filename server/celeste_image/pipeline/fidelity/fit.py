"""Fitting: makes a request concrete for its model, and reports every field that is changed, dropped or defaulted.

Each field of the request ends as HONORED, ADJUSTED or DROPPED, and each field that was left open as DEFAULTED. With
`strict`, a line that is ADJUSTED or DROPPED is an error before any work is done.
"""

import re
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import ValidationError

from celeste_image.core.call import Candidate
from celeste_image.core.events import CandidateRun, Event, Fidelity, Saved, Warned
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.nearest import nearest
from celeste_image.core.request import ImageRequest
from celeste_image.pipeline.fidelity.measure import MEASURED
from celeste_image.pipeline.fidelity.operations import fit_operation
from celeste_image.pipeline.fidelity.report import DROPPED, HONORED, Report
from celeste_image.pipeline.metadata import AS_MADE, MetadataDefaults
from celeste_image.providers.base import Options

__all__ = ["fitting"]


def draw_seed() -> int:
    """Returns a seed of 32 bits, which every engine and every JSON number can hold."""
    return secrets.randbits(32)


def fitting(
    run: CandidateRun,
    options: type[Options],
    metadata: MetadataDefaults = AS_MADE,
    draw: Callable[[], int] = draw_seed,
) -> CandidateRun:
    """Fits each request to its model's card, and compares the result with the request.

    Args:
        run: The rest of the pipeline.
        options: The options that the provider knows.
        metadata: The operator's choices about the metadata of images.
        draw: Draws a seed.
    """

    async def fitted(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        report = Report(request, candidate.card)
        concrete = fit_operation(request, report, draw)
        _check_options(request, report, options)
        concrete, lines = metadata.concrete(concrete)
        report.extend(lines)
        report.check()
        if concrete.options.preview_count and not candidate.call.is_watched:
            concrete = replace(concrete, options=replace(concrete.options, preview_count=0))
        if report.treated_like:
            yield Warned("model", report.treated_like)
        for line in report.early_lines():
            yield Fidelity(line)
        for path, image in request.images():
            if image.facts and image.facts.notes:
                report.found(FidelityLine.found(path, problem="; ".join(image.facts.notes)))
        async with aclosing(run(concrete, candidate)) as events:
            async for event in events:
                match event:
                    case Fidelity(line):
                        report.found(line)
                    case Warned() if adjusted := report.warned(event):
                        # The line of a field that waits for the result comes with the result: until then, a warning.
                        yield event if adjusted.path in MEASURED else Fidelity(adjusted)
                    case _:
                        if isinstance(event, Saved):
                            report.saved(event.image)
                        yield event
        for line in report.late_lines():
            yield Fidelity(line)

    return fitted


def _sentence(said: str, given: Any, place: Sequence[int | str]) -> str:
    """Returns a message of pydantic as one of ours: what the option must be, and the number or text that was given."""
    for part in place:
        given = given[part] if isinstance(given, Mapping) and part in given else None
    said = re.sub(r"^Input should be (a valid )?", "must be ", said.removeprefix("Value error, "))
    said = said[:1].lower() + said[1:]
    return f"{said}, is {given!r}" if isinstance(given, int | float | str) and len(repr(given)) <= 60 else said


@cache
def _may_be_empty(options: type[Options]) -> bool:
    """Returns whether a request without options of the provider is valid. Asked for most requests, so it is cached."""
    try:
        options.model_validate({})
    except ValidationError:
        return False
    return True


def _check_options(request: ImageRequest, report: Report, options: type[Options]) -> None:
    """Checks the options that all models share, and the options of the provider."""
    given, card = request.options, report.card
    if given.preview_count:
        outcome, message = (HONORED, "") if card.previews else (DROPPED, f"{card.id} has no previews")
        report.add("options.preview_count", outcome, given.preview_count, message=message)
    if given.end_user:
        report.read("options.end_user", given.end_user)
    own = given.provider_options.get(card.provider, {})
    if not own and _may_be_empty(options):
        return
    base = f'options.provider_options["{card.provider}"]'
    try:
        options.model_validate(own)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            path = ".".join([base, *(str(part) for part in problem["loc"])])
            if problem["type"] == "extra_forbidden":
                allowed = ", ".join(sorted(options.model_fields)) or "none"
                near = nearest(str(problem["loc"][-1]), options.model_fields)
                hint = f"; did you mean {near}?" if near else ""
                report.violate(path, f"is not an option of {card.provider}{hint}; the options are: {allowed}")
            else:
                report.violate(path, _sentence(problem["msg"], own, problem["loc"]))
        return
    for name, value in own.items():
        report.read(f"{base}.{name}", value)
