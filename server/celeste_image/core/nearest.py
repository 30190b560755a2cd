"""Nearest: finds the name that a misspelled one may mean."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["nearest"]

SIMILAR = 0.6
"""How alike two names are, 0 to 1 by difflib: sise and size are 0.75."""


def nearest(word: str, names: Iterable[str], similar: float = SIMILAR) -> str | None:
    """Returns the most similar name; None if none is as similar as that, 0 to 1."""
    return next(iter(get_close_matches(word, list(names), n=1, cutoff=similar)), None)
