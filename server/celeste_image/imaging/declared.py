"""Colors that a file declares without an ICC profile: gAMA, cHRM, sRGB and cICP of PNG, nclx of AVIF.

They become an ICC profile, so that one conversion serves all. A value that makes no sense is ignored, as a broken
profile is. Sources: PNG third edition, section 13.13 (order of the chunks) and 11.3.2; ITU-T H.273 (the codes of cICP
and nclx); ITU-R BT.2100-2 (PQ and HLG); ICC.1:2022.
"""

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from celeste_image.core.media import media_type
from celeste_image.imaging.parts import Part, boxes_in, parts_of

__all__ = ["Declared", "declared_in", "depth_of", "profile_of"]

Point = tuple[float, float]
Row = tuple[float, float, float]

D65, DCI, ILLUMINANT_C, ILLUMINANT_E = (0.3127, 0.3290), (0.314, 0.351), (0.310, 0.316), (1 / 3, 1 / 3)
SRGB_POINTS = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)
SMPTE_170M = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65)
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
PRIMARIES: dict[int, tuple[Point, Point, Point, Point]] = {
    1: SRGB_POINTS,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), ILLUMINANT_C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
    6: SMPTE_170M,
    7: SMPTE_170M,
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), ILLUMINANT_C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), ILLUMINANT_E),
    11: (*P3, DCI),
    12: (*P3, D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
}
"""Red, green, blue and white as CIE x and y, by the code of H.273, table 2."""
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
AS_SRGB = (1, 6, 7, 13, 14, 15)
"""Transfer codes that are read as sRGB's. The camera curves of video are among them: their images are graded on
displays, and browsers show them so."""
SRGB, UNSPECIFIED, BT2020 = 1, 2, 9
HDR = {16: "PQ", 18: "HLG"}

SRGB_GAMMA, NEAR = 45_455, 500
"""gAMA of files that mean sRGB; libpng takes values as near for it, too."""
LEAST_GAMMA, MOST_GAMMA = 10_000, 1_000_000
WHITE_NITS, PEAK_NITS = 203.0, 1000.0
"""HDR's reference white (ITU-R BT.2408) becomes white; HLG is shown on a display of PEAK_NITS."""
KNEE = 0.7
"""Share of white up to which HDR stays linear; brighter light is compressed, so that highlights keep a shape."""
SAMPLES = 4096
MOST_BOXES = 1000
D50: Row = (0.9642, 1.0, 0.8249)
BRADFORD: tuple[Row, Row, Row] = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


@dataclass(frozen=True, slots=True)
class Declared:
    """Declared colors.

    Attributes:
        points: Red, green, blue and white as CIE x and y.
        transfer: A code of H.273; 0 for the exponent in `gamma`.
        gamma: Exponent from stored values to light.
        is_narrow: Whether 16 is black and 235 white, as in video.
    """

    points: tuple[Point, Point, Point, Point] = SRGB_POINTS
    transfer: int = 13
    gamma: float = 0.0
    is_narrow: bool = False

    @property
    def hdr(self) -> str:
        """`PQ`, `HLG`, or empty."""
        return HDR.get(self.transfer, "")


def declared_in(data: bytes, has_profile: bool) -> Declared | None:
    """Returns the colors that a PNG or AVIF declares beside its profile; None when the profile or sRGB holds.

    In a PNG the order is cICP, profile, sRGB, gAMA with cHRM. In an AVIF a profile comes first.
    """
    match media_type(data[:16]):
        case "image/png":
            return _in_png(data, has_profile)
        case "image/avif" if not has_profile:
            for box in _properties(data):
                if box.kind == b"colr" and data[box.body : box.body + 4] == b"nclx" and box.stop - box.body >= 8:
                    return _coded(*struct.unpack_from(">HH", data, box.body + 4))
    return None


def depth_of(data: bytes) -> int:
    """Returns the bits of a stored value: 1 to 16 in a PNG, 8 to 12 in an AVIF, else 8."""
    match media_type(data[:16]):
        case "image/png":
            return data[24] if len(data) > 24 else 8
        case "image/avif":
            for box in _properties(data):
                if box.kind == b"av1C" and box.stop - box.body >= 3:  # AV1-ISOBMFF section 2.3.3
                    return 8 + 2 * bool(data[box.body + 2] & 0x40) + 2 * bool(data[box.body + 2] & 0x20)
    return 8


def _in_png(data: bytes, has_profile: bool) -> Declared | None:
    chunks: dict[bytes, bytes] = {}
    for part in parts_of(data):
        if part.kind == b"IDAT":
            break
        if part.kind in (b"cICP", b"sRGB", b"gAMA", b"cHRM"):
            chunks.setdefault(part.kind, data[part.body : min(part.stop, part.body + 32)])
    code = chunks.get(b"cICP", b"")
    if len(code) == 4 and code[2] == 0 and (coded := _coded(code[0], code[1], code[3] == 0)):  # matrix 0 is RGB
        return coded
    if has_profile or b"sRGB" in chunks:
        return None
    gamma = _number(chunks.get(b"gAMA", b""))
    points = _points(chunks.get(b"cHRM", b"")) or SRGB_POINTS
    if not LEAST_GAMMA <= gamma <= MOST_GAMMA or abs(gamma - SRGB_GAMMA) <= NEAR:
        found = Declared(points)
    else:
        found = Declared(points, 0, 100_000 / gamma)
    return None if found == Declared() else found


def _number(body: bytes) -> int:
    return int.from_bytes(body, "big") if len(body) == 4 else 0


def _points(body: bytes) -> tuple[Point, Point, Point, Point] | None:
    if len(body) != 32:
        return None
    white, red, green, blue = ((x / 100_000, y / 100_000) for x, y in struct.iter_unpack(">II", body))
    return red, green, blue, white


def _coded(primaries: int, transfer: int, is_narrow: bool = False) -> Declared | None:
    """Returns colors by their codes; None for codes that are reserved, unspecified or not read."""
    if primaries == transfer == UNSPECIFIED:
        return None
    usual = BT2020 if transfer in HDR else SRGB
    points = PRIMARIES.get(usual if primaries == UNSPECIFIED else primaries)
    if points is None:
        return None
    if transfer in HDR:
        return Declared(points, transfer, is_narrow=is_narrow)
    if transfer in AS_SRGB or transfer == UNSPECIFIED:
        return Declared(points, is_narrow=is_narrow)
    return Declared(points, 0, GAMMAS[transfer], is_narrow) if transfer in GAMMAS else None


def _properties(data: bytes) -> Iterator[Part]:
    """Yields an AVIF's properties, which are boxes in meta, iprp, ipco."""
    at, end = 0, len(data)
    for name in (b"meta", b"iprp", b"ipco"):
        found = next((box for box in islice(boxes_in(data, at, end), MOST_BOXES) if box.kind == name), None)
        if found is None:
            return
        at, end = found.body + (4 if name == b"meta" else 0), found.stop  # meta is a full box
    yield from islice(boxes_in(data, at, end), MOST_BOXES)


@lru_cache(maxsize=32)
def profile_of(declared: Declared, is_gray: bool) -> bytes | None:
    """Returns the ICC profile of declared colors, for gray or RGB; None for colors that no light can have."""
    curve = _curve(declared)
    if is_gray:
        return _icc(b"GRAY", {b"wtpt": _xyz(D50), b"kTRC": curve})
    try:
        columns = _columns(declared.points)
    except ZeroDivisionError:
        return None
    if not all(math.isfinite(v) and abs(v) < 4 for column in columns for v in column):
        return None
    tags = {b"wtpt": _xyz(D50)}
    tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    return _icc(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def _columns(points: tuple[Point, Point, Point, Point]) -> list[Row]:
    """Returns XYZ of red, green and blue under D50, by Bradford's adaptation. Raises ZeroDivisionError."""
    *colors, white = points
    if white[1] <= 0:
        raise ZeroDivisionError
    light: Row = (white[0] / white[1], 1.0, (1 - white[0] - white[1]) / white[1])
    # Columns may have y = 0: xyz is scaled by the white, not by y.
    xyz = [(x, y, 1 - x - y) for x, y in colors]
    rows = [tuple(column[axis] for column in xyz) for axis in range(3)]
    scale = _times(_inverse(rows), light)  # type: ignore[arg-type]
    seen, wanted = _times(BRADFORD, light), _times(BRADFORD, D50)
    back = _inverse(BRADFORD)
    columns = []
    for column, share in zip(xyz, scale, strict=True):
        cone = _times(BRADFORD, column)
        adapted = tuple(share * c * w / s for c, w, s in zip(cone, wanted, seen, strict=True))
        columns.append(_times(back, adapted))  # type: ignore[arg-type]
    return columns


def _times(rows: "tuple[Row, Row, Row] | list[Row]", column: Row) -> Row:
    x, y, z = (sum(a * b for a, b in zip(row, column, strict=True)) for row in rows)
    return x, y, z


def _inverse(rows: "tuple[Row, Row, Row] | list[Row]") -> list[Row]:
    (a, b, c), (d, e, f), (g, h, i) = rows
    whole = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if abs(whole) < 1e-6:
        raise ZeroDivisionError
    parts = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return [(x / whole, y / whole, z / whole) for x, y, z in parts]


def _curve(declared: Declared) -> bytes:
    """Returns the curve from stored values to light, as an ICC tag."""
    if declared.transfer in HDR or declared.is_narrow:
        return _sampled(lambda value: _light(declared, (255 * value - 16) / 219 if declared.is_narrow else value))
    if not declared.transfer:
        return b"para" + bytes(4) + struct.pack(">HHi", 0, 0, round(declared.gamma * 65_536))
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(number * 65_536) for number in numbers))


def _light(declared: Declared, value: float) -> float:
    """Returns the light of a stored value, both 0 to 1."""
    value = min(1.0, max(0.0, value))
    match declared.transfer:
        case 16:
            return _toned(_from_pq(value))
        case 18:
            return _toned(_from_hlg(value))
        case 0:
            return math.pow(value, declared.gamma)
    return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)


def _sampled(curve: Callable[[float], float]) -> bytes:
    values = [round(65_535 * min(1.0, max(0.0, curve(at / (SAMPLES - 1))))) for at in range(SAMPLES)]
    return b"curv" + bytes(4) + struct.pack(f">I{SAMPLES}H", SAMPLES, *values)


def _from_pq(value: float) -> float:
    """Returns the light of a PQ value in shares of reference white; BT.2100-2, table 4."""
    power = math.pow(value, 1 / 78.84375)
    light = max(0.0, power - 0.8359375) / (18.8515625 - 18.6875 * power)
    return 10_000 * math.pow(light, 1 / 0.1593017578125) / WHITE_NITS


def _from_hlg(value: float) -> float:
    """Returns the light of an HLG value in shares of reference white, on a display of PEAK_NITS; BT.2100-2, table 5."""
    scene = value * value / 3 if value <= 0.5 else (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return PEAK_NITS * math.pow(scene, 1.2) / WHITE_NITS


def _toned(light: float) -> float:
    """Returns light within 0 and 1: linear up to KNEE, then ever closer to 1."""
    return light if light <= KNEE else KNEE + (1 - KNEE) * (1 - math.exp((KNEE - light) / (1 - KNEE)))


def _xyz(values: Row) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65_536) for value in values))


def _icc(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Returns a display profile, version 4.3; ICC.1:2022 section 7."""
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    light = struct.pack(">3i", *(round(value * 65_536) for value in D50))
    head = (
        bytes(4) + struct.pack(">I", 0x04300000) + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28) + light
    )
    return struct.pack(">I", 4 + len(head) + 48 + len(table) + len(body)) + head + bytes(48) + table + body
