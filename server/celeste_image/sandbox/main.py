"""The program of a worker process.

`python -P -m celeste_image.sandbox.main MODULE MEMORY_BYTES CPU_SECONDS REQUIRED WEIGHTS...` imports MODULE and seals
itself: of all files it can then read its code and the folders WEIGHTS. It emits a frame "ready" with the controls of
its sandbox (see `confine.py`). REQUIRED has protections with commas between them: without one of them the process ends
here, before it sees foreign bytes (see `protections.py`). Then it reads tasks from standard input, runs each by
MODULE's `run` and writes the emitted frames to standard output. Its environment has no keys. Its memory is limited, and
with CPU_SECONDS above 0 also the CPU time of each task. The process ends with its parent.
"""

import contextlib
import gc
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO, cast

from celeste_image.core.errors import CelesteError, EngineMemory
from celeste_image.core.protection import Protection
from celeste_image.sandbox.confine import confine, seal
from celeste_image.sandbox.engine import Engine
from celeste_image.sandbox.frames import Frame, read_frame, split_pictures
from celeste_image.sandbox.memory import ran_out_of_memory
from celeste_image.sandbox.phases import Phases
from celeste_image.sandbox.protections import unprotected

MOST_DESCRIPTORS = 1 << 20

PARENT_SECONDS = 1.0


def limit_task(cpu_seconds: int) -> None:
    """Limits the next task to `cpu_seconds` of CPU time; then the system ends the process."""
    with contextlib.suppress(ImportError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def end_with(parent: int) -> None:
    """Ends this process when its parent ended, for systems that can't do so by themselves, such as macOS."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)


class _Pipe:
    """The Dialogue of an engine with the server."""

    def __init__(self, in_: BinaryIO, out: BinaryIO) -> None:
        self._in, self._out = in_, out
        self._phases: Phases | None = None

    def begin(self, task: Frame) -> None:
        """Notes the phases of a task from now on, if the server asks for them."""
        self._phases = Phases() if task.fields.get("timed") else None

    def end(self, kind: str, fields: dict[str, Any] | None = None) -> None:
        """Sends the last message of a task."""
        self(kind, (fields or {}) | (self._phases.fields() if self._phases else {}))

    def __call__(self, kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        if self._phases and fields and kind == "progress":
            self._phases.enter(fields.get("phase"))
        frame = Frame(kind, fields or {}, payload)
        self._out.write(frame.encode())
        self._out.write(payload)
        self._out.flush()

    def take(self) -> Frame:
        self("take")
        if (frame := read_frame(self._in)) is None:
            raise SystemExit  # the server is gone
        return frame


def main() -> None:
    """Serves tasks until the standard input ends."""
    parent = os.getppid()
    module, memory_bytes, cpu_seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    required, weights = [Protection(name) for name in sys.argv[4].split(",") if name], map(Path, sys.argv[5:])
    os.closerange(3, MOST_DESCRIPTORS)  # uvloop passes on what libraries left open
    if hasattr(os, "setsid"):
        os.setsid()  # without the server's terminal
    # Output of libraries would corrupt the frames, so it goes to the log.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the server decides
    controls = confine(memory_bytes)

    emit = _Pipe(sys.stdin.buffer, out)
    gc.disable()  # among new modules and classes it would look for cycles again and again, and find none
    engine = cast(Engine, importlib.import_module(module))
    gc.freeze()
    gc.enable()
    controls |= seal(weights)
    if controls["ends_with_parent"]:  # the system can't
        threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    emit("ready", {"controls": controls})
    if unprotected(controls, required):
        sys.exit("not sealed as required")
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        if cpu_seconds:
            limit_task(cpu_seconds)
        emit.begin(frame)
        try:
            engine.run(frame.fields["task"], split_pictures(frame), emit)
        except CelesteError as error:
            violations = [[each.field, each.text, each.reason] for each in error.violations]
            fields = {"reason": error.reason, "message": error.message, "metadata": error.metadata}
            emit.end("error", fields | {"violations": violations})
        except Exception as error:
            if ran_out_of_memory(error):
                text = "the engine exceeded its memory limit"
                emit.end("error", {"reason": EngineMemory.reason, "message": text})
            else:
                traceback.print_exc()
                emit.end("error", {"reason": "INTERNAL", "message": ""})
        else:
            emit.end("done")


if __name__ == "__main__":
    main()
