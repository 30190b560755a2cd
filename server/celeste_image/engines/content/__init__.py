"""Finds out what a picture shows: tags, objects, colors, text, and a sentence made of them."""

from collections.abc import Sequence
from typing import Any

from celeste_image.engines.canvas import flat
from celeste_image.engines.content import caption, colors, models, texts
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits `analysis`: the members of ImageContent, what was not looked for left empty.

    Task: `tags` and `objects` and `texts`, whether to look for them, the first two with weights in `model_dir`;
    `left_out`, to be handed on; `threads`; `limits` as ImageLimits. Emits "progress" after each.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        WeightsMissing: `model_dir` has no weights that load.
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
