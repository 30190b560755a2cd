"""The database: one SQLite file with what must survive the server, written by one thread.

database.py   the file, its writer thread and its readers
schema.py     the tables, and the steps from one version to the next
"""

from celeste_image.database.check import FileReport, look_at, version_warning
from celeste_image.database.database import Database, Work, probe

__all__ = ["Database", "FileReport", "Work", "look_at", "probe", "version_warning"]
