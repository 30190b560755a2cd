"""WorkerPool with real processes that hang, crash, hoard memory, write garbage and exit."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from celeste_image.core.errors import CelesteError, EngineLost, EngineMemory, NotAnImage
from celeste_image.sandbox.frames import Frame
from celeste_image.sandbox.pool import WorkerPool

MIB = 1 << 20
MakePool = Callable[..., WorkerPool]


async def everything(pool: WorkerPool, act: str, *pictures: bytes, **task: Any) -> list[Frame]:
    async with asyncio.timeout(30), aclosing(pool.run({"act": act, **task}, pictures)) as frames:
        return [frame async for frame in frames]


async def only(pool: WorkerPool, act: str, *pictures: bytes, **task: Any) -> Frame:
    (frame,) = await everything(pool, act, *pictures, **task)
    return frame


async def pid_of(pool: WorkerPool) -> int:
    return int((await only(pool, "echo")).fields["pid"])


def is_gone(pid: int) -> bool:
    """Returns whether the process has ended and was reaped: a zombie counts as running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def first(running: AsyncGenerator[Frame, None]) -> int:
    """Waits until a task runs and returns the id of its process."""
    async with asyncio.timeout(30):
        return int((await anext(running)).fields["pid"])


async def test_a_task_gets_there_and_what_it_emits_gets_back(make_pool: MakePool) -> None:
    task = {"text": "größer", "numbers": [1, 2.5, None], "deep": {"yes": True}}
    frame = await only(make_pool(), "echo", b"first", b"", bytes(3 * MIB), **task)
    assert frame.kind == "echo"
    assert frame.fields["task"] == {"act": "echo", **task}
    assert frame.payload == b"first||" + bytes(3 * MIB)


async def test_an_engine_is_answered_in_the_middle_of_a_task(make_pool: MakePool) -> None:
    pool = make_pool()
    heard, answer, number = [], None, None
    async with asyncio.timeout(30), aclosing(pool.run({"act": "converse", "count": 3})) as frames:
        with contextlib.suppress(StopAsyncIteration):
            while True:
                frame = await frames.asend(answer)
                answer = None
                match frame.kind:
                    case "ask":
                        number = frame.fields["number"]
                    case "take":
                        answer = Frame("answer", {"number": number}, bytes(2 * MIB))
                    case "heard":
                        heard.append((frame.fields["kind_of_answer"], frame.fields["number"], len(frame.payload)))
    assert heard == [("answer", number, 2 * MIB) for number in range(3)]
    assert len(pool.pids) == 1, "the worker is kept for the next task"


async def test_an_engine_that_waits_for_an_answer_can_be_stopped(make_pool: MakePool) -> None:
    pool = make_pool()
    async with asyncio.timeout(30), aclosing(pool.run({"act": "converse", "count": 1})) as frames:
        assert [(await anext(frames)).kind, (await anext(frames)).kind] == ["ask", "take"]
    assert pool.pids == []


async def test_frames_come_in_order_and_the_last_is_not_shown(make_pool: MakePool) -> None:
    frames = await everything(make_pool(), "several", count=50)
    assert [(f.kind, f.fields["number"], len(f.payload)) for f in frames] == [("number", i, i) for i in range(50)]


async def test_a_worker_is_kept_for_the_next_task(make_pool: MakePool) -> None:
    pool = make_pool(size=2)
    assert pool.pids == []
    answers = [(await only(pool, "echo")).fields for _ in range(3)]
    assert [answer["calls"] for answer in answers] == [1, 2, 3], "its module keeps its state"
    assert pool.pids == [answers[0]["pid"]]


async def test_a_worker_that_failed_properly_is_kept_too(make_pool: MakePool) -> None:
    pool = make_pool()
    pid = await pid_of(pool)
    for act, error in (("refuses", NotAnImage), ("stumbles", RuntimeError)):
        with pytest.raises(error):
            await everything(pool, act)
    assert await pid_of(pool) == pid


async def test_an_idle_worker_that_died_is_replaced(make_pool: MakePool) -> None:
    pool = make_pool()
    pid = await pid_of(pool)
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while pool.pids:
            await asyncio.sleep(0)
    assert await pid_of(pool) != pid


@pytest.mark.parametrize("act", ["hang", "ignores", "spin"])
async def test_closing_ends_the_process_before_it_returns(make_pool: MakePool, act: str) -> None:
    pool = make_pool()
    running = pool.run({"act": act})
    pid = await first(running)
    assert not is_gone(pid)
    await running.aclose()
    assert is_gone(pid)
    assert pool.pids == []
    assert await pid_of(pool) != pid


async def test_cancelling_ends_the_process_before_the_task_is_over(make_pool: MakePool) -> None:
    pool = make_pool()
    started: asyncio.Queue[int] = asyncio.Queue()

    async def read() -> None:
        async with aclosing(pool.run({"act": "hang"})) as frames:
            async for frame in frames:
                started.put_nowait(frame.fields["pid"])

    reading = asyncio.create_task(read())
    pid = await started.get()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert is_gone(pid)
    assert await pid_of(pool) != pid


async def test_cancelling_while_a_process_starts_leaves_the_pool_usable(make_pool: MakePool) -> None:
    pool = make_pool()
    for turns in range(8):
        starting = asyncio.create_task(everything(pool, "hang"))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert await pid_of(pool)


async def test_leaving_before_the_end_ends_the_process(make_pool: MakePool) -> None:
    """A worker in the middle of a task can't take another."""
    pool = make_pool()
    pid = await pid_of(pool)
    async with aclosing(pool.run({"act": "several", "count": 1000})) as frames:
        await anext(frames)
    assert is_gone(pid)
    assert await pid_of(pool) != pid


@pytest.mark.parametrize(("act", "number"), [("killed", signal.SIGKILL), ("killed", signal.SIGABRT), ("segfault", 11)])
async def test_a_crash_is_an_error_that_names_the_signal(make_pool: MakePool, act: str, number: int) -> None:
    pool = make_pool()
    with pytest.raises(EngineLost, match=signal.Signals(number).name) as caught:
        await everything(pool, act, signal=number)
    assert caught.value.retryable
    assert await pid_of(pool), "the next task gets a new process"


@pytest.mark.parametrize("act", ["leaves", "drops"])
@pytest.mark.parametrize("status", [0, 3])
async def test_a_process_that_leaves_is_an_error_that_names_its_status(
    make_pool: MakePool, act: str, status: int
) -> None:
    pool = make_pool()
    with pytest.raises(EngineLost, match=f"exit status {status}"):
        await everything(pool, act, status=status)
    assert await pid_of(pool)


async def test_an_engine_that_is_not_there_is_an_error(make_pool: MakePool, lines: list[str]) -> None:
    with pytest.raises(EngineLost, match="exit status 1"):
        await everything(make_pool("tests.sandbox.engines.missing"), "echo")
    assert any("ModuleNotFoundError" in line for line in lines)


async def test_a_hoarder_meets_its_limit_and_the_next_task_works(make_pool: MakePool) -> None:
    pool = make_pool(memory_bytes=512 * MIB)
    with pytest.raises((EngineMemory, EngineLost)):
        await everything(pool, "hoards", bytes=2048 * MIB)
    assert (await only(pool, "hoards", bytes=MIB)).fields == {"size": MIB}
    assert (await only(make_pool(), "hoards", bytes=600 * MIB)).fields == {"size": 600 * MIB}, "0 is no limit"


async def test_an_image_beyond_the_limit_is_an_error_too(make_pool: MakePool) -> None:
    pool = make_pool(memory_bytes=256 * MIB)
    with pytest.raises((EngineMemory, EngineLost)):
        await everything(pool, "echo", bytes(300 * MIB))
    assert await pid_of(pool)


async def test_what_an_engine_refuses_arrives_as_it_was(make_pool: MakePool) -> None:
    with pytest.raises(NotAnImage) as caught:
        await everything(make_pool(), "refuses")
    assert caught.value.message == "is a poem"
    assert caught.value.metadata == {"lines": "14"}


@pytest.mark.parametrize("act", ["stumbles", "unlisted", "internal"])
async def test_a_bug_of_an_engine_tells_the_caller_nothing(make_pool: MakePool, act: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        await everything(make_pool(), act)
    assert not isinstance(caught.value, CelesteError), "it gets an id in the log like any bug"
    assert "secret" not in str(caught.value)


async def test_a_bug_of_an_engine_is_in_the_log(make_pool: MakePool, lines: list[str]) -> None:
    pool = make_pool()
    with pytest.raises(RuntimeError):
        await everything(pool, "stumbles")
    await pool.close()  # closing waits for the whole log
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "ValueError: secret words"
    assert any("acts.py" in line for line in lines)


async def test_printing_does_no_harm_to_frames(make_pool: MakePool, lines: list[str]) -> None:
    pool = make_pool()
    frame = await only(pool, "prints")
    assert (frame.kind, frame.payload) == ("after", b"payload")
    await pool.close()
    assert lines == ["from Python", "from C"]


async def test_a_line_without_end_does_not_block_the_worker(make_pool: MakePool, lines: list[str]) -> None:
    pool = make_pool()
    assert (await only(pool, "floods", chunks=100)).kind == "after"
    await pool.close()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert sum(map(len, lines)) < 4 * MIB, "a line beyond the limit is dropped"


@pytest.mark.parametrize("then", ["hang", "return"])
@pytest.mark.parametrize(
    "babble",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" * 2,
        b"\xff" * 12,
        b"\x00\x00\x00\x02" + bytes(8) + b"[]",
        b"\x00\x00\x00\x0c" + b"\xff" * 8 + b'{"kind":"x"}',
    ],
    ids=["text", "lengths", "array", "payload"],
)
async def test_a_malformed_frame_ends_the_process(make_pool: MakePool, babble: bytes, then: str) -> None:
    pool = make_pool()
    pid = await pid_of(pool)
    with pytest.raises(EngineLost):
        await everything(pool, "babbles", hex=babble.hex(), then=then)
    assert is_gone(pid)
    assert await pid_of(pool) != pid


async def test_no_more_processes_than_its_size(make_pool: MakePool) -> None:
    pool = make_pool(size=2)
    running = [pool.run({"act": "hang"}) for _ in range(2)]
    pids = [await first(r) for r in running]
    waiting = asyncio.create_task(pid_of(pool))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    await running[0].aclose()
    pid = await waiting
    assert is_gone(pids[0])
    assert not is_gone(pids[1])
    assert pid not in pids
    await running[1].aclose()


async def test_many_tasks_share_its_processes(make_pool: MakePool) -> None:
    pool = make_pool(size=2)
    pids = await asyncio.gather(*(pid_of(pool) for _ in range(20)))
    assert len(set(pids)) == 2
    assert sorted(pool.pids) == sorted(set(pids))


async def test_cancelling_a_waiting_task_leaves_the_pool_usable(make_pool: MakePool) -> None:
    pool = make_pool()
    running = pool.run({"act": "hang"})
    await first(running)
    waiting = [asyncio.create_task(pid_of(pool)) for _ in range(4)]
    for _ in range(10):
        await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    await running.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, int] * 2
    assert await pid_of(pool) == outcomes[1]


async def test_a_waiting_task_can_be_cancelled_the_moment_its_turn_comes(make_pool: MakePool) -> None:
    pool = make_pool()
    running = pool.run({"act": "hang"})
    await first(running)
    waiting = asyncio.create_task(pid_of(pool))
    for _ in range(10):
        await asyncio.sleep(0)
    await running.aclose()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await pid_of(pool)


async def test_a_worker_has_no_secret(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "CELESTE_STORE__URL", "HOME"):
        monkeypatch.setenv(name, "a secret")
    fields = (await only(make_pool(threads=3), "environment")).fields
    assert "a secret" not in fields.values()
    assert {"PATH", "PYTHONPATH"} <= set(fields)
    assert fields["OMP_NUM_THREADS"] == "3"
    assert fields["ORT_DISABLE_TELEMETRY"] == "1", "onnxruntime 1.32 sends telemetry to its maker"


async def test_a_task_that_spins_is_ended_when_its_time_is_up(make_pool: MakePool) -> None:
    pool = make_pool(cpu_seconds=1)
    pid = await pid_of(pool)
    with pytest.raises(EngineLost, match="SIGXCPU"):
        await everything(pool, "spin")
    assert is_gone(pid)
    assert await pid_of(pool)


async def test_closing_the_pool_ends_the_idle_and_leaves_the_busy(make_pool: MakePool) -> None:
    pool = make_pool(size=2)
    running = pool.run({"act": "hang"})
    busy = await first(running)
    idle = await pid_of(pool)
    await pool.close()
    assert is_gone(idle)
    assert not is_gone(busy)
    await running.aclose()
    assert is_gone(busy)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may do nothing for a fifth of a second."""
    monkeypatch.setattr("celeste_image.sandbox.watch.STALLED_SECONDS", 0.2)
    monkeypatch.setattr("celeste_image.sandbox.watch.CHECK_SECONDS", 0.05)


async def lost(pool: WorkerPool, act: str, *pictures: bytes, **task: Any) -> EngineLost:
    with pytest.raises(EngineLost) as caught:
        await everything(pool, act, *pictures, **task)
    return caught.value


@pytest.mark.parametrize("bytes_", [0, 3 * MIB], ids=["sees_its_task", "stops_reading"])
@pytest.mark.usefixtures("impatient")
async def test_a_worker_that_was_stopped_is_replaced(make_pool: MakePool, bytes_: int) -> None:
    pool = make_pool()
    pid = await pid_of(pool)
    os.kill(pid, signal.SIGSTOP)
    error = await lost(pool, "echo", bytes(bytes_))
    assert "did nothing" in error.message
    assert error.metadata == {"at": "work"}
    assert is_gone(pid)
    assert await pid_of(pool) != pid


@pytest.mark.usefixtures("impatient")
async def test_a_worker_that_is_stopped_in_the_middle_is_replaced(make_pool: MakePool) -> None:
    pool = make_pool()
    running = pool.run({"act": "spin"})
    pid = await first(running)
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(30):
        with pytest.raises(EngineLost, match="did nothing"):
            await anext(running)
    assert is_gone(pid)
    assert await pid_of(pool)


@pytest.mark.usefixtures("impatient")
async def test_a_worker_that_is_never_ready_is_ended(make_pool: MakePool) -> None:
    error = await lost(make_pool("tests.sandbox.engines.never_ready"), "echo")
    assert "did nothing" in error.message
    assert error.metadata == {"at": "start"}, "it never saw the task"


async def test_a_worker_that_does_not_load_in_time_is_ended(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeste_image.sandbox.pool.START_SECONDS", 0.2)
    error = await lost(make_pool("tests.sandbox.engines.never_ready"), "echo")
    assert (error.message, error.metadata["at"]) == (
        "the engine's process took longer than its limit of 0.2 s",
        "start",
    )


@pytest.mark.parametrize("act", ["hang", "ignores", "spin"])
async def test_a_task_that_takes_too_long_is_ended(make_pool: MakePool, act: str) -> None:
    pool = make_pool(seconds=0.2)
    running = pool.run({"act": act})
    pid = await first(running)
    async with asyncio.timeout(30):
        with pytest.raises(EngineLost, match=r"limit of 0\.2 s"):
            await anext(running)
    assert is_gone(pid)
    assert await pid_of(pool) != pid


async def test_many_short_waits_add_up_to_the_limit(make_pool: MakePool) -> None:
    pool = make_pool(seconds=0.3)
    assert "limit of 0.3 s" in (await lost(pool, "dawdles", seconds=0.02, count=1000)).message


async def test_the_time_of_the_caller_does_not_count(make_pool: MakePool) -> None:
    pool = make_pool(seconds=0.5)
    async with asyncio.timeout(30), aclosing(pool.run({"act": "several", "count": 3})) as frames:
        async for _ in frames:
            await asyncio.sleep(0.3)
    assert len(pool.pids) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_worker_that_works_in_its_threads_is_no_idle_one(make_pool: MakePool) -> None:
    assert (await only(make_pool(), "works_in_a_thread", seconds=0.6)).kind == "after"


@pytest.mark.usefixtures("impatient")
async def test_a_worker_may_wait_for_the_server_for_any_time(make_pool: MakePool) -> None:
    async with asyncio.timeout(30), aclosing(make_pool().run({"act": "converse", "count": 1})) as frames:
        assert [(await anext(frames)).kind, (await anext(frames)).kind] == ["ask", "take"]
        await asyncio.sleep(0.6)
        assert (await frames.asend(Frame("answer", {"number": 0}))).kind == "heard"


@pytest.mark.parametrize(
    "text",
    [
        "std::bad_alloc",
        "bad allocation",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 3473408",
        "OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 1 bytes in function 'Out'",
        "[Errno 12] Cannot allocate memory",
        "libgomp.so: failed to map segment from shared object",
        "can't start new thread",
    ],
)
async def test_a_library_without_memory_is_no_bug(make_pool: MakePool, text: str) -> None:
    pool = make_pool()
    with pytest.raises(EngineMemory):
        await everything(pool, "exhausts", text=text)
    with pytest.raises(RuntimeError):
        await everything(pool, "exhausts", text="memory layout (3, 4) does not fit")


async def test_a_worker_without_a_task_is_not_kept_for_ever(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    pid = await pid_of(pool)
    assert await pid_of(pool) == pid
    monkeypatch.setattr("celeste_image.sandbox.pool.IDLE_SECONDS", 0.2)
    assert await pid_of(pool) == pid, "a task came in time"
    async with asyncio.timeout(30), aclosing(pool.run({"act": "dawdles", "seconds": 0.1, "count": 5})) as frames:
        assert len([frame async for frame in frames]) == 5, "a long task is none without a task"
    async with asyncio.timeout(10):
        while not is_gone(pid):
            await asyncio.sleep(0.01)
    assert pool.pids == []
    assert await pid_of(pool) != pid
