"""Style transfer with small networks: paints an image in one of 26 named styles or in the style of another image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from celeste_image.engines.canvas import Size, flat, opaque, png
from celeste_image.engines.onnx import Values, load
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]

NAMED_SIDE, STYLES = 1024, 26
"""The network of named styles works at up to NAMED_SIDE pixels on the longer side, and has STYLES styles. Its strokes
are made for 500 to 1,000 pixels; 1024 x 1024 takes 480 MiB (2026-11-28)."""
PICTURE_SIDE, PICTURE_STYLE_SIDE = 384, 256
"""The fixed input sizes in pixels of the networks for the style of another image: the source and the style image."""
STEP, LEAST = 4, 32
"""The network of named styles halves its input twice and pads it by reflection. So sides are multiples of STEP pixels
and at least LEAST."""

LANCZOS = Image.Resampling.LANCZOS


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Restyles one image, at the size of the image.

    Alpha is kept. Emits "progress", "warned" about an ignored field, "measured" with the size that the network worked
    at, and one "picture".

    Task:
        style: A style's number, or None for the style of the second image.
        strength: Share of the network's result in the blend with the source, 0 to 1.
        unread: A path and a text about an ignored field, or None.
        model_dir: The folder of the weights.
        threads: CPU threads.
        limits: Limits of the images as ImageLimits; optional.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        WeightsMissing: The weights are not in `model_dir` or do not load.
    """
    if task["unread"]:
        emit("warned", task["unread"])
    emit("progress", {"fraction": 0.0, "phase": "decode"})
    limits = ImageLimits(**task.get("limits", {}))
    source, *style = [open_upright(data, limits) for data in pictures]
    emit("progress", {"fraction": 0.1, "phase": "restyle"})
    colors = opaque(source)
    folder, threads = str(task["model_dir"]), int(task["threads"])
    if task["style"] is None:
        made = like_picture(colors, flat(style[0]).convert("RGB"), folder, threads)
    else:
        made = like_name(colors, int(task["style"]), folder, threads)
    emit("measured", {"path": "restyle", "value": {"worked_at": {"width": made.width, "height": made.height}}})
    emit("progress", {"fraction": 0.8, "phase": "encode"})
    made = Image.blend(colors, made.resize(source.size, LANCZOS), float(task["strength"]))
    if source.mode == "RGBA":
        made.putalpha(source.getchannel("A"))
    encoded = png(made)
    emit("progress", {"fraction": 1.0, "phase": "encode"})
    emit("picture", {"media_type": "image/png", "width": made.width, "height": made.height}, encoded)


def like_name(picture: Image.Image, style: int, folder: str, threads: int) -> Image.Image:
    """Returns an image in a named style, with a longer side of at most NAMED_SIDE pixels."""
    small = shrunk(picture, NAMED_SIDE)
    given = values(small)
    size = [max(LEAST, -(-side // STEP) * STEP) for side in given.shape[:2]]
    given = np.pad(given, [(0, size[0] - small.height), (0, size[1] - small.width), (0, 0)], mode="edge")
    weights = np.zeros(STYLES, np.float32)
    weights[style] = 1
    network = load(folder, "multistyle26.onnx", threads)
    made = network({"image": given[np.newaxis].transpose(0, 3, 1, 2), "style_weights": weights})
    return pixels(made[0].transpose(1, 2, 0), small.size)


def like_picture(picture: Image.Image, style: Image.Image, folder: str, threads: int) -> Image.Image:
    """Returns an image in the style of another image, with a longer side of PICTURE_SIDE pixels."""
    predict, transform = (load(folder, f"arbitrary_{name}.onnx", threads) for name in ("predict", "transform"))
    square = min(style.size)
    left, top = (style.width - square) // 2, (style.height - square) // 2
    middle = (left, top, left + square, top + square)
    seen = style.resize((PICTURE_STYLE_SIDE,) * 2, LANCZOS, box=middle, reducing_gap=3.0)
    bottleneck = predict({"style_image": values(seen)[np.newaxis]})
    share = PICTURE_SIDE / max(picture.size)
    size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
    given = values(picture.resize(size, LANCZOS, reducing_gap=3.0))
    beside = (0, PICTURE_SIDE - size[1]), (0, PICTURE_SIDE - size[0]), (0, 0)
    given = np.pad(given, beside, mode="symmetric")[np.newaxis]
    return pixels(transform({"content_image": given, "mobilenet_conv/Conv/BiasAdd": bottleneck})[0], size)


def shrunk(picture: Image.Image, side: int) -> Image.Image:
    """Returns an image with a longer side of at most `side` pixels."""
    share = min(1.0, side / max(picture.size))
    size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
    return picture if size == picture.size else picture.resize(size, LANCZOS, reducing_gap=3.0)


def values(picture: Image.Image) -> Values:
    """Returns an image's values, 0 to 1, as (height, width, channels)."""
    return (np.asarray(picture) / 255).astype(np.float32)


def pixels(made: Values, size: Size) -> Image.Image:
    """Returns the image of values from 0 to 1, cropped to `size` to remove padding."""
    return Image.fromarray((made[: size[1], : size[0]].clip(0, 1) * 255 + 0.5).astype(np.uint8))
