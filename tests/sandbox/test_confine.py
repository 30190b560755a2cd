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

from celeste_image.core.errors import EngineLost
from celeste_image.core.protection import Protection
from celeste_image.sandbox.pool import WorkerPool
from celeste_image.sandbox.protections import unprotected

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


def python(text: str) -> dict[str, str]:
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
    if pool.controls["system_calls"]:
        pytest.skip("no filter here")
    assert set(found.values()) <= set(REFUSED), found


async def test_the_network_is_gone_where_namespaces_are_allowed(listener: int) -> None:
    """The filter is left out, since it alone would refuse the connection."""
    program = f"""
import socket
holds = confine.seal(without={{"system_calls", "landlock"}})
try:
    socket.create_connection(("127.0.0.1", {listener}), timeout=5)
except OSError:
    holds["refused"] = "yes"
print(json.dumps(holds))"""
    found = python(program)
    if found["network_namespace"]:
        pytest.skip("no namespace here")
    assert found["refused"] == "yes"


async def test_an_engine_can_do_its_work(make_pool: MakePool) -> None:
    deeds = {"thread": 0, "signal_itself": 0, "read": __file__, "import": "xml.dom.minidom"}
    found = await outcomes(make_pool(weights=[Path(__file__).parent]), **deeds)
    assert set(found.values()) == {"done"}, found


async def test_an_engine_has_no_files_but_its_code_and_weights(make_pool: MakePool, tmp_path: Path) -> None:
    weights, others = tmp_path / "weights", tmp_path / "others"
    for folder in (weights, others):
        folder.mkdir()
        (folder / "file").write_text("secret")
    (weights / "link").symlink_to(others / "file")
    (tmp_path / "link").symlink_to(weights)
    pool = make_pool(weights=[tmp_path / "link"])
    own, other = str(tmp_path / "link" / "file"), str(others / "file")
    assert await outcomes(pool, read=own, list=str(tmp_path / "link")) == {"read": "done", "list": "done"}
    assert await outcomes(pool, read=str(weights / "link")) == {"read": "done"}, "a link in the weights leads out of it"
    writing = ("write", "append", "empty", "rename", "allow", "delete")
    found = [await outcomes(pool, **dict.fromkeys(writing, path)) for path in (own, other)]
    found += [await outcomes(pool, list=str(others), make_folder=str(tmp_path / "folder"), write=str(tmp_path / "new"))]
    found += [await outcomes(pool, read=f"/proc/{os.getpid()}/environ")]
    assert pool.controls
    if pool.controls["landlock"] and pool.controls["private_root"]:
        pytest.skip("neither Landlock nor namespaces here")
    assert {each for deeds in found for each in deeds.values()} <= {*REFUSED, "ENOENT", "EROFS"}, found
    assert sorted(os.listdir(tmp_path)) == ["link", "others", "weights"]
    assert [(folder / "file").read_text() for folder in (weights, others)] == ["secret"] * 2


async def test_weights_that_come_later_are_read_by_a_new_process(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(weights=[tmp_path / "later"])
    assert (await outcomes(pool, list=str(tmp_path / "later")))["list"] != "done"
    (tmp_path / "later").mkdir()
    assert (await outcomes(pool, list=str(tmp_path / "later")))["list"] == "done"
    (first,) = pool.pids
    await outcomes(pool)
    assert pool.pids == [first], "else a process lasts"


async def test_no_descriptor_is_inherited(make_pool: MakePool, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with (tmp_path / "secret").open() as file:
        os.set_inheritable(file.fileno(), True)
        found = await outcomes(make_pool(), descriptors=0)
    assert found["descriptors"] == "done"


async def test_the_working_folder_is_no_code(
    make_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL.py").write_text("raise SystemExit('foreign code')")
    (tmp_path / "celeste.toml").write_text("key")
    monkeypatch.chdir(tmp_path)
    found = await outcomes(make_pool(), **{"import": "PIL", "read": str(tmp_path / "celeste.toml")})
    assert found.pop("import") == "done"
    assert found["read"] != "done"


def test_files_do_not_grow_by_limits_alone() -> None:
    program = """
holds = confine.seal(without={"namespaces", "landlock", "system_calls"})
import tempfile
try:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"x")
except OSError:
    holds["refused"] = "yes"
print(json.dumps(holds))"""
    found = python(program)
    assert found["no_file_growth"] == ""
    assert found["refused"] == "yes"


async def test_the_controls_are_reported_before_the_first_task(make_pool: MakePool) -> None:
    pool = make_pool(memory_bytes=1 << 30)
    assert pool.controls is None
    await outcomes(pool)
    assert pool.controls
    assert {name for name, why in pool.controls.items() if not why} >= {"memory", "no_core_dump", "no_new_privileges"}
    assert {"network_namespace", "system_calls", "landlock", "no_file_growth"} <= set(pool.controls)


async def test_without_a_required_protection_no_task_is_seen(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(required=[Protection.PROGRAMS])
    assert unprotected(await pool.inspect(), [Protection.PROGRAMS]) == {}
    pool = make_pool("tests.sandbox.engines.threaded", required=[Protection.PRIVILEGES])
    with pytest.raises(EngineLost):
        await outcomes(pool)
    assert pool.controls
    assert unprotected(pool.controls)["privileges"].startswith("no_capabilities: another thread runs already")


def test_where_namespaces_are_denied_all_else_still_holds() -> None:
    found = python("print(json.dumps(confine.seal(without={'namespaces'})))")
    if found["system_calls"]:
        pytest.skip("no filter here")
    assert found["network_namespace"]
    assert {"not_dumpable", "no_new_privileges", "no_file_growth"} <= {name for name, why in found.items() if not why}


def test_another_machine_or_an_old_kernel_breaks_nothing() -> None:
    program = """
confine.system_calls.platform.machine = lambda: "s390x"
confine.landlock.CREATE = 9999
print(json.dumps(confine.seal()))"""
    found = python(program)
    assert found["system_calls"] == "not known for s390x"
    assert found["private_root"] == "not known for s390x"
    assert found["landlock"] == found["landlock_scopes"] == "Landlock: Function not implemented"
    assert found["no_new_privileges"] == ""
    assert set(unprotected(found)) == {"reads", "writes", "network", "processes", "programs"}
