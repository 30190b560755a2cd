"""The operator's safety policy in the road.

    checking_prompts   outside of loading: nothing is fetched or decoded for a prompt that is refused
    checking_inputs    inside of loading: pictures are bytes with facts, and no model has seen them
    checking_outputs   inside of saving: what may not be shown is never stored

Each verdict is a Judged. What is refused is SafetyBlocked, an error for prompts and inputs, a Missed for each picture
that was made: the others go on. A policy that asks for nothing leaves the road as it is.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import ModelCard, ModelEvidence
from celeste_image.core.errors import CelesteError, SafetyBlocked, Violation
from celeste_image.core.events import (
    CandidateRun,
    ComputeUsed,
    Event,
    ImageFailed,
    Picture,
    Preview,
    Run,
    SafetyJudged,
    Warned,
)
from celeste_image.core.image import ImageFacts, ImageInput
from celeste_image.core.request import Analyze, ImageRequest
from celeste_image.core.safety import SafetyAction, SafetyStage, SafetyVerdict
from celeste_image.pipeline.safety.policy import SafetyPolicy, strongest

__all__ = ["checking_inputs", "checking_outputs", "checking_prompts"]

log = structlog.get_logger("celeste_image.safety")

MASK = ".mask.image"
"""End of a mask's path: a model sees a shape in it, not a picture."""
HIDES = ("blur", "block")


def checking_prompts(run: Run, policy: SafetyPolicy) -> Run:
    """Looks for the operator's words in what a request says."""
    if not policy.checks_prompts:
        return run

    async def checked(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        for verdict in await asyncio.to_thread(policy.of_texts, request):
            yield _judged(verdict, call)
            if verdict.action is SafetyAction.BLOCK:
                raise _blocked(verdict)
        async with aclosing(run(request, call)) as events:
            async for event in events:
                yield event

    return checked


def checking_inputs(run: Run, policy: SafetyPolicy) -> Run:
    """Has the pictures of a request scored; a blurred one takes the place of one that is to be blurred.

    Not those of an Analyze: it makes nothing, and is how callers find out themselves. Not masks.
    """
    if not policy.inputs:
        return run

    async def checked(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        images = dict(request.images())
        about = SafetyVerdict(SafetyStage.INPUT, "", SafetyAction.ALLOW)
        for path, image in images.items():
            if isinstance(request, Analyze) or path.endswith(MASK):
                continue
            judgment = await policy.of_picture(image, call, policy.inputs, replace(about, path=path))
            if judgment.compute_seconds:
                yield ComputeUsed(judgment.compute_seconds)
            for verdict in judgment.verdicts:
                yield _judged(verdict, call)
            match strongest(judgment.verdicts):
                case SafetyVerdict(action=SafetyAction.BLOCK) as verdict:
                    raise _blocked(verdict)
                case SafetyVerdict(action=SafetyAction.BLUR):
                    images[path] = await _blurred_input(policy, image)
        async with aclosing(run(request.with_images(images), call)) as events:
            async for event in events:
                yield event

    return checked


def checking_outputs(run: CandidateRun, policy: SafetyPolicy) -> CandidateRun:
    """Has each picture scored that was made; what is to be blurred is stored blurred, what is blocked not at all.

    Where anything may be hidden there are no previews: what is not finished can't be judged.
    """
    if not policy.outputs:
        return run
    hides = any(rule.action in HIDES for rule in policy.outputs.values())

    async def checked(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        about = SafetyVerdict(SafetyStage.OUTPUT, "", SafetyAction.ALLOW, owed=_is_paid(candidate.card))
        if hides and request.options.preview_count:
            text = "there are none: the safety policy of this server can't judge what is not finished"
            yield Warned("options.preview_count", text)
            request = replace(request, options=replace(request.options, preview_count=0))
        async with aclosing(run(request, candidate)) as events:
            async for event in events:
                if isinstance(event, Picture):
                    async with aclosing(_checked(policy, event, candidate.call, about)) as told:
                        async for each in told:
                            yield each
                elif not (hides and isinstance(event, Preview)):
                    yield event

    return checked


async def _checked(
    policy: SafetyPolicy, made: Picture, call: Call, about: SafetyVerdict
) -> AsyncGenerator[Event, None]:
    """Yields the verdicts on a picture that was made, and the picture, a blurred one, or a Missed."""
    facts = ImageFacts(made.media_type, made.width, made.height, len(made.data), "", "", False)
    image = ImageInput(made.data, facts=facts)
    judgment = await policy.of_picture(image, call, policy.outputs, replace(about, image_index=made.index))
    if judgment.compute_seconds:
        yield ComputeUsed(judgment.compute_seconds)
    for verdict in judgment.verdicts:
        yield _judged(verdict, call)
    verdict = strongest(judgment.verdicts)
    if verdict.action is SafetyAction.BLOCK:
        yield ImageFailed(made.index, _blocked(verdict))
    elif verdict.action is SafetyAction.BLUR:
        try:
            data = await policy.pixels.blurred(image, made.media_type)
        except Exception as error:  # not to be shown as it is, whatever happens
            reason = error.reason if isinstance(error, CelesteError) else "INTERNAL"
            log.warning("unblurred", reason=reason, request_id=call.request_id, exc_info=True)
            yield ImageFailed(made.index, _blocked(replace(verdict, note=f"it could not be blurred ({reason})")))
        else:
            yield replace(made, data=data)
    else:
        yield made


async def _blurred_input(policy: SafetyPolicy, image: ImageInput) -> ImageInput:
    assert image.facts is not None
    data = await policy.pixels.blurred(image)
    digest = (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
    facts = replace(image.facts, media_type="image/png", size_bytes=len(data), sha256=digest, orientation=1)
    return ImageInput(data, facts=facts)


OURS = (ModelEvidence.RUN, ModelEvidence.PUBLISHER)
"""Evidence of models of this machine, which cost nothing."""


def _is_paid(card: ModelCard) -> bool | None:
    """Tells whether a model's pictures cost anything; None when its card does not say, False for our own engines."""
    return True if card.prices else False if card.evidence in OURS else None


def _judged(verdict: SafetyVerdict, call: Call) -> SafetyJudged:
    if verdict.action is not SafetyAction.ALLOW:
        log.info(
            "verdict",
            stage=verdict.stage.value,
            category=verdict.category,
            action=verdict.action.value,
            score=verdict.score,
            request_id=call.request_id,
        )
    return SafetyJudged(verdict)


def _blocked(verdict: SafetyVerdict) -> SafetyBlocked:
    """Returns the refusal: it tells the category, not the word that was found."""
    text = f"blocked by the safety policy of this server: {verdict.why}"
    where = verdict.path or f"image {verdict.image_index}"
    names = ("category", "path", "engine", "score", "threshold", "note")
    facts = {name: getattr(verdict, name) for name in names if getattr(verdict, name) not in ("", None)}
    metadata = {name: f"{fact:.4g}" if isinstance(fact, float) else fact for name, fact in facts.items()}
    owed = {True: "true", False: "false", None: "unknown"}[verdict.owed]
    return SafetyBlocked(
        f"{where}: {text}",
        metadata={**metadata, "stage": verdict.stage.value, "owed": owed},
        violations=[Violation(verdict.path, text)] if verdict.path else [],
    )
