"""Worker process engine for inference servers: converts images to tensors and tensors to images.

The network runs on the server. The engine requests inferences from the main process, several tiles ahead, and takes
the answers in the same order. A frame "ask" has `shape` and the tensor's raw bytes. A frame "take" is answered by a
frame "made", with `datatype`, `shape` and raw bytes, or by a frame "failed", which ends the task.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageOps

from celeste_image.core.errors import ProviderFailed
from celeste_image.engines.canvas import opaque, png
from celeste_image.engines.tiling import PixelArray, Tiling, upscale
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.providers.kserve.forms import Form
from celeste_image.providers.kserve.tensors import matte_of, pixels_of, scores_of, tensor_of
from celeste_image.sandbox.engine import Dialogue
from celeste_image.sandbox.frames import Frame

__all__ = ["run"]


class Failed(Exception):
    """An inference failed; the main process has the error."""


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Dialogue) -> None:
    """Runs the task that `task["do"]` names. Every task on an image also has its `limits`.

    * `upscale`: Enlarges the image to `width` and `height`, in tiles, by the model's `factor`, with `tile`, `overlap`,
      `in_flight` (tiles ahead), `preview_count`, and the tensor forms `input` and `output`. Emits as
      `engines.tiling.upscale` does.
    * `classify`: Resizes the image to `width` and `height` as `fit` says, in the form `input`. `scores` says what the
      model returns. Emits one "tags" with pairs of class index and score, best first, at most `tags` of them and none
      below `minimum_score`, and with `classes`, the number of scores.
    * `cut`: Resizes the image to `width` and `height`, in the form `input`. `values` says what the model returns. Emits
      one "picture" of the original size with a transparent background.
    * `paint`: Converts a tensor of `datatype`, `shape` and the form `output` to an image. Emits one "picture".

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        ProviderFailed: A tensor does not have its form.
    """
    match task["do"]:
        case "upscale":
            source = open_upright(pictures[0], ImageLimits(**task["limits"]))
            tiling = Tiling(task["factor"], task["tile"], task["overlap"])
            size, network = (task["width"], task["height"]), _Network(task, emit)
            with suppress(Failed):
                upscale(source, size, network, tiling, emit, preview_count=task["preview_count"])
        case "classify":
            source = open_upright(pictures[0], ImageLimits(**task["limits"]))
            with suppress(Failed):
                _classify(task, opaque(source), emit)
        case "cut":
            source = open_upright(pictures[0], ImageLimits(**task["limits"]))
            with suppress(Failed):
                _cut(task, source, emit)
        case "paint":
            output = Form.of(task["output"])
            _emit(emit, Image.fromarray(pixels_of(pictures[0], task["datatype"], task["shape"], output)))
        case other:
            raise ValueError(f"unknown task {other!r}")


def _classify(task: dict[str, Any], picture: Image.Image, emit: Dialogue) -> None:
    size, how = (task["width"], task["height"]), Image.Resampling.BICUBIC
    small = ImageOps.fit(picture, size, how) if task["fit"] == "crop" else picture.resize(size, how)
    answer = _made_of(small, task, emit)
    scores = scores_of(answer.payload, answer.fields["datatype"], answer.fields["shape"], task["scores"])
    best = [int(index) for index in np.argsort(-scores, kind="stable")]
    tags = [[index, round(float(scores[index]), 3)] for index in best if scores[index] >= task["minimum_score"]]
    emit("tags", {"tags": tags[: task["tags"]], "classes": int(scores.size)})


def _cut(task: dict[str, Any], source: Image.Image, emit: Dialogue) -> None:
    small = opaque(source).resize((task["width"], task["height"]), Image.Resampling.BICUBIC)
    answer = _made_of(small, task, emit)
    plane = matte_of(answer.payload, answer.fields["datatype"], answer.fields["shape"], task["values"])
    matte = Image.fromarray(plane).resize(source.size, Image.Resampling.BICUBIC)
    cut = source.convert("RGBA")
    cut.putalpha(ImageChops.multiply(matte, cut.getchannel("A")))  # transparent pixels stay transparent
    _emit(emit, cut)


def _emit(emit: Dialogue, picture: Image.Image) -> None:
    emit("picture", {"media_type": "image/png", "width": picture.width, "height": picture.height}, png(picture))


def _made_of(picture: Image.Image, task: dict[str, Any], emit: Dialogue) -> Frame:
    """Returns the network's answer for a whole image. Raises Failed."""
    shape, data = tensor_of(np.asarray(picture), Form.of(task["input"]))
    emit("ask", {"shape": shape}, data)
    return _taken(emit)


def _taken(emit: Dialogue) -> Frame:
    """Returns the answer to the oldest open request. Raises Failed."""
    answer = emit.take()
    if answer.kind == "failed":
        raise Failed
    return answer


class _Network:
    """A network on the server, as a `Networked` function of `engines.tiling`."""

    def __init__(self, task: dict[str, Any], emit: Dialogue) -> None:
        self._input, self._output = Form.of(task["input"]), Form.of(task["output"])
        self._factor, self._in_flight = task["factor"], task["in_flight"]
        self._emit = emit

    def __call__(self, pieces: Iterable[PixelArray]) -> Iterator[PixelArray]:
        asked: deque[tuple[int, int]] = deque()
        for piece in pieces:
            if len(asked) == self._in_flight:
                yield self._take(*asked.popleft())
            shape, data = tensor_of(piece, self._input)
            self._emit("ask", {"shape": shape}, data)
            asked.append((piece.shape[0], piece.shape[1]))
        while asked:
            yield self._take(*asked.popleft())

    def _take(self, height: int, width: int) -> PixelArray:
        """Returns the result for the oldest requested piece, which has this size. Raises ProviderFailed, Failed."""
        answer = _taken(self._emit)
        made = pixels_of(answer.payload, answer.fields["datatype"], answer.fields["shape"], self._output)
        sent = max(height, self._input.height), max(width, self._input.width)
        if made.shape[:2] != (sent[0] * self._factor, sent[1] * self._factor):
            across, down = made.shape[1], made.shape[0]
            text = f"the model turned a tile of {sent[1]} x {sent[0]} into {across} x {down}"
            raise ProviderFailed(f"{text}: its factor is not {self._factor}")
        return made[: height * self._factor, : width * self._factor]
