"""Runs diffusion models with OpenVINO GenAI: text to image, image to image, and inpainting."""

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

from celeste_image.core.edits import Polarity, nothing_marked
from celeste_image.core.errors import EngineMemory, InvalidRequest, WeightsMissing
from celeste_image.engines.canvas import Size, flat, png
from celeste_image.engines.mask import weights
from celeste_image.engines.quiet import quiet_openvino
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.pixels_engine import found_in
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]

LOADED, DENOISED = 0.05, 0.9
"""Progress after loading the model, and after the last denoising step; decoding and PNG encoding follow."""
PREVIEW_SIDE = 512
PREVIEW_BYTES = 200_000
"""Target size of a preview in bytes, below the limit of 256 KiB: early previews are noise, which JPEG compresses
badly."""
MOST_STEPS = 150

PixelArray = NDArray[np.uint8]
Call = Callable[..., Any]


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Makes one image.

    Emits "progress" per step, up to `preview_count` times "preview" at equal parts of the steps, "warned" about ignored
    fields, and one "picture". An edit resizes the source for the network, and the result back to the source's size.
    Closing the call ends this process, so the engine does not check for cancellation.

    Task:
        generate: `width` and `height` in pixels. A task has exactly one of generate, instruct and inpaint.
        instruct: `strength`, above 0 and up to 1; the image is the source.
        inpaint: `polarity`, and `feather` in pixels; the images are the source and its mask.
        model_dir: The folder of the model.
        prompt: What to show.
        negative_prompt: What not to show, or empty.
        seed: Used modulo 2**32.
        steps: Denoising steps.
        guidance: At 1 or less, guidance is off.
        edits: Whether the model supports edits.
        multiple_of: For edits: the network's sides are multiples of this.
        most_pixels: For edits: maximum pixels of the network's input.
        threads: CPU threads.
        preview_count: Maximum number of previews.
        limits: Limits of the images as ImageLimits; optional.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
        InvalidRequest: The mask differs in size from the source.
        WeightsMissing: The model or the extra is absent, or the model does not load.
        EngineMemory: The model or the image does not fit in memory.
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
            text = "is ignored at this guidance; to use it, set local.guidance above 1"
            emit("warned", {"path": "negative_prompt", "text": text})
    arguments: list[Any] = [str(task["prompt"])]
    kind = next(name for name in ("generate", "instruct", "inpaint") if name in task)
    if opened:
        arguments.append(tensor(seen(opened[0], size)))
        if size != opened[0].size:
            text = f"was edited at {size[0]} x {size[1]} pixels and resized back"
            emit("warned", {"path": "image", "text": text})
    if kind == "instruct":
        strength = float(task["instruct"]["strength"])
        given["strength"] = strength
        steps = min(MOST_STEPS, max(steps, ceil(1 / strength)))  # GenAI runs only the share `strength` of these
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
    """Emits progress per step and previews at equal parts of the steps.

    GenAI calls `step` in a separate thread, which reads from the pipeline's queue and ends with the pipeline. So a
    preview delays no step, and all remaining steps may finish before it (threaded_callback.hpp, 2026.4.1). An exception
    in that thread would end the process.
    """

    def __init__(self, emit: Emit, decode: Call, preview_count: int) -> None:
        self._emit = emit
        self._decode = decode
        self._parts = [(index + 1) / (preview_count + 1) for index in range(preview_count)]
        self._told = 0
        self._steps = 0

    def step(self, step: int, steps: int, latent: Any) -> bool:
        """Reports a finished step, counted from 0. Returns False, which tells GenAI to continue."""
        self._steps = steps
        share = (step + 1) / steps
        self._tell(step + 1)
        due = [part for part in self._parts if part <= share]
        self._parts = self._parts[len(due) :]
        if due and share < 1:
            try:
                self._show(Image.fromarray(guarded(self._decode, latent)))
            except Exception:
                traceback.print_exc()  # a failed preview is logged only: the image itself may still succeed
        return False

    def finish(self) -> None:
        """Emits progress for the steps that finished while the last preview was made."""
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
    """Returns the size at which the network edits an image, near the shape of the image.

    Sides are multiples of the task's `multiple_of`, with at most `most_pixels` in all.
    """
    cell, (width, height) = int(task["multiple_of"]), opened[0].size
    shrink = min(1.0, sqrt(int(task["most_pixels"]) / (width * height)))
    cells = [side * shrink / cell for side in (width, height)]
    sides = [max(1, round(count)) * cell for count in cells]
    if sides[0] * sides[1] > int(task["most_pixels"]):
        sides = [max(1, int(count)) * cell for count in cells]
    # A strip that was raised to one cell may still be too long.
    longest = int(task["most_pixels"]) // min(sides) // cell * cell
    return min(sides[0], longest), min(sides[1], longest)


def masked(source: Image.Image, mask: Image.Image, how: dict[str, Any]) -> Image.Image:
    """Returns a mask in the network's form: white marks the area to paint.

    Raises:
        InvalidRequest: The mask differs in size from the source, or marks nothing.
    """
    if mask.size != source.size:
        sizes = "{} x {} pixels; it is {} x {}".format(*source.size, *mask.size)
        raise InvalidRequest.at("inpaint.mask.image", f"must be as large as the image: {sizes}")
    polarity, feather = Polarity(how["polarity"]), int(how["feather"])
    weight = weights(mask, polarity, feather)
    if not weight.any():
        raise InvalidRequest.at("inpaint.mask.image", nothing_marked(polarity, feather, found_in(mask, polarity)))
    return Image.fromarray(np.rint(weight * 255).astype(np.uint8))


def seen(picture: Image.Image, size: Size) -> Image.Image:
    """Returns an image as the network's input: at the network's size, in RGB on white."""
    picture = flat(picture).convert("RGB")
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def tensor(picture: Image.Image) -> Any:
    """Returns an image as an OpenVINO tensor of shape (1, height, width, 3)."""
    import openvino

    return openvino.Tensor(np.asarray(picture)[np.newaxis].copy())


def guarded(call: Call, *arguments: Any, **given: Any) -> PixelArray:
    """Returns a copy of the pixels that a call makes; the pipeline reuses its tensor.

    Raises:
        EngineMemory: Memory ran out.
    """
    try:
        return np.array(call(*arguments, **given).data[0])
    except RuntimeError as error:  # the library raises RuntimeError for every failure
        if any(word in str(error) for word in ("bad_alloc", "allocate", "std::length_error")):
            raise EngineMemory("An image of this size does not fit in memory; try a smaller size.") from error
        raise


@lru_cache(maxsize=1)
def load(model_dir: str, threads: int, edits: bool) -> dict[str, Any]:
    """Returns the pipelines by kind of task. They share one model, which stays loaded.

    Raises:
        WeightsMissing: The model or the extra is absent, or the model does not load.
        EngineMemory: The model does not fit in memory.
    """
    command = f"celeste models pull local/{Path(model_dir).name}"
    quiet_openvino()
    try:
        import openvino_genai
    except ImportError as error:
        raise WeightsMissing("the extra `diffusion` is not installed", metadata={"command": command}) from error
    if not (Path(model_dir) / "model_index.json").is_file():
        raise WeightsMissing("the weights are not on this machine", metadata={"command": command})
    try:
        if not edits:
            return {"generate": openvino_genai.Text2ImagePipeline(model_dir, "CPU", INFERENCE_NUM_THREADS=threads)}
        # Load the inpainting pipeline, which has all parts: making one from another pipeline crashes (2026.4.1).
        inpaint = openvino_genai.InpaintingPipeline(model_dir, "CPU", INFERENCE_NUM_THREADS=threads)
    except RuntimeError as error:
        if "bad_alloc" in str(error) or "allocate" in str(error):
            raise EngineMemory("This model does not fit in memory.") from error
        print(f"{type(error).__name__}: {error}")  # the server logs an engine's output
        raise WeightsMissing("the weights on this machine do not load", metadata={"command": command}) from error
    return {
        "generate": openvino_genai.Text2ImagePipeline(inpaint),
        "instruct": openvino_genai.Image2ImagePipeline(inpaint),
        "inpaint": inpaint,
    }
