"""The operator's own word on the catalog: an overlay file, and ids that nobody knows."""

import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.support.servers import Running, running

from celeste_image.app import build_app
from celeste_image.client import AsyncClient
from celeste_image.config import Settings
from celeste_image.core.card import ModelCard, ModelStage
from celeste_image.core.errors import CelesteError, InvalidRequest, ModelNotFound, ModelRetired
from celeste_image.core.events import Completed, Warned
from celeste_image.core.request import Generate, RequestOptions
from celeste_image.emulate import EMULATED, emulating
from celeste_image.providers.catalog.overlay import load_overlay, overlaid
from celeste_image.providers.registry import build_providers, stranger_card
from celeste_image.v1 import GetModelRequest, ModelServiceStub
from celeste_image.v1 import model_service_pb2 as pb

OVERLAY = """
checked_on: 2026-11-28
source: our contract
models:
  - id: openai/gpt-image-2
    max_count: 2
    prices: [{unit: image, amount: "0.03", currency: EUR}]
    parameters:
      size: {maximum_side: 1024, maximum_megapixels: 1.1}
      quality: {values: [low], default: low}
      options.moderation: null
  - id: openai/house
    like: openai/gpt-image-2
    title: House model
    wire_id: gpt-image-2
  - id: stability/cheap
    like: stability/core
    prices: [{unit: image, amount: "0.02"}]
  - id: openai/gpt-image-2.6-flare
    stage: retired
    ends_on: 2026-12-24
    replacement: openai/house
"""


async def got(server: Running, model: str) -> pb.Model:
    async with grpc.aio.insecure_channel(server.address) as channel:
        return (await ModelServiceStub(channel).GetModel(GetModelRequest(model=model))).model


async def test_an_overlay_adds_and_changes_models(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(OVERLAY)
    async with (
        emulating([EMULATED["openai"], EMULATED["stability"]]) as emulator,
        running(providers=emulator.tables, catalog={"file": str(file)}) as server,
        AsyncClient(server.address) as client,
    ):
        known = await got(server, "openai/gpt-image-2")
        assert known.max_count == 2
        (price,) = known.prices
        assert (price.price.nanos, price.price.currency_code, price.source) == (30_000_000, "EUR", "our contract")
        assert price.checked_on == known.checked_on == "2026-11-28"
        sizes = {p.size.maximum_side for p in known.parameters if p.path == "size"}
        assert sizes == {1024}
        qualities = [p.choice for p in known.parameters if p.path == "quality"]
        assert all(list(choice.values) == ["low"] and choice.default_value == "low" for choice in qualities)
        assert not [p for p in known.parameters if p.path.endswith(".moderation")]

        house = await got(server, "openai/house")
        assert (house.display_name, house.evidence) == ("House model", pb.MODEL_EVIDENCE_CONFIGURATION)
        assert house.max_count == 2, "as the model that it is like, as changed"
        assert not house.prices, "those of the other are not its own"
        result = await client.generate("a boat", model="openai/house", size="1024x1024")
        assert (result.images[0].width, result.model) == (1024, "openai/house")
        assert (await client.generate("a boat", model="stability/cheap")).images, "by the form of stability/core"
        with pytest.raises(InvalidRequest) as caught:
            await client.generate("a boat", model="openai/gpt-image-2", size="1536x512")
        assert caught.value.violations[0].field == "size.width"
        with pytest.raises(ModelRetired, match="2026-12-24; use openai/house"):
            await client.generate("a boat", model="openai/gpt-image-2.6-flare")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- [", "is not YAML"),
        ("checked_on: 2026-11-28", "models: is missing"),
        ("checked_on: 2026-11-28\nmodels: [{id: openai/gpt-image-2, color: red}]", "models.0.color: "),
        ("checked_on: 2026-11-28\nmodels: [{id: openai/gpt-image-2, max_count: 0}]", "models.0.max_count: "),
        ("checked_on: x\nmodels: []", "checked_on: "),
        ("checked_on: 2026-11-28\nmodels: [{id: openai/x}]", "openai/x: is not in the catalog"),
        ("checked_on: 2026-11-28\nmodels: [{id: openai/x, like: bfl/flux-2-pro}]", "is not a model of openai"),
        (
            "checked_on: 2026-11-28\nmodels: [{id: openai/gpt-image-2, like: openai/dall-e-3}]",
            "is in the catalog, so `like` can't be set",
        ),
        ("checked_on: 2026-11-28\nmodels: [{id: nobody/x}]", "there is no provider 'nobody'"),
        ("checked_on: 2026-11-28\nmodels: [{id: openai/dall-e-3}, {id: openai/dall-e-3}]", "has two entries"),
        (
            "checked_on: 2026-11-28\nmodels: [{id: openai/dall-e-3, replacement: openai/y}]",
            "replacement 'openai/y' is not in the catalog",
        ),
        (
            "checked_on: 2026-11-28\nmodels: [{id: openai/gpt-image-2, parameters: {seed: {maximum: 9}}}]",
            "parameters: the model does not have seed",
        ),
        (
            "checked_on: 2026-11-28\nmodels: [{id: openai/gpt-image-2, parameters: {size: {largest: 9}}}]",
            "parameters.size: does not have largest; it has minimum_side, ",
        ),
        (
            "checked_on: 2026-11-28\nmodels: [{id: openai/gpt-image-2, parameters: {size: {maximum_side: big}}}]",
            "parameters.size.maximum_side: ",
        ),
        (
            "checked_on: 2026-11-28\nmodels: [{id: openai/gpt-image-2, parameters: {size: {required: perhaps}}}]",
            "models.0.parameters.size.required: ",
        ),
        (
            "checked_on: 2026-11-28\nmodels: [{id: openai/gpt-image-2, parameters: {size: {maximum_side: 9}}}]",
            "minimum_side 480 is above maximum_side 9",
        ),
        (
            'checked_on: 2026-11-28\nmodels: [{id: openai/gpt-image-2, prices: [{unit: image, amount: "-1"}]}]',
            "models.0.prices.0.amount: ",
        ),
    ],
)
def test_what_is_wrong_with_an_overlay_is_said_at_the_start(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(text)
    assert words in refusal(file=str(file))


def test_the_example_of_the_docs_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "models.yaml").write_text(text)
    cards = [card for provider in build_providers({}).values() for card in provider.cards]
    made = {card.id: card for card in overlaid(load_overlay(tmp_path / "models.yaml"), cards)}
    assert made.keys() - {card.id for card in cards} == {"openai/gpt-image-3"}


def test_a_file_that_is_not_there_is_said_too(tmp_path: Path) -> None:
    assert "nowhere.yaml: can't be read: No such file" in refusal(file=str(tmp_path / "nowhere.yaml"))


@pytest.mark.parametrize("name", ["local", "stability", "nobody"])
def test_unknown_ids_pass_only_where_that_can_be(name: str) -> None:
    assert f"catalog.allow_unknown: {name!r} takes no unknown ids; these do: " in refusal(allow_unknown=[name])


def refusal(**catalog: Any) -> str:
    with pytest.raises(ValueError, match=r"catalog|models\.yaml") as caught:
        build_app(Settings(store={"url": "memory:///"}, catalog=catalog))  # type: ignore[arg-type]
    return str(caught.value)


async def test_an_id_that_nobody_knows_passes_where_the_operator_lets_it() -> None:
    model = "azure_openai/gpt-image-2.5-flare"
    async with emulating([EMULATED["azure_openai"]]) as emulator:
        table = emulator.tables["azure_openai"]
        table |= {"models": [entry for entry in table["models"] if entry["id"] == "gpt-image-2"]}
        tables = {"azure_openai": table}
        async with running(providers=tables) as server, AsyncClient(server.address) as client:
            with pytest.raises(ModelNotFound):
                await client.generate("a boat", model=model)
        catalog = {"allow_unknown": ["azure_openai"]}
        async with running(providers=tables, catalog=catalog) as server, AsyncClient(server.address) as client:
            options = RequestOptions(strict=True)
            request = Generate(model=model, prompt="a boat", options=options)
            *_, completed = events = [event async for event in client.stream(request)]
            assert isinstance(completed, Completed)
            (line,) = [line for line in completed.result.fidelity if line.path == "model"]
            note = f"{model} is not in the catalog; treated like azure_openai/gpt-image-2"
            assert (line.outcome.value, line.sent, line.message) == ("honored", "gpt-image-2.5-flare", note)
            assert [event for event in events if isinstance(event, Warned)] == [Warned("model", note)]
            assert completed.result.model == model
            assert (await got(server, model)).evidence == pb.MODEL_EVIDENCE_UNSPECIFIED
            assert model not in server.app.registry.cards, "nothing of it is kept"
            with pytest.raises(CelesteError) as caught:
                await client.generate("a boat", model="azure_openai/nobody")
            assert caught.value.reason == "MODEL_NOT_FOUND", "the vendor's own word"
            for odd in ("azure_openai/../x", "azure_openai/a?b", "azure_openai/", "openai/new"):
                with pytest.raises(CelesteError) as caught:
                    await client.generate("a boat", model=odd)
                assert caught.value.reason in ("MODEL_NOT_FOUND", "INVALID_FIELD")
            paths = {entry.path for entry in emulator.ledger.entries}
            assert not [path for path in paths if ".." in path]


def test_the_nearest_name_stands_in_and_never_a_retired_one() -> None:
    near, far = (ModelCard(f"x/{name}", name, "", {}) for name in ("flux-2-pro", "flux-kontext"))
    gone = ModelCard("x/flux-3-pr", "gone", "", {}, stage=ModelStage.RETIRED)
    stranger = stranger_card("x/flux-3-pro", [near, far, gone])
    assert (stranger.id, stranger.like, stranger.name_on_wire) == ("x/flux-3-pro", "x/flux-2-pro", "flux-3-pro")
