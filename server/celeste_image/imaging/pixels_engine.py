"""The engine of `Pixels`: masks, canvases, blurs, measures. Runs in worker processes only.

It needs Pillow alone: a server without local engines has no numpy.
"""

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageChops, ImageFilter, ImageStat

from celeste_image.core.edits import Polarity
from celeste_image.core.media import media_type
from celeste_image.core.recipe import RecipeTexts
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.metadata import CannotWriteMetadata, strip_metadata, write_recipe
from celeste_image.sandbox.engine import Emit

__all__ = ["found_in", "run"]

KEEP, CHANGE = 16, 240
"""A mask's values up to 16 keep a pixel, from 240 on they change it: JPEG has no clean black and white."""
CLEAN = [round(min(1.0, max(0.0, (value - KEEP) / (CHANGE - KEEP))) * 255) for value in range(256)]
STRICT = [0] * 128 + [255] * 128
KEPT = [255] + [0] * 255
CELL = 16
"""Side of the squares, in pixels, whose means are compared: a change moves a mean, noise does not."""
PREVIEW_BYTES = 256 << 10
PREVIEW_SIDE = 512
PNG_LEVEL = 3
BLUR_SIDE, BLUR_RADIUS = 32, 2
"""An image is shrunk to this side, then blurred: a Gaussian of a sixteenth of its longer side."""


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Does the task that `task["do"]` names and emits one `picture` for each result, in order.

    `limits` of a task has the ImageLimits of each image. A result has `media_type`, `width` and `height`. The tasks,
    the images and the fields that each takes:

    * `measure`: an image. The result has no bytes.
    * `shrink`: an image. The result is small enough for a preview; a small image stays as it is.
    * `png`: an image. The result is upright, without metadata.
    * `blur`: an image; `media_type`. The result shows no content.
    * `mask`: a mask; `polarity`, `feather`, `form`. The result has `marks`: whether it marks
      any pixel to change, and `found`: see `found_in`.
    * `pad`: an image; `left`, `right`, `top`, `bottom`, `form`. A second result is the mask of the borders.
    * `crop`: an image; `canvas`, to which it is resized first; `width` and `height` to keep; `media_type`.
    * `metadata`: an image's file; `strip`, whether its metadata is removed; `recipe`, the members of RecipeTexts to
      write, or null. The pixels are not decoded. The result has `strip_error` and `recipe_error`: why each could not
      be done, empty when it was.
    * `lock`: the source, its mask, the image that a model made of both; `polarity`, `feather`, `media_type`, empty
      for a result without bytes. The result has the members of Difference, see `_differences`.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
    """
    if task["do"] == "metadata":
        data, errors = _rewritten(pictures[0], task["strip"], task["recipe"])
        emit("picture", errors, data)
        return
    opened = [open_upright(*each) for each in zip(pictures, map(_limits, task["limits"]), strict=True)]
    match task["do"]:
        case "measure":
            _emit(emit, opened[0], b"", media_type(pictures[0][:16]))
        case "shrink":
            if len(pictures[0]) <= PREVIEW_BYTES:
                _emit(emit, opened[0], pictures[0], media_type(pictures[0][:16]))
            else:
                opened[0].thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), reducing_gap=2.0)
                _emit(emit, opened[0], _encoded(opened[0], "image/jpeg", 80), "image/jpeg")
        case "png":
            _emit_png(emit, opened[0])
        case "blur":
            _emit(emit, opened[0], _encoded(_blurred(opened[0]), task["media_type"]), task["media_type"])
        case "mask":
            gray = _changes(opened[0], task)
            gray = gray.point(STRICT) if task["form"] == "strict" else gray
            values = found_in(opened[0], Polarity(task["polarity"]))
            _emit_png(emit, _formed(gray, task), marks=gray.getbbox() is not None, found=values)
        case "pad":
            for made in _padded(opened[0], task):
                _emit_png(emit, made)
        case "crop":
            whole = _resized(opened[0], tuple(task["canvas"]))
            made = whole.crop((0, 0, int(task["width"]), int(task["height"])))
            _emit(emit, made, _encoded(made, task["media_type"]), task["media_type"])
        case "lock":
            source, mask, answer = opened
            changes, answer, kind = _changes(mask, task), _resized(answer, source.size), task["media_type"]
            found = _differences(source, changes, answer)
            made = _locked(source, changes, answer) if kind else answer
            _emit(emit, made, _encoded(made, kind) if kind else b"", kind, **found)
        case other:
            raise ValueError(f"unknown task {other!r}")


def _limits(values: dict[str, int]) -> ImageLimits:
    return ImageLimits(**values)


def _rewritten(data: bytes, strip: bool, recipe: dict[str, str] | None) -> tuple[bytes, dict[str, str]]:
    errors = {"strip_error": "", "recipe_error": ""}
    try:
        data = strip_metadata(data) if strip else data
    except CannotWriteMetadata as error:
        errors["strip_error"] = str(error)
    try:
        data = write_recipe(data, RecipeTexts(**recipe)) if recipe else data
    except CannotWriteMetadata as error:
        errors["recipe_error"] = str(error)
    return data, errors


def _blurred(picture: Image.Image) -> Image.Image:
    alpha = picture.mode == "RGBA"  # blurred premultiplied: colors of transparent pixels stay hidden
    small = picture.convert("RGBa") if alpha else picture.copy()
    small.thumbnail((BLUR_SIDE, BLUR_SIDE))
    small = small.filter(ImageFilter.GaussianBlur(BLUR_RADIUS))
    return (small.convert("RGBA") if alpha else small).resize(picture.size, Image.Resampling.BICUBIC)


def _changes(mask: Image.Image, task: dict[str, Any]) -> Image.Image:
    """Returns how much of each pixel changes, 0 to 255; it rises over `feather` pixels inward from the mask's edge."""
    polarity, feather = Polarity(task["polarity"]), int(task["feather"])
    alpha = mask.getchannel("A") if mask.mode == "RGBA" else Image.new("L", mask.size, 255)
    gray = alpha if polarity is Polarity.TRANSPARENT else mask.convert("L")
    if polarity is not Polarity.WHITE:
        gray = ImageChops.invert(gray)
    if polarity is not Polarity.TRANSPARENT:  # transparent pixels of a gray mask mark nothing
        gray = ImageChops.multiply(gray, alpha)
    gray = gray.point(CLEAN)
    if feather:
        # Shrink the mask by half a window, then take the mean over the window: it rises evenly from the edge.
        soft = _shrunk(gray, (feather + 1) // 2).filter(ImageFilter.BoxBlur(feather / 2))
        gray = ImageChops.darker(gray, soft)
    return gray


def found_in(mask: Image.Image, polarity: Polarity) -> tuple[int, int]:
    """Returns the lowest and highest value of a mask, 0 to 255; a transparent pixel marks nothing."""
    gray = mask.getchannel("A") if mask.mode == "RGBA" else Image.new("L", mask.size, 255)
    if polarity is Polarity.WHITE:
        gray = ImageChops.multiply(mask.convert("L"), gray)
    elif polarity is Polarity.BLACK:
        gray = ImageChops.lighter(mask.convert("L"), ImageChops.invert(gray))
    low, high = gray.getextrema()
    return int(low), int(high)  # type: ignore[arg-type]


def _shrunk(gray: Image.Image, reach: int) -> Image.Image:
    """Returns the darkest value within `reach` pixels, along rows and columns; the image's border counts as white."""
    for across, down in ((1, 0), (0, 1)):
        done = 0
        while done < reach:
            step = min(2 * done + 1, reach - done)  # windows touch: a wide reach takes few steps
            moved = []
            for sign in (-1, 1):
                other = Image.new("L", gray.size, 255)
                other.paste(gray, (sign * step * across, sign * step * down))
                moved.append(other)
            gray = ImageChops.darker(gray, ImageChops.darker(*moved))
            done += step
    return gray


def _formed(gray: Image.Image, task: dict[str, Any]) -> Image.Image:
    """Returns a mask in the form that a vendor takes."""
    match task["form"]:
        case "white" | "strict":
            return gray
        case "black":
            return ImageChops.invert(gray)
        case "alpha":
            black = Image.new("L", gray.size)
            return Image.merge("RGBA", (black, black, black, ImageChops.invert(gray)))
        case other:
            raise ValueError(f"unknown form {other!r}")


def _padded(source: Image.Image, task: dict[str, Any]) -> tuple[Image.Image, Image.Image]:
    """Returns the image on a canvas with transparent borders, and the mask of the borders."""
    left, top = int(task["left"]), int(task["top"])
    size = (left + source.width + int(task["right"]), top + source.height + int(task["bottom"]))
    canvas = Image.new("RGBA", size)
    canvas.paste(source.convert("RGBA"), (left, top))
    new = Image.new("L", size, 255)
    new.paste(0, (left, top, left + source.width, top + source.height))
    return canvas, _formed(new, task)


def _locked(source: Image.Image, changes: Image.Image, made: Image.Image) -> Image.Image:
    """Returns a model's image with the source's own pixels outside the mask."""
    mode = "RGBA" if "RGBA" in (source.mode, made.mode) else "RGB"
    return Image.composite(made.convert(mode), source.convert(mode), changes)


def _differences(source: Image.Image, changes: Image.Image, made: Image.Image) -> dict[str, float | None]:
    """Returns the differences of a model's image from the source, 0 to 255, on white.

    `outside` and `inside` are mean absolute differences of a channel: outside the mask, and where the mask changes at
    least half of a pixel. None where there is no such pixel. `peak` is the largest difference of two cells' means
    inside the mask.
    """
    before, after = _flat(source).convert("RGB"), _flat(made).convert("RGB")
    apart, hole = ImageChops.difference(before, after), changes.point(STRICT)
    cells = [picture.reduce(CELL) for picture in (before, Image.composite(after, before, hole))]
    return {
        "outside": _mean(apart, changes.point(KEPT)),
        "inside": _mean(apart, hole),
        "peak": max(most for _, most in ImageStat.Stat(ImageChops.difference(*cells)).extrema),
    }


def _mean(apart: Image.Image, where: Image.Image) -> float | None:
    """Returns the mean of all channels over the pixels that are not black in `where`; None when all are black."""
    found = ImageStat.Stat(apart, where)
    return sum(found.mean) / len(found.mean) if found.count[0] else None


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _flat(picture: Image.Image) -> Image.Image:
    """Returns an image on white, without alpha, as JPEG needs it."""
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _encoded(picture: Image.Image, kind: str, jpeg_quality: int = 95) -> bytes:
    out = io.BytesIO()
    match kind:
        case "image/png":
            picture.save(out, "PNG", compress_level=PNG_LEVEL)
        case "image/webp":
            picture.save(out, "WEBP", lossless=True, exact=True)
        case "image/jpeg":
            _flat(picture).save(out, "JPEG", quality=jpeg_quality)
        case other:
            raise ValueError(f"images are not encoded as {other!r}")
    return out.getvalue()


def _emit_png(emit: Emit, picture: Image.Image, **more: Any) -> None:
    _emit(emit, picture, _encoded(picture, "image/png"), "image/png", **more)


def _emit(emit: Emit, picture: Image.Image, data: bytes, kind: str, **more: Any) -> None:
    emit("picture", {"media_type": kind, "width": picture.width, "height": picture.height, **more}, data)
