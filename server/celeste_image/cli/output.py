"""Where a command writes its images: `--out` is checked before the work, and each image is saved on its own."""

import errno
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from celeste_image.cli.terminal import check_output, say, write_bytes

if TYPE_CHECKING:
    from celeste_image.client import Client
    from celeste_image.core.events import Preview
    from celeste_image.core.result import ImageOutput

__all__ = ["STREAM", "Output", "Saved", "checked_output"]

STREAM = "-"
NOT_WRITTEN = 6
LONGEST_SUFFIX = 5  # .webp
NAME_BYTES = 255


@dataclass
class Saved:
    """The outcome of saving: a path for each image, None where it could not be written, and the exit code."""

    paths: list[str | None]
    code: int = 0


@dataclass(frozen=True)
class Output:
    """Where images go.

    Attributes:
        path: A file, or an existing folder.
        is_stream: Whether the image goes to standard output.
        stem: Start of the file names in a folder.
        count: Number of images asked for; several images get their index before the suffix.
        force: Whether files may be overwritten.
        media_type: The format that the suffix of `path` says; empty without one.
    """

    path: Path
    is_stream: bool
    stem: str
    count: int
    force: bool
    media_type: str

    def save(self, client: "Client", images: "Sequence[ImageOutput]") -> Saved:
        """Saves every image that can be saved, and says which could not, with the name under which the server has it.

        Raises:
            OutputLost: Standard output did not take the image; its text has the artifact's name.
        """
        from celeste_image.cli.exit import exit_code
        from celeste_image.core.errors import CelesteError

        saved = Saved([])
        for position, image in enumerate(images):
            try:
                data = client.read(image)
                saved.paths.append(self._write(image, data, position, several=self.count > 1 or len(images) > 1))
            except OSError as error:
                place = error.filename or self.path
                say(f"error: {place}: {error.strerror or error}; the server keeps it as {image.artifact}", err=True)
                saved.paths.append(None)
                saved.code = saved.code or NOT_WRITTEN
            except CelesteError as error:
                say(f"error: {image.artifact} could not be read: {error.message}", err=True)
                saved.paths.append(None)
                saved.code = saved.code or exit_code(error)
        return saved

    def _write(self, image: "ImageOutput", data: bytes, position: int, *, several: bool) -> str | None:
        """Writes one image and returns its path; None for standard output."""
        from celeste_image.client.saving import MEDIA_SUFFIXES, free_path, is_special, place_for, write_file

        if self.is_stream and position == 0:
            write_bytes(data, f"the server keeps the image as {image.artifact}")
            return None
        if self.is_stream or self.path.is_dir():
            place = free_path(Path() if self.is_stream else self.path, self.stem, image)
        else:
            indexed = several and not is_special(self.path)
            wanted = _indexed(self.path, image.index) if indexed else self.path
            try:
                place = place_for(image, wanted)
            except ValueError as error:  # the image is paid for: it is saved with the right suffix
                say(f"warning: {error}", err=True)
                place = wanted.with_suffix(MEDIA_SUFFIXES[image.media_type])
        while True:
            # A file that was not checked before the work, or has appeared since, is never replaced unasked.
            if os.path.lexists(place) and not is_special(place) and not self.force:
                place = free_path(place.parent, place.stem, image)
            try:
                write_file(place, data, overwrite=self.force)
            except FileExistsError:
                continue
            return str(place)

    def save_preview(self, preview: "Preview") -> str:
        """Writes a preview beside the result and returns its path. Raises OSError."""
        from celeste_image.client.saving import MEDIA_SUFFIXES, slug, write_file

        is_folder = self.is_stream or self.path.is_dir()
        folder = self.path if self.path.is_dir() else Path() if self.is_stream else self.path.parent
        name = slug(self.stem if is_folder else self.path.stem)
        number = 1
        while True:
            place = folder / f"{name}-preview-{number}{MEDIA_SUFFIXES.get(preview.media_type, '')}"
            try:
                write_file(place, preview.data)
            except FileExistsError:
                number += 1
                continue
            return str(place)


def checked_output(out: str | None, values: Mapping[str, Any], *, stem: str, force: bool) -> Output:
    """Returns where the images go, after every check that is possible before the work.

    Args:
        out: The value of --out: a file, a folder, `-` for standard output; None is the working folder.
        values: The values of the other options: --json, --format, and --count where the command has it.
        stem: Start of the file names in a folder.
        force: Whether files may be overwritten.

    Raises:
        click.BadParameter: No image can be written there.
    """
    count, as_json, media_type = values.get("count", 1), values["as_json"], values["media_type"]
    if out == STREAM:
        if as_json or count > 1:
            what = "--json, which prints there" if as_json else "--count, since it takes one image"
            raise click.BadParameter(f"- is standard output; it does not go with {what}", param_hint="--out")
        check_output()
        return Output(Path(), True, stem, count, force, "")
    path = Path("." if out is None else out)
    try:
        implied = _check(path, "." if out is None else out, count=count, force=force, media_type=media_type)
    except (ValueError, OSError) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise click.BadParameter(text, param_hint="--out") from error
    return Output(path, False, stem, count, force, implied)


def _indexed(path: Path, index: int) -> Path:
    from celeste_image.client.saving import has_suffix

    return path.with_stem(f"{path.stem}-{index}") if has_suffix(path) else path.with_name(f"{path.name}-{index}")


def _check(path: Path, given: str, *, count: int, force: bool, media_type: str) -> str:
    """Returns the media type that a path's suffix says. Raises ValueError or OSError if no image can be written."""
    from celeste_image.client.saving import MEDIA_SUFFIXES, is_special, media_type_of

    if not given.strip():
        raise ValueError("the path is empty")
    if path.is_dir():
        _check_folder(path)
        return ""
    if given.endswith((os.sep, "/")):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", given)
    if is_special(path):
        if stat.S_ISCHR(path.stat().st_mode) and _is_terminal(path):
            raise ValueError(f"{path}: the bytes of an image are not for a terminal")
        if count > 1:
            raise ValueError(f"{path} takes one image; --count asks for {count}")
        return ""
    implied = media_type_of(path)
    if implied and media_type and implied != media_type:
        suffix = MEDIA_SUFFIXES.get(media_type, "no suffix")
        raise ValueError(f"{path} is not for --format {media_type}; use {suffix}, or leave one of them out")
    _check_names(path, count)
    for place in [path] if count == 1 else [_indexed(path, index) for index in range(count)]:
        whole = [place] if implied else [place, *(place.with_name(place.name + end) for end in MEDIA_SUFFIXES.values())]
        for each in whole:
            if os.path.lexists(each) and not force:
                raise ValueError(f"{each} exists; --force overwrites it")
            if os.path.lexists(each) and (each.is_dir() or not os.access(os.path.realpath(each), os.W_OK)):
                raise ValueError(f"{each} exists and can't be overwritten")
    _check_folder(path.parent)
    return implied


def _check_names(path: Path, count: int) -> None:
    """Raises OSError for a name that is too long for its file, with its index and suffix."""
    longest = len(os.fsencode(path.name)) + (LONGEST_SUFFIX if not path.suffix else 0) + (3 if count > 1 else 0)
    if longest > NAME_BYTES or any(len(os.fsencode(part)) > NAME_BYTES for part in path.parts):
        raise OSError(errno.ENAMETOOLONG, "the name is too long", str(path))


def _check_folder(folder: Path) -> None:
    """Raises OSError unless a file can be made in a folder, or in its nearest parent that exists."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, f"no file can be written there ({error.strerror})", str(folder)) from error


def _is_terminal(path: Path) -> bool:
    with path.open("wb") as device:
        return device.isatty()
