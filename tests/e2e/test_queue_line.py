"""The place in the queue on standard error, where that is no terminal."""

from collections.abc import Iterator
from typing import cast

import pytest

from celeste_image.cli.run import show
from celeste_image.client import Client
from celeste_image.core.events import Completed, Event, Queued, Started
from celeste_image.core.request import Generate, ImageRequest
from celeste_image.core.result import OperationResult, Usage


class Waiting:
    """A client whose call waits."""

    def stream(self, request: ImageRequest, **parameters: object) -> Iterator[Event]:
        yield Queued(2)
        yield Queued(1)
        yield Started("local", "local/compose")
        yield Completed(OperationResult("a-call", "local/compose", (), {}, None, (), Usage(0, 0.0, None), ()))


def test_the_place_in_the_queue_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    common = {"request_id": "", "timeout": None, "address": "", "as_json": False}
    assert show(cast(Client, Waiting()), Generate(prompt="a fox"), common)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == ["queued, position 2", "queued, position 1", "local/compose"]
