"""Every kind of odd, bad and malicious image that a gateway receives, and the outcome that each must have.

The test through a real server (`tests/rpc/test_guard_table.py`) and the benchmark of the cost of each kind
(`bench/corpus.py`) share this table.
"""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image
from tests.support.color_profiles import adobe_rgb, from_adobe_rgb, linear_gray, odd_inks, profile, srgb_byte
from tests.support.pictures import bomb, encoded

MIB = 1 << 20
SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112
CORNERS = {(2, 2): (255, 0, 0), (-3, 2): (0, 255, 0), (2, -3): (0, 0, 255), (-3, -3): (255, 255, 255)}
NOT_AN_IMAGE, TOO_LARGE = "NOT_AN_IMAGE", "IMAGE_TOO_LARGE"

Spot = tuple[int, int]


@dataclass(frozen=True)
class Kind:
    """An image and its outcome.

    `reason` is the reason of its refusal, empty when it is accepted; `words` are in the refusal's message. `size` and
    `pixels` are of the upright image in sRGB, with alpha if it has alpha. Negative places count from the right and the
    bottom.
    """

    what: str
    make: Callable[[], bytes]
    reason: str = ""
    words: str = ""
    size: Spot = (0, 0)
    pixels: dict[Spot, tuple[int, ...]] = field(default_factory=dict)
    tolerance: int = 0


# Parts of files


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, color: int, rows: bytes, *between: bytes) -> bytes:
    """Returns a PNG of unfiltered rows, each with its leading 0, and chunks before its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"".join([SIGNATURE, head, *between, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def with_chunks(data: bytes, *new: bytes, before: bytes = b"IDAT") -> bytes:
    at = data.index(before) - 4
    return data[:at] + b"".join(new) + data[at:]


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    new = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return jpeg[:2] + new + jpeg[2:]


def exif(orientation: int = 1, text_bytes: int = 0) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    if text_bytes:
        tags[0x010E] = "x" * text_bytes  # ImageDescription
    return tags


def corners(width: int = 24, height: int = 16, orientation: int = 1) -> Image.Image:
    """Returns an image with red, green, blue and white corners once `orientation` is applied."""
    if orientation >= 5:
        width, height = height, width
    image = Image.new("RGB", (width, height), "gray")
    for (x, y), color in CORNERS.items():
        image.paste(color, (x % width - 2, y % height - 2, x % width + 3, y % height + 3))
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)  # the inverse, as Pillow's number
    return image if turn is None else image.transpose(Image.Transpose(turn))


def flat(color: object, mode: str = "RGB", form: str = "PNG", **parameters: object) -> bytes:
    return encoded(Image.new(mode, (16, 16), color), form, **parameters)  # type: ignore[arg-type]


def noise(form: str, **parameters: object) -> bytes:
    image = Image.frombytes("RGB", (160, 120), random.Random(1).randbytes(160 * 120 * 3))
    return encoded(image, form, **parameters)


def animated(form: str, frames: int = 3) -> bytes:
    pictures = [Image.new("RGB", (8, 8), (n % 2 * 250, n % 16 * 16, n // 16 % 16 * 16)) for n in range(frames)]
    return encoded(pictures[0], form, save_all=True, append_images=pictures[1:], duration=20)


# The kinds


def gif_of_frames() -> bytes:
    frame = (
        b"\x21\xf9\x04\x00\x02\x00\x00\x00,\x00\x00\x00\x00\x08\x00\x08\x00\x00\x02\x07\x84\x8f\xa9\xcb\xed\x0f\x5b\x00"
    )
    return b"GIF89a\x08\x00\x08\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" + frame * 2000 + b";"


def gif_and_script() -> bytes:
    """Returns bytes that are both a GIF and JavaScript to a browser."""
    return b"GIF89a/*" + bytes(40) + b"*/=1;alert(document.domain)//;"


def png_and_zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("run.exe", b"MZ" * 100)
    return encoded(corners(), "PNG") + packed.getvalue()


def jpeg_and_page() -> bytes:
    """Returns a sound JPEG whose comment is a web page."""
    page = b"<html><script>alert(document.domain)</script></html>"
    return with_segments(encoded(corners(), "JPEG", quality=95), (0xFE, page)) + page


def claims(jpeg: bytes, width: int, height: int) -> bytes:
    """Returns a JPEG with another size in its frame header."""
    at = max(jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2"))
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def scans(count: int) -> bytes:
    """Returns a progressive JPEG of 36 million pixels with so many scans, the last one again and again."""
    data = encoded(Image.new("L", (6000, 6000)), "JPEG", progressive=True)
    at, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:end] + data[at:end] * (count - data.count(b"\xff\xda")) + data[end:]


def small_webp(side: int) -> bytes:
    header = b"\x2f" + struct.pack("<I", (side - 1) | (side - 1) << 14)
    return b"RIFF" + struct.pack("<I", 28) + b"WEBPVP8L" + struct.pack("<I", 16) + header + bytes(11)


def packed_text(kind: bytes, size: int) -> bytes:
    start = b"Comment\x00\x01\x00\x00\x00" if kind == b"iTXt" else b"Comment\x00\x00"
    return with_chunks(flat("teal"), chunk(kind, start + zlib.compress(bytes(size), 9)))


def plain_text(size: int) -> bytes:
    return with_chunks(flat("teal"), chunk(b"tEXt", b"Comment\x00" + b"x" * size))


def color_bomb(count: int = 1) -> bytes:
    return with_chunks(flat("teal"), *[chunk(b"iCCP", b"a\x00\x00" + zlib.compress(bytes(64 * MIB), 9))] * count)


def jpeg_exif(size: int) -> bytes:
    """Returns a JPEG with more EXIF than one segment holds; Pillow joins the segments, as others do."""
    body = exif(1, 60_000).tobytes()
    return with_segments(flat("teal", form="JPEG"), *[(0xE1, body)] * (size // len(body) + 1))


def rationals(size: int) -> bytes:
    """Returns a PNG with an EXIF tag of a hundred thousand fractions: each becomes a Python object."""
    count = size // 8 - 8
    tag = struct.pack("<HHHII", 1, 0x011A, 5, count, 26) + bytes(4)
    body = b"II\x2a\x00\x08\x00\x00\x00" + tag + b"".join(struct.pack("<II", n, n + 7) for n in range(count))
    return with_chunks(flat("teal"), chunk(b"eXIf", body))


def overlaps() -> bytes:
    """Returns a PNG of 80 kB whose 4,000 EXIF tags all name the same 30 kB."""
    entries = b"".join(struct.pack("<HHII", 0x8000 + n, 1, 30_000, 50_000) for n in range(4000))
    body = b"II\x2a\x00\x08\x00\x00\x00" + struct.pack("<H", 4000) + entries + bytes(4)
    return with_chunks(flat("teal"), chunk(b"eXIf", body.ljust(80_000, b"\x07")))


def cmyk(ink: tuple[int, ...], **parameters: object) -> bytes:
    return flat(ink, "CMYK", "JPEG", quality=95, **parameters)


def ycck(ink: tuple[int, int, int, int]) -> bytes:
    """Returns a JPEG as Photoshop saves ink: inverted, its first three channels turned into luma and chroma."""
    luma = Image.new("RGB", (1, 1), ink[:3]).convert("YCbCr").getpixel((0, 0))
    assert isinstance(luma, tuple)
    data = cmyk((*(255 - value for value in luma), ink[3]))  # Pillow inverts what it writes
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\x02" + data[at + 1 :]


def mpo() -> bytes:
    """Returns a file as phones save it: an image with another one appended."""
    small = Image.new("RGB", (6, 4), "black")
    return encoded(corners(), "MPO", save_all=True, append_images=[small], quality=95)


def rows16(*pixels: tuple[int, ...]) -> bytes:
    """Returns 16 equal rows of 16-bit pixels."""
    return (b"\x00" + b"".join(struct.pack(f">{len(p)}H", *p) for p in pixels)) * 16


def late_palette() -> bytes:
    data = encoded(corners().convert("P"), "PNG")
    at = data.index(b"PLTE") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    return with_chunks(data[:at] + data[end:], data[at:end], before=b"IEND")


def header_last() -> bytes:
    data = flat("teal")
    at = data.index(b"IDAT") - 4
    return data[:8] + data[at:-12] + data[8:at] + data[-12:]


def palette_with_alpha() -> bytes:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([255, 0, 0, 0, 128, 255])
    image.paste(0, (0, 0, 8, 16))
    return encoded(image, "PNG", transparency=b"\xff\x40")


def solid(form: str, size: Spot) -> bytes:
    return encoded(Image.new("RGB", size), form, **({"speed": 10} if form == "AVIF" else {"lossless": True}))


INK = (200, 40, 90, 30)
PAPER = tuple((255 - value) * (255 - INK[3]) // 255 for value in INK[:3])
DAMAGED = "damaged"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'
ENTITIES = b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg><text>&x;</text></svg>'

KINDS = [
    # Beyond a limit
    Kind("PNG of 30,000 x 30,000", lambda: bomb(30_000, 30_000), TOO_LARGE, "pixels"),
    Kind("PNG of 6,400 x 6,400", lambda: bomb(6400, 6400), TOO_LARGE, "pixels"),
    Kind("PNG of 20,000 x 8", lambda: bomb(20_000, 8), TOO_LARGE, "pixels a side"),
    Kind(
        "progressive JPEG that claims 174 Mpx",
        lambda: claims(noise("JPEG", progressive=True), 13_200, 13_200),
        TOO_LARGE,
    ),
    Kind("progressive JPEG of 400 scans", lambda: scans(400), TOO_LARGE, "scans"),
    Kind("WebP of 36 bytes that claims 16,000 x 16,000", lambda: small_webp(16_000), TOO_LARGE, "pixels"),
    Kind("WebP of 36 bytes that claims 6,000 x 6,000", lambda: small_webp(6000), NOT_AN_IMAGE, DAMAGED),
    Kind("WebP of 7,000 x 6,000", lambda: solid("WEBP", (7000, 6000)), TOO_LARGE, "pixels"),
    Kind("AVIF of 7,000 x 6,000", lambda: solid("AVIF", (7000, 6000)), TOO_LARGE, "pixels"),
    Kind("GIF of 2,000 frames", gif_of_frames, NOT_AN_IMAGE, "GIF"),
    Kind("animated PNG", lambda: animated("PNG"), TOO_LARGE, "3 frames"),
    Kind("animated WebP", lambda: animated("WEBP"), TOO_LARGE, "3 frames"),
    Kind("animated AVIF", lambda: animated("AVIF"), TOO_LARGE, "3 frames"),
    Kind("animated WebP of 2,000 frames", lambda: animated("WEBP", 2000), TOO_LARGE, "2,000 frames"),
    Kind("JPEG with 3 MiB of EXIF", lambda: jpeg_exif(3 * MIB), TOO_LARGE, "bytes of exif"),
    Kind("PNG with 3 MiB of EXIF", lambda: flat("teal", exif=exif(1, 3 * MIB)), TOO_LARGE, "bytes of exif"),
    Kind("WebP with 3 MiB of XMP", lambda: flat("teal", form="WEBP", xmp=b"x" * 3 * MIB), TOO_LARGE, "bytes of xmp"),
    Kind("PNG with 3 MiB of text", lambda: plain_text(3 * MIB), TOO_LARGE, "bytes of text"),
    Kind("PNG with zTXt that unpacks to 64 MiB", lambda: packed_text(b"zTXt", 64 * MIB), TOO_LARGE, "bytes of text"),
    Kind("PNG with iTXt that unpacks to 64 MiB", lambda: packed_text(b"iTXt", 64 * MIB), TOO_LARGE, "bytes of text"),
    Kind("PNG whose profile unpacks to 64 MiB", color_bomb, TOO_LARGE, "bytes of icc_profile"),
    Kind("PNG with 50 such profiles", lambda: color_bomb(50), TOO_LARGE, "bytes of icc_profile"),
    Kind(
        "PNG of 300,000 empty chunks", lambda: with_chunks(flat(0), chunk(b"prIv", b"") * 300_000), TOO_LARGE, "chunks"
    ),
    Kind("JPEG of a million segments", lambda: b"\xff\xd8" + b"\xff\xe5\x00\x02" * (1 << 19), TOO_LARGE, "segments"),
    # Not an image, or in another format
    Kind("no byte", lambda: b"", "INVALID_FIELD"),
    Kind("one byte", lambda: b"\x89", NOT_AN_IMAGE),
    Kind("text", lambda: b"a picture of a cat", NOT_AN_IMAGE, "not an image"),
    Kind("a megabyte of noise", lambda: random.Random(2).randbytes(MIB), NOT_AN_IMAGE),
    Kind("a megabyte of 0xFF", lambda: b"\xff" * MIB, NOT_AN_IMAGE),
    Kind("a JPEG's start and 3 MB of 0xFF", lambda: b"\xff\xd8" + b"\xff" * 3_000_000, NOT_AN_IMAGE, DAMAGED),
    Kind("HEIC", lambda: b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(500), NOT_AN_IMAGE, "HEIC"),
    Kind("PDF", lambda: b"%PDF-1.7\n1 0 obj", NOT_AN_IMAGE, "PDF"),
    Kind("BMP", lambda: flat("teal", form="BMP"), NOT_AN_IMAGE, "BMP"),
    Kind("TIFF", lambda: flat("teal", form="TIFF"), NOT_AN_IMAGE, "TIFF"),
    Kind("ICO", lambda: flat("teal", form="ICO"), NOT_AN_IMAGE, "ICO"),
    Kind("SVG", lambda: SVG, NOT_AN_IMAGE, "SVG"),
    Kind("SVG with entities", lambda: ENTITIES, NOT_AN_IMAGE, "SVG"),
    Kind("GIF that is JavaScript", gif_and_script, NOT_AN_IMAGE, "GIF"),
    Kind("GIF that says it is a PNG", lambda: SIGNATURE + flat(0, "P", "GIF"), NOT_AN_IMAGE, DAMAGED),
    # Damaged
    Kind("PNG cut in half", lambda: noise("PNG")[:-9000], NOT_AN_IMAGE, DAMAGED),
    Kind("JPEG cut in half", lambda: noise("JPEG")[:-9000], NOT_AN_IMAGE, DAMAGED),
    Kind("WebP cut in half", lambda: noise("WEBP")[:-9000], NOT_AN_IMAGE, DAMAGED),
    Kind("AVIF cut in half", lambda: noise("AVIF")[:-9000], NOT_AN_IMAGE, DAMAGED),
    Kind("PNG whose header has a wrong checksum", lambda: flat("teal").replace(b"IHDR\x00", b"IHDR\x01"), NOT_AN_IMAGE),
    Kind("PNG whose header comes last", header_last, NOT_AN_IMAGE, DAMAGED),
    Kind("PNG of no width", lambda: png(0, 9, 8, 2, b""), NOT_AN_IMAGE, DAMAGED),
    Kind("PNG of a depth that does not exist", lambda: png(4, 1, 3, 2, b"\x00" * 9), NOT_AN_IMAGE, DAMAGED),
    Kind("PNG with its palette behind its pixels", late_palette, NOT_AN_IMAGE, DAMAGED),
    Kind("PNG without pixels", lambda: flat("teal").replace(b"IDAT", b"iDAT"), NOT_AN_IMAGE, DAMAGED),
    # Two files in one: the image is read, the rest is ignored
    Kind("PNG that is a ZIP", png_and_zip, size=(24, 16), pixels=CORNERS),
    Kind("JPEG that is a web page", jpeg_and_page, size=(24, 16), pixels=CORNERS, tolerance=40),
    Kind("MPO, as phones save it", mpo, size=(24, 16), pixels=CORNERS, tolerance=40),
    # Unusual but valid
    *[
        Kind(
            f"{form} with EXIF orientation {turn}",
            lambda form=form, turn=turn: encoded(corners(orientation=turn), form, exif=exif(turn), quality=95),
            size=(24, 16) if turn < 5 else (16, 24),
            pixels=CORNERS,
            tolerance=60,
        )
        for form, turns in (("JPEG", range(1, 9)), ("PNG", (6,)), ("WEBP", (5,)), ("AVIF", (8,)))
        for turn in turns
    ],
    Kind("CMYK JPEG", lambda: cmyk(INK), size=(16, 16), pixels={(8, 8): PAPER}, tolerance=4),
    Kind("YCCK JPEG", lambda: ycck(INK), size=(16, 16), pixels={(8, 8): PAPER}, tolerance=4),
    Kind(
        "CMYK JPEG with its profile",
        lambda: cmyk((255, 0, 0, 0), icc_profile=odd_inks()),
        pixels={(8, 8): (119,) * 3},
        tolerance=2,
    ),
    Kind(
        "CMYK JPEG with the profile of a screen",
        lambda: cmyk(INK, icc_profile=adobe_rgb()),
        pixels={(8, 8): PAPER},
        tolerance=4,
    ),
    Kind(
        "JPEG with a profile of 600 kB",
        lambda: flat((100, 200, 50), form="JPEG", quality=95, icc_profile=adobe_rgb(bytes(600_000))),
        pixels={(8, 8): from_adobe_rgb((100, 200, 50))},
        tolerance=3,
    ),
    Kind(
        "PNG in Adobe RGB",
        lambda: flat((100, 200, 50), icc_profile=adobe_rgb()),
        pixels={(8, 8): from_adobe_rgb((100, 200, 50))},
        tolerance=2,
    ),
    Kind(
        "PNG in Adobe RGB, half transparent",
        lambda: flat((100, 200, 50, 99), "RGBA", icc_profile=adobe_rgb()),
        pixels={(8, 8): (*from_adobe_rgb((100, 200, 50)), 99)},
        tolerance=2,
    ),
    Kind(
        "PNG with a broken profile",
        lambda: flat((100, 200, 50), icc_profile=adobe_rgb()[:300]),
        pixels={(8, 8): (100, 200, 50)},
    ),
    Kind(
        "PNG with a profile that is text",
        lambda: flat((100, 200, 50), icc_profile=b"sRGB, trust me" * 9),
        pixels={(8, 8): (100, 200, 50)},
    ),
    Kind(
        "PNG with a profile that only links two others",
        lambda: flat((100, 200, 50), icc_profile=profile(b"link", b"RGB ", b"RGB ", {})),
        pixels={(8, 8): (100, 200, 50)},
    ),
    Kind(
        "gray PNG with a linear profile",
        lambda: flat(128, "L", icc_profile=linear_gray()),
        pixels={(8, 8): (srgb_byte(128 / 255),)},
        tolerance=1,
    ),
    Kind(
        "gray PNG of 16 bits",
        lambda: png(4, 16, 16, 0, rows16((0,), (300,), (0x8080,), (0xFFFF,))),
        size=(4, 16),
        pixels={(0, 0): (0,), (1, 0): (1,), (2, 0): (128,), (3, 0): (255,)},
    ),
    Kind(
        "gray PNG of 16 bits with a transparent value",
        lambda: png(2, 16, 16, 0, rows16((0x8080,), (0x8081,)), chunk(b"tRNS", b"\x80\x81")),
        pixels={(0, 0): (128, 128, 128, 255), (1, 0): (128, 128, 128, 0)},
    ),
    Kind(
        "color PNG of 16 bits",
        lambda: png(2, 16, 16, 2, rows16((0xFFFF, 0x8080, 0), (0x0101, 0x0202, 0xFEFE))),
        size=(2, 16),
        pixels={(0, 0): (255, 128, 0), (1, 0): (1, 2, 254)},
    ),
    Kind(
        "color PNG of 16 bits with a transparent color",
        lambda: png(2, 16, 16, 2, rows16((0xFFFF, 0x8080, 0), (9, 9, 9)), chunk(b"tRNS", b"\xff\xff\x80\x80\x00\x00")),
        pixels={(0, 0): (255, 128, 0, 0), (1, 0): (0, 0, 0, 255)},
    ),
    Kind(
        "gray PNG of 16 bits with alpha",
        lambda: png(1, 16, 16, 4, rows16((0x8080, 0x4040))),
        pixels={(0, 0): (128, 128, 128, 64)},
    ),
    Kind(
        "gray PNG of 2 bits with a transparent value",
        lambda: png(4, 16, 2, 0, b"\x00\x1b" * 16, chunk(b"tRNS", b"\x00\x02")),
        pixels={
            (0, 0): (0, 0, 0, 255),
            (1, 0): (85, 85, 85, 255),
            (2, 0): (170, 170, 170, 0),
            (3, 0): (255, 255, 255, 255),
        },
    ),
    Kind(
        "PNG of 1 bit", lambda: png(8, 16, 1, 0, b"\x00\x55" * 16), size=(8, 16), pixels={(0, 0): (0,), (1, 0): (255,)}
    ),
    Kind(
        "PNG with a palette that has alpha",
        palette_with_alpha,
        pixels={(2, 2): (255, 0, 0, 255), (12, 2): (0, 128, 255, 64)},
    ),
    Kind("PNG with a palette that has a key", lambda: flat(0, "P", transparency=0), pixels={(8, 8): (0, 0, 0, 0)}),
    Kind("PNG with a color key", lambda: flat((9, 8, 7), transparency=(9, 8, 7)), pixels={(8, 8): (9, 8, 7, 0)}),
    Kind("gray PNG with alpha", lambda: flat((90, 40), "LA"), pixels={(8, 8): (90, 90, 90, 40)}),
    Kind(
        "progressive JPEG",
        lambda: encoded(corners(), "JPEG", progressive=True, quality=95),
        size=(24, 16),
        pixels=CORNERS,
        tolerance=40,
    ),
    Kind(
        "image of one pixel",
        lambda: encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG"),
        size=(1, 1),
        pixels={(0, 0): (1, 2, 3)},
    ),
    Kind("PNG with zTXt that unpacks to 900 kB", lambda: packed_text(b"zTXt", 900_000), size=(16, 16)),
    Kind("PNG with 900 kB of text, as a workflow", lambda: plain_text(900_000), size=(16, 16)),
    Kind("PNG with a million bytes of fractions in its EXIF", lambda: rationals(1_000_000), size=(16, 16)),
    Kind("PNG whose 4,000 EXIF tags name the same bytes", overlaps, size=(16, 16)),
    Kind(
        "JPEG with broken EXIF",
        lambda: with_segments(flat("teal", form="JPEG"), (0xE1, b"Exif\x00\x00II\x2a\x00\xff\xff\xff\xff")),
        size=(16, 16),
    ),
    Kind("JPEG whose EXIF has an orientation of 99", lambda: flat("teal", form="JPEG", exif=exif(99)), size=(16, 16)),
]
