"""Patterns of settings: a bound of their length is `max_length`, since pydantic's engine expands `\\w{1,150}`."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from celeste_image.providers.catalog.overlay import OverlayModel
from celeste_image.providers.kserve.settings import Name
from celeste_image.providers.vendors.azure_openai import Deployment
from celeste_image.providers.vendors.compatible import CompatibleModel

PACKAGE = Path(__file__).parents[2] / "server" / "celeste_image"


def test_no_pattern_repeats_all_letters_of_unicode() -> None:
    """Each such pattern took 10 MiB of an idle server, and 0.1 s of its start."""
    patterns = [
        found for file in PACKAGE.rglob("*.py") for found in re.findall(r'pattern=r"([^"]+)"', file.read_text())
    ]
    assert len(patterns) > 5
    assert not [pattern for pattern in patterns if re.search(r"\\w[^]]*\](\{\d+,\d{2,}\})", pattern)]


@pytest.mark.parametrize(
    ("kind", "values", "field", "most"),
    [
        (OverlayModel, {}, "id", 150),
        (CompatibleModel, {}, "id", 150),
        (Deployment, {"model": "gpt-image-1"}, "id", 100),
    ],
)
def test_names_are_bounded(kind: type, values: dict[str, str], field: str, most: int) -> None:
    start = "openai/" if kind is OverlayModel else ""
    kind(**values, **{field: f"{start}{'ä' * most}"})
    for wrong in (f"{start}{'ä' * (most + 1)}", start, f"{start}a b", f"{start}a\n"):
        with pytest.raises(ValidationError):
            kind(**values, **{field: wrong})


def test_other_names_are_bounded() -> None:
    assert TypeAdapter(Name).validate_python("x" * 150)
    for wrong in ("x" * 151, "", "a b"):
        with pytest.raises(ValidationError):
            TypeAdapter(Name).validate_python(wrong)
