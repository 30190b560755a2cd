"""Reads what a picture says about itself: format, size, colour, EXIF, GPS, PNG text, ICC."""

import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from celeste_image.core.media import media_type
from celeste_image.guard.decode import open_image
from celeste_image.guard.limits import ImageLimits
from celeste_image.worker.engine import Emit

__all__ = ["SEALED", "run"]

SEALED = True
MAX_VALUE_BYTES = 4096
MAX_ENTRIES_BYTES = 512 << 10
"""Of all entries as JSON; beyond it the largest are left out, so that the answer fits a message."""
ORIENTATION = ExifTags.Base.Orientation.value
POINTERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop, ExifTags.IFD.MakerNote)


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits `metadata`: the members of ImageMetadata as JSON values. Raises as `open_image` does."""
    (data,) = pictures
    image = open_image(data, ImageLimits(**task.get("limits", {})))
    exif = image.getexif()
    orientation = exif.get(ORIENTATION, 0)
    orientation = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 0
    width, height = image.size
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    entries = bounded([*exif_entries(exif), *text_entries(image)])
    entries.sort(key=lambda entry: (entry["group"], entry["name"]))
    emit(
        "metadata",
        {
            "media_type": media_type(data[:16]),
            "width": width,
            "height": height,
            "size_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "color_mode": image.mode,
            "has_alpha": image.has_transparency_data,
            "orientation": orientation,
            "icc_profile": profile_name(image.info.get("icc_profile")),
            "entries": entries,
        },
    )


def exif_entries(exif: Image.Exif) -> Iterator[dict[str, Any]]:
    """Yields every EXIF and GPS tag by its name in EXIF 2.32, unknown ones by number."""
    for tag, value in (*exif.items(), *exif.get_ifd(ExifTags.IFD.Exif).items()):
        if tag not in POINTERS:
            yield entry("exif", ExifTags.TAGS.get(tag, f"0x{tag:04x}"), value)
    for tag, value in exif.get_ifd(ExifTags.IFD.GPSInfo).items():
        yield entry("gps", ExifTags.GPSTAGS.get(tag, f"0x{tag:04x}"), value)


def text_entries(image: Image.Image) -> Iterator[dict[str, Any]]:
    """Yields the text chunks of a PNG."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        for name, value in image.text.items():
            yield entry("png", name, str(value))


def bounded(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the entries, the smallest first, that fit a message: tags may all point at the same bytes."""
    kept: list[dict[str, Any]] = []
    left = MAX_ENTRIES_BYTES
    for size, _, found in sorted((len(json.dumps(found)), index, found) for index, found in enumerate(entries)):
        left -= size
        if left < 0:
            break
        kept.append(found)
    return kept


def entry(group: str, name: str, value: Any) -> dict[str, Any]:
    """Returns one tag with a value that JSON can hold; see `MetadataEntry` in `analysis.proto`."""
    return {"group": group, "name": name, "value": plain(value)}


def plain(value: Any) -> Any:
    """Returns a tag's value as a JSON value: rationals as `1/250`, bytes as hex, long texts cut."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)  # no number in JSON
        case bool() | int() | float():
            return value
        case str():
            text = value.rstrip("\x00")
            return (
                text if len(text.encode(errors="replace")) <= MAX_VALUE_BYTES else text[: MAX_VALUE_BYTES // 4] + "..."
            )
        case bytes():
            text = value.hex()
            return text if len(text) <= MAX_VALUE_BYTES else text[:MAX_VALUE_BYTES] + "..."
        case tuple() | list():
            return [plain(item) for item in value[:256]]
        case _ if hasattr(value, "numerator") and hasattr(value, "denominator"):
            return f"{value.numerator}/{value.denominator}"
        case _:
            return str(value)[:MAX_VALUE_BYTES]


def profile_name(profile: bytes | None) -> str:
    """Returns an ICC profile's own name, empty when there is none or it can't be read."""
    if not profile:
        return ""
    try:
        return ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, OSError, ValueError):
        return ""
