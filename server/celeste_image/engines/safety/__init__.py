"""Scores what a picture shows, with two networks: open_nsfw, for photos, and nsfwjs, which knows drawings."""

import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celeste_image.core.errors import WeightsMissing
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]

OPEN_NSFW, NSFWJS = "open_nsfw", "nsfwjs"
CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")
"""What nsfwjs tells apart, in its order: dist/cjs/nsfw_classes.js. They make 1 together."""
DRAWINGS = Path(__file__).parent / "drawings" / "nsfwjs.onnx"
SIDE = 224
"""Pixels a side of what both networks see."""
WHOLE = 256
"""open_nsfw sees the middle of a picture that was made this large: its classify_nsfw.py."""
MEAN_BGR = np.array([104, 117, 123], np.float32)

Shares = NDArray[np.float32]
Network = Callable[[Shares], Shares]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits `analysis` with part `safety`: `scores`, a list of `category`, `score` (0 to 1) and `network`.

    Task: `model_dir` (a folder with open-nsfw.onnx), `threads`, `limits` (of the picture, as ImageLimits; may be
    absent). `explicit` is the highest of `nsfw`, `hentai` and `porn`, so one network is enough; `suggestive` that of
    `nsfw` and the sum of `hentai`, `porn` and `sexy`, so it is never below `explicit`.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        WeightsMissing: `model_dir` has no weights that load.
    """
    photos = load(str(Path(task["model_dir"]) / "open-nsfw.onnx"), int(task["threads"]))
    drawings = load(str(DRAWINGS), int(task["threads"]))
    picture = on_white(open_upright(pictures[0], ImageLimits(**task.get("limits", {}))))
    Image.MAX_IMAGE_PIXELS = None  # it was the source's; what the networks see may have more pixels
    nsfw = float(photos(for_photos(picture))[1])
    shares = dict(zip(CLASSES, map(float, drawings(for_drawings(picture))), strict=True))
    explicit = max(nsfw, shares["hentai"], shares["porn"])
    suggestive = max(nsfw, shares["hentai"] + shares["porn"] + shares["sexy"])
    scores = [
        *((("explicit", explicit, ""), ("suggestive", suggestive, ""), ("nsfw", nsfw, OPEN_NSFW))),
        *((name, share, NSFWJS) for name, share in shares.items()),
    ]
    found = [{"category": c, "score": min(1.0, s), "network": n} for c, s, n in scores]
    emit("analysis", {"part": "safety", "found": {"scores": found}})


def on_white(picture: Image.Image) -> Image.Image:
    """Returns a picture's colors as they are seen on white."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def for_photos(picture: Image.Image) -> Shares:
    """Returns what open_nsfw sees: made 256 x 256, the middle of it, once through JPEG, BGR less the mean."""
    edge = (WHOLE - SIDE) // 2
    middle = picture.resize((WHOLE, WHOLE), Image.Resampling.BILINEAR).crop((edge, edge, edge + SIDE, edge + SIDE))
    packed = io.BytesIO()
    middle.save(packed, "JPEG")
    return np.asarray(Image.open(packed), np.float32)[:, :, ::-1] - MEAN_BGR


def for_drawings(picture: Image.Image) -> Shares:
    """Returns what nsfwjs sees: made 224 x 224, RGB from 0 to 1."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32) / np.float32(255)


@lru_cache(maxsize=2)
def load(path: str, threads: int) -> Network:
    """Returns a function from pixels to shares; it keeps the loaded network.

    Raises:
        WeightsMissing: There is no such file, or it does not load.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait must sleep
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        command = {"command": "celeste models pull local/safety"}
        raise WeightsMissing(f"{Path(path).name} is not on this machine, or damaged", metadata=command) from error
    (given,) = session.get_inputs()
    return lambda pixels: np.asarray(session.run(None, {given.name: pixels[np.newaxis]})[0], np.float32)[0]
