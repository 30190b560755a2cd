"""A seccomp filter that refuses the system calls by which a process reaches others, the network or files to write."""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator, Sequence

from celeste_image.sandbox.kernel import system_call

__all__ = ["restrict"]

COLUMNS = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column in the tables below, and the machine's number in linux/audit.h. Other machines have no filter."""
ABSENT = 0xFFFF_FFFF
SECCOMP = (317, 277)
UNKNOWN = 457
"""System calls from this number on are newer than the tables: programs get along without them."""

DENIED = {
    # the network, also through the sockets that are this process's pipes: a namespace does not cover Unix sockets
    **{"socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201)},
    **{"accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "recvfrom": (45, 207), "shutdown": (48, 210)},
    **{"sendmsg": (46, 211), "recvmsg": (47, 212), "sendmmsg": (307, 269), "recvmmsg": (299, 243)},
    **{"setsockopt": (54, 208), "getsockopt": (55, 209), "getsockname": (51, 204), "getpeername": (52, 205)},
    # asynchronous calls, which pass the filter
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    # other programs and processes
    **{"execve": (59, 221), "execveat": (322, 281), "fork": (57, ABSENT), "vfork": (58, ABSENT)},
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424)},
    **{"process_madvise": (440, 440), "process_mrelease": (448, 448), "get_robust_list": (274, 100)},
    **{"setpriority": (141, 140), "ioprio_set": (251, 30)},  # also of all processes of the user
    **{"move_pages": (279, 239), "migrate_pages": (256, 238)},
    **{"rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)},
    # memory and messages that processes share
    **{"shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197)},
    **{"semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192)},
    **{"msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187)},
    **{"mq_open": (240, 180), "mq_unlink": (241, 181), "mq_timedsend": (242, 182), "mq_timedreceive": (243, 183)},
    **{"mq_notify": (244, 184), "mq_getsetattr": (245, 185)},
    **{"memfd_create": (319, 279), "memfd_secret": (447, 447)},
    # files: writing (see OPEN), names, owners and attributes, of which Landlock does not cover all
    **{"creat": (85, ABSENT), "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47)},
    **{"mkdir": (83, ABSENT), "mkdirat": (258, 34), "mknod": (133, ABSENT), "mknodat": (259, 33)},
    **{"rmdir": (84, ABSENT), "unlink": (87, ABSENT), "unlinkat": (263, 35)},
    **{"rename": (82, ABSENT), "renameat": (264, 38), "renameat2": (316, 276)},
    **{"link": (86, ABSENT), "linkat": (265, 37), "symlink": (88, ABSENT), "symlinkat": (266, 36)},
    **{"chmod": (90, ABSENT), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452)},
    **{"chown": (92, ABSENT), "fchown": (93, 55), "lchown": (94, ABSENT), "fchownat": (260, 54)},
    **{"setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7)},
    **{"removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16)},
    **{"utime": (132, ABSENT), "utimes": (235, ABSENT), "futimesat": (261, ABSENT), "utimensat": (280, 88)},
    **{"flock": (73, 32), "sync": (162, 81), "syncfs": (306, 267)},
    **{"name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265)},
    **{"inotify_init": (253, ABSENT), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27)},
    **{"fanotify_init": (300, 262), "fanotify_mark": (301, 263)},
    # users and rights; the filter comes last
    **{"setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143)},
    **{"setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159), "capset": (126, 91)},
    **{"setfsuid": (122, 151), "setfsgid": (123, 152), "personality": (135, 92)},
    # the machine, and frequent targets of kernel exploits that no engine needs
    **{"unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51)},
    **{"open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431)},
    **{"fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "pivot_root": (155, 41)},
    **{"bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "modify_ldt": (154, ABSENT)},
    **{"add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219)},
    **{"init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106)},
    **{"kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142)},
    **{
        "swapon": (167, 224),
        "swapoff": (168, 225),
        "acct": (163, 89),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
    },
    **{"sethostname": (170, 161), "setdomainname": (171, 162), "syslog": (103, 116), "vhangup": (153, 58)},
    **{"settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171)},
    **{"iopl": (172, ABSENT), "ioperm": (173, ABSENT), "uselib": (134, ABSENT), "lookup_dcookie": (212, 18)},
}
NOT_THERE = {"openat2": (437, 437), "clone3": (435, 435)}
"""The filter can't see their flags, which are in memory. Without them, the C library uses openat and clone."""
IOCTL = (16, 29)
"""Types into terminals, and sends signals. Without it, a file is no terminal."""
ON_ITSELF = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131)}
"""`abort` sends a signal to itself. A thread's signals name this process."""
FOR_ZERO = {
    **{"prlimit64": (302, 261), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119)},
    **{"sched_setaffinity": (203, 122), "sched_setattr": (314, 274)},
}
"""These name a process first; 0 is the thread itself."""
OPEN = {"open": ((2, ABSENT), 1), "openat": ((257, 56), 2)}
"""Numbers, and the argument with the flags."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CLONE = (56, 220)
CLONE_THREAD, CLONE_NEW = 0x00010000, 0x7E020080
FCNTL, COMMANDS = (72, 25), (6, 7, 8, 10, 15, 37, 38, 1024, 1026)
"""Locks, and signals for events: F_SETOWN with F_SETSIG sends any signal to any process of the user."""
PRCTL, OPTIONS = (157, 167), (1, 4, 35)
"""Ending with the parent, and being dumpable; the process's own map of its memory."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000  # linux/seccomp.h
SET_MODE_FILTER, ALL_THREADS = 1, 1
EPERM, ENOTTY, ENOSYS = 1, 25, 38
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets in `seccomp_data`. The filter reads the lower halves of arguments: both machines are little-endian."""


def restrict() -> None:
    """Installs the filter for all threads of this process. Requires no_new_privileges.

    Raises OSError: The kernel forbids it, or the machine is not known.
    """
    if platform.machine() not in COLUMNS or sys.maxsize < 1 << 32:
        raise OSError(f"not known for {platform.machine()}")
    column, architecture = COLUMNS[platform.machine()]
    program = b"".join(_program(column, architecture))
    code = ctypes.create_string_buffer(program, len(program))
    filled = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    if system_call("seccomp", SECCOMP[column], SET_MODE_FILTER, ALL_THREADS, filled):
        raise OSError("a thread could not be restricted")


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value & 0xFFFF_FFFF)


def _refuse(error: int = EPERM) -> bytes:
    return _line(RETURN, ERRNO | error)


def _argument(index: int) -> bytes:
    return _line(LOAD, ARGUMENTS + 8 * index)


def _when(number: int, *then: bytes) -> Iterator[bytes]:
    """Yields instructions that run `then`, which ends with a return, for one system call."""
    if number != ABSENT:
        yield from (_line(EQUAL, number, 0, len(then)), *then)


def _only(index: int, value: int) -> Sequence[bytes]:
    """Refuses the call unless an argument has a value."""
    return _argument(index), _line(EQUAL, value, 1, 0), _refuse(), _line(RETURN, ALLOW)


def _none(index: int, values: Sequence[int]) -> Iterator[bytes]:
    """Refuses the call if an argument has one of the values."""
    yield _argument(index)
    for value in values:
        yield from (_line(EQUAL, value, 0, 1), _refuse())
    yield _line(RETURN, ALLOW)


def _program(column: int, architecture: int) -> Iterator[bytes]:
    """Yields the filter's instructions, 8 bytes each. Jumps are relative and stay within a group of instructions."""
    yield from (_line(LOAD, ARCHITECTURE), _line(EQUAL, architecture, 1, 0), _line(RETURN, KILL), _line(LOAD, NUMBER))
    # On x86_64 also the calls of x32: the same calls by other numbers.
    yield from (_line(AT_LEAST, UNKNOWN, 0, 1), _refuse(ENOSYS))
    for numbers in DENIED.values():
        yield from _when(numbers[column], _refuse())
    for numbers in NOT_THERE.values():
        yield from _when(numbers[column], _refuse(ENOSYS))
    yield from _when(IOCTL[column], _refuse(ENOTTY))
    for numbers in ON_ITSELF.values():
        yield from _when(numbers[column], *_only(0, os.getpid()))
    for numbers in FOR_ZERO.values():
        yield from _when(numbers[column], *_only(0, 0))
    for numbers, flags in OPEN.values():
        writing = _line(ANY_BIT, WRITING, 0, 1)
        yield from _when(numbers[column], _argument(flags), writing, _refuse(), _line(RETURN, ALLOW))
    yield from _when(FCNTL[column], *_none(1, COMMANDS))
    yield from _when(PRCTL[column], *_none(0, OPTIONS))
    spaces, thread = _line(ANY_BIT, CLONE_NEW, 0, 1), _line(ANY_BIT, CLONE_THREAD, 1, 0)
    yield from _when(CLONE[column], _argument(0), spaces, _refuse(), thread, _refuse(), _line(RETURN, ALLOW))
    yield _line(RETURN, ALLOW)
