"""Style transfer and its networks, on small images."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support import pictures

from celeste_image.core.errors import WeightsMissing
from celeste_image.engines import onnx, restyle
from celeste_image.providers.local.models.restyle import STYLES

TASK = {"style": 19, "strength": 1.0, "unread": None, "threads": 2}


@pytest.fixture(scope="module")
def folder(pulled: Callable[[str], Path]) -> Path:
    return pulled("restyle")


def restyled(folder: Path, source: Image.Image, *style: Image.Image, **task: Any) -> Image.Image:
    made: list[bytes] = []

    def emit(kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        if kind == "picture":
            made.append(payload)

    given = [pictures.encoded(picture) for picture in (source, *style)]
    restyle.run(TASK | {"model_dir": str(folder)} | task, given, emit)
    return pictures.opened(made[0])


def test_each_name_is_another_style(folder: Path) -> None:
    source = pictures.opened(pictures.photo(64))
    looks = [np.asarray(restyled(folder, source, style=number), float) for number in STYLES.values()]
    apart = [np.abs(one - other).mean() for index, one in enumerate(looks) for other in looks[:index]]
    assert len(looks) == restyle.STYLES
    assert min(apart) > 8


@pytest.mark.parametrize("style", [None, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 90), (133, 40), (1030, 20)])
def test_any_size_comes_back_as_it_was(folder: Path, size: tuple[int, int], style: int | None) -> None:
    pattern = [Image.new("RGB", (30, 20), "orange")] if style is None else []
    assert restyled(folder, Image.new("RGB", size, "teal"), *pattern, style=style).size == size


def test_alpha_is_kept_and_gray_gets_color(folder: Path) -> None:
    source = pictures.opened(pictures.photo(64))
    gray = restyled(folder, source.convert("L"))
    assert gray.mode == "RGB"
    assert np.ptp(np.asarray(gray, float), axis=2).mean() > 20
    alpha = Image.linear_gradient("L").resize(source.size)
    source.putalpha(alpha)
    assert restyled(folder, source).getchannel("A").tobytes() == alpha.tobytes()


def test_missing_and_damaged_weights_are_reported(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="not on this machine"):
        onnx.load(str(tmp_path), "multistyle26.onnx", 1)
    (tmp_path / "multistyle26.onnx").write_bytes(b"none")
    with pytest.raises(WeightsMissing, match="damaged"):
        onnx.load(str(tmp_path), "multistyle26.onnx", 2)


def test_onnxruntime_writes_no_telemetry(folder: Path, tmp_path: Path) -> None:
    """With telemetry on, onnxruntime would write a machine id and a queue of events."""
    load = "from celeste_image.engines import onnx; "
    load += f"onnx.load({str(folder)!r}, 'multistyle26.onnx', 1)"
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run([sys.executable, "-c", load], check=True, env=environment | {"HOME": str(tmp_path)})
    assert not list(tmp_path.rglob("*"))
