"""Processor time, memory and load, from /proc (Linux); and what machine and versions a result comes from."""

import os
import platform
import subprocess
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Load", "Peak", "cpu_seconds", "described", "resident_mib", "tree"]

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
ROOT = Path(__file__).parents[2]
PACKAGES = ("grpcio", "protobuf", "httpx", "aiohttp", "uvloop", "orjson", "pybase64", "obstore", "pillow", "ncnn")


def tree(pid: int) -> list[int]:
    """Returns a process and its descendants, as far as they live."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        try:
            threads = os.listdir(f"/proc/{found[-1]}/task")
            for thread in threads:
                waiting += map(int, Path(f"/proc/{found[-1]}/task/{thread}/children").read_text().split())
        except OSError:
            continue
    return found


def cpu_seconds(pid: int) -> float:
    """Returns the processor time of a process, its descendants, and those that it has waited for."""
    ticks = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return ticks / TICK


def resident_mib(pid: int) -> float:
    """Returns the resident memory of a process and its descendants; shared pages count once a process."""
    pages = 0
    for each in tree(pid):
        try:
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * PAGE / (1 << 20)


class Peak:
    """Samples the memory of a process tree while the block runs; `mib` is the largest sum seen."""

    def __init__(self, pid: int, seconds: float = 0.03) -> None:
        self.mib = 0.0
        self._pid, self._seconds = pid, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._over.wait(self._seconds):
            self.mib = max(self.mib, resident_mib(self._pid))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()


class Load:
    """What other processes took of the machine between two moments, beside this one and its descendants."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), _busy(), cpu_seconds(os.getpid())
        self.average = os.getloadavg()[0]

    def others(self) -> float:
        """Returns the part of the machine's processors, 0 to 1, that other processes took so far."""
        own = cpu_seconds(os.getpid()) - self._own
        took = (_busy() - self._busy) - own
        return max(0.0, took / ((time.monotonic() - self._began) * (os.cpu_count() or 1)))


def _busy() -> float:
    """Returns the seconds that the processors worked or were taken by the host, since the start."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICK


def described() -> dict[str, Any]:
    """Returns the machine and the versions of what was measured."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    memory = os.sysconf("SC_PHYS_PAGES") * PAGE / (1 << 30)
    return {
        "cpu": cpu.partition(":")[2].strip(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "celeste": _commit(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "gateways": {
            file.parent.name.removeprefix(".venv-"): file.read_text().strip() for file in ROOT.glob(".venv-*/version")
        },
    }


def _commit() -> str:
    """Returns the commit of this checkout, with a plus sign if files differ from it."""
    try:
        git = ["git", "-C", str(ROOT)]
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "server"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
