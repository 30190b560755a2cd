"""Safety steps: apply the operator's policy to the prompts, input images and output images of a request.

    checking_prompts   above loading: nothing is fetched or decoded for a blocked prompt
    checking_inputs    below loading: images are bytes with facts, and no model has seen them
    checking_outputs   below saving: a blocked image is never stored

Each verdict is a SafetyJudged. A blocked prompt or input ends the request with SafetyBlocked. A blocked output becomes
an ImageFailed, and the other images are delivered. An empty policy adds no step.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from celeste_image.core.call import Call, Candidate
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
from celeste_image.off_loop import sha256_of
from celeste_image.pipeline.per_image import per_image
from celeste_image.pipeline.safety.policy import SafetyPolicy, strongest

__all__ = ["checking_inputs", "checking_outputs", "checking_prompts"]

log = structlog.get_logger("celeste_image.safety")

MASK = ".mask.image"
"""End of a mask's path. A mask is a shape, so it is not scored."""
HIDES = ("blur", "block")


def checking_prompts(run: Run, policy: SafetyPolicy) -> Run:
    """Looks for the operator's words in the texts of a request."""
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
    """Scores the images of a request, and replaces an image with a blurred one where the policy says so.

    Masks are not scored, nor are the images of an Analyze: callers use it to score images themselves.
    """
    if not policy.inputs:
        return run

    async def checked(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        images = dict(request.images())
        about = SafetyVerdict(SafetyStage.INPUT, "", SafetyAction.ALLOW)
        for path, image in images.items():
            if isinstance(request, Analyze) or path.endswith(MASK):
                continue
            judgment = await policy.of_image(image, call, policy.inputs, replace(about, path=path))
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
    """Scores each image that was made. The policy decides whether it is stored as it is, stored blurred, or blocked.

    If the policy may hide images, there are no previews, since an unfinished image can't be judged.
    """
    if not policy.outputs:
        return run
    hides = any(rule.action in HIDES for rule in policy.outputs.values())

    def checked(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        about = SafetyVerdict(SafetyStage.OUTPUT, "", SafetyAction.ALLOW, owed=candidate.card.is_paid)

        def judge(picture: Picture) -> AsyncGenerator[Event, None]:
            return _judge_output(policy, picture, candidate.call, about)

        if not hides:
            return per_image(run(request, candidate), judge, candidate.card)
        warnings = []
        if request.options.preview_count:
            text = "previews are off: the safety policy of this server can't judge unfinished images"
            warnings.append(Warned("options.preview_count", text))
            request = replace(request, options=replace(request.options, preview_count=0))
        return per_image(_without_previews(run(request, candidate)), judge, candidate.card, warnings)

    return checked


async def _without_previews(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    async with aclosing(events):
        async for event in events:
            if not isinstance(event, Preview):
                yield event


async def _judge_output(
    policy: SafetyPolicy, made: Picture, call: Call, about: SafetyVerdict
) -> AsyncGenerator[Event, None]:
    """Yields the verdicts on an image that was made, and then the image, a blurred one, or an ImageFailed."""
    facts = ImageFacts(made.media_type, made.width, made.height, len(made.data), "", "", False)
    image = ImageInput(made.data, facts=facts)
    judgment = await policy.of_image(image, call, policy.outputs, replace(about, image_index=made.index))
    if judgment.compute_seconds:
        yield ComputeUsed(judgment.compute_seconds)
    for verdict in judgment.verdicts:
        yield _judged(verdict, call)
    verdict = strongest(judgment.verdicts)
    match verdict.action:
        case SafetyAction.BLOCK:
            yield ImageFailed(made.index, _blocked(verdict))
        case SafetyAction.BLUR:
            try:
                data = await policy.pixels.blurred(image, made.media_type)
            except Exception as error:  # the image must not be shown as it is, whatever happens
                reason = error.reason if isinstance(error, CelesteError) else "INTERNAL"
                log.warning("image not blurred", reason=reason, request_id=call.request_id, exc_info=True)
                yield ImageFailed(made.index, _blocked(replace(verdict, message=f"it could not be blurred ({reason})")))
            else:
                yield replace(made, data=data)
        case _:
            yield made


async def _blurred_input(policy: SafetyPolicy, image: ImageInput) -> ImageInput:
    assert image.facts is not None
    data = await policy.pixels.blurred(image)
    facts = replace(
        image.facts, media_type="image/png", size_bytes=len(data), sha256=await sha256_of(data), orientation=1
    )
    return ImageInput(data, facts=facts)


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
    """Returns the refusal. It names the category, not the word that was found."""
    text = f"blocked by the safety policy of this server: {verdict.why}"
    where = verdict.path or f"image {verdict.image_index}"
    names = ("category", "path", "engine", "score", "threshold", "message")
    facts = {name: getattr(verdict, name) for name in names if getattr(verdict, name) not in ("", None)}
    metadata = {name: f"{fact:.4g}" if isinstance(fact, float) else fact for name, fact in facts.items()}
    owed = {True: "true", False: "false", None: "unknown"}[verdict.owed]
    return SafetyBlocked(
        f"{where}: {text}",
        metadata={**metadata, "stage": verdict.stage.value, "owed": owed},
        violations=[Violation(verdict.path, text)] if verdict.path else [],
    )
