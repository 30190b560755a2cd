"""Backups of a folder store: a copy of the database at one moment, and of the files of its artifacts."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from celeste_image.database.check import look_at
from celeste_image.store.blobs import path_of
from celeste_image.store.files import flush, make_folder
from celeste_image.store.open import DATABASE

__all__ = ["Copied", "copy_store"]


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied.

    Attributes:
        artifacts: Artifacts of all owners.
        files: Files that were copied.
        known: Files that were in the copy already.
        missing: Digests of artifacts without their file: they expired meanwhile, or were lost before.
    """

    artifacts: int
    files: int
    known: int
    missing: tuple[str, ...]


def copy_store(source: Path, target: Path) -> Copied:
    """Copies a store while a server writes to it: the artifacts and the ledger as of one moment.

    The database is copied first. Each of its artifacts has its file by then, and files never change. A copy into an
    earlier copy takes only new files. The database of the copy appears last, under its name, once all else is on the
    disk: a copy without it is not complete.

    Raises:
        ValueError: The source is no store, or its database is damaged.
        OSError: A file can't be read or written.
    """
    if not (source / DATABASE).is_file():
        raise ValueError(f"{source} has no {DATABASE}: it is no folder store")
    make_folder(target)
    part = target / f"{DATABASE}.part"
    part.unlink(missing_ok=True)
    try:
        _copy_database(source / DATABASE, part)
        if problems := look_at(part).problems:
            raise ValueError(f"{source / DATABASE} is damaged: {problems[0]}")
        copied = _copy_files(source, target, part)
    except sqlite3.Error as error:
        raise ValueError(f"{source / DATABASE} can't be copied: {error}") from error
    with part.open("rb") as written:
        os.fsync(written.fileno())
    for left in ("-wal", "-shm"):  # of an earlier copy that somebody opened: they belong to the old file
        (target / (DATABASE + left)).unlink(missing_ok=True)
    part.rename(target / DATABASE)
    flush(target)
    return copied


def _copy_database(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as of,
        closing(sqlite3.connect(target)) as to,
    ):
        of.backup(to)  # in one step, so of one moment; a server writes on into its log
        to.execute("PRAGMA journal_mode = DELETE")
    os.chmod(target, 0o600)


def _copy_files(source: Path, target: Path, database: Path) -> Copied:
    files, known, missing = 0, 0, list[str]()
    folders = set[Path]()
    for sha256 in _of_files(database):
        path = Path(path_of(sha256))
        if (target / path).exists():
            known += 1
            continue
        (target / path.parent).mkdir(parents=True, exist_ok=True)
        part = target / path.parent / f"{path.name}.part"
        try:
            shutil.copyfile(source / path, part)
        except FileNotFoundError:
            part.unlink(missing_ok=True)
            missing.append(sha256)
            continue
        os.chmod(part, 0o600)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(target / path)
        folders |= {target / path.parent, target / path.parent.parent}
        files += 1
    for folder in folders:
        flush(folder)
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
        (artifacts,) = db.execute("SELECT COUNT(*) FROM entries").fetchone()
    return Copied(int(artifacts), files, known, tuple(missing))


def _of_files(database: Path) -> Iterator[str]:
    """Yields the digests of artifacts whose bytes are files."""
    query = """
        SELECT DISTINCT sha256 FROM entries
        WHERE NOT EXISTS (SELECT 1 FROM small_blobs WHERE small_blobs.sha256 = entries.sha256)
    """
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
        for (digest,) in db.execute(query):
            yield digest.hex()
