"""Media types by content, for bytes whose name is not to be believed."""

__all__ = ["IMAGE_TYPES", "media_type"]

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/avif")
"""The formats that are read: those of SAFETY's image limits, all with fuzzed decoders."""


def media_type(head: bytes) -> str:
    """Returns the media type that the first 16 bytes tell, `application/octet-stream` when none is known.

    Signatures: PNG third edition section 5.2, JFIF/EXIF start of image, RIFF WebP container, ISO BMFF brand `avif`.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "image/avif"
    return "application/octet-stream"
