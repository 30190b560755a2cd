"""Media type of an image by its first bytes: callers' claims and file names are not trusted."""

__all__ = ["IMAGE_TYPES", "media_type"]

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/avif")
"""Formats that the server reads; their decoders are fuzzed."""


def media_type(head: bytes) -> str:
    """Returns the media type for the first 16 bytes of a file; `application/octet-stream` for an unknown format.

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
