"""What is imported when: a command answers at once, and a client needs nothing of the server."""

import json
import subprocess
import sys

import pytest

SERVER = {"numpy", "obstore", "pydantic", "pydantic_settings", "PIL", "protovalidate", "ncnn", "uvloop"}
TELEMETRY = {"opentelemetry", "prometheus_client"}
ALL = SERVER | {"grpc", "google.protobuf", "structlog", "rich"}


def loaded(code: str) -> set[str]:
    """Returns the names of the modules that a fresh Python has after some code."""
    program = (
        f"{code}\nimport json, sys\nprint('\\n' + json.dumps([name for name, module in sys.modules.items() if module]))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(answer.stdout.splitlines()[-1]))


HELP = """
from celeste_image.cli.main import celeste
celeste.main(["--help"], standalone_mode=False)
"""
USAGE = """
import contextlib, click
from celeste_image.cli.main import celeste
with contextlib.suppress(click.UsageError):
    celeste.main(["generat", "x"], standalone_mode=False)
"""
SERVE = """
import contextlib, click
from celeste_image.cli.main import celeste
with contextlib.suppress(click.UsageError):  # when all else is built, the store is refused
    celeste.main(["serve", "--store", "ftp://nowhere"], standalone_mode=False)
"""
GENERATE = """
import contextlib
from celeste_image.cli.main import celeste
from celeste_image.core.errors import ServerUnavailable
with contextlib.suppress(ServerUnavailable):
    celeste.main(["a fox", "--address", "127.0.0.1:1"], standalone_mode=False)
"""
ENGINE = """
import celeste_image.engines.metadata, celeste_image.sandbox.main, celeste_image.imaging.guard_engine
import celeste_image.providers.kserve.engine
"""


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import celeste_image", ALL | {"click", "asyncio"}),
        ("import celeste_image.core.errors, celeste_image.core.events, celeste_image.core.card", ALL | {"click"}),
        (HELP, ALL),
        (USAGE, ALL),
        ("from celeste_image import Client", SERVER | {"structlog", "click", "rich"}),
        ("from celeste_image import AsyncClient, connect", SERVER | {"structlog", "click", "rich"}),
        ("import celeste_image.sandbox.main", ALL | {"click", "asyncio"}),
        (ENGINE, {"grpc", "google.protobuf", "obstore", "pydantic", "structlog", "asyncio"}),
        ("import celeste_image.engines.compose", {"asyncio", "numpy", "PIL.ImageFont"}),
        (SERVE, {"rich", "pygments", "PIL", "numpy", "ncnn", "aiohttp", "protovalidate", *TELEMETRY}),
        (GENERATE, SERVER | {"structlog", "rich"}),
    ],
    ids=[
        "package",
        "core",
        "help",
        "slip",
        "client",
        "async client",
        "worker",
        "engines",
        "compose",
        "serve",
        "generate",
    ],
)
def test_nothing_is_loaded_that_is_not_needed(code: str, unwanted: set[str]) -> None:
    assert not loaded(code) & unwanted


def test_the_package_offers_the_client_and_nothing_else() -> None:
    import celeste_image

    assert celeste_image.__all__ == ["AsyncClient", "Client", "connect"]
    assert all(getattr(celeste_image, name) for name in celeste_image.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Server'"):
        _ = celeste_image.Server
