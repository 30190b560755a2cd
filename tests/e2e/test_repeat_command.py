"""The command line after a call whose outcome nobody knows: it says how to ask, and how to repeat."""

import asyncio
import os
import re
import subprocess
from pathlib import Path

from tests.support.command import CELESTE
from tests.support.servers import running

from celeste_image.emulate import EMULATED, emulating

ID = "0e28b64f-4eb1-4fca-864f-7613b4642ea4"
PAID = ["a boat [emulate: answer=reset]", "--model", "openai/gpt-image-2", "--request-id", ID]
FREE = ["a boat", "--model", "local/compose", "--size", "64x64"]


async def test_the_command_names_the_request_and_a_repeat_pays_nothing(tmp_path: Path) -> None:
    async def celeste(*arguments: str) -> subprocess.CompletedProcess[str]:
        given = os.environ | {"CELESTE_ADDRESS": server.address}
        command = [*CELESTE, *arguments]
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, cwd=tmp_path, env=given, timeout=60, text=True
        )

    async with emulating([EMULATED["openai"]]) as emulator, running(providers=emulator.tables) as server:
        lost = await celeste(*PAID)
        assert lost.returncode == 1
        assert f"celeste ledger --request {ID}" in lost.stderr
        assert "the same --request-id never pays again" in lost.stderr
        again = await celeste(*PAID)
        assert (again.returncode, again.stderr.splitlines()[-2:]) == (1, lost.stderr.splitlines()[-2:])
        listed = await celeste("ledger", "--request", ID, "--csv")
        assert listed.stdout.count("uncertain,") == 1

        other = await celeste(*FREE, "--request-id", ID)
        assert other.returncode == 1
        assert re.search(f"{ID} was first used at 20.*; leave out --request-id for a new request", other.stderr)


async def test_a_repeat_with_the_id_prints_the_same_image(tmp_path: Path) -> None:
    images, told = [], []
    async with running() as server:
        for name in ("first.png", "again.png"):
            command = [*CELESTE, *FREE, "--request-id", ID, "--address", server.address, "--out", name]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, cwd=tmp_path, timeout=60)
            assert done.returncode == 0, done.stderr
            images.append((tmp_path / name).read_bytes())
            told.append(done.stderr)
    assert images[0] == images[1]
    assert [b"replayed: the first result of this request id" in each for each in told] == [False, True]
