"""Paints the fake vendors' images: abstract ones of the requested size, with the prompt written on them.

An edit hatches the pixels that it fills and returns the others a few levels brighter, as a model would. So a mask of
the wrong polarity, a border on the wrong side or a broken pixel lock can be seen and measured.
"""

import colorsys
import io
import random
import textwrap

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

__all__ = ["changed", "cut_out", "encoded", "enlarged", "filled", "generated", "grown", "opened", "replaced"]

DRIFT = 3
"""Levels by which unchanged pixels get brighter."""
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}


def opened(data: bytes) -> Image.Image:
    """Returns an image upright, in RGB or RGBA. Raises OSError for bytes that are not an image."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def encoded(picture: Image.Image, media_type: str = "image/png", quality: int = 75) -> bytes:
    """Returns an encoded image; `quality`, 0 to 100, is that of JPEG and WebP."""
    out = io.BytesIO()
    picture = picture.convert("RGB") if media_type == "image/jpeg" else picture
    picture.save(
        out, FORMATS[media_type], **({"compress_level": 1} if media_type == "image/png" else {"quality": quality})
    )
    return out.getvalue()


def generated(width: int, height: int, title: str, words: str, seed: int) -> Image.Image:
    """Returns an image with a title and words on it; the seed sets its colors."""
    draw_from = random.Random(seed)  # noqa: S311
    one, other = (_color(draw_from) for _ in range(2))
    picture = ImageOps.colorize(Image.linear_gradient("L").resize((width, height)), one, other)
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(6):
        x, y, r = draw_from.random() * width, draw_from.random() * height, draw_from.uniform(0.05, 0.2) * height
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(*_color(draw_from), 120))
    _write(draw, width, height, title, words)
    return picture


def changed(source: Image.Image, title: str, words: str, seed: int) -> Image.Image:
    """Returns the image in other colors, with a title and words on it."""
    picture = ImageOps.colorize(source.convert("L"), "black", "white", mid=_color(random.Random(seed)))  # noqa: S311
    picture = Image.blend(source.convert("RGB"), picture, 0.7)
    _write(ImageDraw.Draw(picture, "RGBA"), *picture.size, title, words)
    return picture


def filled(source: Image.Image, mask: Image.Image, seed: int) -> Image.Image:
    """Returns the image hatched where the mask is white, and slightly brighter elsewhere."""
    base = ImageChops.add(source.convert("RGB"), Image.new("RGB", source.size, (DRIFT,) * 3))
    return Image.composite(_hatched(source.size, seed), base, mask)


def grown(source: Image.Image, left: int, right: int, top: int, bottom: int, seed: int) -> Image.Image:
    """Returns the image with hatched borders, in pixels."""
    picture = _hatched((source.width + left + right, source.height + top + bottom), seed)
    picture.paste(source.convert("RGB"), (left, top))
    return picture


def cut_out(source: Image.Image) -> Image.Image:
    """Returns an ellipse in the middle of the image; the rest is transparent."""
    mask = Image.new("L", source.size)
    ImageDraw.Draw(mask).ellipse((0, 0, source.width - 1, source.height - 1), fill=255)
    picture = source.convert("RGB")
    picture.putalpha(mask)
    return picture


def replaced(source: Image.Image, words: str, seed: int) -> Image.Image:
    """Returns the middle of the image on another background."""
    background = generated(*source.size, "", words, seed)
    subject = cut_out(source)
    background.paste(subject, (0, 0), subject)
    return background


def enlarged(source: Image.Image, factor: float, most_pixels: int = 9_437_184) -> Image.Image:
    """Returns the image enlarged by `factor`, or by less to stay within `most_pixels`."""
    factor = min(factor, (most_pixels / (source.width * source.height)) ** 0.5)
    return source.resize((round(source.width * factor), round(source.height * factor)), Image.Resampling.BICUBIC)


def _color(draw_from: random.Random) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(draw_from.random(), draw_from.uniform(0.4, 0.8), draw_from.uniform(0.5, 0.9))
    return round(red * 255), round(green * 255), round(blue * 255)


def _hatched(size: tuple[int, int], seed: int) -> Image.Image:
    tile = Image.new("RGB", (16, 16), _color(random.Random(seed)))  # noqa: S311
    draw = ImageDraw.Draw(tile)
    for start in (-16, 0):
        draw.line((start, 16, start + 32, -16), fill="white", width=3)
    row = Image.new("RGB", (size[0], 16))
    for x in range(0, size[0], 16):
        row.paste(tile, (x, 0))
    picture = Image.new("RGB", size)
    for y in range(0, size[1], 16):
        picture.paste(row, (0, y))
    return picture


def _write(draw: ImageDraw.ImageDraw, width: int, height: int, title: str, words: str) -> None:
    """Writes title and words on a dark box at the bottom; images under 96 pixels a side get none."""
    if min(width, height) < 96:
        return
    size = max(10, min(width, height) // 28)
    font = ImageFont.load_default(size)
    lines = textwrap.wrap(words, max(10, int(width / size * 1.7)))[:3]
    text = "\n".join(line for line in (title, *lines) if line)
    left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font)
    x, y = size, height - (bottom - top) - size * 2
    draw.rectangle(
        (x - size / 2, y - size / 2, x + right - left + size / 2, y + bottom - top + size), fill=(0, 0, 0, 150)
    )
    draw.multiline_text((x, y), text, font=font, fill="white")
