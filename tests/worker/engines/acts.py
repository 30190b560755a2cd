"""One engine with many acts: the task says which."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from celeste_image.core.errors import CelesteError, InternalError, NotAnImage
from celeste_image.worker.engine import Emit

CALLS = 0


class Unlisted(CelesteError):
    """An error that no other process knows."""

    reason = "UNLISTED"


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    global CALLS
    CALLS += 1
    globals()[task["act"]](task, pictures, emit)


def echo(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    emit("echo", {"task": task, "calls": CALLS, "pid": os.getpid()}, b"|".join(pictures))


def several(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    for number in range(task["count"]):
        emit("number", {"number": number}, bytes(number))


def environment(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    emit("environment", dict(os.environ))


def hang(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    emit("pid", {"pid": os.getpid()})
    threading.Event().wait()


def spin(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    emit("pid", {"pid": os.getpid()})
    while True:
        pass


def killed(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    os.kill(os.getpid(), task["signal"])


def segfault(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    ctypes.string_at(0)


def leaves(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    sys.exit(task["status"])


def drops(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    os._exit(task["status"])


def hoards(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    emit("size", {"size": len(bytearray(task["bytes"]))})


def refuses(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    raise NotAnImage("is a poem", metadata={"lines": "14"})


def unlisted(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    raise Unlisted("secret words")


def internal(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    raise InternalError("secret words")


def stumbles(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    raise ValueError("secret words")


def prints(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    print("from Python", flush=True)
    os.write(1, b"from C\n")
    emit("after", {}, b"payload")


def floods(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Writes one line far longer than the reader of the log keeps, then goes on."""
    os.write(2, b"before\n")
    for _ in range(task["chunks"]):
        os.write(2, b"x" * (1 << 16))
    os.write(2, b"\nafter\n")
    emit("after")


def babbles(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Writes to the pipe of the frames what is no frame, as a worker that was taken over might."""
    out = next(fd for fd in range(3, 10) if is_pipe(fd))
    os.write(out, bytes.fromhex(task["hex"]))
    if task["then"] == "hang":
        threading.Event().wait()


def is_pipe(descriptor: int) -> bool:
    try:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return False
    return target.startswith(("pipe:", "socket:"))


def ignores(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Hangs and does not let anybody ask it to end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    hang(task, pictures, emit)
