"""Detects image content: tags, objects, colors, text, and a caption made from them by a template."""

import traceback
from collections.abc import Callable, Sequence
from typing import Any

from celeste_image.core.errors import CelesteError
from celeste_image.engines.canvas import flat
from celeste_image.engines.content import caption, colors, models, texts
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit
from celeste_image.sandbox.memory import ran_out_of_memory

__all__ = ["run"]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits one "analysis" with the fields of ImageContent, and "progress" after each part.

    A part that can't be found, or only in part, is in `left_out` with the reason, and in a "warned".

    Task:
        tags: Whether to detect tags.
        objects: Whether to detect objects.
        texts: Whether to read text.
        left_out: Omitted fields with reasons, copied into the result.
        path: Path of the request's field that warnings are about; optional.
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
    found: dict[str, Any] = {"colors": [], "tags": [], "objects": [], "texts": []}
    left_out: list[dict[str, str]] = list(task.get("left_out", []))
    seen = flat(picture).convert("RGB")

    def leave_out(name: str, message: str) -> None:
        left_out.append({"field": name, "message": message})
        emit("warned", {"path": task.get("path", "kinds"), "text": f"{name} are omitted: {message}"})

    def read_text() -> list[dict[str, Any]]:
        lines, unread = texts.find(seen, threads)
        if unread:
            left_out.append({"field": "texts", "message": unread})
            emit("warned", {"path": task.get("path", "kinds"), "text": f"texts are incomplete: {unread}"})
        return lines

    finders: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "colors": lambda: colors.find(picture),
        "tags": lambda: models.tags(seen, folder, threads),
        "objects": lambda: models.objects(seen, folder, threads),
        "texts": read_text,
    }
    for number, (name, find) in enumerate(finders.items(), 1):
        if name == "colors" or task.get(name):
            try:
                found[name] = find()
            except CelesteError:
                raise
            except Exception as error:  # one finder's failure leaves the others
                out = ran_out_of_memory(error)
                if not out:
                    traceback.print_exc()
                leave_out(name, "they do not fit in memory" if out else "their finder failed; see the log")
            emit("progress", {"fraction": number / len(finders), "phase": name})
    sentence = caption.compose(found["tags"], found["objects"])
    found |= {"caption": sentence, "caption_method": "template" if sentence else ""}
    emit("analysis", {"part": "content", "found": found | {"left_out": left_out}})
