"""Recognizes errors that mean that memory ran out: each library raises another class, with another text."""

import re

__all__ = ["ran_out_of_memory"]

TEXTS = re.compile(
    r"std::bad_alloc|bad allocation|(insufficient|out of|not enough) memory|(failed|cannot|can't|unable) to allocate"
    r"|cannot allocate|failed to map segment|can't start new thread",
    re.IGNORECASE,
)
"""Texts of OpenCV, onnxruntime, LiteRT, pypatchmatch, the system's loader and Python's threads."""


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Returns whether an error, or one that caused it, says that memory ran out."""
    for _ in range(16):  # a chain of causes may be a ring
        if error is None:
            return False
        if isinstance(error, MemoryError) or TEXTS.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False
