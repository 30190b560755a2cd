"""The command blocks of README.md and docs/cli.md: each is run as it is written, or has a reason here why not."""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner
from PIL import Image
from tests.support import pictures
from tests.support.fences import fenced
from tests.support.ports import free_port
from tests.support.servers import Running, running

from celeste_image.cli.main import celeste

in_loop = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/cli.md")
ADDRESS = "127.0.0.1:50051"
SIDE = 96
"""Images are made this small between two commands: the pages' own would take a minute."""

NOT_RUN = {
    "make demo": "it installs the package and starts a server; CI runs `make test`, the release runs `make demo`",
    'export PATH="$PWD/.venv/bin:$PATH"': "it only changes the shell",
    "pip install '.[local]'": "it installs the package",
}
"""Blocks that are not run, by the beginning of their first line, and why."""
NOT_RUN_HERE = {
    "celeste serve": "it does not end; the block of docs/cli.md that stops it again is run",
    "celeste providers check": "it asks the vendors whose keys this machine has; docs/providers/ have it, emulated",
}
"""Single commands that are left out of a block, and why."""


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    code: str

    @property
    def first(self) -> str:
        return self.code.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.page}: {self.first[:40]}"

    def starts(self, *beginnings: str) -> bool:
        return self.first.startswith(beginnings)


BLOCKS = [Block(page, *found) for page in PAGES for found in fenced((ROOT / page).read_text(), "sh", "python")]
RUN = [block for block in BLOCKS if not block.starts(*NOT_RUN)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Running]:
    async with running(defaults={"upscale": ["local/lanczos"]}) as server:  # Real-ESRGAN takes its time
        yield server


@pytest.fixture
def folder(server: Running, all_pulled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the photograph that the pages speak of, and the server's address in the environment."""
    (tmp_path / "photo.jpg").write_bytes(pictures.encoded(pictures.opened(pictures.photo(SIDE)), "JPEG"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELESTE_ADDRESS", server.address)
    return tmp_path


def run_here(code: str, folder: Path) -> None:
    """Runs commands in this process, which is quicker than a process for each."""
    for line in code.splitlines():
        if line.startswith(tuple(NOT_RUN_HERE)):
            continue
        text, _, command = line.rpartition(" | ")
        program, *arguments = shlex.split(command, comments=True)
        stdin = None
        if text:
            echo, stdin = shlex.split(text)
            assert echo == "echo"
        assert program == "celeste"
        done = CliRunner().invoke(celeste, arguments, input=stdin, standalone_mode=False)
        assert (done.exception, done.return_value) == (None, 0), f"{line}\n{done.output}"
        shrink(folder)


def shrink(folder: Path) -> None:
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.thumbnail((SIDE, SIDE))
            image.save(path)


def run_in_a_shell(code: str, folder: Path) -> None:
    """Runs commands in a shell, and ends what they left running."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = subprocess.Popen(
        ["bash", "-ec", code],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=60)
        assert shell.returncode == 0, output.decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)


@pytest.mark.parametrize("block", RUN, ids=str)
@in_loop
async def test_a_block_does_what_it_says(server: Running, folder: Path, block: Block) -> None:
    if block.language == "python":
        code = block.code.replace('"local:"', repr(server.address))  # a server of its own would take seconds
        await asyncio.to_thread(exec, compile(code, str(block), "exec"), {"__name__": "__main__"})
    elif block.starts("celeste serve"):
        code = block.code.replace(ADDRESS, f"127.0.0.1:{free_port()}")
        assert code.count(ADDRESS) == 0 and "kill %1" in code
        await asyncio.to_thread(run_in_a_shell, code, folder)
    elif block.starts("buf curl"):
        await asyncio.to_thread(run_in_a_shell, block.code.replace(ADDRESS, server.address), folder)
        return
    else:
        await asyncio.to_thread(run_here, block.code, folder)
    made = list(folder.glob("*.png"))  # noqa: ASYNC240
    assert made
    for path in made:
        pictures.opened(path.read_bytes())


def test_what_is_not_run_is_still_there() -> None:
    for first in NOT_RUN:
        assert any(block.starts(first) for block in BLOCKS)
    for command in NOT_RUN_HERE:
        assert any(f"\n{command}" in block.code for block in RUN)
