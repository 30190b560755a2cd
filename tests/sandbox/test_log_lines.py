"""Lines on the standard error of worker processes: each pool's reach the log, bounded, and no line ends the reader."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs
from tests.sandbox.test_pool import everything, only, pid_of

from celeste_image.app import build_app
from celeste_image.config import Settings
from celeste_image.sandbox.lines import LINE_BYTES, LINES_PER_SECOND, pass_on_lines
from celeste_image.sandbox.pool import WorkerPool

LINE = "100 % sure, %s {} \\x1b"


async def passed_on(*chunks: bytes) -> list[str]:
    """Returns the lines that are passed on of a standard error that ends."""
    stream, lines = asyncio.StreamReader(), list[str]()
    for chunk in chunks:
        stream.feed_data(chunk)
    stream.feed_eof()
    await pass_on_lines(stream, lines.append)
    return lines


async def test_a_noisy_worker_of_each_pool_is_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each worker writes a line as it starts: Python imports `sitecustomize` first of all."""
    (tmp_path / "sitecustomize.py").write_text(f"import os; os.write(2, {f'{LINE}{os.linesep}'.encode()!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pools: list[WorkerPool] = []
    make = WorkerPool.__init__

    def made(pool: WorkerPool, *arguments: object, **named: object) -> None:
        make(pool, *arguments, **named)  # type: ignore[arg-type]
        pools.append(pool)

    monkeypatch.setattr(WorkerPool, "__init__", made)
    model = {"id": "tags", "operation": "classify", "labels": ["a"], "width": 8, "height": 8}
    kserve = {"kind": "kserve", "url": "grpc://127.0.0.1:1", "models": [model]}
    app = build_app(Settings(store={"url": "memory:///"}, providers={"cluster": kserve}))
    modules = {pool.module for pool in pools}
    assert {"celeste_image.imaging.guard_engine", "celeste_image.imaging.pixels_engine"} <= modules
    assert {"celeste_image.providers.kserve.engine", "celeste_image.engines.compose"} <= modules
    with capture_logs() as logged:
        for pool in {pool.module: pool for pool in pools}.values():
            running = pool.run({"do": "nothing"})
            starting = asyncio.ensure_future(anext(running))
            async with asyncio.timeout(20):
                while not any(line.get("engine") == pool.module for line in logged):
                    await asyncio.sleep(0.005)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
    heard = {line["engine"] for line in logged if line["event"] == "engine" and line["line"] == LINE}
    assert heard == modules
    assert {line["provider"] for line in logged if "kserve" in line["engine"]} == {"cluster"}
    await app.close()


def refuse(line: str) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    "on_log",
    [
        partial(structlog.get_logger().warning, "engine", engine="x"),  # structlog formats with further arguments
        lambda line, other: None,
        lambda: None,
        refuse,
        None,
    ],
    ids=["formats", "two_arguments", "no_argument", "cancels", "log"],
)
async def test_any_receiver_of_lines_leaves_the_pool_usable(
    make_pool: Callable[..., WorkerPool], on_log: Callable[[str], None] | None
) -> None:
    with capture_logs() as logged:
        pool = make_pool(on_log=on_log)
        assert (await only(pool, "prints")).kind == "after"
        assert (await only(pool, "floods", chunks=50)).kind == "after", "the standard error is still read"
        running = pool.run({"act": "hang"})
        await anext(running)
        await running.aclose()
        assert await pid_of(pool)
        await pool.close()
    assert "from C" in [line.get("line") for line in logged]


async def test_a_receiver_that_fails_while_the_log_is_closed_ends_nothing(
    make_pool: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*arguments: object, **fields: object) -> None:
        raise ValueError("I/O operation on closed file")

    monkeypatch.setattr("celeste_image.sandbox.lines.log.warning", closed)
    pool = make_pool(on_log=lambda: None)
    assert (await only(pool, "prints")).kind == "after"
    assert (await only(pool, "floods", chunks=50)).kind == "after"


async def test_a_flood_of_lines_is_counted(make_pool: Callable[..., WorkerPool], lines: list[str]) -> None:
    pool = make_pool()
    await everything(pool, "chatters", lines=30_000)
    await pool.close()
    said = [line for line in lines if line.startswith("chat")]
    assert len(said) < 20 * LINES_PER_SECOND
    left_out = sum(int(line.split()[0].replace(",", "")) for line in lines if line.endswith("lines were left out"))
    assert len(said) + left_out == 30_000


async def test_a_worker_that_floods_for_ever_leaves_the_server_its_time(make_pool: Callable[..., WorkerPool]) -> None:
    pool = make_pool(size=2)
    running = pool.run({"act": "floods", "chunks": 10**9})
    flooding = asyncio.ensure_future(anext(running, None))
    for _ in range(3):
        assert await pid_of(pool)
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_lines_end_with_any_line_end_and_are_never_empty() -> None:
    assert await passed_on(b"a\nb\r\nc\rd\n\n \ne") == ["a", "b", "c", "d", "e"]
    assert await passed_on(b"10%\r", b"20%\r", b"100%") == ["10%", "20%", "100%"]
    assert await passed_on(b"one li", b"ne\ntwo") == ["one line", "two"]
    assert await passed_on() == []


async def test_long_lines_are_cut() -> None:
    exact, long = b"x" * LINE_BYTES, b"y" * (LINE_BYTES + 1)
    first, second, third = await passed_on(exact + b"\n", long + b"\n", b"z" * (5 << 20))
    assert (first, second) == (exact.decode(), f"{long[:-1].decode()} ... (cut)")
    assert third == "z" * LINE_BYTES + " ... (cut)"


async def test_bytes_that_are_no_text_are_passed_on() -> None:
    assert await passed_on(b"\xff\xfe\n", "größer\n".encode()) == ["\ufffd\ufffd", "größer"]
