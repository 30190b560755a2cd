"""Detects image content: tags, objects, colors, text, and a caption made from them by a template."""

from collections.abc import Sequence
from typing import Any

from celeste_image.engines.canvas import flat
from celeste_image.engines.content import caption, colors, models, texts
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits one "analysis" with the fields of ImageContent, and "progress" after each part.

    Task:
        tags: Whether to detect tags.
        objects: Whether to detect objects.
        texts: Whether to read text.
        left_out: Omitted fields with reasons, copied into the result.
        model_dir: The folder of the weights for tags and objects.
        threads: CPU threads.
        limits: Limits of the image as ImageLimits; optional.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        WeightsMissing: The weights are not in `model_dir` or do not load.
    """
    picture = open_upright(pictures[0], ImageLimits(**task.get("limits", {})))
    threads, folder = int(task.get("threads", 1)), str(task.get("model_dir", ""))
    found: dict[str, Any] = {"colors": colors.find(picture), "tags": [], "objects": [], "texts": []}
    seen = flat(picture).convert("RGB")
    if task.get("tags"):
        found["tags"] = models.tags(seen, folder, threads)
        emit("progress", {"fraction": 0.2, "phase": "tags"})
    if task.get("objects"):
        found["objects"] = models.objects(seen, folder, threads)
        emit("progress", {"fraction": 0.5, "phase": "objects"})
    if task.get("texts"):
        found["texts"] = texts.find(seen, threads)
    sentence = caption.compose(found["tags"], found["objects"])
    found |= {"caption": sentence, "caption_method": "template" if sentence else ""}
    emit("progress", {"fraction": 1.0, "phase": "content"})
    emit("analysis", {"part": "content", "found": found | {"left_out": task.get("left_out", [])}})
