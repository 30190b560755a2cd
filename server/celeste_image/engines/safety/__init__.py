"""Scores sexual content in images with two networks: open_nsfw for photos, and nsfwjs for drawings."""

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
"""The classes of nsfwjs in the network's order (dist/cjs/nsfw_classes.js); their scores add up to 1."""
DRAWINGS = Path(__file__).parent / "drawings" / "nsfwjs.onnx"
SIDE = 224
"""Width and height of both networks' input in pixels."""
WHOLE = 256
"""For open_nsfw the image is resized to this side and then cropped to its middle, as in its classify_nsfw.py."""
MEAN_BGR = np.array([104, 117, 123], np.float32)

Shares = NDArray[np.float32]
Network = Callable[[Shares], Shares]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits one "analysis" with part "safety": `scores`, a list of `category`, `score` (0 to 1) and `network`.

    `explicit` is the highest of `nsfw`, `hentai` and `porn`, so one network is enough. `suggestive` is the higher of
    `nsfw` and the sum of `hentai`, `porn` and `sexy`, so it is never below `explicit`.

    Task:
        model_dir: A folder with open-nsfw.onnx.
        threads: CPU threads.
        limits: Limits of the image as ImageLimits; optional.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        WeightsMissing: The weights are not in `model_dir` or do not load.
    """
    photos = load(str(Path(task["model_dir"]) / "open-nsfw.onnx"), int(task["threads"]))
    drawings = load(str(DRAWINGS), int(task["threads"]))
    picture = on_white(open_upright(pictures[0], ImageLimits(**task.get("limits", {}))))
    Image.MAX_IMAGE_PIXELS = None  # open_upright set the source's limit; the networks' input may have more pixels
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
    """Returns an image in RGB on a white background."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def for_photos(picture: Image.Image) -> Shares:
    """Returns the input of open_nsfw: 256 x 256, cropped to the middle, saved as JPEG once, BGR minus the mean."""
    edge = (WHOLE - SIDE) // 2
    middle = picture.resize((WHOLE, WHOLE), Image.Resampling.BILINEAR).crop((edge, edge, edge + SIDE, edge + SIDE))
    packed = io.BytesIO()
    middle.save(packed, "JPEG")
    return np.asarray(Image.open(packed), np.float32)[:, :, ::-1] - MEAN_BGR


def for_drawings(picture: Image.Image) -> Shares:
    """Returns the input of nsfwjs: 224 x 224, RGB from 0 to 1."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32) / np.float32(255)


@lru_cache(maxsize=2)
def load(path: str, threads: int) -> Network:
    """Returns a function from pixels to scores. The loaded network stays cached.

    Raises:
        WeightsMissing: The file is absent or does not load.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads must sleep
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        command = {"command": "celeste models pull local/safety"}
        text = f"the weights file {Path(path).name} is absent or damaged on this machine"
        raise WeightsMissing(text, metadata=command) from error
    (given,) = session.get_inputs()
    return lambda pixels: np.asarray(session.run(None, {given.name: pixels[np.newaxis]})[0], np.float32)[0]
