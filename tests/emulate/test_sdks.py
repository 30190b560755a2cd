"""The vendors' own SDKs against the emulators, each in its own process and environment, made by `make test`."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from celeste_image.emulate import EMULATED, Emulator, emulating

ROOT = Path(__file__).parents[2]
SDKS = Path(__file__).parent / "sdks"


async def seen_by(script: str, environment: str, *arguments: str) -> dict[str, Any]:
    """Returns the results of a script with an SDK."""
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        pytest.fail(f"there is no {environment}: run make {environment}/ready")
    process = await asyncio.create_subprocess_exec(
        *(str(python), str(SDKS / f"{script}.py"), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # No network: litellm must not fetch its prices, and no SDK may use a proxy to loopback.
        env={"PATH": os.environ["PATH"], "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"},
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()[-3000:]
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def calls(emulator: Emulator, name: str) -> list[tuple[str, int]]:
    return [(entry.path.rpartition("/")[2], entry.status) for entry in emulator.ledger.of(name, "call")]


async def test_openai() -> None:
    async with emulating([EMULATED["openai"], EMULATED["azure_openai"]]) as emulator:
        seen = await seen_by("openai_images", ".venv-sdks", emulator["openai"].url, emulator["azure_openai"].origin)
        partial, completed = "image_generation.partial_image", "image_generation.completed"
        edit = seen.pop("edit")
        assert edit["inside"] > 20
        assert 0 < edit["outside"] < 8
        assert seen == {
            "generate": [[1536, 1024], [1536, 1024]],
            "tokens": True,
            "stream": [[partial, [1024, 1024]], [partial, [1024, 1024]], [completed, [1024, 1024]]],
            "moderation": ["BadRequestError", "moderation_blocked"],
            "limit": ["RateLimitError", "rate_limit_exceeded"],
            "key": ["AuthenticationError", "invalid_api_key"],
            "server": ["InternalServerError", None],
            "model": "model_not_found",
            "responses": [[1024, 1024]],
            "azure": [[1024, 1024]],
            "models": True,
        }
        assert [entry.images for entry in emulator.ledger.of("openai", "call")] == [2, 1, 1, 0, 0, 0, 0, 0, 1]
        assert {entry.ignored for entry in emulator.ledger.entries if entry.status == 200 and entry.ignored} == set()
        assert calls(emulator, "azure_openai") == [("generations", 200)]


async def test_gemini() -> None:
    async with emulating([EMULATED["gemini"]]) as emulator:
        seen = await seen_by("google_genai", ".venv-sdks", emulator["gemini"].origin)
        (width, height), (_, edited) = seen.pop("generate")[0], seen.pop("edit")[0]
        assert width / height == pytest.approx(16 / 9, rel=0.02)
        assert edited == 768
        status, (across, down) = seen.pop("interaction")
        assert (status, across / down) == ("completed", pytest.approx(16 / 9, rel=0.02))
        assert seen == {
            "tokens": 1290,
            "stream": [[True], [False]],
            "moderation": ["PROHIBITED_CONTENT", None],
            "filtered": "IMAGE_SAFETY",
            "limit": ["ClientError", 429, "RESOURCE_EXHAUSTED"],
            "key": ["ClientError", 400, "INVALID_ARGUMENT"],
            "server": ["ServerError", 503, "UNAVAILABLE"],
            "models": True,
        }
        assert sum(entry.images for entry in emulator.ledger.entries) == 4


async def test_black_forest_labs() -> None:
    async with emulating([EMULATED["bfl"]]) as emulator:
        seen = await seen_by("black_forest", ".venv-sdks", emulator["bfl"].origin)
        limit, key = seen.pop("limit"), seen.pop("key")
        assert limit[0] == key[0] == "BFLError"
        assert "429" in limit[1]
        assert "401" in key[1]
        assert seen == {
            "generate": [1024, 768],
            "seed": 42,
            "inpaint": [256, 256],
            "edit": [256, 256],
            "submitted": True,
        }
        polls = [entry for entry in emulator.ledger.of("bfl", "poll") if entry.status == 200]
        assert len({entry.job for entry in polls}) == 3
        assert [entry.ignored for entry in emulator.ledger.of("bfl", "call") if entry.ignored] == []


async def test_stability_by_litellm() -> None:
    async with emulating([EMULATED["stability"]]) as emulator:
        seen = await seen_by("litellm_stability", ".venv-litellm", emulator["stability"].origin)
        assert seen == {
            "stable-image-core": [1024, 1024],
            "stable-image-ultra": [1024, 1024],
            "sd3.5-large": [1024, 1024],
            "inpaint": [256, 256],
            "remove-background": [256, 256],
            "fast": [1024, 1024],
            "search-and-replace": [256, 256],
            "moderation": ["PermissionDeniedError", 403],
            "limit": ["RateLimitError", 429],
            "key": ["AuthenticationError", 401],
        }
        # litellm sends an empty file, and prompts to services without one.
        assert {name for entry in emulator.ledger.entries for name in entry.ignored} <= {"none", "prompt"}
        assert sum(entry.images for entry in emulator.ledger.entries) == 7
