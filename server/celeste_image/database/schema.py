"""Schema: the tables of the database, as steps that each bring a database from one version to the next.

Never change a step that was released; add one.
"""

import sqlite3

__all__ = ["STEPS", "check_version", "migrate"]

STEPS: tuple[tuple[str, ...], ...] = (
    (
        # An owner's artifact. Times are microseconds since 1970; `lineages` is a JSON list, the latest first.
        """
        CREATE TABLE entries (
            owner TEXT NOT NULL,
            sha256 BLOB NOT NULL,
            media_type TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            created INTEGER NOT NULL,
            touched INTEGER NOT NULL,
            lineages TEXT NOT NULL,
            PRIMARY KEY (owner, sha256)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX entries_by_digest ON entries (sha256)",
        # Bytes of small artifacts. Those of large ones are files.
        "CREATE TABLE small_blobs (sha256 BLOB NOT NULL PRIMARY KEY, data BLOB NOT NULL)",
    ),
    (
        # A call to a provider that may have to be paid. `server` is the one that makes it; `ticket` is the provider's
        # name for its job; `owed` is 1, 0, or NULL if nobody knows; `billed` is a JSON list of
        # [unit, amount, model], or an object of amounts by unit in rows of earlier versions.
        """
        CREATE TABLE calls (
            id TEXT NOT NULL PRIMARY KEY,
            server TEXT NOT NULL,
            tenant TEXT NOT NULL,
            caller TEXT NOT NULL,
            request_id TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            operation TEXT NOT NULL,
            ticket TEXT,
            started INTEGER NOT NULL,
            ended INTEGER,
            state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'uncertain')),
            reason TEXT NOT NULL,
            owed INTEGER,
            images INTEGER NOT NULL,
            billed TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX calls_of_tenant ON calls (tenant, id)",
        "CREATE INDEX calls_of_request ON calls (tenant, request_id, id)",
        "CREATE INDEX open_calls ON calls (server) WHERE state = 'open'",
        "CREATE INDEX uncertain_calls ON calls (tenant, id) WHERE state = 'uncertain'",
        "CREATE INDEX calls_of_ticket ON calls (provider, ticket) WHERE ticket IS NOT NULL",
    ),
    (
        # `first` and `count`: the images of the request that the call makes; `receipt`: what it came to, as JSON.
        "ALTER TABLE calls ADD COLUMN first INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE calls ADD COLUMN count INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE calls ADD COLUMN receipt BLOB",
        # A request that a repeat is answered for. `fingerprint` is the digest of its body, `server` the one that works
        # on it. `body` is the request as JSON, until its end, and NULL if images are inside it. `outcome` is what it
        # came to, as JSON, NULL until then. It is forgotten after `expires`.
        """
        CREATE TABLE requests (
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            caller TEXT NOT NULL,
            fingerprint BLOB NOT NULL,
            server TEXT NOT NULL,
            started INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            body BLOB,
            outcome BLOB,
            PRIMARY KEY (tenant, id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX requests_by_expiry ON requests (expires)",
    ),
    (
        # The cost of a call: `settled` has to be paid, `uncertain` may have to be, both in billionths of `currency`,
        # NULL if unknown; `basis` is the origin of `settled`.
        "ALTER TABLE calls ADD COLUMN currency TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE calls ADD COLUMN settled INTEGER",
        "ALTER TABLE calls ADD COLUMN uncertain INTEGER",
        "ALTER TABLE calls ADD COLUMN basis TEXT NOT NULL DEFAULT ''",
        "UPDATE calls SET currency = 'USD', settled = 0, basis = 'calculated' WHERE state = 'settled' AND owed = 0",
    ),
    (
        # An operation that ended. Ids begin with `started` in hexadecimal, as those of calls do: an id is a time, too.
        # `outcome` is the reason of its error, empty after a success; `compute_micros` is NULL if no engine worked;
        # `reused` is 1 for the result of an earlier operation; `labels` is a JSON object with sorted keys.
        """
        CREATE TABLE operations (
            id TEXT NOT NULL PRIMARY KEY,
            tenant TEXT NOT NULL,
            caller TEXT NOT NULL,
            request_id TEXT NOT NULL,
            model TEXT NOT NULL,
            operation TEXT NOT NULL,
            started INTEGER NOT NULL,
            ended INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            images INTEGER NOT NULL,
            pixels INTEGER NOT NULL,
            compute_micros INTEGER,
            reused INTEGER NOT NULL,
            labels TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX operations_of_tenant ON operations (tenant, id)",
        "CREATE INDEX operations_of_request ON operations (tenant, request_id)",
    ),
    (
        # A result that equal requests of a tenant get. `key` is the digest of all that it depends on, `version` differs
        # from that of an earlier result of the key, `outcome` is what was made, as JSON. `tags` is a JSON object of the
        # caller's labels; `bytes` is the size of the images and of `outcome`.
        """
        CREATE TABLE results (
            tenant TEXT NOT NULL,
            key BLOB NOT NULL,
            version TEXT NOT NULL,
            outcome BLOB NOT NULL,
            model TEXT NOT NULL,
            provider TEXT NOT NULL,
            request_id TEXT NOT NULL,
            tags TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            created INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            used INTEGER NOT NULL,
            PRIMARY KEY (tenant, key)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX results_by_expiry ON results (expires)",
        "CREATE INDEX results_by_use ON results (used, bytes)",
        # A result that a server makes now: the others wait for it. `id` differs from that of any other making.
        """
        CREATE TABLE flights (
            tenant TEXT NOT NULL,
            key BLOB NOT NULL,
            id TEXT NOT NULL,
            server TEXT NOT NULL,
            started INTEGER NOT NULL,
            PRIMARY KEY (tenant, key)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX flights_of_server ON flights (server)",
    ),
)
"""Statements of each step. The version of a database is the number of steps that it has had. `postgres_schema.py`
translates them for PostgreSQL."""


def migrate(connection: sqlite3.Connection) -> None:
    """Brings an opened file to the current version, each step in a transaction.

    Raises:
        ValueError: The file is of a later version of Celeste.
        sqlite3.Error: The file can't be written.
    """
    while (version := _version(connection)) != len(STEPS):
        check_version(version)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == version:  # another server may have taken the step meanwhile
                for statement in STEPS[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise


def check_version(version: int) -> None:
    """Raises ValueError if a database is of a later version of Celeste."""
    if version > len(STEPS):
        raise ValueError(
            f"the database has version {version}, and this version of Celeste knows {len(STEPS)}: update Celeste"
        )


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
