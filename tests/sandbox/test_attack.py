"""A malicious engine in the place of each engine, as other users and in worse systems: what it reaches."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from celeste_image.sandbox import landlock
from celeste_image.sandbox.kernel import outcome
from celeste_image.sandbox.namespaces import NEW_NETWORK, NEW_USER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

ROOT = Path(__file__).parents[2]
USERS = {"root": "root", "ordinary": "an ordinary user", "closed": "root, whose code only root can read"}
REFUSED = {
    "nothing": "Landlock and namespaces",
    "namespaces": "Landlock alone",
    "landlock": "namespaces alone",
    "both": "neither",
}
READING = {"key files", "the store: read", "shared memory", "the environment of the user's other programs"}
"""What is left where neither Landlock nor namespaces exist: files that the worker's user may read, also in /proc."""


def attack(user: str, refused: str, *engines: str) -> dict[str, Any]:
    """Returns what the malicious engine reached in the place of each engine; see `attack.py`."""
    command = [sys.executable, "-m", "tests.sandbox.attack", user, refused, *engines]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(found: dict[str, Any], user: str, refused: str) -> None:
    left = ["reads"] if user == "root" else ["reads", "processes"]  # another user has no other programs
    for name, engine in found.items():
        assert engine["tried"] > 100, name
        if refused == "both":
            assert set(engine["reached"]) <= READING, name
            assert list(engine["unprotected"]) == left, "the log says what is left"
        else:
            assert engine["reached"] == {}, name
            assert engine["unprotected"] == {}, name


def skip_where_the_kernel_has_less() -> None:
    if outcome(landlock.version):
        pytest.skip("no Landlock here")
    program = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({NEW_USER | NEW_NETWORK}) != 0)"
    if subprocess.run([sys.executable, "-c", program], check=False).returncode:
        pytest.skip("no namespaces here")


HERE = "closed" if sys.platform == "linux" and os.geteuid() == 0 else "ordinary"


@pytest.mark.parametrize("refused", ["nothing", "both"])
def test_a_malicious_decoder_reaches_nothing(refused: str) -> None:
    skip_where_the_kernel_has_less()
    check(attack(HERE, refused, "guard"), HERE, refused)


@pytest.mark.faults
@pytest.mark.parametrize("refused", REFUSED)
@pytest.mark.parametrize("user", USERS)
def test_a_malicious_engine_reaches_nothing(user: str, refused: str) -> None:
    skip_where_the_kernel_has_less()
    if os.geteuid() and user != "ordinary":
        pytest.skip("needs root")
    found = attack(user, refused)
    assert {"guard", "pixels", "kserve", "local/compose (compose)", "local/analyze (content)"} <= set(found)
    check(found, user, refused)
    if user == "root":
        assert all(engine["reached"] == {} for engine in found.values()), "another user reads no closed file"
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    assert row(user, refused, found) in page, f"the table of SECURITY.md is old: {row(user, refused, found)}"


def row(user: str, refused: str, found: dict[str, Any]) -> str:
    """Returns the line of the table in SECURITY.md: what any engine reached, and what the log names."""
    reached = sorted({goal for engine in found.values() for goal in engine["reached"]})
    unsafe = sorted({protection for engine in found.values() for protection in engine["unprotected"]})
    named = ", ".join(f"`{each}`" for each in unsafe) or "nothing"
    return f"| {USERS[user]} | {REFUSED[refused]} | {', '.join(reached) or 'nothing'} | {named} |"


def test_the_malicious_engine_reaches_what_is_open(tmp_path: Path) -> None:
    """Without its sealing the same engine reaches the server: its failures above are the sealing's."""
    program = """
import asyncio, json, os
from contextlib import ExitStack
from tests.sandbox import attack
from tests.sandbox.engines import malicious
with ExitStack() as undo:
    place = attack.world(undo)
    place.fill()
    task = place.task | {"other": os.getpid(), "bystander": os.getpid(), "weights": []}
    wanted = ("key files", "the store: read", "the store: write", "the network", "other programs")
    malicious.ATTACKS = {goal: malicious.ATTACKS[goal] for goal in wanted}
    ends = ("become_a_program", "a_program_in_memory", "clone_into_namespaces", "clone_by_clone3")
    for name in (*ends, "mount_over_the_store"):
        for attacks in malicious.ATTACKS.values():
            attacks.pop(name, None)
    malicious.run(task, (), lambda kind, fields: print(json.dumps(fields)))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    reached = json.loads(done.stdout.splitlines()[-1])["reached"]
    assert set(reached) == {"key files", "the store: read", "the store: write", "the network", "other programs"}
    assert {"read_the_key", "read_an_artifact", "write_over_an_artifact", "connect_by_tcp", "fork"} <= {
        name for names in reached.values() for name in names
    }
