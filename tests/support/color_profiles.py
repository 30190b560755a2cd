"""Color profiles made for the tests (ICC.1:2001-04), and the colors that they should give."""

import struct

Color = tuple[int, int, int]

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""Red, green and blue as XYZ under D50, as Adobe RGB (1998) has them."""
TO_SRGB = ((3.1338561, -1.6168667, -0.4906146), (-0.9787684, 1.9161415, 0.0334540), (0.0719453, -0.2289914, 1.4052427))
"""XYZ under D50 to linear sRGB."""
GAMMA = 563 / 256
"""Adobe RGB's, as a profile states it."""


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    light = fixed(0.9642, 1.0, 0.8249)
    header = b"none" + struct.pack(">I", 0x02400000) + kind + space + pcs + bytes(12) + b"acsp" + bytes(28) + light
    return struct.pack(">I", 4 + len(header) + 48 + len(table) + len(body)) + header + bytes(48) + table + body


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + fixed(*values)


def adobe_rgb(more: bytes = b"") -> bytes:
    """Returns a profile like Adobe RGB (1998); `more` is the content of a private tag."""
    names = (b"rXYZ", b"gXYZ", b"bXYZ"), (b"rTRC", b"gTRC", b"bTRC")
    tags = {name: xyz(*primary) for name, primary in zip(names[0], ADOBE_RGB, strict=True)}
    tags |= {b"wtpt": xyz(0.9642, 1.0, 0.8249)} | {name: curve(GAMMA) for name in names[1]}
    return profile(b"mntr", b"RGB ", b"XYZ ", tags | ({b"more": b"data" + bytes(4) + more} if more else {}))


def linear_gray() -> bytes:
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"kTRC": curve(1.0)})


def odd_inks() -> bytes:
    """Returns the profile of a press with gray inks: full cyan has L* 50, black 0."""
    corners = b""
    for inks in range(16):
        c, m, y, k = (inks >> bit & 1 for bit in (3, 2, 1, 0))  # the last ink varies fastest
        lightness = 0 if k else max(0, 100 - 50 * c - 30 * m - 10 * y)
        corners += bytes([round(lightness * 2.55), 128, 128])
    straight = bytes(range(256))
    head = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut = head + straight * 4 + corners + straight * 3
    return profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"A2B0": lut})


def srgb_byte(linear: float) -> int:
    value = max(0.0, min(1.0, linear))
    return round(255 * (12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055))


def from_adobe_rgb(color: Color) -> Color:
    """Returns the same color in sRGB, computed from the definitions."""
    light = [(value / 255) ** GAMMA for value in color]
    x, y, z = (sum(part * primary[axis] for part, primary in zip(light, ADOBE_RGB, strict=True)) for axis in range(3))
    red, green, blue = (srgb_byte(row[0] * x + row[1] * y + row[2] * z) for row in TO_SRGB)
    return red, green, blue
