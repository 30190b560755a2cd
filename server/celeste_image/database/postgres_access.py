"""Access to PostgreSQL: how connections are opened, and what their errors mean."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from celeste_image.core.errors import StorageFull, StorageUnavailable
from celeste_image.core.install import install_hint

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["CONNECT_SECONDS", "STATEMENT_SECONDS", "Access", "Connection", "failure", "refusal", "sqlstate"]

log = structlog.get_logger("celeste_image.database")

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 5.0
RETRY_SECONDS = 1.0
"""When a caller may try again."""
IDLE_IN_TRANSACTION_SECONDS = 15
"""How long the database keeps a transaction of a server that stands still: its row locks hold up the other servers."""
FULL = ("53000", "53100", "53400")
"""SQLSTATEs of a database that has no room: on its disk, or within a limit of its configuration."""
REFUSED = ("28", "3D", "42")
"""Classes of SQLSTATEs that a retry does not mend: the user or the password is wrong, there is no such database, an
option of the URL is unknown, the user may not do this."""


@dataclass(frozen=True, slots=True)
class Access:
    """A database on PostgreSQL, and the user that Celeste is there.

    Attributes:
        url: `postgresql://USER@HOST:PORT/NAME`, with the options of libpq such as `sslmode`, without a password.
        password: Returns the password, for each new connection; empty without one. Raises ValueError.
        connect_seconds: Timeout of a new connection.
        statement_seconds: Timeout of a statement.
    """

    url: str
    password: Callable[[], str] = str
    connect_seconds: float = CONNECT_SECONDS
    statement_seconds: float = STATEMENT_SECONDS

    def __post_init__(self) -> None:
        """Raises ValueError if asyncpg is not installed."""
        if find_spec("asyncpg") is None:
            raise ValueError(f"database.url: needs asyncpg; get it with: {install_hint('postgres')}")

    @property
    def place(self) -> str:
        """The host, the port and the name of the database, for messages."""
        parts = urlsplit(self.url)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"

    async def connect(self, **settings: str) -> "Connection":
        """Opens a connection.

        Args:
            settings: More settings of the session, by PostgreSQL's names.

        Raises:
            OSError, TimeoutError, asyncpg.PostgresError, ValueError: The database can't be reached or refuses; see
                `failure` and `refusal`.
        """
        import asyncpg  # late: few servers have it

        connection: Connection = await asyncpg.connect(
            self.url,
            password=self.password() or None,
            timeout=self.connect_seconds,
            command_timeout=self.statement_seconds,
            server_settings={**self._settings(), **settings},
        )
        await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=int, format="text")
        return connection

    def _settings(self) -> Mapping[str, str]:
        return {
            "application_name": "celeste",
            "statement_timeout": f"{self.statement_seconds * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
        }


def failure(error: Exception, doing: str) -> StorageFull | StorageUnavailable:
    """Logs why the database can't be used, and returns the error for callers.

    The line has the kind of the error and its SQLSTATE. PostgreSQL's own text may have values of rows.
    """
    state = sqlstate(error)
    log.warning("database failed", doing=doing, error=type(error).__name__, sqlstate=state)
    if state in FULL:
        return StorageFull("the database has no room", retry_after=RETRY_SECONDS)
    return StorageUnavailable("the database can't be used now", retry_after=RETRY_SECONDS)


def refusal(error: Exception, access: Access) -> str:
    """Returns why the database will refuse this server until its settings or the database change; else empty.

    The text names the setting, and has neither the password nor SQL.
    """
    state = sqlstate(error)
    if state.startswith("28"):
        return f"database.password: {access.place} refuses the user: {_first_line(error)}"
    if state.startswith(REFUSED):
        return f"database.url: {access.place}: {_first_line(error)}"
    if isinstance(error, ssl.SSLError):
        return f"database.url: {access.place}: TLS fails: {error.reason or type(error).__name__}"
    return str(error) if isinstance(error, ValueError) and not state else ""


def sqlstate(error: Exception) -> str:
    """Returns PostgreSQL's code of an error; empty for others."""
    return str(getattr(error, "sqlstate", None) or "")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
