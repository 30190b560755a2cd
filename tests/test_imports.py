"""What is imported when: a command answers at once, and a client needs nothing of the server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVER = {"numpy", "obstore", "pydantic", "PIL", "protovalidate", "ncnn", "uvloop"}
ALL = SERVER | {"grpc", "google.protobuf", "structlog", "rich"}
OVERLAY, KSERVE = "celeste_image.providers.catalog.overlay", "celeste_image.providers.kserve.provider"


def loaded(code: str, folder: Path | None = None) -> set[str]:
    """Returns the names of the modules that a fresh Python has after some code, with those of a folder to import."""
    program = (
        f"{code}\nimport json, sys\nprint('\\n' + json.dumps([name for name, module in sys.modules.items() if module]))"
    )
    paths = [str(folder or ""), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
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
SERVED = {"opentelemetry", "prometheus_client"}
"""What only traces and metrics need, which are off by default."""
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
COMPOSE = """
from celeste_image.engines.compose import run
task = {"prompt": "a fox", "width": 64, "height": 64, "seed": 1}
run(task, [], lambda kind, fields=None, payload=b"": None)
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
        (COMPOSE, {"asyncio", "numpy", "PIL.ImageFont", "PIL.GifImagePlugin"}),
        (
            SERVE,
            SERVED | {"rich", "pygments", "PIL", "numpy", "ncnn", "aiohttp", "protovalidate", OVERLAY, KSERVE},
        ),
        (GENERATE, SERVER | {"structlog", "rich", "celeste_image.client.aio", "celeste_image.core.card"}),
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


def test_a_server_runs_no_plugin_of_pydantic(tmp_path: Path) -> None:
    text = "class plugin:\n    new_schema_validator = staticmethod(lambda *_, **__: (None, None, None))\n"
    (tmp_path / "spy.py").write_text(text)
    facts = tmp_path / "spy-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[pydantic]\nspy = spy:plugin\n")
    assert "spy" in loaded("import pydantic; pydantic.TypeAdapter(int)", tmp_path)
    assert "spy" not in loaded(SERVE, tmp_path)


def test_the_garbage_collector_does_not_look_at_modules_while_they_load() -> None:
    program = """
import atexit, gc, sys
from celeste_image.cli.main import main
before = gc.get_stats()
looked = lambda: sum(now["collections"] - then["collections"] for now, then in zip(gc.get_stats(), before))
atexit.register(lambda: print(looked(), gc.get_freeze_count() + len(gc.get_objects())))
sys.argv = ["celeste", "serve", "--store", "ftp://nowhere"]
main()
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    looked, objects = map(int, answer.stdout.split())
    assert "not ftp://" in answer.stderr, "all else was built"
    assert objects > 50_000
    assert looked <= 1


def test_the_package_offers_the_client_and_nothing_else() -> None:
    import celeste_image

    assert celeste_image.__all__ == ["AsyncClient", "Client", "connect"]
    assert all(getattr(celeste_image, name) for name in celeste_image.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Server'"):
        _ = celeste_image.Server
