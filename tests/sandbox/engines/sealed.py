"""The engine with many acts, in a sealed process."""

from tests.sandbox.engines.acts import deeds, run

__all__ = ["SEALED", "deeds", "run"]

SEALED = True
