"""An engine that foreign bytes took over: it tries what an attacker would, and reports what it reached.

Each attack returns when it worked and raises OSError or `Refused` when it did not. Attacks make system calls directly
where the C library would stand in between.
"""

import contextlib
import ctypes
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from celeste_image.sandbox.engine import Emit

ATTACKS: dict[str, dict[str, Callable[[dict[str, Any]], object]]] = {}
"""The attacks by what they are after."""
LIBC = ctypes.CDLL(None, use_errno=True)
SECRET = b"canary-"
NUMBERS = {
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271)},
    **{"pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "kcmp": (312, 272)},
    **{"name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "memfd_create": (319, 279)},
    **{"execveat": (322, 281), "io_uring_setup": (425, 425), "clone": (56, 220), "clone3": (435, 435)},
    **{"mq_open": (240, 180), "unshare": (272, 97), "bpf": (321, 280), "userfaultfd": (323, 282)},
    **{"perf_event_open": (298, 241), "keyctl": (250, 219), "process_madvise": (440, 440), "openat2": (437, 437)},
    **{"inotify_init1": (294, 26), "personality": (135, 92), "rt_sigqueueinfo": (129, 138), "mount": (165, 40)},
    **{"prlimit64": (302, 261), "fsopen": (430, 430), "setxattr": (188, 5), "io_uring_x32": (0x40000000 + 41, 434)},
}
COLUMN = 0 if platform.machine() == "x86_64" else 1


class Refused(Exception):
    """An attack that the system let begin, and that reached nothing."""


def call(name: str, *given: Any) -> int:
    long = [ctypes.c_long(each) if isinstance(each, int) else each for each in given]
    result: int = LIBC.syscall(ctypes.c_long(NUMBERS[name][COLUMN]), *long)
    return checked(result)


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def attack(goal: str) -> Callable[[Callable[[dict[str, Any]], object]], Callable[[dict[str, Any]], object]]:
    def listed(act: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
        ATTACKS.setdefault(goal, {})[act.__name__] = act
        return act

    return listed


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    reached: dict[str, list[str]] = {}
    for goal, attacks in ATTACKS.items():
        for name, act in attacks.items():
            with contextlib.suppress(OSError, Refused, ValueError, MemoryError, subprocess.SubprocessError):
                act(task)
                reached.setdefault(goal, []).append(name)
    emit("reached", {"reached": reached, "tried": sum(map(len, ATTACKS.values()))})


def secret_in(data: bytes) -> None:
    if SECRET not in data:
        raise Refused("nothing secret")


# The server's process


def proc(task: dict[str, Any], name: str) -> Path:
    return Path(f"/proc/{task['server']}/{name}")


@attack("the server's memory and environment")
def environ_of_the_server(task: dict[str, Any]) -> None:
    if not proc(task, "environ").read_bytes().strip(b"\0"):
        raise Refused("empty")


@attack("the server's memory and environment")
def own_environment(task: dict[str, Any]) -> None:
    secret_in(repr(os.environ).encode())


@attack("the server's memory and environment")
def environ_of_the_parent_by_parent_id(task: dict[str, Any]) -> None:
    if not Path(f"/proc/{os.getppid()}/environ").read_bytes().strip(b"\0"):
        raise Refused("empty")


@attack("the server's memory and environment")
def memory_by_proc(task: dict[str, Any]) -> None:
    with proc(task, "mem").open("rb", buffering=0) as memory:
        memory.seek(task["address"])
        secret_in(memory.read(64))


@attack("the server's memory and environment")
def memory_by_proc_for_writing(task: dict[str, Any]) -> None:
    with proc(task, "mem").open("r+b", buffering=0) as memory:
        memory.seek(task["address"])
        memory.write(b"overwritten")


@attack("the server's memory and environment")
def memory_by_proc_of_a_thread(task: dict[str, Any]) -> None:
    with proc(task, f"task/{task['server']}/mem").open("rb", buffering=0) as memory:
        memory.seek(task["address"])
        secret_in(memory.read(64))


@attack("the server's memory and environment")
def maps_of_the_server(task: dict[str, Any]) -> None:
    if not proc(task, "maps").read_bytes():
        raise Refused("empty")


@attack("the server's memory and environment")
def descriptors_of_the_server(task: dict[str, Any]) -> None:
    for each in proc(task, "fd").iterdir():
        each.stat()


@attack("the server's memory and environment")
def a_descriptor_of_the_server(task: dict[str, Any]) -> None:
    secret_in(Path(f"/proc/{task['server']}/fd/{task['descriptor']}").read_bytes())


@attack("the server's memory and environment")
def root_of_the_server(task: dict[str, Any]) -> None:
    list(proc(task, "root").iterdir())


@attack("the server's memory and environment")
def folder_of_the_server(task: dict[str, Any]) -> None:
    list(proc(task, "cwd").iterdir())


def vectors(task: dict[str, Any], local: Any) -> tuple[Any, Any]:
    here = struct.pack("QQ", ctypes.addressof(local), len(local))
    there = struct.pack("QQ", task["address"], len(local))
    return here, there


@attack("the server's memory and environment")
def process_vm_readv(task: dict[str, Any]) -> None:
    local = ctypes.create_string_buffer(64)
    here, there = vectors(task, local)
    call("process_vm_readv", task["server"], here, 1, there, 1, 0)
    secret_in(local.raw)


@attack("the server's memory and environment")
def process_vm_writev(task: dict[str, Any]) -> None:
    here, there = vectors(task, ctypes.create_string_buffer(b"overwritten"))
    call("process_vm_writev", task["server"], here, 1, there, 1, 0)


@attack("the server's memory and environment")
def ptrace_attach(task: dict[str, Any]) -> None:
    call("ptrace", 16, task["server"], 0, 0)
    call("ptrace", 17, task["server"], 0, 0)


@attack("the server's memory and environment")
def ptrace_seize(task: dict[str, Any]) -> None:
    call("ptrace", 0x4206, task["server"], 0, 0)


@attack("the server's memory and environment")
def a_descriptor_by_pidfd(task: dict[str, Any]) -> None:
    call("pidfd_getfd", call("pidfd_open", task["server"], 0), task["descriptor"], 0)


@attack("the server's memory and environment")
def a_pidfd_of_the_peer_of_a_pipe(task: dict[str, Any]) -> None:
    buffer, length = ctypes.create_string_buffer(4), ctypes.c_uint(4)
    checked(LIBC.getsockopt(0, 1, 77, buffer, ctypes.byref(length)))


@attack("the server's memory and environment")
def compare_descriptors(task: dict[str, Any]) -> None:
    call("kcmp", os.getpid(), task["server"], 0, 0, 0)


@attack("the server's memory and environment")
def advise_its_memory_away(task: dict[str, Any]) -> None:
    descriptor = call("pidfd_open", task["server"], 0)
    call("process_madvise", descriptor, struct.pack("QQ", task["address"] & ~4095, 4096), 1, 20, 0)


# Files


@attack("key files")
def read_the_key(task: dict[str, Any]) -> None:
    secret_in(Path(task["key"]).read_bytes())


@attack("key files")
def read_the_key_by_descriptors(task: dict[str, Any]) -> None:
    """Tries what was inherited: files, and folders from which a path leads to the key."""
    for each in range(3, 1024):
        try:
            if not stat.S_ISREG(mode := os.fstat(each).st_mode) and not stat.S_ISDIR(mode):
                continue
        except OSError:
            continue
        with contextlib.suppress(OSError, Refused):
            secret_in(os.pread(each, 100, 0))
            return
        with contextlib.suppress(OSError, Refused):
            secret_in(os.read(os.open("../" * 20 + task["key"], os.O_RDONLY, dir_fd=each), 100))
            return
    raise Refused("nothing")


@attack("key files")
def read_the_key_by_own_root(task: dict[str, Any]) -> None:
    secret_in(Path(f"/proc/self/root{task['key']}").read_bytes())


@attack("key files")
def read_the_key_by_handle(task: dict[str, Any]) -> None:
    handle, mount = ctypes.create_string_buffer(struct.pack("Ii", 120, 0), 128), ctypes.c_int()
    call("name_to_handle_at", -100, task["key"].encode(), handle, ctypes.byref(mount), 0)
    folder = os.open("/", os.O_RDONLY)
    secret_in(os.read(call("open_by_handle_at", folder, handle, os.O_RDONLY), 100))


@attack("key files")
def map_the_key(task: dict[str, Any]) -> None:
    with open(task["key"], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        secret_in(data[:])


@attack("key files")
def read_other_weights(task: dict[str, Any]) -> None:
    secret_in((Path(task["folder"]) / "other-model" / "weights").read_bytes())


@attack("key files")
def read_the_configuration(task: dict[str, Any]) -> None:
    secret_in(Path("celeste.toml").read_bytes() or (Path(task["folder"]) / "celeste.toml").read_bytes())


@attack("the store: read")
def read_an_artifact(task: dict[str, Any]) -> None:
    secret_in((Path(task["store"]) / "artifact").read_bytes())


@attack("the store: read")
def list_the_store(task: dict[str, Any]) -> None:
    list(Path(task["store"]).iterdir())


@attack("the store: read")
def watch_the_store(task: dict[str, Any]) -> None:
    descriptor = call("inotify_init1", 0)
    checked(LIBC.inotify_add_watch(descriptor, task["store"].encode(), 0xFFF))


STORE = "the store: write"


@attack(STORE)
def write_over_an_artifact(task: dict[str, Any]) -> None:
    (Path(task["store"]) / "artifact").write_bytes(b"forged")


@attack(STORE)
def append_to_an_artifact(task: dict[str, Any]) -> None:
    os.write(os.open(f"{task['store']}/artifact", os.O_WRONLY | os.O_APPEND), b"x")


@attack(STORE)
def empty_an_artifact(task: dict[str, Any]) -> None:
    os.truncate(f"{task['store']}/artifact", 0)


@attack(STORE)
def empty_an_artifact_by_reading(task: dict[str, Any]) -> None:
    os.open(f"{task['store']}/artifact", os.O_RDONLY | os.O_TRUNC)


@attack(STORE)
def open_with_openat2(task: dict[str, Any]) -> None:
    how = struct.pack("QQQ", os.O_WRONLY, 0, 0)
    call("openat2", -100, f"{task['store']}/artifact".encode(), how, len(how))


@attack(STORE)
def add_a_file(task: dict[str, Any]) -> None:
    (Path(task["store"]) / "new").write_bytes(b"x")


@attack(STORE)
def add_an_empty_file(task: dict[str, Any]) -> None:
    os.close(os.open(f"{task['store']}/empty", os.O_CREAT | os.O_RDONLY))


@attack(STORE)
def add_a_folder(task: dict[str, Any]) -> None:
    os.mkdir(f"{task['store']}/folder")


@attack(STORE)
def add_a_link(task: dict[str, Any]) -> None:
    os.symlink("/etc/passwd", f"{task['store']}/symlink")


@attack(STORE)
def add_a_hard_link(task: dict[str, Any]) -> None:
    os.link(f"{task['store']}/artifact", f"{task['store']}/link")


@attack(STORE)
def add_a_pipe(task: dict[str, Any]) -> None:
    os.mkfifo(f"{task['store']}/pipe")


@attack(STORE)
def change_its_mode(task: dict[str, Any]) -> None:
    os.chmod(f"{task['store']}/artifact", 0o777)


@attack(STORE)
def change_its_owner(task: dict[str, Any]) -> None:
    os.chown(f"{task['store']}/artifact", os.getuid(), os.getgid())


@attack(STORE)
def change_its_times(task: dict[str, Any]) -> None:
    os.utime(f"{task['store']}/artifact", (0, 0))


@attack(STORE)
def change_its_attributes(task: dict[str, Any]) -> None:
    call("setxattr", f"{task['store']}/artifact".encode(), b"user.x", b"y", 1, 0)


@attack(STORE)
def lock_an_artifact(task: dict[str, Any]) -> None:
    with open(f"{task['store']}/artifact", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@attack(STORE)
def rename_an_artifact(task: dict[str, Any]) -> None:
    os.rename(f"{task['store']}/artifact", f"{task['store']}/renamed")


@attack(STORE)
def delete_an_artifact(task: dict[str, Any]) -> None:
    os.unlink(f"{task['store']}/artifact")


@attack(STORE)
def write_a_temporary_file(task: dict[str, Any]) -> None:
    for folder in (task["temporary"], "/tmp", "/var/tmp", "/dev/shm", "/", os.getcwd()):
        with contextlib.suppress(OSError):
            os.close(os.open(f"{folder}/celeste-attack", os.O_CREAT | os.O_WRONLY))
            os.unlink(f"{folder}/celeste-attack")
            return
    raise Refused("nowhere")


@attack(STORE)
def write_an_unnamed_file(task: dict[str, Any]) -> None:
    os.close(os.open(task["temporary"], os.O_TMPFILE | os.O_RDWR))


@attack(STORE)
def write_its_own_code(task: dict[str, Any]) -> None:
    os.close(os.open(__file__, os.O_WRONLY))


@attack(STORE)
def write_its_weights(task: dict[str, Any]) -> None:
    for folder in task["weights"]:
        os.close(os.open(f"{folder}/new", os.O_CREAT | os.O_WRONLY))
    if not task["weights"]:
        raise Refused("none")


@attack(STORE)
def mount_over_the_store(task: dict[str, Any]) -> None:
    call("mount", b"none", task["store"].encode(), b"tmpfs", 0, None)


# The network


@attack("the network")
def connect_by_tcp(task: dict[str, Any]) -> None:
    socket.create_connection(("127.0.0.1", task["tcp"]), timeout=2).close()


@attack("the network")
def listen_by_tcp(task: dict[str, Any]) -> None:
    socket.create_server(("127.0.0.1", 0)).close()


@attack("the network")
def send_by_udp(task: dict[str, Any]) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"canary", ("127.0.0.1", task["udp"]))


@attack("the network")
def connect_by_path(task: dict[str, Any]) -> None:
    socket.socket(socket.AF_UNIX).connect(task["path"])


@attack("the network")
def connect_to_an_abstract_socket(task: dict[str, Any]) -> None:
    socket.socket(socket.AF_UNIX).connect("\0" + task["abstract"])


@attack("the network")
def raw_socket(task: dict[str, Any]) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attack("the network")
def packet_socket(task: dict[str, Any]) -> None:
    socket.socket(getattr(socket, "AF_PACKET", 17), socket.SOCK_RAW)


@attack("the network")
def netlink_socket(task: dict[str, Any]) -> None:
    socket.socket(getattr(socket, "AF_NETLINK", 16), socket.SOCK_RAW)


@attack("the network")
def sockets_by_io_uring(task: dict[str, Any]) -> None:
    call("io_uring_setup", 4, ctypes.create_string_buffer(120))


@attack("the network")
def calls_by_other_numbers(task: dict[str, Any]) -> None:
    call("io_uring_x32", socket.AF_INET, socket.SOCK_STREAM, 0)


@attack("the network")
def hand_over_a_descriptor(task: dict[str, Any]) -> None:
    with socket.socket(fileno=os.dup(1)) as pipe:
        socket.send_fds(pipe, [b"x"], [0])


# Other programs and processes


@attack("other programs")
def start_a_program(task: dict[str, Any]) -> None:
    subprocess.run(["/bin/true"], check=False)


@attack("other programs")
def become_a_program(task: dict[str, Any]) -> None:
    os.execv(task["python"], [task["python"], "-c", "import time; time.sleep(60)"])


@attack("other programs")
def fork(task: dict[str, Any]) -> None:
    if not os.fork():
        os._exit(0)


@attack("other programs")
def clone_into_namespaces(task: dict[str, Any]) -> None:
    if call("clone", 0x10000000 | 17, 0, 0, 0, 0) == 0:
        os._exit(0)


@attack("other programs")
def clone_by_clone3(task: dict[str, Any]) -> None:
    if call("clone3", struct.pack("11Q", 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88) == 0:
        os._exit(0)


@attack("other programs")
def a_program_in_memory(task: dict[str, Any]) -> None:
    descriptor = call("memfd_create", b"x", 0)
    os.write(descriptor, b"#!/bin/true\n")
    call("execveat", descriptor, b"", None, None, 0x1000)


@attack("the environment of the user's other programs")
def environment_of_a_bystander(task: dict[str, Any]) -> None:
    secret_in(Path(f"/proc/{task['bystander']}/environ").read_bytes())


OTHERS = "other processes: signals and limits"


@attack(OTHERS)
def signal_the_server(task: dict[str, Any]) -> None:
    os.kill(task["server"], signal.SIGUSR1)


@attack(OTHERS)
def signal_another_worker(task: dict[str, Any]) -> None:
    os.kill(task["other"], 0)


@attack(OTHERS)
def signal_the_group(task: dict[str, Any]) -> None:
    os.killpg(os.getpgid(task["server"]), 0)


@attack(OTHERS)
def signal_everybody(task: dict[str, Any]) -> None:
    os.kill(-1, 0)


@attack(OTHERS)
def signal_a_thread(task: dict[str, Any]) -> None:
    checked(LIBC.tgkill(task["server"], task["server"], 0))


@attack(OTHERS)
def queue_a_signal(task: dict[str, Any]) -> None:
    call("rt_sigqueueinfo", task["server"], signal.SIGUSR1, struct.pack("iii116x", signal.SIGUSR1, 0, -1))


@attack(OTHERS)
def signal_by_pidfd(task: dict[str, Any]) -> None:
    call("pidfd_send_signal", call("pidfd_open", task["server"], 0), signal.SIGUSR1, None, 0)


@attack(OTHERS)
def signal_by_events_of_a_pipe(task: dict[str, Any]) -> None:
    """The kernel sends the signal of F_SETSIG to the process of F_SETOWN, whichever it is."""
    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, task["server"])
    fcntl.fcntl(reading, getattr(fcntl, "F_SETSIG", 10), signal.SIGUSR1)
    fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writing, b"x")


@attack(OTHERS)
def limit_the_server(task: dict[str, Any]) -> None:
    call("prlimit64", task["server"], resource.RLIMIT_NOFILE, struct.pack("QQ", 3, 3), None)


@attack(OTHERS)
def slow_the_server_down(task: dict[str, Any]) -> None:
    os.setpriority(os.PRIO_PROCESS, task["server"], 19)


@attack(OTHERS)
def slow_its_user_down(task: dict[str, Any]) -> None:
    os.setpriority(os.PRIO_USER, os.getuid(), os.getpriority(os.PRIO_PROCESS, 0))  # as it is: all else is spared


@attack(OTHERS)
def slow_its_user_down_as_zero(task: dict[str, Any]) -> None:
    os.setpriority(os.PRIO_USER, 0, os.getpriority(os.PRIO_PROCESS, 0))


@attack(OTHERS)
def schedule_the_server(task: dict[str, Any]) -> None:
    os.sched_setscheduler(task["server"], os.SCHED_IDLE, os.sched_param(0))


@attack(OTHERS)
def pin_the_server(task: dict[str, Any]) -> None:
    os.sched_setaffinity(task["server"], {0})


@attack(OTHERS)
def memory_of_another_worker(task: dict[str, Any]) -> None:
    with open(f"/proc/{task['other']}/mem", "rb"):
        pass


@attack(OTHERS)
def ptrace_another_worker(task: dict[str, Any]) -> None:
    call("ptrace", 0x4206, task["other"], 0, 0)


@attack(OTHERS)
def offer_the_server_to_the_killer(task: dict[str, Any]) -> None:
    proc(task, "oom_score_adj").write_text("1000")


@attack(OTHERS)
def type_into_the_terminal(task: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        for each in range(3):
            fcntl.ioctl(each, 0x5412, b"x")
            return
    fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"x")


SHARED = "shared memory"


@attack(SHARED)
def system_v_memory(task: dict[str, Any]) -> None:
    checked(LIBC.shmget(task["shared"], 4096, 0))


@attack(SHARED)
def system_v_messages(task: dict[str, Any]) -> None:
    checked(LIBC.msgget(0, 0o1600))


@attack(SHARED)
def system_v_semaphores(task: dict[str, Any]) -> None:
    checked(LIBC.semget(0, 1, 0o1600))


@attack(SHARED)
def posix_memory(task: dict[str, Any]) -> None:
    secret_in(Path(task["posix"]).read_bytes())


@attack(SHARED)
def posix_messages(task: dict[str, Any]) -> None:
    call("mq_open", b"celeste-attack", os.O_CREAT | os.O_RDWR, 0o600, None)


RIGHTS = "more rights"


@attack(RIGHTS)
def capabilities(task: dict[str, Any]) -> None:
    found = ctypes.create_string_buffer(24)
    checked(LIBC.capget(struct.pack("Ii", 0x20080522, 0), found))
    if not any(struct.unpack("6I", found.raw)):
        raise Refused("none")


@attack(RIGHTS)
def capabilities_by_capset(task: dict[str, Any]) -> None:
    checked(LIBC.capset(struct.pack("Ii", 0x20080522, 0), b"\xff" * 24))


@attack(RIGHTS)
def become_root(task: dict[str, Any]) -> None:
    os.setresuid(0, 0, 0)


@attack(RIGHTS)
def become_another_user(task: dict[str, Any]) -> None:
    os.setuid(12345)


@attack(RIGHTS)
def root_of_a_namespace(task: dict[str, Any]) -> None:
    call("unshare", 0x10000000)


@attack(RIGHTS)
def another_root(task: dict[str, Any]) -> None:
    os.chroot("/")


@attack(RIGHTS)
def leave_for_another_namespace(task: dict[str, Any]) -> None:
    checked(LIBC.setns(os.open(f"/proc/{task['server']}/ns/net", os.O_RDONLY), 0))


@attack(RIGHTS)
def raise_its_limits(task: dict[str, Any]) -> None:
    for each in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(each, (4096, 4096))
            return
    raise Refused("no limit")


@attack(RIGHTS)
def dump_core(task: dict[str, Any]) -> None:
    checked(LIBC.prctl(4, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


@attack(RIGHTS)
def outlive_the_server(task: dict[str, Any]) -> None:
    checked(LIBC.prctl(1, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


@attack(RIGHTS)
def load_a_program_into_the_kernel(task: dict[str, Any]) -> None:
    call("bpf", 5, ctypes.create_string_buffer(128), 128)


@attack(RIGHTS)
def handle_page_faults(task: dict[str, Any]) -> None:
    call("userfaultfd", 1)


@attack(RIGHTS)
def measure_the_machine(task: dict[str, Any]) -> None:
    call("perf_event_open", ctypes.create_string_buffer(struct.pack("II", 1, 128), 128), 0, -1, -1, 0)


@attack(RIGHTS)
def keys_of_the_kernel(task: dict[str, Any]) -> None:
    call("keyctl", 0, -3, 1)


@attack(RIGHTS)
def another_personality(task: dict[str, Any]) -> None:
    call("personality", 0x0040000)


@attack(RIGHTS)
def a_file_system(task: dict[str, Any]) -> None:
    call("fsopen", b"tmpfs", 0)


@attack(RIGHTS)
def a_thread_without_the_filter(task: dict[str, Any]) -> None:
    """Tries the network from another thread."""
    found: list[object] = []

    def connect() -> None:
        with contextlib.suppress(OSError):
            found.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    if not found:
        raise Refused("none")
