"""Independent clients at the emulators: each generates, edits, streams and meets an error, as far as it can.

They come from packages, in environments of their own: `make .venv-others/ready` and `make npm-clients`. The
table in docs/emulators.md has what they do.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from celeste_image.emulate import EMULATED, Emulator, emulating

ROOT = Path(__file__).parents[2]
SDKS = Path(__file__).parent / "sdks"
PAGE = (ROOT / "docs" / "emulators.md").read_text(encoding="utf-8")
OTHERS = {
    "celeste-ai": ("celeste_ai", ".venv-others", ["openai", "gemini", "bfl"]),
    "langchain-openai": ("langchain_openai_client", ".venv-others", ["openai/v1"]),
    "openai-agents": ("openai_agents", ".venv-others", ["openai/v1"]),
    "pydantic-ai": ("pydantic_ai_client", ".venv-others", ["openai/v1", "gemini"]),
    "litellm": ("litellm_client", ".venv-litellm", ["openai/v1", "azure_openai", "gemini"]),
}
NPM = ["openai/v1", "azure_openai", "gemini", "bfl"]

pytestmark = [pytest.mark.faults, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with emulating(list(EMULATED.values())) as emulator:
        yield emulator


async def steps_of(emulator: Emulator, program: list[str], vendors: list[str]) -> dict[str, object]:
    """Returns what a client's steps came to."""
    urls = [
        emulator[name].url if is_v1 else emulator[name].origin for name, is_v1, _ in (v.partition("/") for v in vendors)
    ]
    environment = {"PATH": os.environ["PATH"], "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"}
    process = await asyncio.create_subprocess_exec(
        *program,
        *urls,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()[-3000:]
    found: dict[str, object] = json.loads(out.splitlines()[-1])
    return found


def holds(client: str, steps: dict[str, str]) -> None:
    """Asserts that every step went well and that the page says so."""
    assert {name: came for name, came in steps.items() if came.startswith("FAILED")} == {}
    words = ", ".join(name.replace("_", " ") for name in steps)
    assert f"| {client} | {words} |" in PAGE


@pytest.mark.parametrize("client", OTHERS)
async def test_a_python_client(emulator: Emulator, client: str) -> None:
    script, environment, vendors = OTHERS[client]
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        pytest.fail(f"there is no {environment}: run make {environment}/ready")
    if client == "celeste-ai" and not list((ROOT / environment / "lib").glob("python*/site-packages/celeste")):
        pytest.skip("celeste-ai needs Python 3.12")
    steps = await steps_of(emulator, [str(python), str(SDKS / "others" / f"{script}.py")], vendors)
    holds(client, {name: str(came) for name, came in steps.items()})


async def test_the_npm_clients(emulator: Emulator) -> None:
    folder = SDKS / "npm"
    node = shutil.which("node")
    if not (node and (folder / "node_modules" / ".package-lock.json").exists()):
        pytest.skip("needs Node, and its packages: run make npm-clients")
    for client, steps in (await steps_of(emulator, [node, str(folder / "clients.mjs")], NPM)).items():
        assert isinstance(steps, dict)
        holds(client, steps)
