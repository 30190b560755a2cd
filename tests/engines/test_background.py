"""Removing backgrounds of unusual images; tests/rpc/test_local_edits.py has photographs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.support import pictures

from celeste_image.engines import background

Cut = Callable[[Image.Image, str], Image.Image]


@pytest.fixture(scope="module")
def cut(pulled: Callable[[str], Path]) -> Cut:
    folder = str(pulled("u2netp"))

    def cut_out(source: Image.Image, prompt: str = "") -> Image.Image:
        made: list[bytes] = []

        def emit(kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
            made.append(payload)

        task = {"field": "replace_background" if prompt else "remove_background", "prompt": prompt, "seed": 1}
        given = [pictures.encoded(source)]
        background.run(task | {"unread": None, "model_dir": folder, "threads": 2}, given, emit)
        return pictures.opened(made[-1])

    return cut_out


@pytest.mark.parametrize(
    ("size", "prompt"), [((1, 1), ""), ((1, 50), "teal"), ((40, 3), "a beach"), ((2100, 2), "a beach")]
)
def test_any_size_comes_back_as_it_was(cut: Cut, size: tuple[int, int], prompt: str) -> None:
    picture = cut(Image.new("L", size, 90), prompt)
    assert (picture.size, picture.mode) == (size, "RGB" if prompt else "RGBA")


def test_transparent_areas_stay_transparent(cut: Cut) -> None:
    source = pictures.opened(pictures.photo(96)).convert("RGBA")
    source.paste((0, 0, 0, 0), (20, 20, 60, 60))
    alpha = cut(source, "").getchannel("A")
    assert alpha.crop((20, 20, 60, 60)).getextrema() == (0, 0)
    assert alpha.getextrema()[1] > 200


@pytest.mark.parametrize(
    ("prompt", "color"),
    [
        ("#fff", (255, 255, 255)),
        (" #FFcc00 ", (255, 204, 0)),
        ("SteelBlue", (70, 130, 180)),
        ("a white wall", None),
        ("beach", None),
        ("hsl(0,100%,50%)", None),
        ("#ffcc0080", None),
    ],
)
def test_a_prompt_may_be_a_color(prompt: str, color: tuple[int, ...] | None) -> None:
    assert background.color_of(prompt) == color
