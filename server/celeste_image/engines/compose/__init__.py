"""The engine `local/compose`: the words of a prompt become vector art over a seeded scene.

It holds no neural network and no learned weights. It draws what it has a drawing of, says which words it did
not understand, and makes the same bytes of the same task.
"""

import io
from collections.abc import Sequence
from typing import Any

import resvg_py
from PIL import Image, ImageDraw, ImageFont

from celeste_image.sandbox.engine import Emit

from . import abstract, backdrop, things
from .grammar import read
from .scene import Scene

__all__ = ["run"]

PREVIEW_SIDE = 256


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Draws one picture.

    `task` has prompt, negative_prompt, width and height (pixels, 64 to 2048), seed, and preview, which asks
    for a small picture of the empty scene on the way; `style`, None or the number of one of restyle's styles and the
    folder of its weights, and then `threads`. Emits "progress", "preview", with a style "measured" with the size that
    its network worked at, and at last one "picture".

    Raises:
        WeightsMissing: A style is asked for, and its folder has no weights that load.
    """
    width, height, seed = int(task["width"]), int(task["height"]), int(task["seed"])
    emit("progress", {"fraction": 0.0, "phase": "scene"})
    reading = read(task["prompt"], task.get("negative_prompt") or "")
    scene = Scene(reading, width, height, seed)
    if reading.known:
        backdrop.paint(scene)
    else:
        abstract.paint(scene)
    emit("progress", {"fraction": 0.1, "phase": "scene"})
    if task.get("preview"):
        share = min(1, PREVIEW_SIDE / max(width, height))
        small = rendered(scene, max(1, round(width * share)), max(1, round(height * share)))
        data = encoded(small, "JPEG")
        emit("preview", {"media_type": "image/jpeg", "width": small.width, "height": small.height}, data)
        emit("progress", {"fraction": 0.2, "phase": "scene"})
    if reading.known:
        things.paint(scene)
        backdrop.paint_weather(scene)
    emit("progress", {"fraction": 0.3, "phase": "render"})
    picture = rendered(scene, width, height)
    if task.get("style"):
        picture = styled(picture, task["style"], int(task["threads"]), emit)
    if not reading.known:
        title(picture, task["prompt"])
    emit("progress", {"fraction": 0.8, "phase": "encode"})
    data = encoded(picture, "PNG")
    emit("progress", {"fraction": 1.0, "phase": "encode"})
    fields = {
        "media_type": "image/png",
        "width": width,
        "height": height,
        "seed": seed,
        "trained": bool(task.get("style")),
        "subjects": scene.drawn,
        "unmatched": reading.unmatched,
    }
    emit("picture", fields, data)


def rendered(scene: Scene, width: int, height: int) -> Image.Image:
    """Returns what is painted so far, at a size in pixels. No fonts of the system are looked for."""
    png = resvg_py.svg_to_bytes(svg_string=scene.svg(width, height), skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")


def styled(picture: Image.Image, style: dict[str, Any], threads: int, emit: Emit) -> Image.Image:
    """Returns a picture as local/restyle would paint it."""
    # numpy and onnxruntime take longer to load than a scene takes to draw.
    from celeste_image.engines import restyle

    emit("progress", {"fraction": 0.5, "phase": "style"})
    made = restyle.like_name(picture, int(style["number"]), str(style["folder"]), threads)
    value = {"worked_at": {"width": made.width, "height": made.height}}
    emit("measured", {"path": "style", "value": value})
    return made.resize(picture.size, Image.Resampling.LANCZOS)


def encoded(picture: Image.Image, kind: str) -> bytes:
    """Returns a picture as PNG or JPEG bytes, the same ones each time."""
    out = io.BytesIO()
    if kind == "PNG":
        picture.save(out, "PNG", compress_level=6)
    else:
        picture.save(out, "JPEG", quality=80)
    return out.getvalue()


def title(picture: Image.Image, prompt: str) -> None:
    """Writes the prompt small at the foot, in the Latin font that Pillow has; other scripts go without."""
    text = " ".join(prompt.split())[:60]
    size = picture.width // max(24, len(text))
    if not text or size < 7 or any(ord(letter) > 0xFF for letter in text):
        return
    font = ImageFont.load_default(min(size * 1.5, picture.height / 14))
    draw, place = ImageDraw.Draw(picture), (picture.width / 2, picture.height * 0.94)
    draw.text(place, text, fill=(255, 255, 255), font=font, anchor="mm")
