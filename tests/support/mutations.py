"""Images as vendors send them, mutated as networks, encoders and attackers would, and the judge of the inspector.

The test (`tests/imaging/test_inspector.py`) and the trial (`bench/inspector.py`) share them.
"""

import io
import random
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from PIL import AvifImagePlugin, Image, PngImagePlugin
from tests.support.color_profiles import adobe_rgb
from tests.support.pictures import PHOTO, encoded

from celeste_image.core.errors import ImageTooLarge
from celeste_image.core.media import media_type
from celeste_image.imaging.decode import DAMAGED, FORMATS, orientation_of
from celeste_image.imaging.inspector import Inspected, inspect
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.parts import Part, parts_of

LIMITS = ImageLimits(max_pixels=4_000_000)
"""Of all mutants: a mutated size should not cost a gigabyte."""
PIXELS = (b"IDAT", b"\xda", b"VP8 ", b"VP8L", b"ALPH", b"mdat")
"""Parts that hold encoded pixels."""
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def in_small_chunks(png: bytes, size: int) -> bytes:
    """Returns a PNG whose pixels are in many chunks, as libpng writes them."""
    pixels = pixels_of(png)
    pieces = [chunk(b"IDAT", pixels[at : at + size]) for at in range(0, len(pixels), size)]
    start = png.index(b"IDAT") - 4
    return png[:start] + b"".join(pieces) + chunk(b"IEND", b"")


def photograph(width: int, height: int) -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.convert("RGB").crop((100, 0, 412, 312)).resize((width, height))


@cache
def sources(width: int = 72, height: int = 56) -> dict[str, bytes]:
    """Returns images in the forms that vendors send, each sound and upright, by what it is."""
    photo = photograph(width, height)
    see_through = photo.copy()
    see_through.putalpha(Image.linear_gradient("L").resize(photo.size))
    upright, gray = Image.Exif(), photo.convert("L")
    upright[0x0112], upright[0x010F] = 1, "a maker"
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a red fox, steps 20")
    texts.add_text("note", "packed", zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP)
    texts.add(b"caBX", b"jumb" * 500)  # content credentials
    few = photo.quantize(16)
    return {
        "png": encoded(photo),
        "png with alpha": encoded(see_through),
        "gray png": encoded(gray),
        "gray png with alpha": encoded(see_through.convert("LA")),
        "png with a palette": encoded(few),
        "png with a palette and a clear color": encoded(few, transparency=3),
        "png of 1 bit": encoded(photo.convert("1")),
        "png of 16 bits": encoded(gray.convert("I").convert("I;16")),
        "png with texts": encoded(photo, pnginfo=texts),
        "png with exif and a profile": encoded(photo, exif=upright, icc_profile=adobe_rgb()),
        "png in small chunks": in_small_chunks(encoded(photo), 1000),
        "jpeg": encoded(photo, "JPEG", quality=80),
        "fine jpeg": encoded(photo, "JPEG", quality=97, subsampling=0, optimize=True),
        "progressive jpeg": encoded(photo, "JPEG", quality=85, progressive=True),
        "gray jpeg": encoded(gray, "JPEG"),
        "cmyk jpeg": encoded(photo.convert("CMYK"), "JPEG"),
        "jpeg with restarts": encoded(photo, "JPEG", restart_marker_blocks=4),
        "jpeg with metadata": encoded(
            photo, "JPEG", exif=upright, icc_profile=adobe_rgb(), comment=b"made by a model", xmp=XMP
        ),
        "webp": encoded(photo, "WEBP", quality=80),
        "lossless webp": encoded(photo, "WEBP", lossless=True),
        "webp with alpha": encoded(see_through, "WEBP", quality=80),
        "lossless webp with alpha": encoded(see_through, "WEBP", lossless=True),
        "webp with metadata": encoded(photo, "WEBP", exif=upright, icc_profile=adobe_rgb(), xmp=XMP),
        "avif": encoded(photo, "AVIF", speed=10),
        "avif with alpha": encoded(see_through, "AVIF", speed=10),
        "avif with a profile": encoded(photo, "AVIF", speed=10, icc_profile=adobe_rgb()),
    }


# Mutations


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _lose_the_end(data: bytes, draw: random.Random) -> bytes:
    return data[: -draw.randint(1, 64)]


def _lose_a_piece(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + data[at + draw.randint(1, 400) :]


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _flip_a_header(data: bytes, draw: random.Random) -> bytes:
    """Flips a bit outside of the pixels, where a random place seldom is."""
    places = [place for part in parts_of(data) if part.kind not in PIXELS for place in (part.start, part.end)]
    changed = bytearray(data)
    for _ in range(draw.randint(1, 2)):
        pair = draw.randrange(len(places) // 2) * 2 if places else 0
        start, end = places[pair : pair + 2] if places else (0, len(data))
        changed[draw.randrange(start, max(start + 1, end)) % len(changed)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, draw: random.Random) -> bytes:
    at, size = draw.randrange(len(data)), draw.randint(1, 64)
    new = draw.choice([bytes(size), b"\xff" * size, draw.randbytes(size), b"\xff\x00" * (size // 2 + 1)])
    return (data[:at] + new + data[at + len(new) :])[: len(data)]


def _insert(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + draw.randbytes(draw.randint(1, 64)) + data[at:]


def _append(data: bytes, draw: random.Random) -> bytes:
    return data + draw.choice([b"\n", bytes(8), draw.randbytes(draw.randint(1, 300)), data])


def _pieces(data: bytes) -> list[bytes]:
    """Returns a file as the bytes before its parts, its parts, and the bytes behind them."""
    parts = list(parts_of(data))
    if not parts:
        return [data]
    return [data[: parts[0].start], *(data[part.start : part.end] for part in parts), data[parts[-1].end :]]


def _swap(data: bytes, draw: random.Random) -> bytes:
    pieces = _pieces(data)
    first, second = draw.randrange(len(pieces)), draw.randrange(len(pieces))
    pieces[first], pieces[second] = pieces[second], pieces[first]
    return b"".join(pieces)


def _drop(data: bytes, draw: random.Random) -> bytes:
    pieces = _pieces(data)
    pieces.pop(draw.randrange(len(pieces)))
    return b"".join(pieces)


def _double(data: bytes, draw: random.Random) -> bytes:
    pieces = _pieces(data)
    at = draw.randrange(len(pieces))
    return b"".join([*pieces[: at + 1], *pieces[at:]])


def _splice(data: bytes, draw: random.Random) -> bytes:
    """Puts a part of another file of the same format in the place of one."""
    kind = media_type(data[:16])
    others = [each for each in sources().values() if media_type(each[:16]) == kind]
    if not others:
        return data
    pieces, new = _pieces(data), _pieces(draw.choice(others))
    pieces[draw.randrange(len(pieces))] = draw.choice(new)
    return b"".join(pieces)


def _shorten_the_pixels(data: bytes, draw: random.Random) -> bytes:
    """Removes encoded pixels, and mends the length of the part."""
    parts = [part for part in parts_of(data) if part.kind in PIXELS and part.stop - part.body > 40]
    if not parts:
        return _cut(data, draw)
    part = draw.choice(parts)
    at = draw.randrange(part.body + 20, part.stop)
    kept = data[part.body : at] + (b"" if draw.random() < 0.5 else data[at + draw.randint(1, 200) : part.stop])
    return data[: part.start] + _part(data, part, kept) + data[part.end :]


def _part(data: bytes, part: Part, body: bytes) -> bytes:
    """Returns a part with another content."""
    match media_type(data[:16]):
        case "image/png":
            return chunk(part.kind, body)
        case "image/webp":
            return part.kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
        case "image/avif":
            return struct.pack(">I", len(body) + 8) + part.kind + body
    return data[part.start : part.body] + body


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    function.__name__.strip("_").replace("_", " "): function
    for function in (
        *(_cut, _lose_the_end, _lose_a_piece, _flip, _flip_a_header, _overwrite, _insert, _append),
        *(_swap, _drop, _double, _splice, _shorten_the_pixels),
    )
}


def mended(data: bytes) -> bytes:
    """Returns a file with right checksums and total length, as an attacker or another encoder would write it."""
    match media_type(data[:16]):
        case "image/png":
            changed = bytearray(data)
            for part in parts_of(data):
                changed[part.stop : part.end] = struct.pack(">I", zlib.crc32(data[part.start + 4 : part.stop]))
            return bytes(changed)
        case "image/webp":
            return data[:4] + struct.pack("<I", max(0, len(data) - 8)) + data[8:]
    return data


@dataclass(frozen=True)
class Mutant:
    """A mutated image.

    Attributes:
        source: What it was, a key of `sources`.
        mutation: What happened to it.
        data: The file.
    """

    source: str
    mutation: str
    data: bytes


def mutants(seed: int, images: dict[str, bytes]) -> Iterator[Mutant]:
    """Yields mutants of some images without end, the same ones for the same seed."""
    draw, names = random.Random(seed), list(images)
    while True:
        source, mutations = draw.choice(names), list[str]()
        data = images[source]
        for _ in range(1 if draw.random() < 0.8 else 2):
            name = draw.choice(list(MUTATIONS))
            data = MUTATIONS[name](data, draw) or data[:1] or b"\x00"
            mutations.append(name)
        if draw.random() < 0.4:
            data = mended(data)
            mutations.append("mended")
        yield Mutant(source, ", ".join(mutations), data)


# The judge

READ, CUT_SHORT, BROKEN, LARGE = "read", "cut short", "broken", "beyond a limit"


@dataclass(frozen=True)
class Loaded:
    """What Pillow's `load()` says of a file.

    Attributes:
        outcome: READ, CUT_SHORT, BROKEN or LARGE.
        size: Of the upright image; zeros if it was not read.
        words: Pillow's words if it was not read.
    """

    outcome: str
    size: tuple[int, int] = (0, 0)
    words: str = ""


@contextmanager
def _within_limits() -> Iterator[None]:
    """Has Pillow refuse large images, and decode with one thread."""
    before = Image.MAX_IMAGE_PIXELS, AvifImagePlugin.DEFAULT_MAX_THREADS
    Image.MAX_IMAGE_PIXELS, AvifImagePlugin.DEFAULT_MAX_THREADS = LIMITS.max_pixels, 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, AvifImagePlugin.DEFAULT_MAX_THREADS = before


def load(data: bytes) -> Loaded:
    """Returns what Pillow says of a file."""
    try:
        with _within_limits():
            image = Image.open(io.BytesIO(data), formats=[form for form in FORMATS.values() if form])
            image.load()
            if image.mode == "P" and not image.palette:  # Pillow does not mind; the road refuses it
                return Loaded(BROKEN, words="has no palette")
            LIMITS.check_size(*image.size)
            return Loaded(READ, _upright(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, ImageTooLarge) as error:
        return Loaded(LARGE, words=str(error))
    except DAMAGED as error:
        words = str(error)
        return Loaded(CUT_SHORT if "truncated" in words.lower() else BROKEN, words=words)


def _upright(image: Image.Image) -> tuple[int, int]:
    """Returns the size that a viewer shows."""
    try:
        turned = orientation_of(image) >= 5
    except DAMAGED:  # broken EXIF counts as absent
        turned = False
    width, height = image.size
    return (height, width) if turned else (width, height)


def pixels_of(data: bytes) -> bytes:
    """Returns the encoded pixels of a file."""
    return b"".join(data[part.body : part.stop] for part in parts_of(data) if part.kind in PIXELS)


def claim_of(data: bytes) -> tuple[object, ...]:
    """Returns what a file says about its pixels: size and depth, and in a PNG all of the header."""
    found = inspect(data, LIMITS)
    return found.width, found.height, found.depth, data[8:33] if found.media_type == "image/png" else b""


class Judge:
    """Holds the inspector's word against Pillow's.

    Args:
        images: The sources of the mutants.
    """

    def __init__(self, images: dict[str, bytes]) -> None:
        self._claims: dict[bytes, set[tuple[object, ...]]] = {}
        for data in images.values():
            self._claims.setdefault(pixels_of(data), set()).add(claim_of(data))

    def verdict(self, data: bytes, found: Inspected, loaded: Loaded) -> tuple[bool, str]:
        """Returns whether the inspector may say so, and by which rule."""
        if found.doubt:
            return True, "doubted: a decoder has the last word"
        if loaded.outcome == READ:
            if loaded.size == (found.width, found.height):
                return True, "whole: read with the same size"
            return False, f"whole: read with another size, {loaded.size}"
        claims = self._claims.get(pixels_of(data))
        if claims is None:
            return True, "whole, but the encoded pixels are damaged: they are not read"
        if claim_of(data) not in claims:
            return True, "whole, but its header claims another size or depth than its pixels have: they are not read"
        return False, f"whole: not read ({loaded.words}), and its pixels are sound"
