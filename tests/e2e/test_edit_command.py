"""`celeste edit`: each kind of the contract, with each of its fields; some against a server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from tests.support import pictures
from tests.support.command import Celeste

from celeste_image.cli import edit, run, upscale
from celeste_image.cli.output import Output
from celeste_image.core.edits import (
    EDITS,
    AnyEdit,
    Control,
    Erase,
    Inpaint,
    Instruct,
    Mask,
    Outpaint,
    Polarity,
    Recolor,
    Relight,
    RemoveBackground,
    ReplaceBackground,
    Restyle,
    SearchReplace,
    Vary,
)
from celeste_image.core.image import ImageInput, ImageReference, Size
from celeste_image.core.request import Edit, Upscale, UpscaleMode

FILES = {name: f"the bytes of {name}".encode() for name in ("photo.png", "mask.png", "other.png")}
PHOTO, MASK, OTHER = (ImageInput(data=data) for data in FILES.values())

CASES: list[tuple[str, AnyEdit]] = [
    ("erase photo.png --mask mask.png", Erase(Mask(MASK))),
    (
        "erase photo.png --mask mask.png --polarity black --feather 3 --no-pixel-lock",
        Erase(Mask(MASK, Polarity.BLACK, 3), pixel_lock=False),
    ),
    ("inpaint photo.png --mask mask.png cat --pixel-lock", Inpaint(Mask(MASK), "cat", pixel_lock=True)),
    ("photo.png --mask=mask.png cat", Inpaint(Mask(MASK), "cat")),
    ("outpaint photo.png --left 1 --right 2 --top 3 --bottom 4 sky", Outpaint(1, 2, 3, 4, "sky")),
    ("outpaint photo.png --top 8", Outpaint(top=8)),
    ("instruct photo.png winter --strength 0.5", Instruct("winter", 0.5)),
    ("photo.png winter", Instruct("winter")),
    ("remove-background photo.png", RemoveBackground()),
    ("replace-background photo.png beach", ReplaceBackground("beach")),
    ("replace-background photo.png --background other.png", ReplaceBackground(background=OTHER)),
    ("restyle photo.png --style ember", Restyle("ember")),
    ("restyle photo.png --style-image other.png --strength 0 soft", Restyle("", OTHER, "soft", 0.0)),
    ("recolor photo.png --target hat red", Recolor("hat", "red")),
    ("search-replace photo.png --target hat cap", SearchReplace("hat", "cap")),
    ("relight photo.png --light other.png --direction left --strength 1", Relight("", OTHER, "left", 1.0)),
    ("vary photo.png", Vary()),
    ("control photo.png --control sketch robot --strength 0.2", Control("sketch", "robot", 0.2)),
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Edit, str]]:
    """The requests that commands would have sent, with the begin of their files' names."""
    requests: list[tuple[Edit, str]] = []

    def hear(request: Edit, common: Mapping[str, Any], output: Output) -> int:
        requests.append((request, output.stem))
        return 0

    monkeypatch.setattr(run, "make_images", hear)
    monkeypatch.chdir(tmp_path)
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return requests


@pytest.mark.parametrize(("typed", "expected"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_a_kind_with_its_options(asked: list[tuple[Edit, str]], typed: str, expected: AnyEdit) -> None:
    done = CliRunner().invoke(edit.command, typed.split())
    assert done.exit_code == 0, done.output
    ((request, stem),) = asked
    assert (request.image, request.edit) == (PHOTO, expected)
    assert stem == f"photo {expected.field.replace('_', '-')}"


def test_each_kind_of_the_contract_has_a_command() -> None:
    assert {name.replace("-", "_") for name in edit.command.commands} == set(EDITS)
    assert {case.field for _, case in CASES} == set(EDITS)


def test_what_all_kinds_have(asked: list[tuple[Edit, str]]) -> None:
    typed = "photo.png winter --reference mask.png --reference other.png -n snow --size 64x32 --count 2 --seed 5"
    typed += " --format webp --model local/x --strict --set local.tile=64 --fallback local/y --recipe --metadata strip"
    assert CliRunner().invoke(edit.command, typed.split()).exit_code == 0
    ((request, _),) = asked
    assert request.references == (ImageReference(MASK), ImageReference(OTHER))
    assert (request.negative_prompt, request.size, request.count, request.seed) == ("snow", Size(64, 32), 2, 5)
    assert (request.output_media_type, request.model, request.options.strict) == ("image/webp", "local/x", True)
    assert (request.options.routing.fallback_models, request.options.embed_recipe) == (("local/y",), True)
    assert request.options.provider_options == {"local": {"tile": 64}}


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("restyl photo.png", "did you mean 'restyle'?"),
        ("erase photo.png", "Missing option '--mask'"),
        ("erase photo.png --mask none.png", "none.png: No such file"),
        ("instruct none.png winter", "none.png: No such file"),
        ("photo.png", "Missing argument 'PROMPT'"),
        ("recolor photo.png red", "Missing option '--target'"),
        ("outpaint photo.png --left 9000", "must be a whole number, 0 to 8,192, is 9000"),
    ],
)
def test_a_slip_is_told(asked: list[tuple[Edit, str]], typed: str, text: str) -> None:
    done = CliRunner().invoke(edit.command, typed.split())
    assert (done.exit_code, asked) == (click.UsageError.exit_code, [])
    assert text in done.output


def test_a_picture_is_restyled(celeste: Celeste, tmp_path: Path) -> None:
    (tmp_path / "face.png").write_bytes(pictures.photo(64))
    done = celeste("edit", "restyle", "face.png", "--style", "ember")
    assert done.stdout == b"face-restyle-0.png\n"
    made = pictures.opened((tmp_path / "face-restyle-0.png").read_bytes())
    red, green, blue = (sum(channel.histogram()[128:]) for channel in made.split())
    assert red > 2 * max(green, blue)


def test_what_is_dropped_is_said_and_strict_refuses_it(celeste: Celeste, tmp_path: Path) -> None:
    (tmp_path / "face.png").write_bytes(pictures.photo(64))
    (tmp_path / "mask.png").write_bytes(pictures.mask(64, 64, (10, 10, 30, 30)))
    done = celeste("edit", "face.png", "a bird", "--mask", "mask.png", "--seed", "1")
    assert done.stdout == b"face-inpaint-1-0.png\n"
    assert b"inpaint.prompt: local/patchmatch does not read it" in done.stderr
    refused = celeste("edit", "face.png", "a bird", "--mask", "mask.png", "--strict")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"inpaint.prompt" in refused.stderr


def test_upscaling_has_its_options_too(asked: list[tuple[Any, str]]) -> None:
    typed = "photo.png --size 12mp --mode conservative --prompt fur --creativity 0 --seed 5 --format jpeg"
    assert CliRunner().invoke(upscale.command, typed.split()).exit_code == 0
    ((request, stem),) = asked
    assert request == Upscale(
        image=PHOTO,
        size=Size(megapixels=12),
        mode=UpscaleMode.CONSERVATIVE,
        prompt="fur",
        creativity=0.0,
        seed=5,
        output_media_type="image/jpeg",
    )
    assert stem == "photo upscaled"
