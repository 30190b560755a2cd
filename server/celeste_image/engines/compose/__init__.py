"""The engine of `local/compose`: draws the things that a prompt names as vector art over a seeded scene.

Drawing needs neither a neural network nor weights; only an optional style does. The engine draws things for which it
has a drawing, and reports unknown words. The same task gives the same bytes.
"""

import io
from collections.abc import Sequence
from typing import Any

import resvg_py
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from celeste_image.sandbox.engine import Emit

from . import abstract, backdrop, things
from .grammar import read
from .scene import Scene
from .words import not_drawn

__all__ = ["run"]

PREVIEW_SIDE = 256


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Draws one image.

    Emits "warned" about words that are not drawn, "progress", "preview", "measured" with the size that a style's
    network worked at, and one "picture".

    Task:
        prompt: Things to draw.
        negative_prompt: Things to leave out; optional.
        width: Width in pixels, 64 to 2048.
        height: Height in pixels, 64 to 2048.
        seed: Decides everything that the prompt leaves open.
        preview: Whether to emit a small image of the empty scene.
        style: None, or `number` of a style of local/restyle and `folder` of its weights.
        threads: CPU threads of a style's network.

    Raises:
        WeightsMissing: A style is requested, and its weights are absent or do not load.
    """
    width, height, seed = int(task["width"]), int(task["height"]), int(task["seed"])
    emit("progress", {"fraction": 0.0, "phase": "scene"})
    reading = read(task["prompt"], task.get("negative_prompt") or "")
    if text := not_drawn(reading.unmatched, known=reading.known):
        emit("warned", {"path": "prompt", "text": text})
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
    """Returns the scene as painted so far, at a size in pixels. System fonts are ignored."""
    png = resvg_py.svg_to_bytes(svg_string=scene.svg(width, height), skip_system_fonts=True)
    # Image.open, and a save by format, would load the plugins of four other formats first.
    return PngImageFile(io.BytesIO(png)).convert("RGB")


def styled(picture: Image.Image, style: dict[str, Any], threads: int, emit: Emit) -> Image.Image:
    """Returns an image painted in a style of local/restyle."""
    # Imported late: numpy and onnxruntime take longer to load than a scene takes to draw.
    from celeste_image.engines import restyle

    emit("progress", {"fraction": 0.5, "phase": "style"})
    made = restyle.like_name(picture, int(style["number"]), str(style["folder"]), threads)
    value = {"worked_at": {"width": made.width, "height": made.height}}
    emit("measured", {"path": "style", "value": value})
    return made.resize(picture.size, Image.Resampling.LANCZOS)


def encoded(picture: Image.Image, kind: str) -> bytes:
    """Returns an image as PNG or JPEG; the bytes are always the same."""
    out = io.BytesIO()
    out.name = f"image.{kind.lower()}"
    if kind == "PNG":
        picture.save(out, compress_level=6)
    else:
        picture.save(out, quality=80)
    return out.getvalue()


def title(picture: Image.Image, prompt: str) -> None:
    """Writes the prompt at the bottom in Pillow's Latin font, up to 60 characters; skips prompts in other scripts."""
    from PIL import ImageDraw, ImageFont  # only abstract images have a title

    text = " ".join(prompt.split())[:60]
    size = picture.width // max(24, len(text))
    if not text or size < 7 or any(ord(letter) > 0xFF for letter in text):
        return
    font = ImageFont.load_default(min(size * 1.5, picture.height / 14))
    draw, place = ImageDraw.Draw(picture), (picture.width / 2, picture.height * 0.94)
    draw.text(place, text, fill=(255, 255, 255), font=font, anchor="mm")
