"""The providers' pages: every example in them is run, against the emulated vendors."""

import asyncio
import json
import re
import shlex
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner
from tests.support import pictures
from tests.support.recording_evidence import operations_of, vendors
from tests.support.servers import Running, running

from celeste_image.cli.main import celeste
from celeste_image.core.card import ModelStage
from celeste_image.emulate import EMULATED, Emulator, emulating
from celeste_image.providers.registry import build_providers

in_loop = pytest.mark.asyncio(loop_scope="module")

PAGES = Path(__file__).parents[2] / "docs" / "providers"
BLOCK = re.compile(r"^### ([^\n]+)\n\n```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SIDE = 256


@dataclass(frozen=True)
class Example:
    page: str
    operation: str
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}-{self.operation}"


EXAMPLES = [
    Example(page.stem, operation, language, code)
    for page in sorted(PAGES.glob("*.md"))
    for operation, language, code in BLOCK.findall(page.read_text())
]


@dataclass
class Place:
    server: Running
    emulator: Emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Place]:
    async with emulating(list(EMULATED.values())) as emulator, running(providers=emulator.tables) as server:
        yield Place(server, emulator)


@pytest.fixture
def folder(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the pictures that the pages speak of, and the server in the environment."""
    (tmp_path / "photo.jpg").write_bytes(pictures.encoded(pictures.opened(pictures.photo(SIDE)).convert("RGB"), "JPEG"))
    (tmp_path / "style.jpg").write_bytes(pictures.encoded(pictures.opened(pictures.plain(SIDE, SIDE)), "JPEG"))
    (tmp_path / "mask.png").write_bytes(pictures.mask(SIDE, SIDE, (64, 64, 192, 192)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELESTE_ADDRESS", place.server.address)
    for name, table in place.emulator.tables.items():
        monkeypatch.setenv(f"CELESTE_PROVIDERS__{name.upper()}", json.dumps(table))
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def run(example: Example) -> None:
    if example.language == "python":
        exec(compile(example.code, str(example), "exec"), {"__name__": "__main__"})
        return
    for line in example.code.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "celeste"
        done = CliRunner().invoke(celeste, arguments, standalone_mode=False)
        assert done.exception is None, done.output
        assert done.return_value == 0, done.output


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
@in_loop
async def test_an_example_does_what_it_says(place: Place, folder: Path, example: Example) -> None:
    before = names(folder)
    place.emulator.ledger.clear()
    await asyncio.to_thread(run, example)
    asked = {entry.provider for entry in place.emulator.ledger.entries}
    assert asked == {example.page}
    made = names(folder) - before
    if example.operation == "key check":
        assert not made
        return
    assert made
    for name in made:
        pictures.opened((folder / name).read_bytes()).load()


def test_every_operation_has_an_example() -> None:
    shown = {(example.page, example.operation) for example in EXAMPLES}
    for name, vendor in vendors().items():
        cards = [card for card in vendor.cards if card.stage is not ModelStage.RETIRED]
        assert {(name, operation) for card in cards for operation in operations_of(card)} <= shown


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_configuration_on_a_page_is_one(page: Path) -> None:
    for text in re.findall(r"^```toml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        tables = tomllib.loads(text)["providers"]
        assert build_providers(tables).keys() >= tables.keys()
