"""What `celeste serve` and `celeste doctor` tell and demand of the sealing of engines, and what the server hides."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.command import CELESTE
from tests.support.processes import end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

ENGINES = {"guard", "pixels", "local/compose (compose)", "local/analyze (metadata)", "local/safety (safety)"}


def refusing(refused: str, *arguments: str) -> Sequence[str]:
    """Returns the command line of celeste in a process that lost what `attack.py` names."""
    program = "import sys; from tests.sandbox.attack import refuse; refuse(sys.argv[1]); "
    program += "sys.argv[:] = ['celeste', *sys.argv[2:]]; from celeste_image.cli.main import main; main()"
    return [sys.executable, "-c", program, refused, *arguments]


def run(command: Sequence[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    given = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=120)


@pytest.mark.faults
def test_doctor_tells_what_holds_here(tmp_path: Path) -> None:
    done = run([*CELESTE, "doctor", "--json"], tmp_path)
    found = json.loads(done.stdout)
    assert set(found["engines"]) >= ENGINES
    protected = all(engine["protected"] for engine in found["engines"].values())
    assert done.returncode == (0 if protected and not found["server"] else 1)
    assert found["machine"]["system"].startswith("Linux")


@pytest.mark.faults
def test_doctor_tells_what_does_not_hold_and_why(tmp_path: Path) -> None:
    done = run(refusing("both", "doctor"), tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "guard: NOT PROTECTED" in lines
    assert "  without landlock: Landlock: Function not implemented" in lines
    assert "  without private_root: unshare: Operation not permitted" in lines
    assert any(line.startswith("  reads: does not hold (landlock: ") for line in lines)
    assert not any(line.startswith("  writes: ") for line in lines)


@pytest.mark.faults
def test_the_server_refuses_to_start_an_engine_that_can_not_be_sealed(tmp_path: Path) -> None:
    listen = ("serve", "--listen", f"unix:{tmp_path}/s.sock", "--store", "memory:///")
    done = run(refusing("both", *listen), tmp_path, CELESTE_SANDBOX__REQUIRE="true", CELESTE_LOG__FORMAT="json")
    assert done.returncode == 1
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error.startswith("the engine pixels can't be sealed here: [sandbox] requires 'reads' (landlock: ")
    assert not (tmp_path / "s.sock").exists()


def test_a_protection_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    done = run([*CELESTE, "serve"], tmp_path, CELESTE_SANDBOX__REQUIRE='["files"]')
    assert done.returncode == 2
    assert "sandbox.require" in done.stderr


def test_a_server_hides_its_environment_and_its_memory(tmp_path: Path) -> None:
    secrets = {
        "OPENAI_API_KEY": "sk-canary-in-a-variable-00000000",
        "MY_ODD_NAME": "sk-canary-by-reference-000000000",
        "CELESTE_PROVIDERS__STABILITY__KEY": "env:MY_ODD_NAME",
        "CELESTE_STORE__OPTIONS__AWS_SECRET_ACCESS_KEY": "canary-of-the-store",
        "UNRELATED": "canary-of-another-program",
    }
    socket = f"unix:{tmp_path}/s.sock"
    command = [*CELESTE, "serve", "--listen", socket, "--store", "memory:///"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log, cwd=tmp_path, env=os.environ | secrets)
    try:
        health = [*CELESTE, "health", "--address", socket, "--wait", "60"]
        subprocess.run(health, check=True, stdout=subprocess.DEVNULL)
        assert not as_another_process(server.pid, "environ", privileged=True), "root sees an empty block"
        assert [as_another_process(server.pid, name) for name in ("environ", "maps")] == [None, None]
        core = Path(f"/proc/{server.pid}/limits").read_text().split("Max core file size")[1].split()
        assert core[:2] == ["0", "0"]
        listed = run([*CELESTE, "providers", "--address", socket], tmp_path).stdout
        ready = {line.split()[0]: "no key" not in line for line in listed.splitlines() if line.strip()}
        assert ready["openai"], "the provider has read its key"
        assert ready["stability"]
        assert not ready["bfl"]
    finally:
        assert end(server)


def as_another_process(pid: int, name: str, *, privileged: bool = False) -> bytes | None:
    """Returns a file of `/proc/PID` without zeros; None when it is closed. `privileged` keeps root's rights."""
    program = "import sys, pathlib; from celeste_image.sandbox.confine import drop_capabilities\n"
    program += "" if privileged else "drop_capabilities()\n"
    program += f"sys.stdout.buffer.write(pathlib.Path('/proc/{pid}/{name}').read_bytes().strip(b'\\0'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    return None if done.returncode else done.stdout
