"""An engine with many acts; the task names one."""

import ctypes
import errno
import importlib
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from celeste_image.core.errors import CelesteError, InternalError, NotAnImage
from celeste_image.sandbox.engine import Dialogue, Emit

CALLS = 0


class Unlisted(CelesteError):
    """An error that the server does not know."""

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


def converse(task: dict[str, Any], pictures: Sequence[bytes], emit: Dialogue) -> None:
    for number in range(task["count"]):
        emit("ask", {"number": number})
        answer = emit.take()
        emit("heard", {"kind_of_answer": answer.kind, **answer.fields}, answer.payload)


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


def exhausts(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Fails as a library does that turns a lack of memory into an error of its own."""
    try:
        raise RuntimeError(task["text"])
    except RuntimeError as error:
        raise ValueError("a library failed") from error


def prints(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    print("from Python", flush=True)
    os.write(1, b"from C\n")
    emit("after", {}, b"payload")


def floods(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Writes a line far beyond the log reader's limit, then one more."""
    os.write(2, b"before\n")
    for _ in range(task["chunks"]):
        os.write(2, b"x" * (1 << 16))
    os.write(2, b"\nafter\n")
    emit("after")


def babbles(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Writes malformed bytes to the pipe of the frames, as a compromised worker might."""
    out = next(fd for fd in range(3, 10) if is_pipe(fd))
    os.write(out, bytes.fromhex(task["hex"]))
    if task["then"] == "hang":
        threading.Event().wait()


def is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def deeds(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Tries deeds of a compromised process, and emits for each `done` or the name of its error."""
    emit("deeds", {deed: tried(DEEDS[deed], value) for deed, value in task["deeds"].items()})


def tried(deed: Callable[[Any], object], value: Any) -> str:
    try:
        deed(value)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def thread(value: Any) -> None:
    other = threading.Thread(target=int)
    other.start()
    other.join()


def fork(value: Any) -> None:
    if not os.fork():
        os._exit(0)


def limit(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_NOFILE, resource.prlimit(pid, resource.RLIMIT_NOFILE))


def descriptors(value: Any) -> None:
    """Fails when a descriptor is open beside the three of the pipes and the copy of standard output."""
    for each in range(4, 1024):
        try:
            os.fstat(each)
        except OSError:
            continue
        raise FileExistsError(errno.EEXIST, f"descriptor {each} is open")


DEEDS: dict[str, Callable[[Any], object]] = {
    "connect": lambda port: socket.create_connection(("127.0.0.1", port), timeout=5).close(),
    "resolve": lambda name: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect((name, 53)),
    "connect_by_path": lambda path: socket.socket(socket.AF_UNIX).connect(path),
    "start": lambda path: subprocess.run([path], check=False),
    "fork": fork,
    "signal": lambda pid: os.kill(pid, 0),
    "signal_itself": lambda _: os.kill(os.getpid(), 0),
    "limit": limit,
    "read": lambda path: Path(path).read_bytes(),
    "list": lambda path: list(Path(path).iterdir()),
    "write": lambda path: Path(path).write_bytes(b"x"),
    "append": lambda path: os.close(os.open(path, os.O_WRONLY | os.O_APPEND)),
    "empty": lambda path: os.truncate(path, 0),
    "delete": os.unlink,
    "rename": lambda path: os.rename(path, path + "x"),
    "allow": lambda path: os.chmod(path, 0o777),
    "make_folder": os.mkdir,
    "thread": thread,
    "descriptors": descriptors,
    "import": importlib.import_module,
}


def ignores(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Hangs and ignores the signals that ask it to end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    hang(task, pictures, emit)


def chatters(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Writes many lines."""
    for _ in range(task["lines"] // 100):
        os.write(2, b"chat\n" * 100)


def dawdles(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Emits frames that are far between."""
    for _ in range(task["count"]):
        time.sleep(task["seconds"])
        emit("slow")


def works_in_a_thread(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    """Waits for a thread that works."""
    end = time.monotonic() + task["seconds"]

    def work() -> None:
        while time.monotonic() < end:
            pass

    other = threading.Thread(target=work)
    other.start()
    other.join()
    emit("after")
