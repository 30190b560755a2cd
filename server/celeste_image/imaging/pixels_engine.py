"""Pixel work for vendors' requests and answers: masks, canvases, measures. Runs in worker processes only.

Pillow and nothing more, since a server without local engines has no numpy.
"""

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageChops, ImageFilter, ImageStat

from celeste_image.core.edits import Polarity
from celeste_image.core.media import media_type
from celeste_image.imaging.decode import open_upright
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.metadata import CannotLabel, Label, add_label, strip_label
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]

KEEP, CHANGE = 16, 240
"""Values of a mask up to and from which a pixel is wholly kept and changed; JPEG has no clean black and white."""
CLEAN = [round(min(1.0, max(0.0, (value - KEEP) / (CHANGE - KEEP))) * 255) for value in range(256)]
STRICT = [0] * 128 + [255] * 128
KEPT = [255] + [0] * 255
CELL = 16
"""Pixels a side of the squares whose means tell a change from noise, which has none."""
PREVIEW_BYTES = 256 << 10
PREVIEW_SIDE = 512
PNG_LEVEL = 3
BLUR_SIDE, BLUR_RADIUS = 32, 2
"""A picture is made this small, then blurred: a Gaussian of a sixteenth of its longer side."""


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Does the one thing that `task["do"]` names and emits one `picture` for each result, in order.

    A picture comes with its `media_type`, `width` and `height`; what was only measured comes without bytes. Tasks:

    * `measure`: the picture; no bytes.
    * `shrink`: the picture, made small enough for a preview where it is not.
    * `png`: the picture, upright, as PNG without metadata.
    * `blur`: the picture, so blurred that nothing can be made out; `media_type`.
    * `mask`: a mask; `polarity`, `feather`, `form`, `width` and `height` of the picture that it is for.
    * `pad`: the picture; `left`, `right`, `top`, `bottom`, `form` of the mask that is the second result.
    * `crop`: the picture; `canvas`, the size to have first, `width` and `height` to keep of it; `media_type`.
    * `label`: a picture's file; `strip`, whether its metadata goes, `label`, what is written into it, if anything. The
      pixels are not looked at. It comes with `failed`, what could not be done, by the request's option.
    * `lock`: the source, its mask, what a model made of both; `polarity`, `feather`, `media_type`, which is empty for
      no bytes. It comes with how far the model's picture is from the source, see `_differences`.

    Raises:
        NotAnImage: See `open_upright`.
        ImageTooLarge: See `open_upright`.
    """
    if task["do"] == "label":
        data, failed = _labeled(pictures[0], task["strip"], task["label"])
        emit("picture", {"failed": failed}, data)
        return
    opened = [open_upright(data, ImageLimits(**task["limits"])) for data in pictures]
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
            size = (int(task["width"]), int(task["height"]))
            _emit_png(emit, _formed(gray if gray.size == size else gray.resize(size, Image.Resampling.NEAREST), task))
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
            raise ValueError(f"there is no task {other!r}")


def _labeled(data: bytes, strip: bool, label: dict[str, str] | None) -> tuple[bytes, dict[str, str]]:
    failed = {}
    try:
        data = strip_label(data) if strip else data
    except CannotLabel as error:
        failed["output_metadata"] = str(error)
    try:
        data = add_label(data, Label(**label)) if label else data
    except CannotLabel as error:
        failed["embed_recipe"] = str(error)
    return data, failed


def _blurred(picture: Image.Image) -> Image.Image:
    alpha = picture.mode == "RGBA"  # premultiplied while it is blurred, so that unseen colors stay unseen
    small = picture.convert("RGBa") if alpha else picture.copy()
    small.thumbnail((BLUR_SIDE, BLUR_SIDE))
    small = small.filter(ImageFilter.GaussianBlur(BLUR_RADIUS))
    return (small.convert("RGBA") if alpha else small).resize(picture.size, Image.Resampling.BICUBIC)


def _changes(mask: Image.Image, task: dict[str, Any]) -> Image.Image:
    """Returns how much of each pixel changes, 0 to 255, rising over `feather` pixels inwards from a hole's edge."""
    polarity, feather = Polarity(task["polarity"]), int(task["feather"])
    alpha = mask.getchannel("A") if mask.mode == "RGBA" else Image.new("L", mask.size, 255)
    gray = alpha if polarity is Polarity.TRANSPARENT else mask.convert("L")
    if polarity is not Polarity.WHITE:
        gray = ImageChops.invert(gray)
    if polarity is not Polarity.TRANSPARENT:  # what is not seen marks nothing, whatever color it has
        gray = ImageChops.multiply(gray, alpha)
    gray = gray.point(CLEAN)
    if feather:
        # The mean over a window of the hole, shrunk by half of it, rises evenly from the hole's edge.
        soft = _shrunk(gray, (feather + 1) // 2).filter(ImageFilter.BoxBlur(feather / 2))
        gray = ImageChops.darker(gray, soft)
    return gray


def _shrunk(gray: Image.Image, reach: int) -> Image.Image:
    """Returns the darkest value within `reach` pixels of each, along rows and columns; the border is no edge."""
    for across, down in ((1, 0), (0, 1)):
        done = 0
        while done < reach:
            step = min(2 * done + 1, reach - done)  # windows that touch: few steps for a wide reach
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
        case "white":
            return gray
        case "black":
            return ImageChops.invert(gray)
        case "strict":
            return gray.point(STRICT)
        case "alpha":
            black = Image.new("L", gray.size)
            return Image.merge("RGBA", (black, black, black, ImageChops.invert(gray)))
        case other:
            raise ValueError(f"there is no form {other!r}")


def _padded(source: Image.Image, task: dict[str, Any]) -> tuple[Image.Image, Image.Image]:
    """Returns the picture on a canvas that is transparent around it, and the mask of what is new."""
    left, top = int(task["left"]), int(task["top"])
    size = (left + source.width + int(task["right"]), top + source.height + int(task["bottom"]))
    canvas = Image.new("RGBA", size)
    canvas.paste(source.convert("RGBA"), (left, top))
    new = Image.new("L", size, 255)
    new.paste(0, (left, top, left + source.width, top + source.height))
    return canvas, _formed(new, task)


def _locked(source: Image.Image, changes: Image.Image, made: Image.Image) -> Image.Image:
    """Returns what a model made with the source's own pixels where nothing was to change."""
    mode = "RGBA" if "RGBA" in (source.mode, made.mode) else "RGB"
    return Image.composite(made.convert(mode), source.convert(mode), changes)


def _differences(source: Image.Image, changes: Image.Image, made: Image.Image) -> dict[str, float | None]:
    """Returns how far what a model made is from the source, 0 to 255, as seen on white.

    `outside` and `inside` are mean absolute differences of a channel, where nothing was to change and where at least
    half was; None where there is no such pixel. `peak` is the largest difference inside between means of cells.
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
    """Returns the mean of all channels over the pixels that are not black in `where`, None when all are."""
    found = ImageStat.Stat(apart, where)
    return sum(found.mean) / len(found.mean) if found.count[0] else None


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _flat(picture: Image.Image) -> Image.Image:
    """Returns a picture without alpha, on white, as JPEG wants it."""
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
            raise ValueError(f"pictures are not encoded as {other!r}")
    return out.getvalue()


def _emit_png(emit: Emit, picture: Image.Image) -> None:
    _emit(emit, picture, _encoded(picture, "image/png"), "image/png")


def _emit(emit: Emit, picture: Image.Image, data: bytes, kind: str, **more: Any) -> None:
    emit("picture", {"media_type": kind, "width": picture.width, "height": picture.height, **more}, data)
