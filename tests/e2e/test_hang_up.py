"""SIGHUP: a server reads its configuration again, ignores the signal under nohup, and ends with its terminal."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import CELESTE

END_SECONDS = 30


class Served:
    """A server in a process of its own, in a session of its own."""

    def __init__(self, folder: Path, prepare: Callable[[], object]) -> None:
        self.config, self._log = folder / "celeste.toml", folder / "log"
        self.config.write_text('[log]\nformat = "json"\n')
        command = [*CELESTE, "serve", "--listen", "127.0.0.1:0", "--store", "memory:///"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CELESTE_")}
        environment["CELESTE_SERVER__NOTICE_SECONDS"] = "0"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stderr=log,
                cwd=folder,
                env=environment,
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509
            )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Returns the lines of an event."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if line["event"] == event]

    def until(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Waits for a number of lines of an event."""
        end = time.monotonic() + END_SECONDS
        while len(found := self.lines(event)) < count:
            assert time.monotonic() < end, self._log.read_text()
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.02)
        return found


@contextmanager
def serving(folder: Path, prepare: Callable[[], object]) -> Iterator[Served]:
    served = Served(folder, prepare)
    try:
        served.until("serving")
        yield served
    finally:
        served.process.kill()
        served.process.wait()


def heed() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_server_reads_its_configuration_again(tmp_path: Path) -> None:
    with serving(tmp_path, heed) as served:
        served.config.write_text('[log]\nformat = "json"\n[aliases]\ndraft = ["local/compose"]\n')
        served.process.send_signal(signal.SIGHUP)
        (line,) = served.until("configuration reloaded")
        assert (line["applied"], line["needs_restart"]) == (["aliases.draft"], [])
        served.config.write_text('[log]\nformat = "json"\nlevle = 1\n[images]\nmax_side = "wide"\n')
        served.process.send_signal(signal.SIGHUP)
        problems = [line["problem"] for line in served.until("configuration refused", 2)]
        assert sorted(problems) == [
            "celeste.toml:3: log.levle: there is no such key; did you mean 'level'?",
            "celeste.toml:5: images.max_side: must be a whole number",
        ]
        served.process.terminate()
        assert served.process.wait(END_SECONDS) == 0
        assert len(served.lines("configuration reloaded")) == 1


@pytest.mark.faults
def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    with serving(tmp_path, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as served:
        served.process.send_signal(signal.SIGHUP)
        served.process.terminate()
        assert served.process.wait(END_SECONDS) == 0
        assert served.lines("stopped")
        assert not served.lines("configuration reloaded")


@pytest.mark.faults
def test_a_server_ends_with_its_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()

    def take() -> None:
        heed()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    with serving(tmp_path, take) as served:
        os.close(theirs)
        served.process.send_signal(signal.SIGHUP)
        served.until("configuration reloaded")  # the terminal is still there
        os.close(ours)
        assert served.process.wait(END_SECONDS) == 0
        assert served.lines("stopped")
