"""The engine with many acts, in a process that gave up its files as well."""

from tests.sandbox.engines.acts import deeds, run

__all__ = ["SEALED", "deeds", "run"]

SEALED = True
