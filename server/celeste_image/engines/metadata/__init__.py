"""Reads an image's metadata: format, size, EXIF, XMP, IPTC, ICC, texts, generation parameters, content credentials."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import ExifTags, Image, ImageCms, JpegImagePlugin, PngImagePlugin

from celeste_image.core.media import media_type
from celeste_image.engines.metadata.credentials import find_credentials
from celeste_image.engines.metadata.exif import BROKEN, exif_entries, orientation_of, text_of
from celeste_image.engines.metadata.generation import find_generation
from celeste_image.engines.metadata.iptc import iptc_entries
from celeste_image.engines.metadata.values import bounded, entry, sound
from celeste_image.engines.metadata.xmp import PacketRefused, read_xmp, xmp_entries
from celeste_image.imaging.decode import open_image
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.engine import Emit

__all__ = ["run"]

XMP_TEXT = "XML:com.adobe.xmp"
IPTC_BLOCK = 0x0404
"""The number of the IPTC block in Photoshop's image resources."""
PROVENANCE = "dcterms:provenance"
"""The XMP property with the address of content credentials outside of the file; C2PA 2.1, section 11.4."""
USER_COMMENT = ExifTags.Base.UserComment.value
MAKE, MODEL = ExifTags.Base.Make.value, ExifTags.Base.Model.value
CLASSES = {b"scnr": "input", b"mntr": "display", b"prtr": "output", b"spac": "color space", b"link": "link"}
"""Profile classes of ICC.1:2022, section 7.2.5."""


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits one "analysis" with the fields of ImageMetadata, and "warned" about parts that cannot be read.

    The task has optionally `limits` (as ImageLimits).

    Raises:
        NotAnImage: See `open_image`.
        ImageTooLarge: See `open_image`.
    """
    (data,) = pictures
    image = open_image(data, ImageLimits(**task.get("limits", {})))
    exif = image.getexif()
    orientation = orientation_of(exif)
    width, height = image.size
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    broken: list[str] = []
    properties = _xmp(image, broken)
    profile = image.info.get("icc_profile")
    found = [
        *exif_entries(exif, broken),
        *xmp_entries(properties),
        *_iptc(image),
        *_profile_entries(profile),
        *_texts(image),
    ]
    entries = sorted(bounded(found), key=lambda each: (each["group"], each["name"]))
    for text in broken:
        emit("warned", {"path": "image", "text": text})
    emit(
        "analysis",
        {
            "part": "metadata",
            "found": {
                "media_type": media_type(data[:16]),
                "width": width,
                "height": height,
                "size_bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "color_mode": image.mode,
                "has_alpha": image.has_transparency_data,
                "orientation": orientation,
                "icc_profile": profile_name(profile),
                "entries": entries,
                "generation": find_generation(_generated(image, exif), _comment(exif), properties),
                "credentials": find_credentials(data, _text(properties.get(PROVENANCE))),
                "left_out_entries": len(found) - len(entries),
            },
        },
    )


def _xmp(image: Image.Image, broken: list[str]) -> dict[str, Any]:
    """Returns an image's XMP properties, empty without XMP. A refused packet adds a text to `broken`."""
    packet = image.info.get("xmp") or b""
    if isinstance(packet, str):
        packet = packet.encode()
    if not packet.strip(b"\x00 \r\n\t"):
        return {}
    try:
        return read_xmp(packet)
    except PacketRefused as refused:
        broken.append(f"its XMP can't be read: the packet {refused}")
        return {}


def _iptc(image: Image.Image) -> Iterator[dict[str, Any]]:
    resources = image.info.get("photoshop")
    block = resources.get(IPTC_BLOCK) if isinstance(resources, dict) else None
    return iptc_entries(block) if isinstance(block, bytes) else iter(())


def _texts(image: Image.Image) -> Iterator[dict[str, Any]]:
    """Yields a PNG's text chunks and a JPEG's comment. The XMP chunk is skipped: its properties are listed instead."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        for name, value in image.text.items():
            if name != XMP_TEXT:
                yield entry("png", name, str(value))
    elif isinstance(image, JpegImagePlugin.JpegImageFile) and (comment := image.info.get("comment")):
        yield entry("jpeg", "Comment", comment.decode("utf-8", "replace"))


def _generated(image: Image.Image, exif: Image.Exif) -> dict[str, str]:
    """Returns the texts in which tools store generation parameters, by name."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        return {name: str(value) for name, value in image.text.items()}
    found = {}
    for tag in (MAKE, MODEL):  # ComfyUI writes `prompt:{...}` there in WebP
        name, colon, value = str(exif.get(tag, "")).partition(":")
        if colon and name.lower() in ("prompt", "workflow"):
            found[name.lower()] = value
    return found


def _comment(exif: Image.Exif) -> str:
    try:
        return _text(text_of(USER_COMMENT, exif.get_ifd(ExifTags.IFD.Exif).get(USER_COMMENT)))
    except BROKEN:
        return ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _profile_entries(profile: bytes | None) -> Iterator[dict[str, Any]]:
    """Yields the header fields of an ICC profile; ICC.1:2022, section 7.2."""
    if not profile or len(profile) < 128 or profile[36:40] != b"acsp":
        return
    yield entry("icc", "Name", profile_name(profile))
    yield entry("icc", "Class", CLASSES.get(profile[12:16], profile[12:16].decode("latin-1").strip()))
    yield entry("icc", "ColorSpace", profile[16:20].decode("latin-1").strip())
    yield entry("icc", "ConnectionSpace", profile[20:24].decode("latin-1").strip())
    yield entry("icc", "Version", f"{profile[8]}.{profile[9] >> 4}.{profile[9] & 15}")
    yield entry("icc", "SizeBytes", len(profile))


def profile_name(profile: bytes | None) -> str:
    """Returns an ICC profile's name, empty if it is absent or unreadable."""
    if not profile:
        return ""
    try:
        return sound(ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(profile))).strip())
    except (ImageCms.PyCMSError, OSError, ValueError):
        return ""
