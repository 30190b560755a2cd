"""Settings of the database with the ledger of paid calls: the table `[database]`."""

from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator

from celeste_image.config.secret_text import SecretText
from celeste_image.config.section import Section

__all__ = ["DatabaseSettings"]

FORMS = "file:///FOLDER or postgresql://USER@HOST:PORT/NAME"
SECRET_OPTIONS = frozenset({"password", "sslpassword"})


def _without_password(url: str) -> str:
    """Returns a URL that names a database. No message quotes more of it than its scheme: it may have a password."""
    if not url:
        return url
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None or any(name in SECRET_OPTIONS for name, _ in parse_qsl(parts.query))
        _ = parts.port
    except ValueError:
        raise ValueError(f"must be {FORMS}; the host or the port is not valid") from None
    if has_password:
        raise ValueError("must have no password, which the log would show; it is in database.password")
    if parts.scheme == "postgresql" or (parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost")):
        return url
    given = f", not {parts.scheme}://" if "://" in url else ""
    raise ValueError(f"must be {FORMS}{given}")


class DatabaseSettings(Section):
    """`[database]`: the database with the ledger of paid calls."""

    url: Annotated[str, AfterValidator(_without_password)] = ""
    """`file:///FOLDER`, or `postgresql://USER@HOST:PORT/NAME` for several servers. Empty means the database of a store
    in a folder, or one in a temporary folder."""
    password: SecretText | None = None
    """Password of the user on PostgreSQL: `env:VARIABLE`, `file:PATH`, or the password itself. A file is read again for
    each new connection."""

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is on PostgreSQL."""
        return self.url.startswith("postgresql:")
