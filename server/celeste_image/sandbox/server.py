"""Protects the server's own process: nobody else reads its memory, and its environment has no keys."""

import ctypes
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from celeste_image.sandbox.confine import PR_SET_DUMPABLE
from celeste_image.sandbox.kernel import outcome, prctl

__all__ = ["forget_environment", "protect_process"]

KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|LANG|LANGUAGE|LC_\w+|TZ|TZDIR|TMPDIR|TEMP|TMP|TERM|COLUMNS|LINES|(NO|FORCE)_COLOR"
    r"|PYTHON\w+|VIRTUAL_ENV|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_\w+|MALLOC_\w+|OMP_\w+|OPENBLAS_\w+|GRPC_\w+|PYDANTIC_DISABLE_PLUGINS"
    r"|SSL_CERT_(FILE|DIR)|XDG_\w+|CELESTE_(CONFIG|ADDRESS|MODELS_DIR)|COVERAGE_\w+|COV_CORE_\w+"
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|APPDATA|LOCALAPPDATA|PROGRAMDATA|USERPROFILE",
    re.IGNORECASE,
)
"""Environment variables that hold no keys and that libraries may read late. Any other may hold one."""


def protect_process() -> str:
    """Forbids core dumps, and access to this process by its user's other processes, for ptrace and `/proc`.

    Returns:
        Why it did not work; empty if it did. Only Linux has the second.
    """

    def no_core_dumps() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    why = outcome(no_core_dumps)
    return why or (outcome(prctl, PR_SET_DUMPABLE, 0) if sys.platform == "linux" else "needs Linux")


def forget_environment() -> None:
    """Removes all variables but harmless ones, also from the memory that `/proc/PID/environ` shows.

    Call it once whatever needs a key has read it. Values that were read stay with their readers.
    """
    for name in [name for name in os.environ if not KEPT.fullmatch(name)]:
        del os.environ[name]
    if sys.platform != "linux":
        return
    for name, value in os.environ.items():
        os.putenv(name, value)  # the C library's pointer to it moves into memory of its own
    _overwrite(_shown())


def _shown() -> range:
    """Returns the addresses of the environment that this process was started with; none if they are not known."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return range(0)
    return range(int(fields[47]), int(fields[48]))  # env_start and env_end, the fields 50 and 51 of proc_pid_stat(5)


def _overwrite(addresses: range) -> None:
    if addresses.start and not any(addresses.start <= pointer < addresses.stop for pointer in _pointers()):
        ctypes.memset(addresses.start, 0, len(addresses))


def _pointers() -> Iterable[int]:
    """Yields the addresses of the C library's variables."""
    pointers = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    index = 0
    while pointers and (pointer := pointers[index]):
        yield pointer
        index += 1
