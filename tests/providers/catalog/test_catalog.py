"""Model catalog: every file is valid, and an invalid file is refused with the place of the error."""

import copy
from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest
from tests.support.recording_evidence import RANKS

from celeste_image.core.card import ImageRange, ModelCard, ModelStage, SizeRange
from celeste_image.core.edits import EDITS
from celeste_image.core.request import OperationKind
from celeste_image.pipeline.fidelity.sizes import ratio_of
from celeste_image.providers import catalog
from celeste_image.providers.catalog import cards_from, load_cards, load_catalog, load_title
from celeste_image.providers.registry import discover

NAMES = sorted(path.name.removesuffix(".yaml") for path in files(catalog).iterdir() if path.name.endswith(".yaml"))
CARDS = [card for name in NAMES for card in load_cards(name)]
every_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
every_file = pytest.mark.parametrize("name", NAMES)


@every_file
def test_every_file_loads_and_has_a_provider(name: str) -> None:
    assert load_title(name)
    assert load_cards(name)
    provider = discover()[name]
    assert tuple(provider.cards) == load_cards(name)
    assert provider.title == load_title(name)


@every_file
def test_every_parameter_is_used(name: str) -> None:
    catalog = load_catalog(name)
    used = {
        parameter for model in catalog["models"] for kind in OperationKind for parameter in model.get(kind.value, ())
    }
    assert used - EDITS.keys() == set(catalog["parameters"])


@every_card
def test_a_replacement_exists_and_is_in_use(card: ModelCard) -> None:
    if card.replacement:
        (other,) = [other for other in CARDS if other.id == card.replacement]
        assert other.stage is ModelStage.ACTIVE
        assert set(card.operations) <= set(other.operations)
    if card.stage is ModelStage.RETIRED:
        assert card.ends_on


@every_card
def test_what_takes_a_mask_takes_a_lock(card: ModelCard) -> None:
    """Without the parameter the pipeline assumes that a model keeps to masks by itself; no vendor's model does."""
    for edit in ("inpaint", "erase"):
        if edit in card.edits:
            assert card.parameter(OperationKind.EDIT, f"{edit}.pixel_lock")


@every_card
def test_dates_are_dates(card: ModelCard) -> None:
    assert date.fromisoformat(card.checked_on) <= date(2100, 1, 1)
    if card.ends_on:
        date.fromisoformat(card.ends_on)


@every_card
def test_every_price_has_a_source_and_a_date(card: ModelCard) -> None:
    for price in card.prices:
        assert price.source and price.unit
        assert Decimal(price.amount) >= 0
        assert price.currency.isupper() and len(price.currency) == 3
        date.fromisoformat(price.checked_on)


@every_card
def test_a_card_says_how_it_is_known(card: ModelCard) -> None:
    assert card.evidence in RANKS
    assert card.source


@every_card
def test_sizes_are_possible(card: ModelCard) -> None:
    for parameters in card.parameters.values():
        for parameter in parameters:
            known = parameter.range
            if isinstance(known, SizeRange):
                assert known.minimum_side <= known.maximum_side
                assert all(ratio_of(ratio) > 0 for ratio in known.ratios)
                assert not (known.ratios and known.sizes)
                defaults = (known.default_width, known.default_height)
                assert defaults == (0, 0) or defaults[0] * defaults[1] <= known.maximum_megapixels * 1e6 * 1.01
                step = known.multiple_of or 1
                assert not known.multiple_of or defaults[0] % step == defaults[1] % step == 0
                assert not known.sizes or defaults == (0, 0) or defaults in known.sizes
            if isinstance(known, ImageRange):
                assert all(kind.startswith("image/") for kind in known.media_types)


@every_card
def test_an_edit_is_one_that_there_is_and_has_what_it_needs(card: ModelCard) -> None:
    paths = [parameter.path for parameter in card.parameters.get(OperationKind.EDIT, ())]
    for path in paths:
        head = path.partition(".")[0]
        if head in EDITS:
            assert head in card.edits, f"{path} of an edit that is not offered"
            assert path != head, "an edit is in `edits`"
    assert bool(card.edits) == (OperationKind.EDIT in card.operations)


GOOD: dict[str, Any] = {
    "title": "T",
    "checked_on": date(2026, 11, 22),
    "source": "https://example.test",
    "parameters": {
        "prompt": {"path": "prompt", "text": {"max_length": 9}, "title": "P", "help": "H", "required": True},
        "size": {
            "path": "size",
            "size": {"minimum_side": 1, "maximum_side": 9, "maximum_megapixels": 1, "ratios": ["16:9"]},
            "title": "S",
            "help": "H",
        },
        "raw": {"path": "options.raw", "bool": None, "title": "R", "help": "H"},
    },
    "models": [
        {
            "id": "m",
            "title": "M",
            "summary": "S",
            "generate": ["prompt", "size", "raw"],
            "prices": [{"unit": "image", "amount": "0.04", "source": "s", "checked_on": date(2026, 1, 2)}],
        }
    ],
}


def test_a_catalog_becomes_cards() -> None:
    (card,) = cards_from("x", GOOD)
    assert (card.id, card.provider, card.name_on_wire, card.stage) == ("x/m", "x", "m", ModelStage.ACTIVE)
    assert (card.checked_on, card.source) == ("2026-11-22", "https://example.test")
    assert card.parameter(OperationKind.GENERATE, 'options.provider_options["x"].raw')
    (price,) = card.prices
    assert (price.amount, price.checked_on) == ("0.04", "2026-01-02")


def changed(path: str, value: Any) -> dict[str, Any]:
    """Returns GOOD with another value at a path; None removes the value."""
    made = copy.deepcopy(GOOD)
    at: Any = made
    *above, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in above:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return made


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("modles", [], "x: unknown keys modles"),
        ("title", None, "x: title is missing"),
        ("models", None, "x: models is missing"),
        ("checked_on", None, "x: checked_on is missing"),
        ("models/0/id", None, "models.None.*'id'"),
        ("models/0/title", None, "models.m.*'title'"),
        ("models/0/color", "red", "models.m: unknown keys color"),
        ("models/0/stage", "dead", "'dead' is not a valid"),
        ("models/0/generate/0", "prmpt", "models.m: 'prmpt' is missing"),
        ("models/1", GOOD["models"][0], "x: two models have the id x/m"),
        ("models/0/prices/0/amount", None, "models.m.*'amount'"),
        ("models/0/prices/0/amount", 0.04, "models.m: the amount 0.04"),
        ("models/0/prices/0/amount", "cheap", "models.m: the amount 'cheap'"),
        ("models/0/prices/0/amount", "Infinity", "models.m: the amount"),
        ("models/0/prices/0/amount", "NaN", "models.m: the amount"),
        ("models/0/prices/0/amount", "-1", "models.m: the amount '-1'"),
        ("models/0/prices/0/ammount", "1", "models.m.*'ammount'"),
        ("parameters/prompt/path", None, "parameters.prompt: 'path' is missing"),
        ("parameters/prompt/title", None, "parameters.prompt.*'title'"),
        ("parameters/prompt/text", None, "parameters.prompt: needs exactly one of"),
        ("parameters/prompt/bool", {}, "parameters.prompt: needs exactly one of"),
        ("parameters/prompt/text/max", 3, "parameters.prompt.*'max'"),
        ("parameters/prompt/hlep", "x", "parameters.prompt.*'hlep'"),
        ("parameters/size/size/ratios", [969], "parameters.size: 969 is not a ratio; is it in quotes"),
        ("parameters/size/size/ratios", ["0:1"], "parameters.size: '0:1' is not a ratio"),
    ],
)
def test_what_is_no_catalog_is_refused_with_the_place(path: str, value: Any, text: str) -> None:
    made = changed(path, value) if not path.startswith("models/1") else {**GOOD, "models": [*GOOD["models"], value]}
    with pytest.raises(ValueError, match=text):
        cards_from("x", made)
