"""Seals a worker process: what foreign bytes that took it over can still do.

`confine` comes first: limits, and an end with the parent. `seal` comes once the engine's code is imported and before
foreign bytes: the process may read its code and its weights, and reaches nothing else. Privileges are not needed; root
gives its own up.

Each control is tried by itself, and the functions return why it does not hold: containers often forbid namespaces,
kernels before 5.13 have no Landlock, and other systems have few of the controls. `protections.py` says what the
controls are good for.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from celeste_image.sandbox import landlock, namespaces, system_calls
from celeste_image.sandbox.code import needed, readable_by_all
from celeste_image.sandbox.kernel import call, outcome, prctl

__all__ = ["confine", "drop_capabilities", "seal"]

# linux/prctl.h, linux/securebits.h, linux/capability.h
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 28, 38
PR_CAP_AMBIENT, CLEAR_ALL = 47, 4
SECURE = 0xEF
"""Root is a user like others, for good, and user ids carry no capabilities."""
CAPABILITY_VERSION_3 = 0x20080522
CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7
SIGKILL = 9

FILES = 64
"""File descriptors of a worker: three pipes, and files that a late import opens."""
NOBODY = 65534
"""The user and group that own nothing, as whom the workers of a server of root run."""

NEEDS_LINUX = "needs Linux"
LINUX = (
    *("network_namespace", "private_root", "other_user", "no_capabilities", "not_dumpable", "no_new_privileges"),
    *("landlock", "landlock_network", "landlock_scopes", "system_calls"),
)
"""Controls of `seal` that exist on Linux alone."""


def confine(memory_bytes: int) -> dict[str, str]:
    """Limits this process's memory and ties its life to its parent's.

    Args:
        memory_bytes: Limit of the address space; 0 means no limit.

    Returns:
        Each control by name, and why it does not hold; empty texts for those that hold.
    """
    is_linux = sys.platform == "linux"
    return {
        "no_core_dump": outcome(_limit, "RLIMIT_CORE", 0),
        "memory": outcome(_limit, "RLIMIT_AS", memory_bytes) if memory_bytes and is_linux else "no limit",
        "ends_with_parent": outcome(prctl, PR_SET_PDEATHSIG, SIGKILL) if is_linux else NEEDS_LINUX,
    }


def seal(weights: Iterable[Path] = (), *, without: Collection[str] = ()) -> dict[str, str]:
    """Withdraws everything but memory, the pipes, and reading of code and weights. No second thread may run yet.

    Args:
        weights: Folders that the engine may read beside its code; absent ones count as empty.
        without: Controls to leave out, for tests of the others.

    Returns:
        Each control by name, and why it does not hold; empty texts for those that hold. `weights` is there only when
        the engine has some and can't read them.
    """
    controls = {"no_file_growth": outcome(_limit, "RLIMIT_FSIZE", 0)}
    controls["few_descriptors"] = outcome(_limit, "RLIMIT_NOFILE", FILES)
    if sys.platform != "linux":
        return controls | dict.fromkeys(LINUX, NEEDS_LINUX)
    weights = {each for path in weights for each in (path, *path.rglob("*")) if each.exists()}
    weights |= {each.resolve() for each in weights}
    readable = needed() | weights
    left_out = "left out"
    alone = "" if len(os.listdir("/proc/self/task")) == 1 else "another thread runs already"

    controls |= dict.fromkeys(("network_namespace", "private_root"), left_out)
    if "namespaces" not in without:
        controls["network_namespace"], controls["private_root"] = namespaces.enter()
        if not controls["private_root"]:
            controls["private_root"] = outcome(namespaces.replace_root, readable)
    os.chdir("/")
    rules: list[landlock.Ruleset] = []
    controls["landlock"] = alone or outcome(lambda: rules.append(landlock.Ruleset(readable)))
    version = 0 if controls["landlock"] else landlock.version()

    controls["other_user"] = outcome(_leave_bounds)  # overwritten: an ordinary user has no bounds to leave
    controls["other_user"] = _change_user(readable, ways=bool(controls["private_root"]))
    controls["no_capabilities"] = alone or outcome(drop_capabilities)
    # A change of user clears these two.
    controls["ends_with_parent"] = outcome(prctl, PR_SET_PDEATHSIG, SIGKILL)
    controls["not_dumpable"] = outcome(prctl, PR_SET_DUMPABLE, 0)
    controls["no_new_privileges"] = outcome(prctl, PR_SET_NO_NEW_PRIVS, 1)

    if "landlock" in without:
        controls["landlock"], version = left_out, 0
    elif rules:
        controls["landlock"] = outcome(rules[0].restrict)
    for name, least in (("landlock_network", 4), ("landlock_scopes", 6)):
        why = f"Landlock has version {version}, this needs {least}" if version < least else ""
        controls[name] = controls["landlock"] or why
    controls["system_calls"] = left_out if "system_calls" in without else outcome(system_calls.restrict)
    if unread := next((path for path in weights if not os.access(path, os.R_OK)), None):
        controls["weights"] = f"can't read {unread} any more: without privileges, its owner and mode forbid it"
    return controls


def _limit(name: str, value: int) -> None:
    import resource  # Windows has none

    resource.setrlimit(getattr(resource, name), (value, value))


def _leave_bounds() -> None:
    """Gives up what privileges could come back by: bounding and ambient capabilities, and root's special rights."""
    for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
        prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_CAP_AMBIENT, CLEAR_ALL)
    prctl(PR_SET_SECUREBITS, SECURE)


def _capabilities() -> int:
    """Returns the permitted and effective capabilities of this thread, bit by bit."""
    found = ctypes.create_string_buffer(24)
    call("capget", struct.pack("=Ii", CAPABILITY_VERSION_3, 0), found)
    low, low_permitted, _, high, high_permitted, _ = struct.unpack("=6I", found.raw)
    return int(low | low_permitted | (high | high_permitted) << 32)


def _change_user(readable: set[Path], *, ways: bool) -> str:
    """Changes from root to a user who owns nothing; returns why it could not."""
    if os.geteuid() != 0:
        return "the server's user is not root"
    lacking = [each for each in (CAP_KILL, CAP_SETGID, CAP_SETUID) if not _capabilities() >> each & 1]
    if lacking:
        return "root lacks the capabilities to change users and to end their processes"
    if why := readable_by_all(readable, ways=ways):
        return why

    def change() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)

    return outcome(change)


def drop_capabilities() -> None:
    """Drops all capabilities of this thread. Raises OSError when some are left."""
    call("capset", struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24))
    if _capabilities():
        raise OSError("some capabilities are left")
