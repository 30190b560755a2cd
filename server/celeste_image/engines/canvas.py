"""Shared by engines: a canvas that is filled piece by piece with progress and previews, and image helpers."""

import io
from itertools import pairwise
from math import ceil, floor

from PIL import Image, ImageFilter

from celeste_image.sandbox.engine import Emit

__all__ = ["Box", "Canvas", "Place", "Size", "cuts", "flat", "opaque", "png", "resampled", "scaled"]

Size = tuple[int, int]
"""Width and height in pixels."""
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are exclusive."""
Place = tuple[float, float, float, float]
"""A box with fractional edges, which may lie within pixels."""

LANCZOS = Image.Resampling.LANCZOS
PREVIEW_SIDE = 512
PNG_LEVEL = 3  # 2048x2048 photo: level 1 0.23 CPU s, 3.8 MB; 3 0.30, 3.6; 6 0.85, 3.2 (2026-11-22)


class Canvas:
    """The image being made, in the mode of its source.

    An engine adds pieces with `place` and reports finished work with `advance`. `work` is the total, in a unit that the
    engine chooses. Progress is the share of work done. Previews come at equal parts of the work: two previews come
    at a third and at two thirds. Large pieces may skip some previews. Areas without a piece show the enlarged source.
    """

    def __init__(self, source: Image.Image, size: Size, emit: Emit, *, work: int, preview_count: int) -> None:
        self._picture = Image.new(source.mode, size)
        self._emit = emit
        self._work = work
        self._done = 0
        self._preview_at = [(index + 1) / (preview_count + 1) for index in range(preview_count)]
        self._sketch: Image.Image | None = None
        if preview_count:
            shrink = min(1.0, PREVIEW_SIDE / max(size))
            small = (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink)))
            self._sketch = flat(source.resize(small, Image.Resampling.BICUBIC, reducing_gap=2.0))

    def place(self, piece: Image.Image, box: Box) -> None:
        """Pastes a piece into the image; its size must be that of `box`."""
        self._picture.paste(piece, box)
        if self._sketch:
            left, top, right, bottom = map(round, scaled(box, self._picture.size, self._sketch.size))
            if right > left and bottom > top:
                size = right - left, bottom - top
                small = piece.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
                self._sketch.paste(flat(small), (left, top))

    def advance(self, work: int) -> None:
        """Adds to the work done and emits "progress", and "preview" when one is due before the end."""
        self._done += work
        fraction = self._done / self._work
        self._emit("progress", {"fraction": fraction, "phase": "upscale"})
        due = [at for at in self._preview_at if at <= fraction]
        self._preview_at = self._preview_at[len(due) :]
        if self._sketch and due and fraction < 1:
            jpeg = io.BytesIO()
            self._sketch.save(jpeg, "JPEG", quality=80)
            width, height = self._sketch.size
            fields = {"media_type": "image/jpeg", "width": width, "height": height}
            self._emit("preview", fields, jpeg.getvalue())

    def finish(self, *, passes: int) -> None:
        """Emits the image as PNG; `passes` is the number of network passes."""
        width, height = self._picture.size
        fields = {"media_type": "image/png", "width": width, "height": height, "passes": passes}
        self._emit("picture", fields, png(self._picture))


def png(picture: Image.Image) -> bytes:
    """Returns an image as PNG bytes without metadata."""
    encoded = io.BytesIO()
    picture.save(encoded, "PNG", compress_level=PNG_LEVEL)
    return encoded.getvalue()


def cuts(size: Size, columns: int, rows: int) -> list[Box]:
    """Returns boxes of nearly equal size that cover an image, row by row from the top left."""
    width, height = size
    across = [round(width * column / columns) for column in range(columns + 1)]
    down = [round(height * row / rows) for row in range(rows + 1)]
    return [
        (left, top, right, bottom)
        for top, bottom in pairwise(down)
        for left, right in pairwise(across)
        if right > left and bottom > top
    ]


def scaled(box: Box, size: Size, other: Size) -> Place:
    """Returns the place, unrounded, of a box when its image is scaled from `size` to `other`."""
    # Multiply first: an integer factor then gives integers, and no pixel is resampled.
    left, top, right, bottom = box
    return (
        left * other[0] / size[0],
        top * other[1] / size[1],
        right * other[0] / size[0],
        bottom * other[1] / size[1],
    )


def resampled(picture: Image.Image, place: Place, size: Size) -> Image.Image:
    """Returns one place of an image, resampled by Lanczos to `size`. Adjacent places join without a seam.

    Rows and columns are resampled in two calls. In one call, Pillow picks their order by the shape of the place. It
    also clips values in between, so a piece would differ from its neighbor.
    """
    left, top, right, bottom = place
    width, height = size
    reach = ceil(3 * max(1, (right - left) / width))  # the radius of the Lanczos filter in source pixels
    start, end = max(0, floor(left) - reach), min(picture.width, ceil(right) + reach)
    rows = picture.resize((end - start, height), LANCZOS, box=(start, top, end, bottom))
    return rows.resize((width, height), LANCZOS, box=(left - start, 0, right - start, height))


def opaque(source: Image.Image) -> Image.Image:
    """Returns an image's colors in RGB; transparent pixels near visible ones take a similar color.

    A network ignores alpha, and would draw the color edge at the border of a transparent area into the visible part.
    """
    if source.mode != "RGBA":
        return source.convert("RGB")
    around = source.convert("RGBa").filter(ImageFilter.BoxBlur(4)).convert("RGBA")
    seen = source.getchannel("A").point([0] + [255] * 255)
    return Image.composite(source, around, seen).convert("RGB")


def flat(picture: Image.Image) -> Image.Image:
    """Returns an image on a white background, without alpha, as JPEG requires."""
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
