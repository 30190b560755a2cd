"""Namespaces: an empty network, own shared memory, and a root folder that has only what a process may read."""

import os
import platform
from collections.abc import Iterable
from pathlib import Path

from celeste_image.sandbox.code import outermost
from celeste_image.sandbox.kernel import call, system_call

__all__ = ["enter", "replace_root"]

# linux/sched.h, linux/mount.h
NEW_MOUNTS, NEW_NAMES, NEW_IPC, NEW_USER, NEW_NETWORK = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXECUTION, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
RECURSIVE, PRIVATE, DETACH = 16384, 1 << 18, 2
NO_TIMES, RELATIVE_TIMES, RELATIVE_TIMES_FOUND = 1024 | 2048, 1 << 21, 4096
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
PLACES = ("/tmp", "/var/tmp", "/mnt", "/usr")  # noqa: S108
"""Folders on one of which the new root is mounted, in a namespace of its own; the folder itself stays as it is."""
OLD = "/.old"


def enter() -> tuple[str, str]:
    """Enters new namespaces, as far as the system lets this user.

    Returns:
        Why there is no network namespace, and why none of mounts; empty texts where there is one.
    """
    more = NEW_NETWORK | NEW_MOUNTS | NEW_IPC | NEW_NAMES
    # First without a user namespace, where root can still change to another user.
    user, group, why = os.geteuid(), os.getegid(), ""
    for flags in (more, NEW_USER | more, NEW_NETWORK, NEW_USER | NEW_NETWORK):
        try:
            call("unshare", flags)
            if flags & NEW_USER:
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
                Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        except OSError as error:
            why = why or error.strerror or str(error)
            if flags & NEW_USER and os.geteuid() != user:
                return "", why  # the namespaces are there, without a user who may mount
        else:
            return "", "" if flags & NEW_MOUNTS else why
    return why, why


def replace_root(readable: Iterable[Path]) -> None:
    """Replaces the root folder by an empty one with `readable`, read-only. Needs a namespace of mounts.

    Symbolic links on the way to a path are in the new root, too.

    Raises OSError: The system forbids it; the old root stays.
    """
    found = [path for path in map(Path, readable) if path.exists()]
    links = {Path(name): target for path in (*found, *_LIBRARIES) for name, target in _links(path)}
    real = outermost({path.resolve() for path in found})
    if platform.machine() not in PIVOT_ROOT:
        raise OSError(f"not known for {platform.machine()}")
    call("mount", b"none", b"/", None, RECURSIVE | PRIVATE, None)  # or the system would see the mounts that follow
    place = next(place for place in PLACES if os.path.isdir(place))
    call("mount", b"tmpfs", place.encode(), b"tmpfs", NO_SUID | NO_DEVICES, b"mode=0755,size=4m")
    inside = False
    try:
        os.mkdir(place + OLD, 0o755)
        _pivot(place, OLD.lstrip("/"))
        inside = True
        for path in real:
            _bind(path)
        for link, target in links.items():
            link.parent.mkdir(0o755, parents=True, exist_ok=True)
            if not os.path.lexists(link):
                link.symlink_to(target)
    except OSError:
        if inside:
            _pivot(OLD, place.lstrip("/"))
        call("umount2", place.encode(), DETACH)
        raise
    call("umount2", OLD.encode(), DETACH)
    os.rmdir(OLD)
    call("mount", b"none", b"/", None, REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEVICES, None)


def _pivot(root: str, old: str) -> None:
    os.chdir(root)
    system_call("pivot_root", PIVOT_ROOT[platform.machine()], b".", old.encode())
    os.chdir("/")


_LIBRARIES = (Path("/lib"), Path("/lib64"))
"""Where the dynamic linker's cache finds libraries; on most systems they are links."""


def _links(path: Path) -> Iterable[tuple[str, str]]:
    """Yields the symbolic links on the way to a path, and the target of each."""
    for step in (*reversed(path.parents), path):
        if step.is_symlink():
            target = os.readlink(step)
            yield str(step.parent.resolve() / step.name), target
            yield from _links(step.parent.resolve() / target)


def _bind(path: Path) -> None:
    """Shows a file or folder of the old root in the new one, read-only."""
    path.parent.mkdir(0o755, parents=True, exist_ok=True)
    source = Path(OLD + str(path))
    if source.is_dir():
        path.mkdir(0o755, exist_ok=True)
    else:
        path.touch(0o644)
    call("mount", os.fsencode(source), os.fsencode(path), None, BIND | RECURSIVE, None)
    # Flags that the mount has must stay: the kernel locks them in a user namespace.
    flags = os.statvfs(path).f_flag
    kept = flags & (NO_SUID | NO_DEVICES | NO_EXECUTION | NO_TIMES)
    kept |= RELATIVE_TIMES if flags & RELATIVE_TIMES_FOUND else 0
    call("mount", b"none", os.fsencode(path), None, REMOUNT | BIND | READ_ONLY | NO_SUID | kept, None)
