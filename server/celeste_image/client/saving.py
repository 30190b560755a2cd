"""Files of images: names whose suffix is true, writes that never leave half a file or destroy an old one."""

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path

from celeste_image.client.checks import shown
from celeste_image.core.result import ImageOutput

__all__ = [
    "MEDIA_SUFFIXES",
    "checked_place",
    "free_path",
    "has_suffix",
    "is_special",
    "media_type_of",
    "place_for",
    "slug",
    "write_file",
    "write_image",
]

MEDIA_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/avif": ".avif"}
SUFFIX_TYPES = {suffix: kind for kind, suffix in MEDIA_SUFFIXES.items()} | {".jpeg": "image/jpeg"}


def has_suffix(path: Path) -> bool:
    """Returns whether the name of a file says a format. Digits after a dot are part of the name, as in `fox-1.5`."""
    return bool(path.suffix.strip(".")) and not path.suffix[1:].isdigit()


def media_type_of(path: Path) -> str:
    """Returns the media type that the suffix of a file says, or an empty string without a suffix.

    Raises:
        ValueError: No image has this suffix.
    """
    if not has_suffix(path):
        return ""
    if kind := SUFFIX_TYPES.get(path.suffix.lower()):
        return kind
    raise ValueError(f"{path}: an image is not saved as {path.suffix}; use one of {', '.join(SUFFIX_TYPES)}")


def place_for(image: ImageOutput, path: str | Path, stem: str = "image") -> Path:
    """Returns the path for an image: `path` with the suffix of its format, or an unused name in the folder `path`.

    Args:
        image: The image.
        path: A file or a folder. A path that ends in a separator is a folder.
        stem: Start of the name in a folder.

    Raises:
        ValueError: The suffix belongs to another format.
        FileNotFoundError: There is no such folder.
    """
    place = Path(path)
    if place.is_dir():
        return free_path(place, stem, image)
    if str(path).endswith((os.sep, "/")):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path))
    if is_special(place):
        return place
    suffix = MEDIA_SUFFIXES.get(image.media_type, "")
    if not has_suffix(place):
        return place.with_name(place.name + suffix)
    if suffix and SUFFIX_TYPES.get(place.suffix.lower()) != image.media_type:
        raise ValueError(f"{place}: the image is {image.media_type}; save it as {place.with_suffix(suffix)}")
    return place


def free_path(folder: Path, stem: str, image: ImageOutput) -> Path:
    """Returns an unused path of words, seed and index: `a-red-fox-7-0.png`."""
    words = slug(stem)
    seed = "" if image.seed is None else f"-{image.seed}"
    suffix = MEDIA_SUFFIXES.get(image.media_type, "")
    place = folder / f"{words}{seed}-{image.index}{suffix}"
    number = 2
    while os.path.lexists(place):
        place = folder / f"{words}{seed}-{image.index}-{number}{suffix}"
        number += 1
    return place


def slug(stem: str) -> str:
    """Returns the words of a text for a file name, in lower case, at most 40 characters."""
    return "-".join(re.findall(r"[a-z0-9]+", stem.lower()))[:40].strip("-") or "image"


def checked_place(image: ImageOutput, path: str | Path, *, overwrite: bool) -> Path:
    """Returns the path for an image, as `place_for` does. Raises FileExistsError unless the file may be replaced."""
    if not isinstance(image, ImageOutput):
        raise TypeError(f"an image is one of result.images, not {shown(image)}")
    if not os.fspath(path):
        raise ValueError("the path is empty; . is the working folder")
    place = place_for(image, path)
    if not overwrite and os.path.lexists(place) and not is_special(place):
        raise FileExistsError(errno.EEXIST, "the file exists; overwrite=True replaces it", str(place))
    return place


def write_image(image: ImageOutput, place: Path, data: bytes, *, overwrite: bool) -> None:
    """Writes the bytes of an image as `write_file` does. Its OSError says where the server keeps the image."""
    try:
        write_file(place, data, overwrite=overwrite)
    except OSError as error:
        text = f"{error.strerror or error}; the server keeps the image as {image.artifact}"
        raise OSError(error.errno, text, str(place)) from error


def is_special(place: Path) -> bool:
    """Returns whether a path is a device, a pipe or a socket: bytes go into it, and it is never replaced."""
    with contextlib.suppress(OSError):
        mode = place.stat().st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def write_file(place: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Writes a file, so that the path has either its old content or all of the new one, also after a power failure.

    The bytes are written beside the file and synced; then the file gets its name. Folders above it are made. A link is
    followed, a file that is overwritten keeps its mode.

    Raises:
        FileExistsError: The file exists, and `overwrite` is False.
        OSError: The file can't be written.
    """
    if is_special(place):
        with place.open("wb") as device:
            device.write(data)
        return
    target = Path(os.path.realpath(place)) if overwrite else place
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part")
    if len(os.fsencode(part.name)) > 200:  # a name in a script of several bytes per letter
        part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            with contextlib.suppress(OSError):
                os.chmod(part, stat.S_IMODE(target.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            part.replace(target)
        else:
            _rename_to_new(part, target)
    except OSError as error:
        error.filename, error.filename2 = str(place), None
        raise
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _rename_to_new(part: Path, target: Path) -> None:
    """Renames a file to a name that is not taken. Raises FileExistsError."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # the file system has no links
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "File exists", str(target)) from None
        part.rename(target)


def _sync_folder(folder: Path) -> None:
    """Makes a new name durable, where a folder can be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
