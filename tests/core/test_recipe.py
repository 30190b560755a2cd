"""The recipe: what is in it for each operation, and what is called by which source type."""

from typing import Any

import pytest
from tests.support.fake_provider import PLAIN, card, loaded

from celeste_image.core.card import ModelCard
from celeste_image.core.edits import Erase, Mask, Outpaint, SearchReplace
from celeste_image.core.recipe import parameters, recipe_of, source_type
from celeste_image.core.request import (
    Edit,
    Generate,
    ImageRequest,
    OperationKind,
    RequestOptions,
    Upscale,
    UpscaleMode,
)

SOURCE, MASK = loaded(8, 8, "a" * 64), loaded(8, 8, "b" * 64)
COMMON = {"software": "Celeste 1", "model": "fake/one", "request_id": "id", "size": "64x48"}


def recipe(request: ImageRequest, seed: int | None = None) -> dict[str, Any]:
    return recipe_of(request, "id", software="Celeste 1", seed=seed, width=64, height=48)


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        (Generate(model="fake/one", prompt="a fox"), {"operation": "generate", "prompt": "a fox"}),
        (
            Edit(model="fake/one", image=SOURCE, edit=SearchReplace("the hat", "a crown"), negative_prompt="x"),
            {
                "operation": "edit",
                "edit": {"kind": "search_replace", "target": "the hat"},
                "prompt": "a crown",
                "negative_prompt": "x",
                "sources": ["a" * 64],
            },
        ),
        (
            Edit(model="fake/one", image=SOURCE, edit=Erase(Mask(MASK), True)),
            {"operation": "edit", "edit": {"kind": "erase", "pixel_lock": True}, "sources": ["a" * 64, "b" * 64]},
        ),
        (
            Edit(model="fake/one", image=SOURCE, edit=Outpaint(left=16, top=8)),
            {"operation": "edit", "edit": {"kind": "outpaint", "left": 16, "top": 8}, "sources": ["a" * 64]},
        ),
        (
            Upscale(model="fake/one", image=SOURCE, mode=UpscaleMode.CREATIVE, creativity=0.0),
            {"operation": "upscale", "mode": "creative", "creativity": 0.0, "sources": ["a" * 64]},
        ),
    ],
    ids=["generate", "search and replace", "erase", "outpaint", "upscale"],
)
def test_it_has_what_was_asked_and_nothing_that_was_not(request_: ImageRequest, parts: dict[str, Any]) -> None:
    assert recipe(request_) == COMMON | parts


def test_only_the_providers_own_options_are_in_it() -> None:
    options = RequestOptions(provider_options={"fake": {"steps": 20, "glow": True}, "other": {"secret": 1}})
    made = recipe(Generate(model="fake/one", prompt="a fox", options=options), seed=0)
    assert (made["options"], made["steps"], made["seed"]) == ({"steps": 20, "glow": True}, 20, 0)
    assert parameters(made) == (
        "a fox\nSteps: 20, Seed: 0, Size: 64x48, Model: fake/one, Version: Celeste 1, Request: id"
    )


@pytest.mark.parametrize(
    ("model", "kind", "expected"),
    [
        (PLAIN, OperationKind.GENERATE, "trainedAlgorithmicMedia"),
        (card("fake/drawn", trained=False), OperationKind.GENERATE, "algorithmicMedia"),
        (PLAIN, OperationKind.EDIT, "compositeWithTrainedAlgorithmicMedia"),
        (card("fake/drawn", trained=False), OperationKind.EDIT, "algorithmicallyEnhanced"),
        (PLAIN, OperationKind.UPSCALE, "algorithmicallyEnhanced"),
    ],
)
def test_source_types(model: ModelCard, kind: OperationKind, expected: str) -> None:
    assert source_type(model, kind) == expected
