"""Every vendor's every model x everything it offers: from gRPC through a running server to the emulator and back.

A vendor that is added is found by itself and fails here until it has an emulator.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import numpy
import pytest
import pytest_asyncio
from PIL import Image
from tests.support import pictures
from tests.support.sample_requests import HOLE, SIDE, SOURCE, requests_for
from tests.support.servers import Running, running

from celeste_image.client import AsyncClient
from celeste_image.core.card import ModelCard, ModelStage
from celeste_image.core.edits import Erase, Inpaint, Outpaint, RemoveBackground
from celeste_image.core.events import Completed, Event, Preview, Progress, Submitted
from celeste_image.core.request import Edit, Generate, ImageRequest, RequestOptions, Upscale
from celeste_image.emulate import EMULATED, Emulator, emulating, fingerprint
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.providers.registry import build_providers, discover, discover_kinds

in_loop = pytest.mark.asyncio(loop_scope="module")

VENDORS = {name for name, cls in (discover() | discover_kinds()).items() if issubclass(cls, Vendor)}
TABLES: dict[str, Any] = {name: cls(None).table("http://127.0.0.1:1") for name, cls in EMULATED.items()}  # type: ignore[arg-type]
CARDS = [
    card
    for name, provider in build_providers(TABLES).items()
    if name in VENDORS
    for card in provider.cards
    if card.stage is not ModelStage.RETIRED
]


@dataclass(frozen=True)
class Case:
    card: ModelCard
    request: ImageRequest

    def __str__(self) -> str:
        what = self.request.edit.field if isinstance(self.request, Edit) else self.request.kind.value
        return f"{self.card.id}-{what}"


TWIN = re.compile(r"gpt-5[.-](?!5$).*|.*-20\d\d-\d\d-\d\d")
"""Models of OpenAI that differ from another one by the name in the body alone: snapshots, and language models."""
CASES = [
    Case(card, request) for card in CARDS for request in requests_for(card) if not TWIN.fullmatch(card.name_on_wire)
]
SAID = {
    ("gemini", "restyle"): {"restyle": "adjusted"},
    ("openai", "outpaint"): {"outpaint": "adjusted"},
    ("azure_openai", "outpaint"): {"outpaint": "adjusted"},
    ("compatible", "outpaint"): {"outpaint": "adjusted"},
}
"""What is not quite as asked, per provider and operation; everything else must be to the letter."""
CHOOSES = {"stability/upscale-fast": "size"}
"""Models that enlarge as they like, and the field by which one asks for what they don't make."""


@dataclass
class Place:
    server: Running
    client: AsyncClient
    emulator: Emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Place]:
    async with (
        emulating(list(EMULATED.values())) as emulator,
        running(providers=emulator.tables) as server,
        AsyncClient(server.address) as client,
    ):
        yield Place(server, client, emulator)


async def events_of(place: Place, request: ImageRequest) -> list[Event]:
    place.emulator.ledger.clear()
    return [event async for event in place.client.stream(request, timeout=60)]


def test_every_vendor_has_an_emulator() -> None:
    assert EMULATED.keys() == VENDORS
    tried = [case.card for case in CASES]
    for card in CARDS:
        twins = [other for other in tried if other.provider == card.provider and other.parameters == card.parameters]
        assert twins if TWIN.fullmatch(card.name_on_wire) else card in tried


@pytest.mark.parametrize("case", CASES, ids=str)
@in_loop
async def test_it_does_what_its_card_offers(place: Place, case: Case) -> None:
    *_, completed = events = await events_of(place, case.request)
    assert isinstance(completed, Completed)
    assert completed.result.model == case.card.id
    (image,) = completed.result.images
    data = await place.client.read(image)
    made = pictures.opened(data)
    assert hashlib.sha256(data).hexdigest() == image.sha256
    assert made.size == (image.width, image.height)
    assert Image.MIME[str(made.format)] == image.media_type
    check(case.request, made)

    name, what = case.card.provider, str(case).rpartition("-")[2]
    lines = {line.path: line for line in completed.result.fidelity}
    differing = {
        p: line.outcome.value for p, line in lines.items() if line.outcome.value not in ("honored", "defaulted")
    }
    chosen = CHOOSES.get(case.card.id, "")
    assert differing == (
        {chosen: "adjusted"} if chosen in lines and lines[chosen].asked else SAID.get((name, what), {})
    )
    if "size" in lines and lines["size"].measured:
        assert lines["size"].measured == {"width": image.width, "height": image.height}

    (call,) = place.emulator.ledger.of(name, "call")
    table = place.emulator.tables[name]
    assert (call.status, call.images, call.model) == (200, 1, case.card.name_on_wire)
    assert call.key == fingerprint(table["key"])
    assert not call.ignored, "the vendor does not know what we sent"
    assert call.charged > 0 or not case.card.prices
    assert all(entry.key == "" for entry in place.emulator.ledger.of(name, "fetch"))
    assert bool(call.job) == any(isinstance(event, Submitted) for event in events)


def check(request: ImageRequest, made: Image.Image) -> None:
    """Asserts what can be seen in the picture."""
    source = pictures.opened(SOURCE.data)
    match request:
        case Edit(edit=Erase() | Inpaint()):
            before, after = (numpy.asarray(picture.convert("RGB")).astype(int) for picture in (source, made))
            outside = numpy.ones((SIDE, SIDE), bool)
            outside[HOLE[1] : HOLE[3], HOLE[0] : HOLE[2]] = False
            assert made.size == (SIDE, SIDE)
            assert (before[outside] == after[outside]).all()
            assert abs(before[~outside] - after[~outside]).mean() > 20
        case Edit(edit=Outpaint() as grown):
            assert made.size == (SIDE + grown.left, SIDE + grown.top)
        case Edit(edit=RemoveBackground()):
            assert made.convert("RGBA").getpixel((0, 0))[3] == 0  # type: ignore[index]
            assert made.convert("RGBA").getpixel((SIDE // 2, SIDE // 2))[3] == 255  # type: ignore[index]
        case Generate(size=size) if size.width:
            assert made.size == (size.width, size.height)
        case Upscale(factor=factor, size=size):
            assert made.width >= max(SIDE * factor, size.width)


@pytest.mark.parametrize("case", [c for c in CASES if isinstance(c.request, Generate | Edit)][::3], ids=str)
@in_loop
async def test_a_stream_shows_what_the_vendor_shows(place: Place, case: Case) -> None:
    options = RequestOptions(preview_count=2)
    words = "a boat [emulate: latency=0.4]"
    request = replace(case.request, options=options)
    if isinstance(request, Generate):
        request = replace(request, prompt=words)
    *events, completed = await events_of(place, request)
    assert isinstance(completed, Completed)
    kinds = {type(event) for event in events}
    (line,) = [line for line in completed.result.fidelity if line.path == "options.preview_count"]
    assert line.outcome.value == ("honored" if case.card.previews else "dropped")
    is_job = bool(place.emulator.ledger.of(case.card.provider, "call")[0].job)
    assert (Submitted in kinds) == is_job
    if isinstance(request, Generate) and case.card.previews:
        assert Preview in kinds
    if isinstance(request, Generate) and is_job:
        fractions = [event.fraction for event in events if isinstance(event, Progress)]
        assert fractions == sorted(fractions)
        assert fractions[-1] > 0.3
