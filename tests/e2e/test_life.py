"""The life of a server that a client started for itself: it ends with the client, however the client ends."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support import pictures
from tests.support.command import CELESTE

END_SECONDS = 5
"""How long a process may be left after its client ended."""

OPEN = """
import os, sys, threading, time
from celeste_image.client import connect
client = connect("local:")
client.generate("a red fox")
"""
UPSCALE = """
import io
from PIL import Image
from celeste_image.core.image import ImageInput
from celeste_image.core.request import RequestOptions, Upscale
data = io.BytesIO()
Image.new("RGB", (300, 300)).save(data, "PNG")
options = RequestOptions(provider_options={"local": {"tile": 32}})
image = ImageInput(data=data.getvalue())
request = Upscale(model="local/realesrgan-animevideov3", image=image, factor=16, options=options)
"""
READY = "print('ready', flush=True); time.sleep(60)"
COMPUTING = f"""{UPSCALE}
for event in client.stream(request):
    if type(event).__name__ == "Progress":
        {READY}
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


def stat_of(pid: int) -> list[str]:
    """Returns the fields of `/proc/PID/stat` from the state on; none for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def alive(pid: int) -> bool:
    return stat_of(pid)[:1] not in ([], ["Z"])


def descendants(pid: int) -> set[int]:
    everyone = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    parents = {each: int(fields[1]) for each in everyone if (fields := stat_of(each))}
    found = {pid}
    while more := {each for each, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def heed_signals() -> None:
    """Undoes what `nohup make test` would pass on."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def catches(pid: int, number: int) -> bool:
    """Returns whether a process has a handler for a signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (caught,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")]
    return bool(caught >> (number - 1) & 1)


def until(true: object, seconds: float = 30) -> None:
    """Waits until a function returns something true."""
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@dataclass
class Started:
    """Processes that a test started, and the folder of their temporary files."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    family: set[int] = field(default_factory=set)

    def start(self, *command: str, ready: bool = True, servers: int = 1) -> subprocess.Popen[bytes]:
        """Starts a command; returns once it has written `ready` and has its server."""
        environment = {**os.environ, "TMPDIR": str(self.folder), "CELESTE_STORE__URL": "memory:///"}
        environment["CELESTE_STORE__RESERVE_BYTES"] = "0"
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=heed_signals,  # noqa: PLW1509
        )
        self.processes.append(process)
        if ready:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n", process.stderr and process.stderr.read().decode()
            self.family |= descendants(process.pid)
            assert len(self.family) >= servers
        return process

    def script(self, text: str, ready: bool = True) -> subprocess.Popen[bytes]:
        return self.start(sys.executable, "-c", text, ready=ready)

    def check_nothing_is_left(self) -> None:
        until(lambda: not any(map(alive, self.family)), END_SECONDS)
        until(lambda: not list(self.folder.iterdir()), END_SECONDS)


def long_upscale(folder: Path) -> list[str]:
    """Returns a command with work of many seconds."""
    source = folder / "source.png"
    source.write_bytes(pictures.photo(300))
    model = "local/realesrgan-animevideov3"
    return [*CELESTE, "upscale", str(source), "--factor", "16", "--model", model, "--out", str(folder / "out.png")]


@pytest.fixture
def started() -> Iterator[Started]:
    made = Started(Path(tempfile.mkdtemp(prefix="life-", dir="/tmp")))
    yield made
    for pid in made.family | {process.pid for process in made.processes}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in made.processes:
        process.communicate()
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.faults),
        pytest.param(signal.SIGHUP, marks=pytest.mark.faults),
        pytest.param(signal.SIGINT, marks=pytest.mark.faults),
        pytest.param(signal.SIGSEGV, marks=pytest.mark.faults),
    ],
)
def test_nothing_is_left_of_a_client_that_a_signal_ends(started: Started, number: int) -> None:
    client = started.script(OPEN + READY)
    client.send_signal(number)
    client.wait(20)
    started.check_nothing_is_left()


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_client_whose_work_is_computed(started: Started, number: int) -> None:
    client = started.script(OPEN + COMPUTING)
    client.send_signal(number)
    client.wait(20)
    started.check_nothing_is_left()


@pytest.mark.faults
@pytest.mark.parametrize("pause", [0.0, 0.2, 0.5, 1.0, 1.5])
def test_nothing_is_left_of_a_client_that_ends_while_its_server_starts(started: Started, pause: float) -> None:
    client = started.script("from celeste_image.client import connect; connect('local:')", ready=False)
    until(lambda: descendants(client.pid))
    time.sleep(pause)
    started.family = descendants(client.pid)
    client.kill()
    client.wait()
    started.check_nothing_is_left()


@pytest.mark.faults
@pytest.mark.parametrize(
    "ending",
    ["", "raise ValueError", "os._exit(3)", "sys.exit(4)", "client.close(); client.close()", "os.abort()"],
    ids=["the_last_line", "an_exception", "os_exit", "sys_exit", "two_closes", "abort"],
)
def test_nothing_is_left_of_a_script_that_ends(started: Started, ending: str) -> None:
    client = started.script(f"{OPEN}\nprint('ready', flush=True)\ntime.sleep(0.5)\n{ending}")
    client.wait(20)
    started.check_nothing_is_left()


def test_a_client_that_is_not_closed_warns_with_the_line_that_opened_it(started: Started) -> None:
    script = started.folder / "script.py"
    script.write_text("import sys\nfrom celeste_image.client import connect\n\nconnect('local:').server_info()\n")
    client = started.start(sys.executable, "-Wdefault::ResourceWarning", str(script), ready=False)
    _, errors = client.communicate(timeout=30)
    script.unlink()
    assert f"{script}:4: ResourceWarning: a client of connect('local:') was not closed" in errors.decode()
    assert errors.decode().count("ResourceWarning") == 1
    started.check_nothing_is_left()


@pytest.mark.faults
def test_a_client_that_was_closed_does_not_warn(started: Started) -> None:
    text = "from celeste_image.client import connect\nwith connect('local:') as client: client.server_info()"
    client = started.start(sys.executable, "-Wdefault::ResourceWarning", "-c", text, ready=False)
    assert client.communicate(timeout=30) == (b"", b"")


@pytest.mark.faults
def test_a_server_outlives_the_thread_that_started_it(started: Started) -> None:
    text = """
import threading, time
from celeste_image.client import connect
clients = []
thread = threading.Thread(target=lambda: clients.append(connect("local:")))
thread.start(); thread.join()
time.sleep(2)
clients[0].generate("a red fox")
print("ready", flush=True)
time.sleep(60)
"""
    client = started.script(text)
    client.kill()
    client.wait()
    started.check_nothing_is_left()


FORK = """
child = os.fork()
if not child:
    {child}
"""


def test_a_fork_of_the_client_does_not_keep_its_server_alive(started: Started) -> None:
    client = started.script(OPEN + FORK.format(child="time.sleep(60)") + READY)
    (fork,) = [pid for pid in started.family if stat_of(pid)[1] == str(client.pid) and b"serve" not in command_of(pid)]
    started.family.remove(fork)
    client.kill()
    client.wait()
    started.check_nothing_is_left()
    assert alive(fork)
    os.kill(fork, signal.SIGKILL)


@pytest.mark.faults
@pytest.mark.parametrize("end", ["sys.exit()", "client.close(); sys.exit()", "os._exit(0)", "del client; sys.exit()"])
def test_a_fork_that_ends_does_not_end_the_server(started: Started, end: str) -> None:
    text = "os.waitpid(child, 0); time.sleep(1.5); client.generate('a fox')\n" + READY
    client = started.script(OPEN + FORK.format(child=end) + text)
    client.kill()
    client.wait()
    started.check_nothing_is_left()


@pytest.mark.faults
def test_a_process_forked_without_python_does_not_keep_the_server_alive(started: Started) -> None:
    client = started.script(OPEN + "import ctypes\nif not ctypes.CDLL(None).fork(): time.sleep(60)\n" + READY)
    (fork,) = [pid for pid in started.family if stat_of(pid)[1] == str(client.pid) and b"serve" not in command_of(pid)]
    started.family.remove(fork)
    client.kill()
    client.wait()
    started.check_nothing_is_left()
    os.kill(fork, signal.SIGKILL)


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("pause", [0.3, 4.0], ids=["starting", "computing"])
def test_nothing_is_left_of_a_command_that_a_signal_ends(started: Started, number: int, pause: float) -> None:
    client = started.start(*long_upscale(started.folder), ready=False)
    until(lambda: descendants(client.pid))
    time.sleep(pause)
    started.family = descendants(client.pid)
    client.send_signal(number)
    assert client.wait(20) != 0
    (started.folder / "source.png").unlink()
    started.check_nothing_is_left()


def server_of(client: subprocess.Popen[bytes], started: Started) -> int:
    """Returns the server of a command, once it has forgotten its environment and serves."""
    until(lambda: list(started.folder.glob("celeste-*/celeste.sock")))
    started.family = descendants(client.pid)
    (server,) = [pid for pid in started.family if stat_of(pid)[1] == str(client.pid)]
    return server


@pytest.mark.faults
def test_the_server_of_a_command_is_a_fork_of_it(started: Started) -> None:
    client = started.start(*long_upscale(started.folder), ready=False)
    server = server_of(client, started)
    assert command_of(server) == command_of(client.pid)
    assert Path(f"/proc/{server}/comm").read_text() == "celeste serve\n"
    assert stat_of(server)[3] == str(server), "a session of its own"


@pytest.mark.faults
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees files and variables of a protected process")
def test_a_fork_keeps_no_files_and_no_keys_of_its_command(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "zqxw-secret")
    command = ["bash", "-c", 'exec "$@" 7</etc/passwd', "bash", *long_upscale(started.folder)]
    client = started.start(*command, ready=False)
    server = server_of(client, started)
    files = {link.name: os.readlink(link) for link in Path(f"/proc/{server}/fd").iterdir()}
    assert files["0"].startswith("pipe:")
    assert files["1"] == "/dev/null"
    assert files["2"].endswith("/server.log")
    assert "/etc/passwd" in map(os.readlink, Path(f"/proc/{client.pid}/fd").iterdir())
    assert not {"/etc/passwd", str(started.folder / "source.png")} & set(files.values())
    assert b"zqxw-secret" in Path(f"/proc/{client.pid}/environ").read_bytes()
    assert b"zqxw-secret" not in Path(f"/proc/{server}/environ").read_bytes()


@pytest.mark.faults
def test_a_command_with_threads_starts_a_fresh_python(started: Started) -> None:
    text = "import sys, threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    text += "from celeste_image.cli.main import main\nmain(sys.argv[1:])"
    arguments = long_upscale(started.folder)[len(CELESTE) :]
    client = started.start(sys.executable, "-c", text, *arguments, ready=False)
    assert b"--for-client" in command_of(server_of(client, started))


@pytest.mark.faults
def test_workers_end_with_a_server_that_is_killed(started: Started) -> None:
    client = started.script(OPEN + COMPUTING)
    (server,) = [pid for pid in started.family if b"serve" in command_of(pid)]
    assert len(descendants(server)) >= 2
    os.kill(server, signal.SIGKILL)
    until(lambda: not any(map(alive, started.family)), END_SECONDS)
    client.kill()


@pytest.mark.faults
def test_a_notebooks_kernel_or_shell_that_is_killed_leaves_nothing(started: Started) -> None:
    """The read-eval-print loop of Python, which like a kernel holds the client in its global names."""
    command = [sys.executable, "-i", "-c", OPEN + "print('ready', flush=True)"]
    shell = subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(started.folder), "CELESTE_STORE__URL": "memory:///"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    started.processes.append(shell)
    assert shell.stdout
    assert shell.stdout.readline() == b"ready\n"
    started.family = descendants(shell.pid)
    shell.kill()
    shell.wait()
    started.check_nothing_is_left()


NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc"]


@pytest.fixture
def namespaces() -> None:
    if not shutil.which("nsenter") or subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system makes no PID namespaces")


@pytest.mark.faults
@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(
    ("number", "serving"), [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGHUP, False)]
)
def test_process_one_of_a_namespace_ends_by_signals(started: Started, number: int, serving: bool) -> None:
    outer = started.start(*NAMESPACE, *CELESTE, "serve", "--listen", f"unix:{started.folder}/s", ready=False)
    until(lambda: descendants(outer.pid))
    (one,) = started.family = descendants(outer.pid)
    until(lambda: catches(one, number))
    if serving:
        until((started.folder / "s").exists)
    os.kill(one, number)
    outer.wait(20)
    assert not any(map(alive, started.family))


@pytest.mark.faults
@pytest.mark.usefixtures("namespaces")
def test_a_command_that_is_process_one_ends_by_a_signal_with_its_server(started: Started) -> None:
    outer = started.start(*NAMESPACE, *long_upscale(started.folder), ready=False)
    until(lambda: len(descendants(outer.pid)) >= 2)
    started.family = descendants(outer.pid)
    (one,) = [pid for pid in started.family if stat_of(pid)[1] == str(outer.pid)]
    os.kill(one, signal.SIGTERM)
    assert outer.wait(20) == 128 + signal.SIGTERM
    (started.folder / "source.png").unlink()
    started.check_nothing_is_left()


@pytest.mark.faults
@pytest.mark.usefixtures("namespaces")
def test_process_one_collects_orphans(started: Started) -> None:
    listen = ["serve", "--listen", f"unix:{started.folder}/s"]
    outer = started.start(*NAMESPACE, *CELESTE, *listen, ready=False)
    until((started.folder / "s").exists)
    (one,) = descendants(outer.pid)
    started.family = {one}
    enter = ["nsenter", "--target", str(one), "--pid", "--mount", "sh", "-c", "(sleep 0.1; sleep 0.1) & (sleep 0.2) &"]
    for _ in range(3):
        subprocess.run(enter, check=True)
    until(lambda: len(descendants(outer.pid)) >= 2)
    until(lambda: descendants(outer.pid) == {one}, 20)
    os.kill(one, signal.SIGTERM)
    assert outer.wait(20) == 0
