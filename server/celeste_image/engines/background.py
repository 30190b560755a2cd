"""Removes or replaces the background of an image, with a matte from the U-2-Net network."""

import re
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageChops, ImageColor, ImageOps

from celeste_image.engines import compose
from celeste_image.engines.canvas import Size, opaque, png
from celeste_image.engines.mask import alpha
from celeste_image.engines.onnx import Values, load
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["color_of", "run"]

SIDE = 320
"""Width and height of the network's input in pixels, for images of any shape."""
MEAN, DEVIATION = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
"""The mean and deviation of ImageNet's channels: the network was trained on input normalized by them."""
GUIDE_SIDE, RADIUS, SMOOTHNESS = 1024, 8, 1e-4
"""The matte is as coarse as the network's input. A guided filter (He, Sun, Tang, 2010) aligns it with the edges of the
image. The filter's coefficients are computed with a longer side of at most GUIDE_SIDE pixels and then enlarged."""
UNSURE = 0.5
"""Below this highest value of the network, the image has no clear foreground. Images with a subject reach 0.94 or more;
gravel, grass, a sky of stars, print and plain colors reach at most 0.43. A brick wall reaches 0.97 (2026-11-28)."""
COMPOSED_SIDE, LEAST_COMPOSED = 2048, 64
"""The range of sides in pixels that local/compose draws; a background of another size is resampled."""


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Cuts out the foreground of one image, at the size of the image.

    A second image is the new background, cropped to the shape of the first. Without one, the prompt is: a color, or a
    scene that local/compose draws. Transparent areas stay transparent. Emits "progress", "warned" about ignored fields
    and unknown words, "measured" with the share of the image that is foreground, and one "picture".

    Task:
        field: The edit's name, `remove_background` or `replace_background`.
        prompt: The new background in words.
        seed: Seed of a drawn background.
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
    source, *behind = [open_upright(data, limits) for data in pictures]
    emit("progress", {"fraction": 0.1, "phase": "background"})
    # The background first: a warning about unknown words then ends a strict call before the expensive work.
    back, facts = background(task, behind, source.size, emit)
    emit("progress", {"fraction": 0.3, "phase": "cut out"})
    colors = opaque(source)
    matte, sure = found(colors, load(str(task["model_dir"]), "u2netp.onnx", int(task["threads"])))
    cut = ImageChops.multiply(matte, alpha(source))
    text = "" if sure >= UNSURE else "nothing stands out from the background, so the cut is a guess"
    share = round(float(np.asarray(cut, np.float32).mean()) / 255, 4)
    emit("measured", {"path": task["field"], "value": {"foreground": share}, "text": text})
    if back is not None and back.mode == "RGB":
        made = Image.composite(colors, back, cut)
    else:
        colors.putalpha(cut)
        made = Image.alpha_composite(back, colors) if back else colors
    emit("progress", {"fraction": 0.8, "phase": "encode"})
    encoded = png(made)
    emit("progress", {"fraction": 1.0, "phase": "encode"})
    emit("picture", {"media_type": "image/png", "width": made.width, "height": made.height, **facts}, encoded)


def background(
    task: dict[str, Any], behind: Sequence[Image.Image], size: Size, emit: Emit
) -> tuple[Image.Image | None, dict[str, Any]]:
    """Returns the new background in RGB or RGBA, None to remove it, and extra fields for the "picture" message."""
    if task["field"] == "remove_background":
        return None, {}
    if behind:
        picture = behind[0] if behind[0].mode == "RGBA" else behind[0].convert("RGB")
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS), {}
    if color := color_of(task["prompt"]):
        return Image.new("RGB", size, color), {}
    return composed(task, size, emit), {"seed": task["seed"]}


def found(picture: Image.Image, network: Any) -> tuple[Image.Image, float]:
    """Returns the matte (255 is foreground) at the image's size, and the network's highest value, 0 to 1."""
    given = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0), np.float32)
    given = ((given / max(1.0, float(given.max())) - MEAN) / DEVIATION).astype(np.float32)
    made: Values = network({"input.1": given.transpose(2, 0, 1)[np.newaxis]})[0, 0]
    least, most = float(made.min()), float(made.max())
    coarse = (made - least) / max(1e-6, most - least)
    return guided(coarse, picture.convert("L")), most


def guided(coarse: Values, guide: Image.Image) -> Image.Image:
    """Returns a matte at the size of its guide, aligned with the guide's edges."""
    share = min(1.0, GUIDE_SIDE / max(guide.size))
    size = max(1, round(guide.width * share)), max(1, round(guide.height * share))
    light = np.asarray(guide.resize(size, Image.Resampling.BOX), np.float32) / 255
    matte = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    window = (2 * max(1, round(RADIUS * max(size) / GUIDE_SIDE)) + 1,) * 2

    def mean(values: Any) -> Any:
        return cv2.blur(values, window, borderType=cv2.BORDER_REFLECT)

    light_mean, matte_mean = mean(light), mean(matte)
    slope = (mean(light * matte) - light_mean * matte_mean) / (mean(light * light) - light_mean**2 + SMOOTHNESS)
    offset = mean(matte_mean - slope * light_mean)
    slope, offset = (cv2.resize(part, guide.size, interpolation=cv2.INTER_LINEAR) for part in (mean(slope), offset))
    slope *= np.asarray(guide, np.float32)
    slope /= 255
    slope += offset
    slope *= 255
    return Image.fromarray(slope.clip(0, 255, out=slope).astype(np.uint8))


def composed(task: dict[str, Any], size: Size, emit: Emit) -> Image.Image:
    """Returns local/compose's image of a prompt at a size in pixels; emits "warned" about unknown words."""
    share = min(1.0, COMPOSED_SIDE / max(size))
    width, height = (max(LEAST_COMPOSED, round(side * share)) for side in size)
    drawn: list[bytes] = []

    def hear(kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        if kind == "picture":
            drawn.append(payload)
        elif kind == "warned" and fields:
            emit("warned", {"path": "replace_background.prompt", "text": fields["text"]})

    wanted = {"prompt": task["prompt"], "negative_prompt": "", "seed": task["seed"], "width": width, "height": height}
    compose.run(wanted, (), hear)
    return open_upright(drawn[0], ImageLimits()).convert("RGB").resize(size, Image.Resampling.LANCZOS)


def color_of(prompt: str) -> tuple[int, ...] | None:
    """Returns red, green and blue (0 to 255) of a prompt that is just an HTML color, else None."""
    word = prompt.strip().lower()
    if not re.fullmatch(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})|[a-z]+", word):
        return None
    try:
        return ImageColor.getrgb(word)
    except ValueError:
        return None
