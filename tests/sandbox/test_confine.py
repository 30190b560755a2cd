"""Confinement: what a compromised worker can't do. A control is tested only where the kernel provides it."""

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

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


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
    """Runs a program that prints the result of `confine` or `seal` as JSON, and returns the result."""
    given = "import json; from celeste_image.sandbox import confine\n"
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
    assert pool.controls
    if not pool.controls["system_calls"]:
        pytest.skip("no filter here")
    assert set(found.values()) <= set(REFUSED), found


async def test_the_network_is_gone_where_namespaces_are_allowed(make_pool: MakePool, listener: int) -> None:
    """The filter is left out, since it alone would refuse the connection."""
    pool = make_pool()
    await outcomes(pool)
    assert pool.controls
    if not pool.controls["network_namespace"]:
        pytest.skip("no namespace here")
    program = f"""
import socket
holds = confine.confine(0, without={{"system_calls"}})
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


async def test_a_sealed_engine_has_no_files(make_pool: MakePool, tmp_path: Path, lines: list[str]) -> None:
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
    assert pool.controls
    if not pool.controls["files"]:
        pytest.skip("no Landlock here")
    assert set(found.values()) <= set(REFUSED), found
    assert (os.listdir(tmp_path), secret.stat().st_size) == (["secret"], 6)
    environ = await outcomes(pool, read=f"/proc/{os.getpid()}/environ")
    assert environ["read"] in REFUSED, "the server's environment has keys"


async def test_a_sealed_engine_can_import_and_start_threads(make_pool: MakePool) -> None:
    found = await outcomes(make_pool("tests.sandbox.engines.sealed"), thread=0, **{"import": "xml.dom.minidom"})
    assert set(found.values()) == {"done"}, found


def test_files_do_not_grow_even_without_landlock() -> None:
    program = """
holds = confine.seal(without={"files"})
try:
    open("/tmp/celeste-test-of-limits", "wb", buffering=0).write(b"x")
except OSError:
    holds["refused"] = True
print(json.dumps(holds))"""
    found = python(program)
    Path("/tmp/celeste-test-of-limits").unlink()
    assert found["no_file_growth"]
    assert found["refused"]


async def test_the_controls_are_reported_before_the_first_task(make_pool: MakePool) -> None:
    pool = make_pool("tests.sandbox.engines.sealed", memory_bytes=1 << 30)
    assert pool.controls is None
    await outcomes(pool)
    assert pool.controls
    assert {name for name, holds in pool.controls.items() if holds} >= {"memory", "no_core_dump", "no_new_privileges"}
    assert {"network_namespace", "system_calls", "files", "no_file_growth"} <= set(pool.controls)


def test_without_privileges_the_namespace_is_a_users() -> None:
    program = "print(json.dumps({'bare': confine.drop_capabilities()} | confine.confine(0)))"
    found = python(program)
    assert found["bare"]
    assert found["no_new_privileges"]
    assert found["ends_with_parent"]


def test_where_namespaces_are_denied_all_else_still_holds() -> None:
    """In the second call, the first call's filter denies namespaces, as a container's filter does."""
    found = python("first = confine.confine(0); print(json.dumps(first | confine.confine(0) | confine.seal()))")
    if not found["system_calls"]:
        pytest.skip("no filter here")
    assert not found.pop("network_namespace")
    assert {"not_dumpable", "no_new_privileges", "no_file_growth"} <= {name for name, holds in found.items() if holds}


def test_another_machine_or_an_old_kernel_breaks_nothing() -> None:
    program = """
confine.platform.machine = lambda: "s390x"
confine.LANDLOCK_CREATE = 9999
print(json.dumps(confine.confine(0) | confine.seal()))"""
    found = python(program)
    assert not found["system_calls"]
    assert not found["files"]
    assert found["no_new_privileges"]
