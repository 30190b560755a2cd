"""What a worker that was taken over can't do. Each control is tested where the kernel gives it; the report tells."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from celeste_image.sandbox.pool import WorkerPool

MakePool = Callable[..., WorkerPool]
REFUSED = ("EPERM", "EACCES", "ENOSYS", "ENETUNREACH", "EFBIG")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have none of this")


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server.getsockname()[1]
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture
def by_path(tmp_path: Path) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        yield str(tmp_path / "socket")


async def outcomes(pool: WorkerPool, **deeds: object) -> dict[str, str]:
    async with aclosing(pool.run({"act": "deeds", "deeds": deeds})) as frames:
        (frame,) = [frame async for frame in frames]
    frame.fields.pop("kind", None)
    return frame.fields


def python(text: str) -> dict[str, bool]:
    """Runs a program that prints what `confine` or `seal` returned."""
    given = "import ctypes, json; from celeste_image.sandbox import confine as sandbox\n"
    done = subprocess.run([sys.executable, "-c", given + text], stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


async def test_no_engine_reaches_the_network_or_other_processes(
    make_pool: MakePool, listener: int, by_path: str
) -> None:
    pool = make_pool()
    pid = os.getpid()
    found = await outcomes(
        pool,
        connect=listener,
        resolve="127.0.0.1",
        connect_by_path=by_path,
        start="/bin/true",
        fork=0,
        signal=pid,
        limit=pid,
    )
    assert pool.sandbox
    if not pool.sandbox["system_calls"]:
        pytest.skip("no filter here")
    assert set(found.values()) <= set(REFUSED), found


async def test_the_network_is_gone_where_namespaces_are_allowed(make_pool: MakePool, listener: int) -> None:
    """Without the filter, so that it does not do the work of the namespace."""
    pool = make_pool()
    await outcomes(pool)
    assert pool.sandbox
    if not pool.sandbox["network_namespace"]:
        pytest.skip("no namespace here")
    program = f"""
import socket
sandbox._filter_system_calls = lambda libc: False
holds = sandbox.confine(0)
try:
    socket.create_connection(("127.0.0.1", {listener}), timeout=5)
except OSError:
    holds["refused"] = True
print(json.dumps(holds))"""
    found = python(program)
    assert found["network_namespace"]
    assert found["refused"]


async def test_an_engine_can_do_its_work(make_pool: MakePool, tmp_path: Path) -> None:
    found = await outcomes(
        make_pool(),
        thread=0,
        signal_itself=0,
        read=__file__,
        write=str(tmp_path / "new"),
        **{"import": "xml.dom.minidom"},
    )
    assert set(found.values()) == {"done"}, found
    assert (tmp_path / "new").exists()


async def test_a_sealed_one_has_no_files(make_pool: MakePool, tmp_path: Path, lines: list[str]) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    pool = make_pool("tests.sandbox.engines.sealed")
    found = await outcomes(
        pool,
        read=str(secret),
        list=str(tmp_path),
        write=str(tmp_path / "new"),
        append=str(secret),
        empty=str(secret),
        rename=str(secret),
        allow=str(secret),
        delete=str(secret),
        make_folder=str(tmp_path / "folder"),
    )
    assert pool.sandbox
    if not pool.sandbox["files"]:
        pytest.skip("no Landlock here")
    assert set(found.values()) <= set(REFUSED), found
    assert (os.listdir(tmp_path), secret.stat().st_size) == (["secret"], 6)
    environ = await outcomes(pool, read=f"/proc/{os.getpid()}/environ")
    assert environ["read"] in REFUSED, "keys are in the server's"


async def test_a_sealed_one_can_import_and_start_threads(make_pool: MakePool) -> None:
    found = await outcomes(make_pool("tests.sandbox.engines.sealed"), thread=0, **{"import": "xml.dom.minidom"})
    assert set(found.values()) == {"done"}, found


def test_files_do_not_grow_even_without_landlock() -> None:
    program = """
sandbox._restrict_files = lambda libc: False
holds = sandbox.seal()
try:
    open("/tmp/celeste-test-of-limits", "wb", buffering=0).write(b"x")
except OSError:
    holds["refused"] = True
print(json.dumps(holds))"""
    found = python(program)
    Path("/tmp/celeste-test-of-limits").unlink()
    assert found["no_file_growth"]
    assert found["refused"]


async def test_what_holds_is_said_before_the_first_task(make_pool: MakePool) -> None:
    pool = make_pool("tests.sandbox.engines.sealed", memory_bytes=1 << 30)
    assert pool.sandbox is None
    await outcomes(pool)
    assert pool.sandbox
    assert {name for name, holds in pool.sandbox.items() if holds} >= {"memory", "no_core_dump", "no_new_privileges"}
    assert {"network_namespace", "system_calls", "files", "no_file_growth"} <= set(pool.sandbox)


def test_without_privileges_the_namespace_is_a_users() -> None:
    program = "print(json.dumps({'bare': sandbox._drop_capabilities(ctypes.CDLL(None))} | sandbox.confine(0)))"
    found = python(program)
    assert found["bare"]
    assert found["no_new_privileges"]
    assert found["ends_with_parent"]


def test_where_namespaces_are_denied_all_else_still_holds() -> None:
    """The second time the filter of the first denies them, as that of a container does."""
    found = python("first = sandbox.confine(0); print(json.dumps(first | sandbox.confine(0) | sandbox.seal()))")
    if not found["system_calls"]:
        pytest.skip("no filter here")
    assert not found.pop("network_namespace")
    assert {"not_dumpable", "no_new_privileges", "no_file_growth"} <= {name for name, holds in found.items() if holds}


def test_on_another_machine_or_an_old_kernel_nothing_breaks() -> None:
    program = """
sandbox.platform.machine = lambda: "s390x"
sandbox.LANDLOCK_CREATE = 9999
print(json.dumps(sandbox.confine(0) | sandbox.seal()))"""
    found = python(program)
    assert not found["system_calls"]
    assert not found["files"]
    assert found["no_new_privileges"]
