"""Fixtures of the tests that look for leaked keys: hostile vendors, a key for each, and a log that hides nothing."""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import structlog
from tests.support.leaked_keys import KeySearch, Listening, MarkedKey, hostile

from celeste_image.emulate import EMULATED, Emulator, emulating
from celeste_image.telemetry import logs
from celeste_image.telemetry.logs import configure_logs

FORMS = {"gemini": "AQ.", "bfl": "", "azure_openai": "", "compatible": ""}
"""How keys begin; as OpenAI's where nothing is said."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with emulating([hostile(cls) for cls in EMULATED.values()]) as emulator:
        yield emulator


@pytest.fixture
def canaries() -> dict[str, MarkedKey]:
    return {name: MarkedKey(FORMS.get(name, "sk-")) for name in EMULATED}


@pytest.fixture
def debugging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Has everything logged while the test runs, and no key hidden: nothing may try to log one."""
    monkeypatch.setattr(logs, "without_secrets", lambda text: text)
    root, level = logging.getLogger(), logging.getLogger().level
    handlers: list[logging.Handler] = []

    def debug(sweep: KeySearch) -> None:
        handlers.append(Listening(sweep))
        root.addHandler(handlers[-1])
        root.setLevel(logging.DEBUG)
        configure_logs("debug", "console")

    yield debug
    root.setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)
    structlog.reset_defaults()
