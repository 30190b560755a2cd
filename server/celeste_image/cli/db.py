"""celeste db: checks, migrates, copies and restores the database of a folder store, with its files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click

from celeste_image.cli.configuration import configuration_options, refused
from celeste_image.cli.exit import PARTLY_DONE
from celeste_image.cli.terminal import say, say_json

if TYPE_CHECKING:
    from celeste_image.store.backup import Copied

__all__ = ["command"]

DAMAGED = 1


@click.group(name="db")
def command() -> int:
    """Check, migrate, back up and restore a store in a folder: its artifacts and its ledger of paid calls.

    The store is that of the configuration, as for celeste serve.
    """
    return 0


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configuration_options
def check(as_json: bool, file: str | None, assignments: tuple[str, ...]) -> int:
    """Read every page of the database, and tell its version, its rows and what is damaged. A server may run meanwhile.

    The exit code is 1 if something is damaged.
    """
    with _failures():
        from celeste_image.database.check import look_at, version_warning

        path = _database(file, assignments)
        found = look_at(path)
    if warning := version_warning():
        say(f"warning: {warning}", err=True)
    if as_json:
        say_json(
            {
                "path": str(path),
                "version": found.version,
                "current_version": found.current,
                "rows": found.rows,
                "problems": list(found.problems),
            }
        )
    else:
        say(f"{path}: version {found.version} of {found.current}")
        for name, rows in found.rows.items():
            say(f"{name}: {rows}")
        for problem in found.problems:
            say(f"damaged: {problem}")
    return DAMAGED if found.problems else 0


@command.command()
@configuration_options
def migrate(file: str | None, assignments: tuple[str, ...]) -> int:
    """Bring the database to this version of Celeste, as the start of a server does. Earlier ones can't read it."""
    with _failures():
        from celeste_image.database.check import look_at
        from celeste_image.store.open import open_backend

        path = _database(file, assignments)
        before = look_at(path).version
        backend = open_backend(path.parent.absolute().as_uri(), {})
        assert backend.database
        backend.database.close()
        after = look_at(path).version
    say(f"{path}: version {before}, now {after}" if after != before else f"{path}: version {after} already")
    return 0


@command.command()
@click.argument("folder")
@configuration_options
def backup(folder: str, file: str | None, assignments: tuple[str, ...]) -> int:
    """Copy the store into FOLDER, as of one moment, while a server runs. An earlier copy there gets only new files.

    The copy is a store itself: celeste serve --store file:///FOLDER serves it.
    """
    with _failures():
        from celeste_image.store.backup import copy_store

        copied = copy_store(_database(file, assignments).parent, Path(folder))
    return _tell(copied, folder)


@command.command()
@click.argument("folder")
@configuration_options
def restore(folder: str, file: str | None, assignments: tuple[str, ...]) -> int:
    """Copy the backup in FOLDER to the place of the store, which must have no database: nothing is overwritten."""
    with _failures():
        from celeste_image.store.backup import copy_store

        target = _folder(file, assignments)
        if _database_in(target).exists():
            raise ValueError(f"{_database_in(target)} exists; move that store away, or name another place with --set")
        copied = copy_store(Path(folder), target)
    return _tell(copied, str(target))


def _tell(copied: "Copied", folder: str) -> int:
    say(f"{folder}: {copied.artifacts} artifacts; {copied.files} files copied, {copied.known} known")
    for sha256 in copied.missing:
        say(f"no file: {sha256}", err=True)
    return PARTLY_DONE if copied.missing else 0


def _folder(file: str | None, assignments: tuple[str, ...]) -> Path:
    """Returns the folder of the store. Raises ValueError if it is in no folder."""
    from celeste_image.config import load

    configuration = load(assignments=assignments, file=file)
    try:
        url = configuration.valid().store.url
    except (ValueError, OSError) as error:
        raise refused(error, configuration) from error
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise ValueError(f"store.url: must be file:///FOLDER to have a database, not {url or 'empty'}")
    return Path(url2pathname(parts.path))


def _database(file: str | None, assignments: tuple[str, ...]) -> Path:
    """Returns the database of the store. Raises ValueError if there is none."""
    path = _database_in(_folder(file, assignments))
    if not path.is_file():
        raise ValueError(f"{path} does not exist: no server has used this store yet")
    return path


def _database_in(folder: Path) -> Path:
    from celeste_image.store.open import DATABASE

    return folder / DATABASE


@contextmanager
def _failures() -> Iterator[None]:
    """Turns what can go wrong into one line."""
    import sqlite3

    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(f"celeste db needs {error.name}: pip install 'celeste-image[local]'") from error
    except sqlite3.Error as error:
        raise click.UsageError(f"the database can't be read: {error}") from error
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
