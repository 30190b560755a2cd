"""One suite for all providers: it finds them by itself and holds each to the contract in `providers/base.py`."""

import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from tests.support import pictures
from tests.support.sample_requests import GROWN, SIDE, SOURCE, requests_for
from tests.support.servers import Running, running

from celeste_image.core.call import Call
from celeste_image.core.caller import ANONYMOUS
from celeste_image.core.card import ModelCard, ModelEvidence, SizeRange
from celeste_image.core.edits import Outpaint
from celeste_image.core.errors import CelesteError, OperationNotOffered
from celeste_image.core.events import Analyzed, Completed, Event, Picture, Preview, Progress, Saved, Started
from celeste_image.core.image import Size
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.request import Analyze, Edit, Generate, ImageRequest, OperationKind, RequestOptions, Upscale
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.providers.registry import discover
from celeste_image.v1 import operation_pb2

in_loop = pytest.mark.asyncio(loop_scope="module")

CALL = Call("00000000-0000-4000-8000-000000000000")


@dataclass(frozen=True)
class Case:
    """A request that a model's card says it takes."""

    card: ModelCard
    request: ImageRequest

    def __str__(self) -> str:
        return f"{self.card.id}-{self.request.kind.value}"


PROVIDERS = discover()
LOCAL = [p for p in PROVIDERS.values() if not issubclass(p, Vendor)]
"""Those that need no network. Vendors are held to their recordings instead, in tests/providers."""
SLOW = ("local/realesrgan-x4plus",)
"""Its engine is held to all this with other weights, and its own are used in tests/rpc/test_local_edits.py."""
CASES = [
    Case(card, request)
    for provider in LOCAL
    for card in provider.cards
    # tests/providers/local/diffusion has a stand-in for those on a model hub.
    if card.id not in SLOW and card.evidence is not ModelEvidence.PUBLISHER
    for request in requests_for(card)
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_card = pytest.mark.parametrize("card", [c for p in PROVIDERS.values() for c in p.cards], ids=lambda card: card.id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


async def events_of(server: Running, request: ImageRequest) -> list[Event]:
    async with aclosing(server.app.run(request, Call(str(uuid.uuid4())))) as events:
        return [event async for event in events]


@every_card
def test_a_field_on_a_card_is_one_of_the_contract(card: ModelCard) -> None:
    for kind, parameters in card.parameters.items():
        for path in (parameter.path for parameter in parameters if "provider_options" not in parameter.path):
            descriptor = getattr(operation_pb2, f"{kind.value.capitalize()}Request").DESCRIPTOR
            for step in path.split("."):
                assert step in descriptor.fields_by_name
                descriptor = descriptor.fields_by_name[step].message_type


def test_there_are_providers() -> None:
    assert "local" in PROVIDERS
    assert {case.request.kind for case in CASES} == set(OperationKind)


@every_card
def test_a_card_is_complete(card: ModelCard) -> None:
    assert card.provider in PROVIDERS
    assert card.title
    assert card.summary
    assert card.checked_on
    assert card.operations
    makes_images = set(card.operations) - {OperationKind.ANALYZE}
    assert bool(makes_images) == (card.max_count > 0)
    for kind, parameters in card.parameters.items():
        paths = [parameter.path for parameter in parameters]
        assert len(paths) == len(set(paths))
        assert all(parameter.title and parameter.help for parameter in parameters)
        if kind is OperationKind.GENERATE:
            size = card.parameter(kind, "size")
            if size is not None:
                assert isinstance(size.range, SizeRange)
                # A vendor's model may choose by itself; an engine of ours has to be told.
                assert size.range.default_width or issubclass(PROVIDERS[card.provider], Vendor)


@every_card
def test_options_on_a_card_are_those_of_its_provider(card: ModelCard) -> None:
    base = f'options.provider_options["{card.provider}"].'
    for parameters in card.parameters.values():
        for parameter in parameters:
            if parameter.path.startswith("options.provider_options"):
                assert parameter.path.removeprefix(base) in PROVIDERS[card.provider].Options.model_fields


@every_case
@in_loop
async def test_it_makes_what_it_offers(server: Running, case: Case) -> None:
    events = await events_of(server, case.request)
    assert isinstance(events[0], Started)
    *_, completed = events
    assert isinstance(completed, Completed)
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert not [event for event in events if isinstance(event, Picture)]
    if case.request.kind is OperationKind.ANALYZE:
        assert [event for event in events if isinstance(event, Analyzed)]
        assert completed.result.analysis
        return
    (saved,) = [event for event in events if isinstance(event, Saved)]
    image = saved.image
    picture = pictures.opened(await server.app.store.get(ANONYMOUS.tenant, image.artifact))
    assert picture.size == (image.width, image.height) == expected_size(case)
    assert image.media_type in IMAGE_TYPES
    lines = {line.path: line for line in completed.result.fidelity}
    assert not {line.outcome for line in lines.values()} & {"adjusted"}
    # The contract wants a prompt for some edits, whether the model reads it or not.
    dropped = {path for path, line in lines.items() if line.outcome == "dropped"}
    assert not [path for path in dropped if case.card.parameter(case.request.kind, path)]


def expected_size(case: Case) -> tuple[int, int]:
    match case.request:
        case Upscale(size=Size(width=width, height=height)) if width:
            return width, height
        case Upscale(factor=factor):
            return round(SIDE * factor), round(SIDE * factor)
        case Edit(edit=Outpaint() as out):
            return SIDE + out.left + out.right, SIDE + out.top + out.bottom
        case Edit():
            return SIDE, SIDE
    known = case.card.parameter(case.request.kind, "size")
    assert known
    assert isinstance(known.range, SizeRange)
    return known.range.default_width, known.range.default_height


@every_case
@in_loop
async def test_closing_early_leaves_it_usable(server: Running, case: Case) -> None:
    async with aclosing(server.app.run(case.request, CALL)) as events:
        async for event in events:
            if isinstance(event, Progress | Analyzed | Saved):
                break
    *_, completed = await events_of(server, case.request)
    assert isinstance(completed, Completed)


@every_case
@in_loop
async def test_the_same_seed_repeats(server: Running, case: Case) -> None:
    if case.card.parameter(case.request.kind, "seed") is None:
        pytest.skip("it has no seed")
    results = [(await events_of(server, case.request))[-1] for _ in range(2)]
    digests = {r.result.images[0].sha256 for r in results if isinstance(r, Completed)}
    assert len(digests) == 1


@every_case
@in_loop
async def test_previews_are_what_was_asked_for(server: Running, case: Case) -> None:
    request = replace(case.request, options=RequestOptions(preview_count=1))
    events = await events_of(server, request)
    previews = [event for event in events if isinstance(event, Preview)]
    *_, completed = events
    assert isinstance(completed, Completed)
    (line,) = [line for line in completed.result.fidelity if line.path == "options.preview_count"]
    assert line.outcome == ("honored" if case.card.previews else "dropped")
    assert len(previews) <= case.card.previews
    assert all(len(preview.data) <= 256 << 10 for preview in previews)


@every_card
@in_loop
async def test_what_it_does_not_offer_is_refused_by_name(server: Running, card: ModelCard) -> None:
    others = {
        OperationKind.GENERATE: Generate(model=card.id, prompt="a"),
        OperationKind.EDIT: Edit(model=card.id, image=SOURCE, edit=GROWN),
        OperationKind.UPSCALE: Upscale(model=card.id, image=SOURCE, factor=2.0),
        OperationKind.ANALYZE: Analyze(model=card.id, image=SOURCE),
    }
    for kind in set(others) - set(card.operations):
        with pytest.raises(OperationNotOffered) as caught:
            await events_of(server, others[kind])
        assert card.id not in caught.value.metadata["models"].split(",")


@every_case
@in_loop
async def test_unknown_options_are_refused(server: Running, case: Case) -> None:
    options = RequestOptions(provider_options={case.card.provider: {"no_such_option": 1}})
    with pytest.raises(CelesteError) as caught:
        await events_of(server, replace(case.request, options=options))
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.violations[0].field == f'options.provider_options["{case.card.provider}"].no_such_option'
