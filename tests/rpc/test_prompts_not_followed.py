"""A prompt that a local engine can't follow and a default without weights are said: in warnings and in the result."""

import asyncio
from pathlib import Path

import pytest
from tests.support import pictures
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.edits import Inpaint, Mask, Outpaint
from celeste_image.core.events import Completed, Warned
from celeste_image.core.fidelity import FidelityOutcome
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.request import Edit, Generate, ImageRequest, Upscale
from celeste_image.core.result import OperationResult

PHOTO = ImageInput(data=pictures.plain(64, 64))
MASK = Mask(ImageInput(data=pictures.mask(64, 64, (20, 20, 40, 40))))
SMALL = Size(64, 64)


def asked(*requests: ImageRequest) -> list[tuple[OperationResult, list[Warned]]]:
    """Returns results and warnings of requests to one server."""

    async def run() -> list[tuple[OperationResult, list[Warned]]]:
        found = []
        async with running() as server, AsyncClient(server.address) as client:
            for request in requests:
                events = [event async for event in client.stream(request, timeout=60)]
                (result,) = [event.result for event in events if isinstance(event, Completed)]
                found.append((result, [event for event in events if isinstance(event, Warned)]))
        return found

    return asyncio.run(run())


def test_a_prompt_that_is_not_followed_is_said_with_what_would_follow_it() -> None:
    strange = ("gizmo flurb", "...", "赤い狐", "ein roter Fuchs zorp", "\u200b")
    requests: list[ImageRequest] = [Generate(prompt=prompt, size=SMALL, seed=1) for prompt in strange]
    requests += [
        Generate(prompt="a red fox and a zork", size=SMALL, seed=1),
        Edit(image=PHOTO, edit=Inpaint(MASK, "a cat")),
        Edit(image=PHOTO, edit=Outpaint(left=8, prompt="a beach")),
    ]
    paths = ["prompt"] * 6 + ["inpaint.prompt", "outpaint.prompt"]
    found = asked(*requests, Generate(prompt="a red fox", size=SMALL, seed=1))
    result, warnings = found.pop()
    assert not [warning for warning in warnings if warning.path == "prompt"]
    for (result, warnings), path, request in zip(found, paths, requests, strict=True):
        (line,) = [line for line in result.fidelity if line.path == path]
        assert line.outcome in (FidelityOutcome.ADJUSTED, FidelityOutcome.DROPPED), request
        (warning,) = [warning for warning in warnings if warning.path == path]
        for text in (line.message, warning.text):
            assert "celeste models pull local/sd-turbo" in text
            assert "--model" in text
    assert ["was not understood" in warnings[0].text for _, warnings in found[:6]] == [True] * 5 + [False]


def test_a_default_without_its_weights_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path))
    (defaulted, named) = asked(Upscale(image=PHOTO, factor=2), Upscale(image=PHOTO, factor=2, model="local/lanczos"))
    result, warnings = defaulted
    (line,) = [line for line in result.fidelity if line.path == "model"]
    assert (line.outcome, line.sent) == (FidelityOutcome.ADJUSTED, "local/lanczos")
    (warning,) = [warning for warning in warnings if warning.path == "model"]
    assert "celeste models pull local/realesrgan-animevideov3" in warning.text
    assert not [warning for warning in named[1] if warning.path == "model"]
