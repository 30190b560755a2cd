"""WorkerPool: worker processes of one engine, started on demand and reused until one fails."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from celeste_image.core.errors import (
    ERRORS,
    EngineLost,
    EngineMemory,
    ImageTooLarge,
    InvalidRequest,
    NotAnImage,
    ProviderFailed,
    Violation,
    WeightsMissing,
)
from celeste_image.core.protection import Protection
from celeste_image.sandbox.frames import BadFrame, Frame, reading, receive_frame, task_frame
from celeste_image.sandbox.lines import pass_on_lines
from celeste_image.sandbox.observe import ObservedTask
from celeste_image.sandbox.protections import unprotected
from celeste_image.sandbox.watch import Watch
from celeste_image.telemetry.instruments import WORKER_ENDS

__all__ = ["WorkerPool"]

log = structlog.get_logger("celeste_image.sandbox")
engine_log = structlog.get_logger("celeste_image.engines")

EXIT_SECONDS = 1.0
"""How long a process that closed its pipe may take to exit; its own exit status tells the cause."""

IDLE_SECONDS = 300.0
"""How long a process is kept for a further task. Then it ends, and its memory is free."""

START_SECONDS = 120.0
"""How long a process may take to load its engine."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "TMPDIR", "SYSTEMROOT")
"""Environment variables that a worker gets. All others, such as keys, stay with the server."""


_RAISED = (EngineMemory, ImageTooLarge, InvalidRequest, NotAnImage, ProviderFailed, WeightsMissing)
RAISED = {each.reason for each in _RAISED}
"""Reasons of the errors that engines raise."""
MAX_METADATA, MAX_VIOLATIONS, MAX_TEXT = 10, 10, 500
"""Most entries and characters of an engine's error: gRPC cuts connections whose trailers exceed 16 KiB."""


class WorkerPool:
    """Runs tasks of one engine, one at a time in each of up to `size` processes.

    Args:
        module: Name of the engine's module.
        name: Name of the pool in traces and metrics; None means the module's.
        size: Processes at most; further tasks wait.
        memory_bytes: Limit of a process's address space; 0 means no limit.
        cpu_seconds: Limit of a task's CPU time; 0 means no limit.
        seconds: Longest wait for a task's process; the time that the caller takes for its frames does not count. 0
            means no limit. Without one, a process that takes no CPU time for STALLED_SECONDS is still ended.
        threads: Threads of numeric libraries in each process.
        weights: Folders that the engine reads beside its code. A process sees what is there when it starts.
        required: Protections without which a process ends before it sees a task.
        on_log: Receives the lines that a process writes to standard error; None means the server's log.
        **facts: Fields of the lines in the server's log, beside the engine.
    """

    def __init__(
        self,
        module: str,
        *,
        name: str | None = None,
        size: int = 1,
        memory_bytes: int = 0,
        cpu_seconds: int = 0,
        seconds: float = 0,
        threads: int = 1,
        weights: Sequence[Path] = (),
        required: Collection[Protection] = (),
        on_log: Callable[[str], None] | None = None,
        **facts: str,
    ) -> None:
        self.module = module
        self.name = name or module
        self._weights = tuple(weights)
        self._command = [
            *(sys.executable, "-P", "-m", "celeste_image.sandbox.main", module),  # -P: the working folder has no code
            *(str(memory_bytes), str(cpu_seconds), ",".join(required), *map(str, weights)),
        ]
        self._environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
            "MALLOC_ARENA_MAX": "2",  # each arena takes 64 MiB of the limited address space
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "passive",  # spinning threads tripled the upscaler's CPU time
            "OPENBLAS_NUM_THREADS": "1",
            "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime reports each loaded model to its maker by default
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._free = asyncio.Semaphore(size)
        self.waiting = 0
        """Number of tasks that wait for a process."""
        self.busy = 0
        """Number of processes with a task, or that start for one."""
        self._idle: list[_Worker] = []
        self._seconds = seconds
        self._on_log = on_log or (lambda line: engine_log.warning("engine", engine=module, line=line, **facts))
        self.controls: dict[str, str] | None = None
        """The controls of `confine.py` by name, and why each does not hold; an empty text for those that hold. None
        before the first process is ready."""

    @property
    def pids(self) -> list[int]:
        """Process ids of the idle workers."""
        return [worker.pid for worker in self._idle if worker.alive]

    async def run(self, task: dict[str, Any], pictures: Sequence[bytes] = ()) -> AsyncGenerator[Frame, Frame | None]:
        """Runs a task and yields the frames that the engine emits.

        An engine that emits "take" waits for a frame, which the caller sends by `asend`.

        If the generator is closed early, the process is killed and has ended when `aclose` returns.

        Raises:
            CelesteError: The engine raised it.
            EngineLost: The process ended early, sent a malformed frame, or was ended because it took too long.
                Metadata `at` is "start" before the process saw the task, else "work".
        """
        has_waited = self._free.locked()
        with ObservedTask(self.name) as observed:
            async with self._turn():
                observed.takes(has_waited=has_waited)
                idle = await self._take()
                worker = idle or await self._start()
                done = False
                try:
                    self._note(await worker.ready())
                    observed.sends(is_new=idle is None)
                    work = worker.run(task, pictures, self._seconds, is_timed=observed.is_traced)
                    async with contextlib.aclosing(work) as frames:
                        async for frame in frames:
                            if frame.kind in ("done", "error"):
                                with reading():
                                    error = _error_of(frame) if frame.kind == "error" else None
                                    observed.reads(frame)
                                done = True
                                self._idle.append(worker)
                                worker.rest()
                                if error:
                                    raise error
                                break
                            if (answer := (yield frame)) is not None:
                                await worker.send(answer)
                except EngineLost:
                    await worker.kill("malformed")  # the process itself may still run
                    raise
                finally:
                    if not done:
                        await worker.kill("cancelled")

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None, None]:
        """Waits until a process is idle or may be started."""
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1
            self._free.release()

    def _note(self, controls: dict[str, str]) -> None:
        if self.controls != controls:
            self.controls = controls
            missing = {name: why for name, why in controls.items() if why}
            holds = [name for name in controls if name not in missing]
            unsafe = list(unprotected(controls))
            say = log.warning if unsafe else log.info
            say("sandbox", engine=self.module, holds=holds, missing=list(missing), why=missing, unprotected=unsafe)

    async def inspect(self) -> dict[str, str]:
        """Starts a process if none is idle, and returns its controls; see `controls`. Raises EngineLost."""
        async with self._turn():
            worker = await self._take() or await self._start()
            try:
                self._note(controls := await worker.ready())
            finally:
                await worker.kill("closed")
        return controls

    async def _take(self) -> "_Worker | None":
        """Returns the living idle worker that was used last, whose caches are warm; None if no idle worker lives.

        A worker can't read weights that were put there after its start, so then it ends.
        """
        while self._idle:
            worker = self._idle.pop()
            worker.wake()
            if worker.alive and worker.weights == [_state(path) for path in self._weights]:
                return worker
            await worker.kill("weights")
        return None

    async def _start(self) -> "_Worker":
        weights = [_state(path) for path in self._weights]
        return await _Worker.start(self._command, self._environment, self._on_log, weights, self.name)

    async def close(self) -> None:
        """Ends the idle workers; a busy worker ends with the generator that holds it."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(worker.kill("closed") for worker in idle))


_State = tuple[int, int, int] | None


def _state(path: Path) -> _State:
    """Returns what changes when a folder is replaced or filled; None when it is absent."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


class _Worker:
    """A worker process."""

    def __init__(
        self, process: asyncio.subprocess.Process, on_log: Callable[[str], None], weights: list[_State], pool: str
    ) -> None:
        self._process = process
        self._pool = pool
        self.weights = weights
        assert process.stdin and process.stdout and process.stderr
        self._in, self._out = process.stdin, process.stdout
        self._log = asyncio.create_task(pass_on_lines(process.stderr, on_log))
        self._watch = Watch(process.pid, partial(self._end, "late"))
        self._ended = False
        self._rest: asyncio.TimerHandle | None = None
        self._controls: dict[str, str] | None = None

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        environment: dict[str, str],
        on_log: Callable[[str], None],
        weights: list[_State],
        pool: str,
    ) -> "_Worker":
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, limit=1 << 20
        )
        return cls(process, on_log, weights, pool)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self._ended and self._process.returncode is None

    async def ready(self) -> dict[str, str]:
        """Waits until the engine is loaded; returns the controls, reported before the process sees any task."""
        if self._controls is None:
            self._watch.limit(START_SECONDS)
            async with self._or_lost(at="start"):
                frame = await receive_frame(self._out)
                if frame.kind != "ready":
                    raise BadFrame('the first frame is not "ready"')
                self._controls = {str(name): str(why) for name, why in dict(frame.fields["controls"]).items()}
        return self._controls

    async def run(
        self, task: dict[str, Any], pictures: Sequence[bytes], seconds: float, *, is_timed: bool
    ) -> AsyncGenerator[Frame, None]:
        self._watch.limit(seconds)
        await self.send(task_frame(task, pictures, is_timed=is_timed))
        while True:
            async with self._or_lost(at="work"):
                frame = await receive_frame(self._out)
            yield frame

    async def send(self, frame: Frame) -> None:
        async with self._or_lost(at="work"):
            self._in.write(frame.encode())
            self._in.write(frame.payload)
            await self._in.drain()

    @contextlib.asynccontextmanager
    async def _or_lost(self, at: str) -> AsyncGenerator[None, None]:
        """Raises EngineLost when the process ends, is too slow, or sends a malformed frame."""
        try:
            with self._watch.waiting():
                yield
        except (BadFrame, asyncio.IncompleteReadError, ConnectionError) as error:
            if not isinstance(error, BadFrame):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), EXIT_SECONDS)
            self._end("malformed" if isinstance(error, BadFrame) else "crashed")
            status = await self._process.wait()
            malformed = "sent a malformed message" if isinstance(error, BadFrame) else ""
            cause = self._watch.verdict or malformed or f"ended early ({_ending(status)})"
            raise EngineLost(f"the engine's process {cause}", metadata={"at": at}) from error

    def rest(self) -> None:
        """Ends the process after IDLE_SECONDS, unless it is woken before."""
        self._rest = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end, "idle")

    def wake(self) -> None:
        """Keeps an idle process for a task."""
        if self._rest:
            self._rest.cancel()

    def _end(self, reason: str) -> None:
        """Kills the process; `reason` is a value of WORKER_END, for a process that still runs."""
        if not self._ended:
            WORKER_ENDS.add(1, self._pool, reason if self._process.returncode is None else "crashed")
        self._ended = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def kill(self, reason: str) -> None:
        """Kills the process and waits until it has ended, and a moment for its last lines; see `_end`."""
        self.wake()
        self._end(reason)
        await self._process.wait()
        await asyncio.wait([self._log], timeout=EXIT_SECONDS)
        self._log.cancel()


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


def _error_of(frame: Frame) -> Exception:
    """Returns the error that an engine raised. Its message may be shown: engines are our own code.

    One that was taken over can't choose another kind of error, nor one that is too large for an answer. Raises an
    error that `reading` knows when the fields have other types.
    """
    fields = frame.fields
    if fields["reason"] not in RAISED:
        return RuntimeError("an engine failed; its traceback is in the log")
    metadata = {_text(name): _text(value) for name, value in fields.get("metadata", {}).items()}
    violations = [Violation(*map(_text, each)) for each in fields.get("violations", [])]
    if len(metadata) > MAX_METADATA or len(violations) > MAX_VIOLATIONS:
        raise ValueError("a large error")
    return ERRORS[fields["reason"]](_text(fields["message"]), metadata=metadata, violations=violations)


def _text(value: object) -> str:
    """Returns a text of an error, without its end if it is long."""
    if not isinstance(value, str):
        raise TypeError("the value is not a text")
    return value[:MAX_TEXT]
