"""Draws by diffusion, with OpenVINO GenAI: from words, from a picture and words, or under a mask."""

import io
import traceback
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celeste_image.core.edits import Polarity
from celeste_image.core.errors import EngineMemory, InvalidRequest, WeightsMissing
from celeste_image.engines.canvas import Size, flat, png
from celeste_image.engines.mask import weights
from celeste_image.engines.quiet import quiet_openvino
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]

LOADED, DENOISED = 0.05, 0.9
"""Shares of the work by which the model is loaded, and by which all noise is taken away; decoding and PNG follow."""
PREVIEW_SIDE = 512
PREVIEW_BYTES = 200_000
"""Of a preview, which may have 256 KiB: early ones are all noise, which JPEG packs badly."""
MOST_STEPS = 150

PixelArray = NDArray[np.uint8]
Call = Callable[..., Any]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Draws one picture.

    Task: `model_dir`, `prompt`, `negative_prompt`, `seed` (modulo 2**32), `steps`, `guidance` (up to 1 none), `edits`
    (whether the model can), `threads`, `preview_count`, `limits` (of the pictures, as ImageLimits; may be absent), and
    one of `generate` with `width` and `height`; `instruct` with `strength` (above 0, to 1), and the source; `inpaint`
    with `polarity` and `feather` (pixels), the source and its mask. Edits have `multiple_of` and `most_pixels` too, of
    what the network sees: the source is brought to that, and the result to the source's size. Emits "progress" per
    step, at most `preview_count` times "preview", at equal parts of the steps, "warned" for what could not be read, and
    one "picture". Between two steps nothing is to be waited for: who closes the call ends the process.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        InvalidRequest: The mask has another size than the source.
        WeightsMissing: The model, or the extra, is not there or does not load.
        EngineMemory: There is no memory for it.
    """
    emit("progress", {"fraction": 0.0, "phase": "load"})
    limits = ImageLimits(**task.get("limits", {}))
    opened = [open_upright(data, limits) for data in pictures]
    models = load(str(task["model_dir"]), int(task["threads"]), bool(task["edits"]))
    size = (
        (int(task["generate"]["width"]), int(task["generate"]["height"]))
        if "generate" in task
        else within(task, opened)
    )
    steps, seed = int(task["steps"]), int(task["seed"])
    given: dict[str, Any] = {
        "width": size[0],
        "height": size[1],
        "guidance_scale": float(task["guidance"]),
        "rng_seed": seed % (1 << 32),
    }
    if task["negative_prompt"]:
        if given["guidance_scale"] > 1:
            given["negative_prompt"] = task["negative_prompt"]
        else:
            emit("warned", {"path": "negative_prompt", "text": "is not read without guidance: local.guidance above 1"})
    arguments: list[Any] = [str(task["prompt"])]
    kind = next(name for name in ("generate", "instruct", "inpaint") if name in task)
    if opened:
        arguments.append(tensor(seen(opened[0], size)))
        if size != opened[0].size:
            text = f"was drawn anew at {size[0]} x {size[1]} pixels, and brought back to its size"
            emit("warned", {"path": "image", "text": text})
    if kind == "instruct":
        strength = float(task["instruct"]["strength"])
        given["strength"] = strength
        steps = min(MOST_STEPS, max(steps, ceil(1 / strength)))  # of these it takes only the share of `strength`
    elif kind == "inpaint":
        arguments.append(tensor(seen(masked(opened[0], opened[1], task["inpaint"]), size)))
        given["strength"] = 1.0
    progress = Progress(emit, models["generate"].decode, int(task["preview_count"]))
    emit("progress", {"fraction": LOADED, "phase": "denoise"})
    pixels = guarded(models[kind].generate, *arguments, num_inference_steps=steps, callback=progress.step, **given)
    progress.finish()
    made = Image.fromarray(pixels)
    if opened and made.size != opened[0].size:
        made = made.resize(opened[0].size, Image.Resampling.LANCZOS)
    emit("progress", {"fraction": 0.98, "phase": "encode"})
    encoded = png(made)
    emit("progress", {"fraction": 1.0, "phase": "encode"})
    emit("picture", {"media_type": "image/png", "width": made.width, "height": made.height, "seed": seed}, encoded)


class Progress:
    """Tells of each step, and shows what there is at equal parts of them.

    GenAI calls `step` in a thread of its own, which takes what the pipeline put into a queue and goes when that is
    done, so a preview holds up no step, and may be overtaken by all that are left (threaded_callback.hpp, 2026.4.1). An
    exception there would end the process.
    """

    def __init__(self, emit: Emit, decode: Call, preview_count: int) -> None:
        self._emit = emit
        self._decode = decode
        self._parts = [(index + 1) / (preview_count + 1) for index in range(preview_count)]
        self._told = 0
        self._steps = 0

    def step(self, step: int, steps: int, latent: Any) -> bool:
        """Is called after each step, counted from 0; False goes on."""
        self._steps = steps
        share = (step + 1) / steps
        self._tell(step + 1)
        due = [part for part in self._parts if part <= share]
        self._parts = self._parts[len(due) :]
        if due and share < 1:
            try:
                self._show(Image.fromarray(guarded(self._decode, latent)))
            except Exception:
                traceback.print_exc()  # for the log: the picture itself may well be made
        return False

    def finish(self) -> None:
        """Tells of the steps that were done while the last preview was made."""
        for step in range(self._told, self._steps):
            self._tell(step + 1)

    def _tell(self, step: int) -> None:
        self._told = step
        fraction = LOADED + (DENOISED - LOADED) * step / self._steps
        self._emit("progress", {"fraction": fraction, "phase": f"step {step} of {self._steps}"})

    def _show(self, picture: Image.Image) -> None:
        picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        for quality in (80, 50, 20):
            jpeg = io.BytesIO()
            picture.save(jpeg, "JPEG", quality=quality)
            if jpeg.tell() <= PREVIEW_BYTES:
                break
        fields = {"media_type": "image/jpeg", "width": picture.width, "height": picture.height}
        self._emit("preview", fields, jpeg.getvalue())


def within(task: dict[str, Any], opened: Sequence[Image.Image]) -> Size:
    """Returns the size at which a network sees a picture: whole cells, not too many, near the picture's shape."""
    cell, (width, height) = int(task["multiple_of"]), opened[0].size
    shrink = min(1.0, sqrt(int(task["most_pixels"]) / (width * height)))
    cells = [side * shrink / cell for side in (width, height)]
    sides = [max(1, round(count)) * cell for count in cells]
    if sides[0] * sides[1] > int(task["most_pixels"]):
        sides = [max(1, int(count)) * cell for count in cells]
    # A strip that had to become one cell high may still be too long.
    longest = int(task["most_pixels"]) // min(sides) // cell * cell
    return min(sides[0], longest), min(sides[1], longest)


def masked(source: Image.Image, mask: Image.Image, how: dict[str, Any]) -> Image.Image:
    """Returns a mask as the network wants it: white is to be painted."""
    if mask.size != source.size:
        raise InvalidRequest.at("inpaint.mask.image", f"must be as large as the image, {source.size}, is {mask.size}")
    weight = weights(mask, Polarity(how["polarity"]), int(how["feather"]))
    return Image.fromarray(np.rint(weight * 255).astype(np.uint8))


def seen(picture: Image.Image, size: Size) -> Image.Image:
    """Returns a picture as the network sees it: of its size, without alpha."""
    picture = flat(picture).convert("RGB")
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def tensor(picture: Image.Image) -> Any:
    """Returns a picture as a tensor of one picture, rows, columns, colors."""
    import openvino

    return openvino.Tensor(np.asarray(picture)[np.newaxis].copy())


def guarded(call: Call, *arguments: Any, **given: Any) -> PixelArray:
    """Returns the pixels that a call makes: a copy, since the pipeline uses its tensor again.

    Raises:
        EngineMemory: There was no memory for it.
    """
    try:
        return np.array(call(*arguments, **given).data[0])
    except RuntimeError as error:  # the library has this one for all
        if any(word in str(error) for word in ("bad_alloc", "allocate", "std::length_error")):
            raise EngineMemory("No memory for a picture of this size; a smaller one may pass.") from error
        raise


@lru_cache(maxsize=1)
def load(model_dir: str, threads: int, edits: bool) -> dict[str, Any]:
    """Returns what draws, by kind of task; all of it shares one model, which stays loaded.

    Raises:
        WeightsMissing: The model or the extra is not here, or does not load.
    """
    command = f"celeste models pull local/{Path(model_dir).name}"
    quiet_openvino()
    try:
        import openvino_genai
    except ImportError as error:
        install = "pip install 'celeste-image[diffusion]'"
        raise WeightsMissing("the extra is not installed", metadata={"command": install}) from error
    if not (Path(model_dir) / "model_index.json").is_file():
        raise WeightsMissing("the weights are not on this machine", metadata={"command": command})
    try:
        if not edits:
            return {"generate": openvino_genai.Text2ImagePipeline(model_dir, "CPU", INFERENCE_NUM_THREADS=threads)}
        # This one has all parts; one that inpaints, made of one that does not, crashes (2026.4.1).
        inpaint = openvino_genai.InpaintingPipeline(model_dir, "CPU", INFERENCE_NUM_THREADS=threads)
    except RuntimeError as error:
        if "bad_alloc" in str(error) or "allocate" in str(error):
            raise EngineMemory("No memory for this model.") from error
        print(f"{type(error).__name__}: {error}")  # for the log
        raise WeightsMissing("the weights on this machine do not load", metadata={"command": command}) from error
    return {
        "generate": openvino_genai.Text2ImagePipeline(inpaint),
        "instruct": openvino_genai.Image2ImagePipeline(inpaint),
        "inpaint": inpaint,
    }
