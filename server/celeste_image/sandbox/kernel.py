"""Calls the C library and the kernel by ctypes; a call that fails raises OSError with its name."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

__all__ = ["call", "outcome", "prctl", "system_call"]


def call(name: str, *given: int | bytes | ctypes.Array[Any] | None) -> int:
    """Calls a function of the C library; all integers are passed as `long`. Raises OSError when it returns -1."""
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = getattr(libc, name)(*(ctypes.c_long(each) if isinstance(each, int) else each for each in given))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def prctl(option: int, value: int = 0, *more: int | bytes) -> int:
    """Changes a property of this process; arguments that an option lacks are 0, which the kernel checks."""
    return call("prctl", option, value, *more, *([0] * (3 - len(more))))


def system_call(name: str, number: int, *given: int | bytes | ctypes.Array[Any] | None) -> int:
    """Calls the kernel; `name` is for the error."""
    try:
        return call("syscall", number, *given)
    except OSError as error:
        raise OSError(error.errno, f"{name}: {os.strerror(error.errno or 0)}") from None


def outcome(act: Callable[..., object], *given: object) -> str:
    """Calls a function; returns an empty text when it worked, else why it did not."""
    try:
        act(*given)
    except (OSError, ValueError, ImportError, AttributeError) as error:
        return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return ""
