"""WorkerPool: worker processes for one engine, started when needed, kept while they behave."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from celeste_image.core.errors import ERRORS, EngineLost, InternalError, Violation
from celeste_image.sandbox.frames import BadFrame, Frame, receive_frame, task_frame

__all__ = ["WorkerPool"]

EXIT_SECONDS = 1.0
"""How long a process that hung up may take to end by itself, so that its exit status tells why."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "TMPDIR", "SYSTEMROOT")
"""The variables that a worker gets. Everything else, keys first of all, stays with the server."""


MAX_VIOLATIONS = 100
"""Most violations read from an engine's error."""


class WorkerPool:
    """Runs tasks of one engine, one at a time in each of up to `size` processes.

    Args:
        module: Name of the engine's module.
        size: Processes at most; tasks beyond wait.
        memory_bytes: Address space that a process may have; 0 is no limit.
        cpu_seconds: CPU time of one task; 0 is no limit.
        threads: Threads that numeric libraries may use in each process.
        on_log: Gets each line that a process writes to its standard error.
    """

    def __init__(
        self,
        module: str,
        *,
        size: int = 1,
        memory_bytes: int = 0,
        cpu_seconds: int = 0,
        threads: int = 1,
        on_log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._module = module
        self._command = [
            *(sys.executable, "-m", "celeste_image.sandbox.main", module),
            *(str(memory_bytes), str(cpu_seconds)),
        ]
        self._environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
            "MALLOC_ARENA_MAX": "2",  # each arena takes 64 MiB of the address space that is limited
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "passive",  # spinning threads trebled the CPU time of the upscaler
            "OPENBLAS_NUM_THREADS": "1",
            "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime tells its maker of each model it loads, unless told not to
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._free = asyncio.Semaphore(size)
        self._idle: list[_Worker] = []
        self._on_log = on_log
        self.sandbox: dict[str, bool] | None = None
        """What the processes gave up, control by control, and whether it holds; None before the first one ran."""

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that wait for a task."""
        return [worker.pid for worker in self._idle if worker.alive]

    async def run(self, task: dict[str, Any], pictures: Sequence[bytes] = ()) -> AsyncGenerator[Frame, Frame | None]:
        """Runs a task and yields what the engine emits.

        An engine that emits "take" waits until a frame is sent back, by `asend`.

        A process that is not done when the generator is closed is killed and gone before `aclose` returns.

        Raises:
            CelesteError: The engine raised it.
            EngineLost: The process ended before it was done, or sent what is no frame; metadata `at` is "start" when
                that was before it saw the task, else "work".
        """
        async with self._free:
            worker = self._take() or await _Worker.start(self._command, self._environment, self._on_log)
            done = False
            try:
                self._note(await worker.ready())
                async with contextlib.aclosing(worker.run(task, pictures)) as frames:
                    async for frame in frames:
                        if frame.kind in ("done", "error"):
                            done = True
                            self._idle.append(worker)
                            if frame.kind == "error":
                                raise _error_of(frame)
                            break
                        if (answer := (yield frame)) is not None:
                            await worker.send(answer)
            finally:
                if not done:
                    await worker.kill()

    def _note(self, sandbox: dict[str, bool]) -> None:
        if self.sandbox is None:
            import structlog  # only here: workers load this module too, by way of the guard's package

            self.sandbox = sandbox
            log = structlog.get_logger("celeste_image.sandbox")
            holds = [name for name, it_does in sandbox.items() if it_does]
            missing = [name for name in sandbox if name not in holds]
            log.info("sandbox", engine=self._module, holds=holds, missing=missing)

    def _take(self) -> "_Worker | None":
        """Returns an idle worker that still lives, the one used last first: its caches are warm."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        return None

    async def close(self) -> None:
        """Ends the workers that wait; those at work end with the generators that hold them."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(worker.kill() for worker in idle))


class _Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process, on_log: Callable[[str], None]) -> None:
        self._process = process
        assert process.stdin and process.stdout and process.stderr
        self._in, self._out = process.stdin, process.stdout
        self._log = asyncio.create_task(_forward(process.stderr, on_log))
        self._sandbox: dict[str, bool] | None = None

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: dict[str, str], on_log: Callable[[str], None]
    ) -> "_Worker":
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, limit=1 << 20
        )
        return cls(process, on_log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ready(self) -> dict[str, bool]:
        """Waits until the engine is there; returns what the process gave up, said before it saw anything to be done."""
        if self._sandbox is None:
            async with self._or_lost(at="start"):
                frame = await receive_frame(self._out)
                if frame.kind != "ready":
                    raise BadFrame("no greeting")
                self._sandbox = {str(name): bool(holds) for name, holds in dict(frame.fields["sandbox"]).items()}
        return self._sandbox

    async def run(self, task: dict[str, Any], pictures: Sequence[bytes]) -> AsyncGenerator[Frame, None]:
        await self.send(task_frame(task, pictures))
        async with self._or_lost(at="work"):
            while True:
                yield await receive_frame(self._out)

    async def send(self, frame: Frame) -> None:
        async with self._or_lost(at="work"):
            self._in.write(frame.encode())
            self._in.write(frame.payload)
            await self._in.drain()

    @contextlib.asynccontextmanager
    async def _or_lost(self, at: str) -> AsyncGenerator[None, None]:
        """Raises EngineLost when the process ends or sends what is no frame."""
        try:
            yield
        except (BadFrame, asyncio.IncompleteReadError, ConnectionError) as error:
            if not isinstance(error, BadFrame):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), EXIT_SECONDS)
            self._end()
            status = await self._process.wait()
            text = f"the engine's process ended before it was done ({_ending(status)})"
            raise EngineLost(text, metadata={"at": at}) from error

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def kill(self) -> None:
        """Ends the process, at once and for good."""
        self._end()
        await self._process.wait()
        await self._log


async def _forward(stream: asyncio.StreamReader, on_log: Callable[[str], None]) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # beyond the reader's limit: left out, but read, or the process would wait for ever
                continue
            if not line:
                return
            on_log(line.decode(errors="replace").rstrip())


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


def _error_of(frame: Frame) -> Exception:
    """Returns the error that an engine raised; its words are ours, since engines are."""
    fields = frame.fields
    cls = ERRORS.get(str(fields.get("reason")), InternalError)
    if cls is InternalError:
        return RuntimeError("an engine failed; its own lines in the log say how")
    metadata = {str(k): str(v) for k, v in dict(fields.get("metadata") or {}).items()}
    violations = [Violation(*map(str, each[:3])) for each in list(fields.get("violations") or ())[:MAX_VIOLATIONS]]
    return cls(str(fields.get("message", ""))[:1000], metadata=metadata, violations=violations)
