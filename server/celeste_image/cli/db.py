"""celeste db: checks and migrates the database, and copies and restores that of a folder, with its files."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click

from celeste_image.cli.configuration import configuration_options, refused
from celeste_image.cli.exit import PARTLY_DONE
from celeste_image.cli.terminal import say, say_json

if TYPE_CHECKING:
    from celeste_image.config import Settings
    from celeste_image.database import FileReport
    from celeste_image.database.postgres_access import Connection
    from celeste_image.store.backup import Copied

__all__ = ["command"]

T = TypeVar("T")

DAMAGED = 1


@click.group(name="db")
def command() -> int:
    """Check, migrate, back up and restore the database: the ledger of paid calls, and artifacts of a store in a folder.

    The database is that of the configuration, as for celeste serve: database.url, or else the folder of store.url.
    """
    return 0


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configuration_options
def check(as_json: bool, file: str | None, assignments: tuple[str, ...]) -> int:
    """Read every page of the database, and tell its version, its rows and what is damaged. A server may run meanwhile.

    The exit code is 1 if something is damaged. PostgreSQL's pages are not read: pg_amcheck does that.
    """
    with _failures():
        from celeste_image.database.check import look_at, version_warning

        settings = _settings(file, assignments)
        warning = ""
        if settings.database.is_postgresql:
            place, found = settings.database.url, _on_postgres(settings, _look)
        else:
            path = _database(settings)
            place, found, warning = str(path), look_at(path), version_warning()
    if warning:
        say(f"warning: {warning}", err=True)
    if as_json:
        say_json(
            {
                "path": place,
                "version": found.version,
                "current_version": found.current,
                "rows": found.rows,
                "problems": list(found.problems),
            }
        )
    else:
        say(f"{place}: version {found.version} of {found.current}")
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
        from celeste_image.database.schema import STEPS
        from celeste_image.store.open import open_backend

        settings = _settings(file, assignments)
        if settings.database.is_postgresql:
            place, before, after = settings.database.url, _on_postgres(settings, _migrate), len(STEPS)
        else:
            path = _database(settings)
            before = look_at(path).version
            backend = open_backend(path.parent.absolute().as_uri(), {})
            assert backend.database
            backend.database.close()
            place, after = str(path), look_at(path).version
    say(f"{place}: version {before}, now {after}" if after != before else f"{place}: version {after} already")
    return 0


@command.command()
@click.argument("folder")
@configuration_options
def backup(folder: str, file: str | None, assignments: tuple[str, ...]) -> int:
    """Copy the store into FOLDER, as of one moment, while a server runs. An earlier copy there gets only new files.

    The copy is a store itself: celeste serve --store file:///FOLDER serves it.

    For a database on PostgreSQL, the command only tells which tool of PostgreSQL makes the copy.
    """
    with _failures():
        from celeste_image.store.backup import copy_store

        settings = _settings(file, assignments)
        _refuse_postgres(settings, f"pg_dump --format=custom --file={folder}/celeste.dump '{settings.database.url}'")
        copied = copy_store(_database(settings).parent, Path(folder))
    return _tell(copied, folder)


@command.command()
@click.argument("folder")
@configuration_options
def restore(folder: str, file: str | None, assignments: tuple[str, ...]) -> int:
    """Copy the backup in FOLDER to the place of the store, which must have no database: nothing is overwritten.

    For a database on PostgreSQL, the command only tells which tool of PostgreSQL restores it.
    """
    with _failures():
        from celeste_image.store.backup import copy_store

        settings = _settings(file, assignments)
        url = settings.database.url
        _refuse_postgres(settings, f"pg_restore --exit-on-error --dbname='{url}' {folder}/celeste.dump")
        target = _folder(settings)
        if _database_in(target).exists():
            raise ValueError(f"{_database_in(target)} exists; move that store away, or name another place with --set")
        copied = copy_store(Path(folder), target)
    return _tell(copied, str(target))


def _tell(copied: "Copied", folder: str) -> int:
    say(f"{folder}: {copied.artifacts} artifacts; {copied.files} files copied, {copied.known} known")
    for sha256 in copied.missing:
        say(f"no file: {sha256}", err=True)
    return PARTLY_DONE if copied.missing else 0


def _settings(file: str | None, assignments: tuple[str, ...]) -> "Settings":
    """Returns the settings. Raises click.UsageError if they are wrong."""
    from celeste_image.config import load

    configuration = load(assignments=assignments, file=file)
    try:
        return configuration.valid()
    except (ValueError, OSError) as error:
        raise refused(error, configuration) from error


def _folder(settings: "Settings") -> Path:
    """Returns the folder of the database. Raises ValueError if it is in no folder."""
    url = settings.database.url or settings.store.url
    parts = urlsplit(url)
    if parts.scheme != "file":
        text = f"store.url: must be file:///FOLDER to have a database, not {url or 'empty'}; or set database.url"
        raise ValueError(text)
    return Path(url2pathname(parts.path))


def _database(settings: "Settings") -> Path:
    """Returns the file of the database. Raises ValueError if there is none."""
    path = _database_in(_folder(settings))
    if not path.is_file():
        raise ValueError(f"{path} does not exist: no server has used this store yet")
    return path


def _refuse_postgres(settings: "Settings", instead: str) -> None:
    """Raises ValueError for a database on PostgreSQL, with the command that does it."""
    if settings.database.is_postgresql:
        text = f"PostgreSQL's own tools copy its databases: {instead}\n--set database.url= copies a store in a folder"
        raise ValueError(text)


def _on_postgres(settings: "Settings", work: Callable[["Connection"], Awaitable[T]]) -> T:
    """Returns what some work on a connection to the database returns. Raises ValueError if the database fails."""
    import asyncio
    import os

    from celeste_image.database.postgres_access import refusal
    from celeste_image.databases import access_of
    from celeste_image.telemetry.logs import configure_logs

    configure_logs("error", "console")
    access = access_of(settings.database, os.environ)

    async def run() -> T:
        try:
            connection = await access.connect()
            try:
                return await work(connection)
            finally:
                connection.terminate()
        except Exception as error:
            text = refusal(error, access) or f"database.url: {access.place} can't be used: {type(error).__name__}"
            raise ValueError(text) from error

    return asyncio.run(run())


async def _look(connection: "Connection") -> "FileReport":
    from celeste_image.database.postgres_schema import look_at_postgres

    return await look_at_postgres(connection)


async def _migrate(connection: "Connection") -> int:
    from celeste_image.database.postgres_schema import migrate_postgres

    return await migrate_postgres(connection)


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
