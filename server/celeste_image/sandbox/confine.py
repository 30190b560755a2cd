"""Restricts a worker process with rlimits, a network namespace, seccomp and Landlock; no privileges are needed.

`confine` is for every worker: no network, no other programs, no access to other processes, bounded memory. `seal` is
for engines with `SEALED = True`, such as the guard's: they may read their own code and no other file.

Each control is tried separately, and the functions return which hold. Containers often forbid namespaces, kernels
before 5.13 have no Landlock, and other systems have few of the controls.
"""

import ctypes
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["confine", "seal"]

# linux/prctl.h, linux/sched.h, linux/capability.h
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SIGKILL = 9
CLONE_THREAD, CLONE_NEWUSER, CLONE_NEWNET = 0x00010000, 0x10000000, 0x40000000
CAPABILITY_VERSION_3 = 0x20080522

# linux/landlock.h; the system calls have the same numbers everywhere
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ_FILE, READ_DIR = 1 << 2, 1 << 3

FILES = 64
"""File descriptors of a sealed worker: three pipes, and files that a late import opens."""


def confine(memory_bytes: int, *, without: Collection[str] = ()) -> dict[str, bool]:
    """Limits this process's memory, cuts its network and ties its life to its parent's.

    Call it before a second thread starts.

    Args:
        memory_bytes: Limit of the address space; 0 means no limit.
        without: Controls to leave out: `system_calls` for tests of the others.

    Returns:
        Each control by name, and whether it holds.
    """
    holds = {"no_core_dump": _limit("RLIMIT_CORE", 0), "memory": False, "network_namespace": False}
    holds |= dict.fromkeys(("ends_with_parent", "not_dumpable", "no_new_privileges", "system_calls"), False)
    if sys.platform == "linux":
        holds["memory"] = memory_bytes > 0 and _limit("RLIMIT_AS", memory_bytes)
        libc = ctypes.CDLL(None, use_errno=True)
        # First without a user namespace: in one, root could not read other users' files, such as weights. Other users
        # need one, and lose the rights that it gives.
        holds["network_namespace"] = libc.unshare(CLONE_NEWNET) == 0
        if not holds["network_namespace"]:
            holds["network_namespace"] = libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0
            drop_capabilities()
        holds["ends_with_parent"] = _prctl(libc, PR_SET_PDEATHSIG, SIGKILL)  # last: a change of rights clears it
        holds["not_dumpable"] = _prctl(libc, PR_SET_DUMPABLE, 0)
        holds["no_new_privileges"] = _prctl(libc, PR_SET_NO_NEW_PRIVS, 1)
        holds["system_calls"] = "system_calls" not in without and _filter_system_calls(libc)
    return holds


def seal(*, without: Collection[str] = ()) -> dict[str, bool]:
    """Withdraws access to every file except the folders of this process's code.

    Call it after the code is imported.

    Args:
        without: Controls to leave out: `files` for tests of the others.

    Returns:
        Each control by name, and whether it holds.
    """
    holds = {"no_file_growth": _limit("RLIMIT_FSIZE", 0), "few_descriptors": _limit("RLIMIT_NOFILE", FILES)}
    holds |= {"no_capabilities": False, "files": False}
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        holds["no_capabilities"] = drop_capabilities()
        holds["files"] = "files" not in without and _restrict_files(libc)
    return holds


def _limit(name: str, value: int) -> bool:
    with suppress(ImportError, AttributeError, ValueError, OSError):  # Windows has no `resource`
        import resource

        resource.setrlimit(getattr(resource, name), (value, value))
        return True
    return False


def _prctl(libc: ctypes.CDLL, option: int, value: int, pointer: object = None) -> bool:
    last = [ctypes.c_ulong(0)] * 2  # whole registers: the kernel refuses other values than 0 there
    return bool(libc.prctl(option, ctypes.c_ulong(value), pointer or ctypes.c_ulong(0), *last) == 0)


def drop_capabilities() -> bool:
    """Drops all capabilities of this process; returns whether it could."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.capset(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)) == 0)


# Files: Landlock, since Linux 5.13


def _restrict_files(libc: ctypes.CDLL) -> bool:
    """Allows reads in the folders of this process's code, and denies all other file access."""
    version = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = (1 << 13) - 1  # version 1; later: 2 linking, 3 truncating, 4 TCP, 5 devices, 6 sockets and signals
    rights |= (version >= 2) << 13 | (version >= 3) << 14 | (version >= 5) << 15
    handled = struct.pack("=QQQ", rights, 3, 3)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    rules = libc.syscall(LANDLOCK_CREATE, handled, ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        return False
    try:
        for folder in _code():
            with suppress(OSError):
                found = os.open(folder, os.O_PATH | os.O_CLOEXEC)
                libc.syscall(LANDLOCK_ADD, rules, 1, struct.pack("=Qi", READ_FILE | READ_DIR, found), 0)
                os.close(found)
        return bool(libc.syscall(LANDLOCK_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _code() -> set[Path]:
    """Returns the folders that this process has imported or loaded code from, and the standard library."""
    modules = (getattr(module, "__file__", None) for module in tuple(sys.modules.values()))
    mapped = (line.split(maxsplit=5)[5:] for line in Path("/proc/self/maps").read_text().splitlines())
    libraries = (path.strip() for found in mapped for path in found if ".so" in path)
    return {Path(sysconfig.get_path("stdlib")), *(Path(file).parent for file in (*modules, *libraries) if file)}


# System calls: a seccomp filter

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column in the tables below, and the number in linux/audit.h. Other machines have no filter."""
ABSENT = 0xFFFF_FFFF

DENIED = {
    # the network: a namespace does not cover Unix sockets in the file system
    **{"socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201)},
    "io_uring_setup": (425, 425),  # could do all of these past the filter
    # other programs and processes
    **{"execve": (59, 221), "execveat": (322, 281), "fork": (57, ABSENT), "vfork": (58, ABSENT)},
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424)},
    **{"rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)},
    # owners, rights and attributes of files, which Landlock does not cover
    **{"chmod": (90, ABSENT), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452)},
    **{"chown": (92, ABSENT), "fchown": (93, 55), "lchown": (94, ABSENT), "fchownat": (260, 54)},
    **{"setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7)},
    **{"utime": (132, ABSENT), "utimes": (235, ABSENT), "futimesat": (261, ABSENT), "utimensat": (280, 88)},
    # frequent targets of kernel exploits that no engine needs
    **{"unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "fsopen": (430, 430)},
    **{"open_tree": (428, 428), "move_mount": (429, 429), "pivot_root": (155, 41), "chroot": (161, 51)},
    **{"bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282)},
    **{"add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219)},
    **{"init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104)},
}
ON_ITSELF = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131)}  # `abort` sends a signal to itself
PRLIMIT64, CLONE, CLONE3 = (302, 261), (56, 220), (435, 435)

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000  # linux/seccomp.h
EPERM, ENOSYS = 1, 38
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Offsets in `seccomp_data`. The argument's is that of its lower half: both machines are little-endian."""


def _filter_system_calls(libc: ctypes.CDLL) -> bool:
    """Installs the seccomp filter, also for threads started later. Requires no_new_privileges."""
    if platform.machine() not in ARCHITECTURES or sys.maxsize < 1 << 32:
        return False
    program = b"".join(_program(*ARCHITECTURES[platform.machine()]))
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    filled = Program(len(program) // 8, ctypes.addressof(code))
    return _prctl(libc, PR_SET_SECCOMP, 2, ctypes.byref(filled))


def _program(column: int, architecture: int) -> Iterator[bytes]:
    """Yields the filter's instructions, 8 bytes each. Jumps are relative and stay within a group of instructions."""

    def line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value & 0xFFFF_FFFF)

    def unless(test: int, value: int) -> Iterator[bytes]:
        """Refuses the call unless its first argument passes the test."""
        yield from (line(LOAD, FIRST_ARGUMENT), line(test, value, 1, 0), line(RETURN, ERRNO | EPERM))
        yield line(RETURN, ALLOW)

    yield from (line(LOAD, ARCHITECTURE), line(EQUAL, architecture, 1, 0), line(RETURN, KILL), line(LOAD, NUMBER))
    if column == 0:
        yield from (
            line(AT_LEAST, 0x40000000, 0, 1),
            line(RETURN, ERRNO | ENOSYS),
        )  # x32: the same calls by other numbers
    for numbers in DENIED.values():
        if numbers[column] != ABSENT:
            yield from (line(EQUAL, numbers[column], 0, 1), line(RETURN, ERRNO | EPERM))
    for numbers in ON_ITSELF.values():
        yield from (line(EQUAL, numbers[column], 0, 4), *unless(EQUAL, os.getpid()))
    yield from (line(EQUAL, PRLIMIT64[column], 0, 4), *unless(EQUAL, 0))
    # The filter can't see the flags of clone3, which are in memory. Without clone3, the C library uses clone.
    yield from (line(EQUAL, CLONE3[column], 0, 1), line(RETURN, ERRNO | ENOSYS))
    yield from (line(EQUAL, CLONE[column], 0, 4), *unless(ANY_BIT, CLONE_THREAD))
    yield line(RETURN, ALLOW)
