"""Inspector: reads what an image file says by its structure, and whether it is whole, without a decoder.

It walks the parts of a file (chunks, segments, boxes) and never the encoded pixels, in Python that is safe for memory.
Its work is bounded by the file's size. Whatever it is not sure of is a doubt, and then a decoder has the last word.
Decision 0021 says what this keeps and what it weakens.
"""

from celeste_image.core.errors import ImageTooLarge
from celeste_image.core.media import media_type
from celeste_image.imaging.inspector import avif, jpeg, png, webp
from celeste_image.imaging.inspector.found import Doubt, Inspected
from celeste_image.imaging.limits import ImageLimits

__all__ = ["Inspected", "inspect"]

READERS = {"image/png": png.read, "image/jpeg": jpeg.read, "image/webp": webp.read, "image/avif": avif.read}


def inspect(data: bytes, limits: ImageLimits) -> Inspected:
    """Returns what a file says about its image, with a doubt unless the file is whole and within the limits.

    No bytes make it raise. It takes about a millisecond of CPU time for each megabyte.
    """
    found = Inspected(media_type(data[:16]))
    read = READERS.get(found.media_type)
    if read is None:
        found.doubt = "is not PNG, JPEG, WebP or AVIF"
        return found
    try:
        limits.check_bytes(len(data))
        read(data, limits, found)
        limits.check_size(found.width, found.height)
    except (Doubt, ImageTooLarge) as why:
        found.doubt = str(why)
    return found
