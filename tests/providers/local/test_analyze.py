"""local/analyze: its engines, its tasks, and its warnings about missing weights and extras."""

from pathlib import Path

import pytest

from celeste_image.core.image import ImageInput
from celeste_image.core.request import AnalysisKind, Analyze
from celeste_image.engines.content.caption import compose
from celeste_image.engines.content.coco import COCO
from celeste_image.engines.content.models import region_of
from celeste_image.providers.local.models import analyze
from celeste_image.providers.local.options import LocalOptions

MODEL = analyze.MODEL
IMAGE = ImageInput(data=b"png")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without weights and without the extra `ocr`."""
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path))
    monkeypatch.setattr(analyze, "find_spec", lambda name: None)


def asked(*kinds: AnalysisKind) -> Analyze:
    return Analyze(model="local/analyze", image=IMAGE, kinds=kinds)


def test_it_is_ready_and_only_what_was_asked_for_is_started() -> None:
    assert MODEL.ready()
    assert [part.engine for part in MODEL.stages(asked())] == ["metadata", "quality", "content"]
    assert [part.engine for part in MODEL.stages(asked(AnalysisKind.QUALITY))] == ["quality"]


def test_what_is_missing_is_named_with_the_way_to_get_it() -> None:
    weights, extra = MODEL.warnings(asked(AnalysisKind.METADATA, AnalysisKind.CONTENT), LocalOptions())
    assert weights.path == extra.path == "kinds[1]"
    assert weights.text.startswith("tags and objects are omitted: ")
    assert weights.text.endswith("celeste models pull local/analyze")
    assert (
        extra.text
        == "texts are omitted: the extra `ocr` is not on the server; get it with: celeste models pull local/ocr"
    )
    assert [warning.path for warning in MODEL.warnings(asked(), LocalOptions())] == ["kinds"] * 3, "safety too"
    assert not list(MODEL.warnings(asked(AnalysisKind.METADATA), LocalOptions()))
    assert len(list(MODEL.warnings(asked(), LocalOptions(ocr=False)))) == 2, "no warning about unrequested text"


def test_the_engine_is_told_not_to_look_for_what_is_missing() -> None:
    (content,) = MODEL.stages(asked(AnalysisKind.CONTENT))
    task, pictures = content.task_for(asked(AnalysisKind.CONTENT), LocalOptions(), 2)
    assert (task["tags"], task["objects"], task["texts"]) == (False, False, False)
    assert [part["field"] for part in task["left_out"]] == ["tags", "objects", "texts"]
    assert pictures == (b"png",)


@pytest.mark.parametrize(
    ("tags", "objects", "sentence"),
    [
        ([], [], ""),
        ([("espresso", 0.9)], [("cup", 0.9), ("cup", 0.6), ("bowl", 0.8)], "Two cups and a bowl; most like espresso."),
        ([("espresso", 0.7)], [("person", 0.9)] * 12, "12 people."),
        ([("tripod", 0.9)], [("apple", 0.4)], "Most like tripod."),
        (
            [],
            [("apple", 0.5), ("knife", 0.6), ("knife", 0.6), ("bus", 0.6), ("bus", 0.7)],
            "An apple, two knives and two buses.",
        ),
    ],
)
def test_the_sentence(tags: list[tuple[str, float]], objects: list[tuple[str, float]], sentence: str) -> None:
    found = [[{"name": name, "score": score} for name, score in each] for each in (tags, objects)]
    assert compose(*found) == sentence


def test_classes_and_regions() -> None:
    assert len(COCO) == 80
    assert (COCO[1], COCO[44], COCO[74], COCO[90]) == ("person", "bottle", "mouse", "toothbrush")
    assert region_of((-0.1, 0.25, 0.5, 1.2), (100, 40)) == [0, 10, 50, 30]
    assert region_of((0.5, 0.2, 0.5, 0.4), (100, 40)) == []
