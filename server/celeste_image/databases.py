"""Databases: opens the database that the settings name, and the ledger in it."""

import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import structlog

from celeste_image.config import ConfigurationInvalid, DatabaseSettings, Problem, Settings
from celeste_image.config.references import secret_of
from celeste_image.core.errors import CelesteError
from celeste_image.database import Access, PostgresRecords, Records, SqliteRecords, version_warning
from celeste_image.ledger import FileOwner, Ledger, LockOwner, Operations, Owner, Requests, Results
from celeste_image.store.backend import Backend
from celeste_image.store.open import open_backend

__all__ = ["OpenDatabase", "access_of", "check_database", "folder_of", "open_database"]

SERVERS = "servers"
"""Folder beside a database's file with a locked file of each running server."""

log = structlog.get_logger("celeste_image.store")


@dataclass(frozen=True, slots=True)
class OpenDatabase:
    """The database of a server, and what is in it.

    Attributes:
        records: Its rows.
        ledger: The ledger in it.
        requests: The requests that may be repeated; None if no outcomes are kept.
        operations: The operations that ended.
        results: The cached results; None without a cache.
    """

    records: Records
    ledger: Ledger
    requests: Requests | None
    operations: Operations
    results: Results | None

    async def sweep(self) -> int:
        """Deletes the rows whose time is over, and returns how many of operations and calls.

        Raises:
            StorageFull: The database can't be written.
            StorageUnavailable: Likewise.
        """
        if self.requests:
            await self.requests.sweep()
        return await self.operations.sweep()

    async def begin(self) -> None:
        """Connects to the database, and shows the other servers of its ledger that this one lives.

        Raises:
            StorageUnavailable: The database can't be reached now. The ledger refuses calls until it can.
            ValueError: The database refuses this server; the text names the setting.
        """
        away = None
        if isinstance(self.records, PostgresRecords):
            try:
                await self.records.begin()
            except CelesteError as error:
                away = error
        await self.ledger.begin()  # also if the database is away: it goes on trying
        if away:
            raise away


def open_database(
    all_settings: Settings, store: Backend, environment: Mapping[str, str], closing: AsyncExitStack
) -> OpenDatabase:
    """Returns the database that the settings name; without a name, that of the store, or one in a temporary folder.

    Args:
        all_settings: The configuration.
        store: The store, whose database is shared if it is the same.
        environment: The variables that secrets may refer to.
        closing: Closes the database, and removes the temporary folder.

    Raises:
        ValueError: A setting is wrong, or a folder can't be made; the text names the setting.
    """
    settings = all_settings.database
    if settings.is_postgresql:
        access = access_of(settings, environment)
        rows = PostgresRecords(access)
        closing.push_async_callback(rows.close)
        return _books(all_settings, rows, LockOwner(access), closing)
    if warning := version_warning():
        log.info("sqlite", warning=warning)
    backend = _backend(settings, store, closing)
    assert backend.folder
    try:
        owner = FileOwner(backend.folder / SERVERS)
    except OSError as error:
        setting = "database.url" if settings.url else "store.url"
        raise ValueError(f"{setting}: {backend.folder / SERVERS} can't be made: {error.strerror}") from error
    return _books(all_settings, SqliteRecords(backend), owner, closing)


def _books(settings: Settings, records: Records, owner: Owner, closing: AsyncExitStack) -> OpenDatabase:
    """Returns what is in a database. `closing` closes it before the database."""
    ledger = Ledger(records, owner)
    closing.push_async_callback(ledger.close)
    operations = Operations(records, timedelta(hours=settings.ledger.keep_hours))
    closing.push_async_callback(operations.close)
    requests = results = None
    if hours := settings.ledger.replay_hours:
        requests = Requests(records, owner, timedelta(hours=hours))
        closing.push_async_callback(requests.close)  # before the ledger, which ends the owner
    if (cache := settings.cache).enabled:
        results = Results(
            records,
            owner,
            lifetime=timedelta(hours=cache.hours),
            most_bytes=cache.bytes,
            memory_bytes=cache.memory_bytes,
        )
        closing.push_async_callback(results.close)
    return OpenDatabase(records, ledger, requests, operations, results)


def check_database(settings: DatabaseSettings, environment: Mapping[str, str]) -> None:
    """Raises ValueError for settings that name no database; nothing is opened."""
    if settings.is_postgresql:
        access_of(settings, environment)


def access_of(settings: DatabaseSettings, environment: Mapping[str, str]) -> Access:
    """Returns the database on PostgreSQL that the settings name.

    Raises:
        ConfigurationInvalid: The reference to the password leads nowhere.
        ValueError: asyncpg is not installed.
    """
    given = settings.password

    def password() -> str:
        return secret_of(given, environment).reveal() if given else ""

    try:
        password()
    except ValueError as error:
        raise ConfigurationInvalid([Problem(("database", "password"), str(error))]) from error
    return Access(settings.url, password)


def folder_of(url: str) -> Path:
    """Returns the folder of a `file:` URL."""
    return Path(url2pathname(urlsplit(url).path))


def _backend(settings: DatabaseSettings, store: Backend, closing: AsyncExitStack) -> Backend:
    """Returns the folder with the database's file."""
    if not settings.url:
        return store if store.folder else _temporary(store, closing)
    folder = folder_of(settings.url)
    if store.folder and store.folder.resolve() == folder.resolve():
        return store
    try:
        backend = open_backend(settings.url, {})
    except ValueError as error:
        raise ValueError(str(error).replace("store.url", "database.url", 1)) from error
    except OSError as error:
        raise ValueError(f"database.url: {error.filename or folder} can't be made: {error.strerror}") from error
    closing.push_async_callback(backend.close)
    return backend


def _temporary(store: Backend, closing: AsyncExitStack) -> Backend:
    """Returns a new temporary folder. It ends with the server, so nothing in it waits for the disk."""
    try:
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="celeste-database-"))
        backend = open_backend(Path(folder).as_uri(), {}, durable=False)
    except OSError as error:
        text = f"no temporary folder can be written: {error.strerror}; set database.url to a folder, or TMPDIR"
        raise ValueError(text) from error
    if store.far:
        log.warning(
            "paid calls are in a temporary folder, and forgotten when the server ends; set database.url to keep them"
        )
    closing.push_async_callback(backend.close)
    return backend
