"""The files that a worker process needs: its code, the libraries that it loads late, and facts about the CPU."""

import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["needed", "outermost", "readable_by_all"]

FACTS = (
    *("/etc/ld.so.cache", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/sys/devices/system/node"),
    "/dev/null",
)
"""The dynamic linker's cache, and what numeric libraries ask about the machine."""


def needed() -> set[Path]:
    """Returns folders and files: the standard library, installed packages, and what was imported or loaded so far.

    A module outside of them counts alone, not the folder it is in: that may be anyone's.
    """
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {Path(sys.base_prefix) / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"}
    found = {*folders, *_mapped(), *map(Path, FACTS)}
    for module in tuple(sys.modules.values()):
        found |= {*_folders(module), *_file(module)}
    return {path for path in outermost(found) if path.exists()}


def outermost(paths: Iterable[Path]) -> list[Path]:
    """Returns the paths that are not inside of another one."""
    kept: list[str] = []
    for text in sorted(str(path) + "/" for path in paths):
        if not kept or not text.startswith(kept[-1]):
            kept.append(text)
    return [Path(text) for text in kept]


def _folders(module: object) -> Iterator[Path]:
    with suppress(TypeError):
        yield from (Path(folder) for folder in getattr(module, "__path__", None) or ())


def _file(module: object) -> Iterator[Path]:
    file = getattr(module, "__file__", None)
    if isinstance(file, str) and not getattr(module, "__path__", None):
        yield Path(file)


def _mapped() -> set[Path]:
    """Returns the folders of the loaded libraries, where the linker finds others."""
    with suppress(OSError):
        lines = Path("/proc/self/maps").read_text().splitlines()
        return {Path(line.split(maxsplit=5)[5]).parent for line in lines if ".so" in line and "/" in line}
    return set()


def readable_by_all(paths: set[Path], *, ways: bool) -> str:
    """Returns why another user could not read the paths; an empty text if any user could.

    Args:
        paths: Files and folders. Of the files in a folder, only those at its top are looked at.
        ways: Whether the folders above count.
    """
    for path in paths:
        for each in (path, *(path.resolve().parents if ways else ()), *(path.iterdir() if path.is_dir() else ())):
            with suppress(OSError):
                mode = each.stat().st_mode
                if not mode & 0o004 or (each.is_dir() and not mode & 0o001):
                    return f"other users can't read {each}"
    return ""
