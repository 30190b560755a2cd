"""Pictures that tests make for themselves, and the one photograph there is."""

import io
import random
import struct
import zlib
from pathlib import Path

from PIL import Image

PHOTO = Path(__file__).parents[2] / "docs" / "images" / "astronaut.jpg"


def encoded(image: Image.Image, form: str = "PNG", **parameters: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **parameters)
    return out.getvalue()


def plain(width: int, height: int, form: str = "PNG", color: str = "teal") -> bytes:
    return encoded(Image.new("RGB", (width, height), color), form)


def mask(width: int, height: int, box: tuple[int, int, int, int]) -> bytes:
    """Returns a PNG that is white, which is "change here", in a box and black elsewhere."""
    image = Image.new("L", (width, height))
    image.paste(255, box)
    return encoded(image)


def noise(width: int, height: int, seed: int = 1) -> bytes:
    """Returns a PNG that hardly compresses."""
    return encoded(Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3)))


def photo(side: int) -> bytes:
    """Returns a PNG of the photograph's face, `side` pixels square."""
    with Image.open(PHOTO) as image:
        return encoded(image.crop((150, 20, 150 + side, 20 + side)).convert("RGB"))


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def bomb(width: int, height: int) -> bytes:
    """Returns a PNG of a few kilobytes that claims, and has, this many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def large_webp(width: int, height: int, red: int = 0) -> bytes:
    """Returns a WebP of 36 bytes that claims, and has, this many pixels of one color; `red` makes it another image."""
    packed = io.BytesIO()
    Image.new("RGB", (64, 64), (red, 0, 255)).save(packed, "WEBP", lossless=True, method=0)
    data = bytearray(packed.getvalue())
    at = data.index(b"VP8L") + 9  # 14 bits of each side less one; a single color has no bits of pixels
    bits = int.from_bytes(data[at : at + 4], "little") >> 28 << 28
    data[at : at + 4] = (bits | (width - 1) | (height - 1) << 14).to_bytes(4, "little")
    return bytes(data)
