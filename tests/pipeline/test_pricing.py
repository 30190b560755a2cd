"""The cost of a call: which amounts count, conditions of prices, and arithmetic that loses nothing."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_provider import OPTIONS, PAINTER, REQUEST, card, loaded, parameter, saved

from celeste_image.core.card import ChoiceRange, ModelCard, Price
from celeste_image.core.edits import Inpaint, Mask
from celeste_image.core.errors import ProviderFailed, SafetyBlocked
from celeste_image.core.events import Billed, Event, Fidelity, ImageFailed
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.image import Size
from celeste_image.core.money import MOST_NANOS, Cost, CostBasis, Money, Quantity, quantities
from celeste_image.core.price_rules import conditions_in
from celeste_image.core.request import Edit, Generate, ImageRequest, OperationKind, RequestOptions
from celeste_image.pipeline.pricing import Made, cost_of, expected_cost
from celeste_image.providers.registry import discover

CENT = 10_000_000
CALCULATED = CostBasis.CALCULATED
IMAGE = (Price("image", "0.04"),)
TOKENS = (Price("input_text_token", "5", per=10**6), Price("output_image_token", "30", per=10**6))
QUALITY = (
    Price("image", "0.01", when="quality low, size 512x512 or 1024x1024"),
    Price("image", "0.02", when="quality medium, size 512x512"),
)
FLUX = (
    Price("image", "0.03", when="first megapixel"),
    Price("megapixel", "0.015", when="begun, beyond the first, input and output"),
    Price("credit", "0.01"),
)
CHOOSY = card("fake/one", OperationKind.GENERATE, parameter("quality", ChoiceRange(("low", "medium"), "auto")))
TIERED = card(
    "fake/one",
    OperationKind.GENERATE,
    parameter(f"{OPTIONS}.image_size", ChoiceRange(("1K", "2K"), "1K")),
    prices=(Price("image", "0.04", when="image_size 1K"), Price("image", "0.08", when="image_size 2K")),
)
lost = ImageFailed
OWED, UNKNOWN, FREE = {"owed": "true"}, {"owed": "unknown"}, {"owed": "false"}


def made(*events: Event) -> Made:
    found = Made()
    for event in events:
        found.add(event)
    return found


def priced(*prices: Price, like: ModelCard = PAINTER) -> ModelCard:
    return replace(like, prices=prices)


def settled(nanos: int, basis: CostBasis) -> Cost:
    return Cost(Money("USD", nanos), basis=basis)


def option(**values: Any) -> ImageRequest:
    return replace(REQUEST, options=RequestOptions(provider_options={"fake": values}))


def counted(**amounts: float) -> Billed:
    return Billed(quantities(amounts))


@pytest.mark.parametrize(
    ("prices", "events", "cost"),
    [
        (FLUX, [counted(credit=4.5), saved()], settled(45_000_000, CostBasis.REPORTED)),
        (FLUX, [counted(credit=0.0), saved()], settled(0, CostBasis.REPORTED)),
        (FLUX, [counted(credit=1, output_image_token=9), saved()], settled(CENT, CostBasis.REPORTED)),
        (FLUX, [saved()], settled(3 * CENT, CostBasis.ESTIMATED)),
        ((), [counted(USD=0.0123), saved()], settled(12_300_000, CostBasis.REPORTED)),
        ((), [counted(USD=1, EUR=1), saved()], Cost(unpriced_calls=1)),
        ((), [counted(credit=4.5), saved()], Cost(unpriced_calls=1)),
        ((), [saved()], Cost(unpriced_calls=1)),
        (TOKENS, [counted(input_text_token=50, output_image_token=1056), saved()], settled(31_930_000, CALCULATED)),
        (TOKENS, [counted(input_token=50, output_image_token=1056), saved()], settled(31_930_000, CALCULATED)),
        (TOKENS, [counted(output_image_token=1056, output_text_token=1), saved()], Cost(unpriced_calls=1)),
        (TOKENS, [saved()], Cost(unpriced_calls=1)),
        (
            (Price("image", "0.04"),),
            [counted(input_token=9), saved(), saved(1)],
            settled(8 * CENT, CostBasis.ESTIMATED),
        ),
        ((Price("image", "0"),), [saved()], settled(0, CostBasis.ESTIMATED)),
        ((Price("image", "0.04", when="on Sundays!"),), [saved()], Cost(unpriced_calls=1)),
        ((Price("image", "0.04", when="edit"),), [saved()], Cost(unpriced_calls=1)),
        ((Price("image", "9", when="edit"), Price("image", "0.04")), [saved()], settled(4 * CENT, CostBasis.ESTIMATED)),
        ((Price("image", "1"), Price("megapixel", "1", "EUR")), [saved()], Cost(unpriced_calls=1)),
        ((Price("image", "9999999999"),), [saved()], Cost(unpriced_calls=1)),
    ],
)
def test_what_counts(prices: Sequence[Price], events: Sequence[Event], cost: Cost) -> None:
    assert cost_of(priced(*prices), REQUEST, made(*events), owed=True) == cost


def test_a_second_model_has_prices_of_its_own() -> None:
    other = card("fake/other", prices=(Price("output_text_token", "7", per=1000),))
    both = made(counted(output_image_token=1000), Billed((Quantity("output_text_token", 2, "fake/other"),)), saved())
    own = priced(*TOKENS)
    assert cost_of(own, REQUEST, both, owed=True, cards={"fake/other": other}) == settled(44_000_000, CALCULATED)
    assert cost_of(own, REQUEST, both, owed=True) == Cost(unpriced_calls=1), "nobody knows the other model"


@pytest.mark.parametrize(
    ("request_", "events", "cents"),
    [
        (replace(REQUEST, quality="low"), [saved(width=512, height=512)], 1),
        (replace(REQUEST, quality="low"), [saved(width=1024, height=1024)], 1),
        (replace(REQUEST, quality="medium"), [saved(width=512, height=512)], 2),
        (replace(REQUEST, quality="medium"), [saved(width=1024, height=1024)], None),
        (REQUEST, [saved(width=512, height=512)], None),
        (REQUEST, [Fidelity(FidelityLine.found("quality", "medium")), saved(width=512, height=512)], 2),
        (
            replace(REQUEST, quality="low"),
            [Fidelity(FidelityLine.found("quality", "medium")), saved(width=512, height=512)],
            2,
        ),
    ],
)
def test_a_condition_is_about_what_was_used(request_: ImageRequest, events: list[Event], cents: int | None) -> None:
    cost = cost_of(priced(*QUALITY, like=CHOOSY), request_, made(*events), owed=True)
    assert cost == (Cost(unpriced_calls=1) if cents is None else settled(cents * CENT, CostBasis.ESTIMATED))


@pytest.mark.parametrize(
    ("request_", "events", "cents"),
    [
        (option(image_size="2K"), [saved(width=1024, height=1024)], 8),
        (REQUEST, [saved(width=2400, height=1700)], 8),
        (REQUEST, [saved(width=1100, height=1000)], 4),
        (replace(REQUEST, size=Size(2048, 2048)), [], 8),
        (REQUEST, [], 4),
    ],
)
def test_a_named_size_is_the_one_that_was_asked_for_or_the_nearest(
    request_: ImageRequest, events: list[Event], cents: int
) -> None:
    assert cost_of(TIERED, request_, made(*events), owed=None) == Cost(uncertain=Money("USD", cents * CENT))


@pytest.mark.parametrize(
    ("size", "inputs", "nanos"),
    [
        ((1024, 1024), 0, 30_000_000),
        ((1024, 1025), 0, 45_000_000),
        ((2048, 1024), 0, 45_000_000),
        ((512, 512), 1, 45_000_000),
        ((512, 512), 2, 60_000_000),
    ],
)
def test_begun_megapixels_count_and_those_of_inputs_too(size: tuple[int, int], inputs: int, nanos: int) -> None:
    event = saved(width=size[0], height=size[1])
    if not inputs:
        assert cost_of(priced(*FLUX), REQUEST, made(event), owed=True) == settled(nanos, CostBasis.ESTIMATED)
        return
    sizes = [(1024, 1024), (1024, 1025)]
    source = loaded(*sizes[inputs - 1])
    edit = Edit(model="fake/one", image=source, edit=Inpaint(Mask(loaded(2000, 2000)), "a bird"), count=1)
    assert cost_of(priced(*FLUX), edit, made(event), owed=True) == settled(nanos, CostBasis.ESTIMATED)


@pytest.mark.parametrize(
    ("events", "owed", "cost"),
    [
        ([], False, settled(0, CALCULATED)),
        ([], True, settled(12 * CENT, CostBasis.ESTIMATED)),
        ([], None, Cost(uncertain=Money("USD", 12 * CENT))),
        ([saved()], None, Cost(uncertain=Money("USD", 12 * CENT))),
        ([saved()], True, settled(4 * CENT, CostBasis.ESTIMATED)),
        (
            [
                saved(),
                ImageFailed(1, ProviderFailed("x", metadata=OWED)),
                ImageFailed(2, SafetyBlocked("x", metadata=FREE)),
            ],
            True,
            settled(8 * CENT, CostBasis.ESTIMATED),
        ),
        (
            [saved(), lost(1, SafetyBlocked("x", metadata=UNKNOWN)), lost(2, ProviderFailed("x"))],
            True,
            Cost(Money("USD", 4 * CENT), Money("USD", 4 * CENT), CostBasis.ESTIMATED),
        ),
    ],
)
def test_what_a_call_owes(events: list[Event], owed: bool | None, cost: Cost) -> None:
    three = replace(REQUEST, count=3)
    assert cost_of(priced(Price("image", "0.04")), three, made(*events), owed) == cost


def test_a_call_that_was_counted_and_may_be_owed_may_cost_what_was_counted() -> None:
    assert cost_of(priced(*FLUX), REQUEST, made(counted(credit=4.5)), None) == Cost(uncertain=Money("USD", 45_000_000))
    assert expected_cost(priced(*FLUX), REQUEST) == Cost(uncertain=Money("USD", 3 * CENT))
    assert expected_cost(priced(*TOKENS), REQUEST) == Cost(unpriced_calls=1)


amounts = st.decimals(0, 10**6, places=3).map(float)
rates = st.decimals(0, 1000, places=9).map(str)
pers = st.sampled_from([1, 3, 1000, 10**6])


def calculated(rate: str, per: int, *parts: float) -> int:
    events = [Billed((Quantity("thing", amount),)) for amount in parts]
    cost = cost_of(priced(Price("thing", rate, per=per)), REQUEST, made(*events), owed=True)
    assert cost.settled is not None
    return cost.settled.nanos


@given(rates, pers, st.lists(amounts, min_size=1, max_size=5))
def test_parts_cost_what_their_sum_costs_and_it_is_rounded_once_half_up(
    rate: str, per: int, parts: list[float]
) -> None:
    exact = sum((Fraction(Decimal(repr(part))) for part in parts), Fraction(0)) * Fraction(Decimal(rate)) / per * 10**9
    nanos = calculated(rate, per, *parts)
    assert nanos >= 0
    assert -Fraction(1, 2) < nanos - exact <= Fraction(1, 2)
    assert nanos == calculated(rate, per, float(sum(map(Decimal, map(repr, parts)))))


@given(rates, pers, amounts, amounts)
def test_more_never_costs_less(rate: str, per: int, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert calculated(rate, per, less) <= calculated(rate, per, more)


@given(st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 8))
def test_larger_images_and_more_of_them_never_cost_less(width: int, height: int, more: int, count: int) -> None:
    def nanos(width: int, height: int, count: int) -> int:
        events = [saved(index, width=width, height=height) for index in range(count)]
        money = cost_of(priced(*FLUX), REQUEST, made(*events), owed=True).settled
        assert money is not None
        return money.nanos

    assert 0 < nanos(width, height, count) <= nanos(width + more, height, count)
    assert nanos(width, height, count) == count * nanos(width, height, 1)


@given(st.text(max_size=60), st.none() | st.text(max_size=5))
def test_any_words_of_a_price_are_read(when: str, value: str | None) -> None:
    conditions = conditions_in(when)
    holds = conditions.holds(OperationKind.GENERATE, dict.fromkeys(conditions.fields, value))
    assert conditions.readable or holds is not True, "a price that nobody understands is not used"


def test_all_prices_of_the_catalog_can_be_computed() -> None:
    cards = [each for provider in discover().values() for each in getattr(provider, "cards", ())]
    assert any(each.prices for each in cards)
    for each in cards:
        for price in each.prices:
            conditions = conditions_in(price.when)
            assert conditions.readable
            for name in conditions.fields:
                known = [p.path.rpartition(".")[2] for parameters in each.parameters.values() for p in parameters]
                assert name in known, f"{each.id} has no {name}"


def test_an_amount_beyond_the_contract_is_unknown() -> None:
    huge = made(Billed((Quantity("USD", MOST_NANOS / 10**9 * 2),)))
    assert cost_of(PAINTER, Generate(prompt="x", count=1), huge, owed=True) == Cost(unpriced_calls=1)
