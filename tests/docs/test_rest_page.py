"""docs/rest.md: its commands are run as they are written, through Envoy; its table has the contract's routes."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.support import pictures
from tests.support.envoy import CONFIG, envoy
from tests.support.fences import fenced
from tests.support.ports import free_port
from tests.support.servers import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rest.md").read_text()
START, *CALLS = (code for _, code in fenced(PAGE, "sh"))
ADDRESS = "localhost:8080"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncIterator[str]:
    async with running() as server, envoy(server.address) as address:
        yield address


async def run(code: str, folder: Path) -> str:
    """Runs commands in a shell that stops at the first failure; returns their output."""
    environment = os.environ | {"no_proxy": "*"}
    command = ["bash", "-euo", "pipefail", "-c", code]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("code", CALLS, ids=lambda code: code.splitlines()[0])
async def test_the_calls(address: str, tmp_path: Path, code: str) -> None:
    assert ADDRESS in code
    (tmp_path / "photo.jpg").write_bytes(pictures.encoded(pictures.opened(pictures.photo(64)), "JPEG"))
    output = await run(code.replace(ADDRESS, address), tmp_path)
    assert '"code"' not in output
    for file in tmp_path.glob("*.png"):  # noqa: ASYNC240
        assert pictures.opened(file.read_bytes()).width
        assert f"sha256-{hashlib.sha256(file.read_bytes()).hexdigest()}" in file.with_suffix(".json").read_text()
    if "large.png" in code:
        assert pictures.opened((tmp_path / "large.png").read_bytes()).size == (128, 128)
    if "fox.png" in code:
        assert (tmp_path / "fox.png").exists()
    if "events.txt" in code:
        events = [json.loads(line)["event"] for line in (tmp_path / "events.txt").read_text().splitlines()]
        assert "started" in events[0] and "completed" in events[-1]
    if "models" in code:
        assert '"inpaint"' in output and "local/patchmatch" in output


async def test_the_start(tmp_path: Path) -> None:
    """On other ports; all else is as the page and the configuration have it, relative paths too."""
    server, listener = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    text = CONFIG.read_text()
    for default, port in (("8080", listener), ("50051", server)):
        assert text.count(f"{{address: 127.0.0.1, port_value: {default}}}") == 1
        text = text.replace(f"port_value: {default}}}", f"port_value: {port.rpartition(':')[2]}}}")
    config = tmp_path / "envoy.yaml"
    config.write_text(text)
    code = START.replace("celeste serve", f"celeste serve --listen {server}")
    code = code.replace(f"--config-path {CONFIG.relative_to(ROOT)}", f"--config-path {config} --disable-hot-restart")
    assert code.count(str(tmp_path)) == 1 and code.count(server) == 1
    environment = os.environ | {"CELESTE_STORE__URL": "memory:///"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with (tmp_path / "log").open("wb") as log:
        shell = subprocess.Popen(  # noqa: ASYNC220
            ["bash", "-c", code], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(30):
            while not await answers(http, f"http://{listener}/v1/server"):
                assert shell.poll() is None, (tmp_path / "log").read_text()
                await asyncio.sleep(0.05)
            request = {"prompt": "a boat", "sead": 5}
            refused = await http.post(f"http://{listener}/v1/images:generate", json=request)
            assert "sead: the contract has no such field" in refused.text
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(20)


async def answers(http: httpx.AsyncClient, url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await http.get(url)).status_code == 200
    return False


async def test_the_table_has_the_routes_of_the_contract() -> None:
    image = ROOT / "server" / "celeste_image" / "rpc" / "contract.binpb"
    found = set()
    for file in FileDescriptorSet.FromString(image.read_bytes()).file:
        for service in file.service:
            for method in service.method:
                if method.options.HasExtension(annotations_pb2.http):
                    rule = method.options.Extensions[annotations_pb2.http]
                    kind = rule.WhichOneof("pattern")
                    path = re.sub(r"\{(\w+)=[^}]*\}", r"{\1}", getattr(rule, kind))
                    found.add((f"{kind.upper()} {path}", f"{service.name}.{method.name}"))
    assert set(re.findall(r"^\| `(\w+ /v1/\S+)` \| `(\w+\.\w+)` \|", PAGE, re.MULTILINE)) == found


async def test_the_filter_knows_the_contract() -> None:
    command = [sys.executable, ROOT / "deploy" / "envoy" / "strict.py", "--check"]
    await asyncio.to_thread(subprocess.run, command, check=True)
