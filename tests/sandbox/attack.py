"""A server with something to steal and malicious engines: `python -m tests.sandbox.attack USER REFUSED ENGINE...`.

USER is `root`, `ordinary` or `closed` (root, whose code other users can't read). REFUSED names what this process loses
before it begins, as in a container: `namespaces`, `landlock`, `both` or `nothing`. Each ENGINE runs in its place: with
its sealing, its limits and its weights. Prints one JSON object: by engine what was reached, and the controls.
"""

import asyncio
import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeste_image.app import open_decoders, open_tools
from celeste_image.config import Settings
from celeste_image.core.errors import EngineLost
from celeste_image.providers.registry import build_providers
from celeste_image.sandbox import namespaces
from celeste_image.sandbox.kernel import call, prctl, system_call
from celeste_image.sandbox.pool import WorkerPool
from celeste_image.sandbox.protections import unprotected
from celeste_image.sandbox.server import forget_environment, protect_process
from celeste_image.sandbox.system_calls import ALLOW, ERRNO, SECCOMP, _line, _when
from celeste_image.sandbox.system_calls import COLUMNS as MACHINES

ORDINARY = 1000
NUMBERS = {"namespaces": {"unshare": (272, 97), "mount": (165, 40)}, "landlock": {"landlock": (444, 444)}}
KSERVE = "celeste_image.providers.kserve.engine"


def refuse(what: str) -> None:
    """Installs a filter like a container's: EPERM for namespaces, ENOSYS for Landlock."""
    kinds = ("namespaces", "landlock") if what == "both" else (what,) if what != "nothing" else ()
    column = MACHINES[os.uname().machine][0]
    lines = [_line(0x20, 0)]
    for kind in kinds:
        for numbers in NUMBERS[kind].values():
            lines += _when(numbers[column], _line(0x06, ERRNO | (1 if kind == "namespaces" else 38)))
    program = b"".join([*lines, _line(0x06, ALLOW)])
    code = ctypes.create_string_buffer(program, len(program))
    if os.geteuid():
        prctl(38, 1)
    filled = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    system_call("seccomp", SECCOMP[column], 1, 0, filled)


def open_folders(paths: list[Path]) -> None:
    """Makes the folders above the paths readable to all users, in a namespace of mounts: a home of root is closed."""
    call("unshare", namespaces.NEW_MOUNTS)
    call("mount", b"none", b"/", None, namespaces.RECURSIVE | namespaces.PRIVATE, None)
    closed: dict[Path, list[Path]] = {}
    for path in paths:
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & 1:
                closed.setdefault(folder, []).append(path)
                break
    for folder, inside in closed.items():
        found = {path: os.open(path, os.O_PATH) for path in inside}
        call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"mode=0755")
        for path, descriptor in found.items():
            path.mkdir(parents=True, exist_ok=True)
            call("mount", f"/proc/self/fd/{descriptor}".encode(), os.fsencode(path), None, namespaces.BIND, None)
            os.close(descriptor)


def become(user: str) -> None:
    """Becomes a user; `closed` is root as it is here, `root` and `ordinary` have code that all users can read."""
    if user == "closed":
        return
    models = Path.home() / ".cache" / "celeste"
    python = Path(sys.base_prefix)
    if os.geteuid() == 0:
        open_folders([python, *([models] if models.is_dir() else [])])
        os.environ["CELESTE_MODELS_DIR"] = str(models / "models")
        if user == "ordinary":
            os.setgroups([])
            os.setresgid(ORDINARY, ORDINARY, ORDINARY)
            os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    elif user == "root":
        raise SystemExit("needs root")


@dataclass
class World:
    """What there is to steal. `task` tells the engine where."""

    folder: Path
    task: dict[str, Any]
    store: Path

    def fill(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)
        self.store.mkdir(0o700)
        (self.store / "artifact").write_bytes(b"canary-artifact")
        os.chmod(self.store / "artifact", 0o600)

    def damage(self) -> list[str]:
        """Returns what is no longer as it was."""
        found = []
        artifact = self.store / "artifact"
        if os.listdir(self.store) != ["artifact"] or artifact.read_bytes() != b"canary-artifact":
            found.append("the store was changed")
        elif artifact.stat().st_mode & 0o777 != 0o600 or not artifact.stat().st_mtime:
            found.append("an artifact's attributes were changed")
        if os.getpriority(os.PRIO_PROCESS, 0) != NICE or resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 3:
            found.append("the server's limits were changed")
        if SIGNALS:
            found.append("the server got signals")
        return found


SIGNALS: list[int] = []
NICE = os.getpriority(os.PRIO_PROCESS, 0)
MEMORY = ctypes.create_string_buffer(b"canary-memory".ljust(64))


def world(undo: ExitStack) -> World:
    folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="celeste-attack-")))
    for name in ("key", "celeste.toml"):
        (folder / name).write_bytes(b"# canary-" + name.encode())
        os.chmod(folder / name, 0o600)
    (folder / "other-model").mkdir()
    (folder / "other-model" / "weights").write_bytes(b"canary-weights")
    os.chdir(folder)
    descriptor = os.open(folder / "key", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    listeners = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
    listeners[1].bind(("127.0.0.1", 0))
    for address in (str(folder / "socket"), f"\0celeste-attack-{os.getpid()}"):
        listeners.append(socket.socket(socket.AF_UNIX))
        listeners[-1].bind(address)
        listeners[-1].listen()
    for each in listeners:
        undo.callback(each.close)
    libc, key = ctypes.CDLL(None, use_errno=True), os.getpid()
    if (shared := libc.shmget(key, 4096, 0o1600)) >= 0:
        undo.callback(libc.shmctl, shared, 0, None)
    posix = Path(f"/dev/shm/celeste-attack-{key}")
    posix.write_bytes(b"canary-shared")
    os.chmod(posix, 0o600)
    undo.callback(posix.unlink)
    signal.signal(signal.SIGUSR1, lambda number, _: SIGNALS.append(number))
    task = {
        **{"server": os.getpid(), "descriptor": descriptor, "address": ctypes.addressof(MEMORY)},
        **{"key": str(folder / "key"), "folder": str(folder), "store": str(folder / "store")},
        **{"temporary": tempfile.gettempdir(), "tcp": listeners[0].getsockname()[1]},
        **{"udp": listeners[1].getsockname()[1], "path": str(folder / "socket")},
        **{"abstract": f"celeste-attack-{key}", "shared": key, "posix": str(posix), "python": sys.executable},
    }
    return World(folder, task, folder / "store")


def engines() -> dict[str, WorkerPool]:
    """Returns the pools of a server, and of an inference server's engine."""
    settings = Settings()
    tools = open_tools(settings)
    open_decoders(settings.images, tools.workers)
    build_providers(settings.providers, tools)
    tools.workers.pool("kserve", KSERVE, memory_bytes=3 << 30)
    return tools.workers.pools


def replaced(pools: dict[str, WorkerPool], folder: Path) -> Iterator[tuple[str, WorkerPool]]:
    """Yields the pools with a malicious module in the place of each engine, which imports what the engine imports."""
    for name, pool in pools.items():
        module = f"instead_of_{pool.module.replace('.', '_')}"
        (folder / f"{module}.py").write_text(
            f"import {pool.module}\nfrom tests.sandbox.engines.malicious import run\n__all__ = ['run']\n"
        )
        at = pool._command.index(pool.module)
        pool._command[at] = module
        yield name, pool


async def attacked(name: str, pool: WorkerPool, place: World, others: dict[str, int]) -> dict[str, Any]:
    place.fill()
    SIGNALS.clear()
    task = place.task | others | {"weights": [str(path) for path in pool._weights if path.is_dir()]}
    reached: dict[str, list[str]]
    try:
        async with aclosing(pool.run(task)) as frames:
            async for frame in frames:
                reached = frame.fields["reached"]
                tried = frame.fields["tried"]
    except EngineLost as error:
        reached, tried = {"other programs": [f"the process ended: {error.message}"]}, 0
    if done := place.damage():
        reached["damage"] = done
    controls = pool.controls or {}
    found = {"reached": reached, "tried": tried, "unprotected": unprotected(controls)}
    return found | {"missing": {control: why for control, why in controls.items() if why}}


async def main(user: str, refused: str, *names: str) -> None:
    become(user)
    os.environ["CANARY_KEY"] = "canary-environment"
    with ExitStack() as undo:
        bystander = undo.enter_context(subprocess.Popen(["sleep", "900"], env=os.environ))  # noqa: ASYNC220 - as a shell
        undo.callback(bystander.kill)
        place = world(undo)
        root = Path(__file__).parents[2]
        modules = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="celeste-modules-")))
        os.chmod(modules, 0o755)
        os.environ["PYTHONPATH"] = f"{root}:{modules}"
        refuse(refused)
        protect_process()
        forget_environment()
        pools = engines()
        unknown = set(names) - set(pools)
        if unknown:
            raise SystemExit(f"no engines {unknown}; there are {list(pools)}")
        victim = WorkerPool("tests.sandbox.engines.acts")
        async with aclosing(victim.run({"act": "hang"})) as frames:
            others = {"other": (await anext(frames)).fields["pid"], "bystander": bystander.pid}
            found = {}
            for name, pool in replaced({name: pools[name] for name in names or pools}, modules):
                found[name] = await attacked(name, pool, place, others)
                await pool.close()
        print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
