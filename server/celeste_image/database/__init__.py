"""The database: what must survive the server, in an SQLite file or on PostgreSQL.

base.py       the port: transactions of statements that both databases know
sqlite.py     the port on an SQLite file
database.py   the file, the one thread that writes it, and its readers
schema.py     the tables, and the steps from one version to the next
check.py      what can be found out about a file
postgres.py   the port on PostgreSQL
postgres_access.py  how connections to PostgreSQL are opened, and what their errors mean
postgres_schema.py  the steps in PostgreSQL's words
"""

from celeste_image.database.base import Records, Row, Rows, Transaction, Unit, Value
from celeste_image.database.check import FileReport, look_at, version_warning
from celeste_image.database.database import Database, Work, probe
from celeste_image.database.postgres import PostgresRecords
from celeste_image.database.postgres_access import Access
from celeste_image.database.sqlite import SqliteRecords

__all__ = [
    "Access",
    "Database",
    "FileReport",
    "PostgresRecords",
    "Records",
    "Row",
    "Rows",
    "SqliteRecords",
    "Transaction",
    "Unit",
    "Value",
    "Work",
    "look_at",
    "probe",
    "version_warning",
]
