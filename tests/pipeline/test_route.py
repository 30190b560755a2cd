"""routing: which model does it, and what is said when none does."""

from dataclasses import replace

import pytest
from tests.support.fake_provider import Fake, FakeProvider, card, collect, collect_until_error, parameter

from celeste_image.core.call import Call, EarlierCall
from celeste_image.core.card import ChoiceRange
from celeste_image.core.edits import AnyEdit, Erase, Instruct, Mask, Restyle
from celeste_image.core.errors import InvalidRequest, ModelNotFound, OperationNotOffered, OutcomeUnknown, WeightsMissing
from celeste_image.core.events import Fidelity, Progress, Started
from celeste_image.core.fidelity import FidelityOutcome
from celeste_image.core.image import ImageInput
from celeste_image.core.request import (
    Analyze,
    Edit,
    Generate,
    ImageRequest,
    OperationKind,
    RequestOptions,
    Upscale,
    UpscaleMode,
)
from celeste_image.pipeline.route import cards_for, check_able, routing
from celeste_image.providers.registry import Registry

GENERATE, UPSCALE = OperationKind.GENERATE, OperationKind.UPSCALE
FAKE = FakeProvider(
    [
        card("fake/one", pull="celeste models pull fake/one"),
        card("fake/two"),
        card("fake/two-large/v1.1"),
        card("fake/upscaler", UPSCALE),
    ],
    missing=["fake/one"],
)
OTHER = FakeProvider([card("other/three"), card("other/upscaler", UPSCALE)], name="other")
PROVIDERS = {"fake": FAKE, "other": OTHER}


def routes(**defaults: list[str]) -> Registry:
    return Registry(PROVIDERS, defaults={OperationKind(kind): models for kind, models in defaults.items()})


def generate(model: str = "", **provider_options: dict[str, object]) -> Generate:
    return Generate(prompt="x", model=model, options=RequestOptions(provider_options=provider_options))


@pytest.mark.parametrize("model", ["fake/two", "fake/two-large/v1.1", "other/three"])
async def test_the_model_named_is_told_and_its_provider_does_it(model: str) -> None:
    attempt = {name: Fake(Progress(0.5)) for name in PROVIDERS}
    provider = model.partition("/")[0]
    events = await collect(routing(attempt, routes()), generate(model))
    assert events == [Started(provider, model), Progress(0.5)]
    assert {name: len(fake.asked) for name, fake in attempt.items()} == {n: int(n == provider) for n in PROVIDERS}


async def test_without_a_name_the_first_that_is_ready_does_it_and_gets_its_name() -> None:
    fake = Fake()
    started, told = await collect(routing({"fake": fake}, routes()), generate())
    assert started == Started("fake", "fake/two")
    assert isinstance(told, Fidelity)
    assert (told.line.path, told.line.outcome, told.line.sent) == ("model", FidelityOutcome.ADJUSTED, "fake/two")
    assert "fake/one is the default, but the weights of fake/one are not on the server" in told.line.message
    assert [request.model for request in fake.asked] == ["fake/two"]


@pytest.mark.parametrize(
    ("kind", "defaults", "model"),
    [
        (GENERATE, {}, "fake/two"),
        (GENERATE, {"generate": ["other/three", "fake/two"]}, "other/three"),
        (GENERATE, {"generate": ["fake/one", "fake/two-large/v1.1"]}, "fake/two-large/v1.1"),
        (UPSCALE, {"generate": ["other/three"]}, "fake/upscaler"),
        (UPSCALE, {"upscale": ["other/upscaler"]}, "other/upscaler"),
    ],
)
def test_defaults_come_in_the_order_that_was_set(kind: OperationKind, defaults: dict, model: str) -> None:
    default = routes(**defaults).default(kind)
    assert default and default.id == model


async def test_defaults_that_cannot_be_used_say_how_they_could() -> None:
    registry = routes(generate=["fake/one"])
    assert registry.default(GENERATE) is None
    _, error = await collect_until_error(routing({}, registry), generate())
    assert isinstance(error, WeightsMissing)
    assert error.metadata == {"command": "celeste models pull fake/one"}


@pytest.mark.parametrize(
    ("model", "nearest"),
    [
        ("fake/tow", "fake/two"),
        ("fake/upscale", "fake/upscaler"),
        ("two", None),
        ("Fake/Two", None),
        ("completely different", None),
        ("\N{SNOWMAN}" * 200, None),
    ],
)
async def test_an_unknown_model_is_told_with_those_near_it(model: str, nearest: str | None) -> None:
    seen, error = await collect_until_error(routing({}, routes()), generate(model))
    assert isinstance(error, ModelNotFound)
    assert error.resource == model
    assert [violation.field for violation in error.violations] == ["model"]
    near = [name for name in error.metadata["nearest"].split(",") if name]
    assert len(near) <= 5
    assert set(near) <= set(routes().cards)
    if nearest:
        assert near[0] == nearest
        assert nearest in error.message
    assert seen == [], "nothing started"


async def test_a_model_that_does_something_else_is_told_with_those_that_do_it() -> None:
    _, error = await collect_until_error(routing({}, routes()), Upscale(model="fake/two", image=ImageInput(b"x")))
    assert isinstance(error, OperationNotOffered)
    assert error.metadata == {"models": "fake/upscaler,other/upscaler"}
    assert "fake/upscaler" in error.message


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("change", "models", "others"),
    [
        (Restyle(style="x"), "fake/styles,fake/more", "these can: fake/styles, fake/more"),
        (Instruct("x"), "", "no model of fake can"),
    ],
)
async def test_an_edit_that_the_model_does_not_do_is_refused(
    change: AnyEdit, models: str, others: str, strict: bool
) -> None:
    request = replace(edit(change), model="fake/eraser", options=RequestOptions(strict=strict))
    seen, error = await collect_until_error(routing({}, Registry(EDITORS)), request)
    assert isinstance(error, OperationNotOffered)
    assert error.message == f"fake/eraser can't {change.field}; {others}"
    assert error.metadata == {"models": models}
    assert seen == [], "nothing started"


@pytest.mark.parametrize("model", ["", "fake/two"])
async def test_what_no_model_does_is_told(model: str) -> None:
    _, error = await collect_until_error(routing({}, routes()), Analyze(model=model, image=ImageInput(b"x")))
    assert isinstance(error, OperationNotOffered)
    assert error.metadata.get("models", "") == ""


EDIT = OperationKind.EDIT
EDITORS = {
    "fake": FakeProvider(
        [
            card("fake/eraser", EDIT, edits=("erase",)),
            card("fake/styles", EDIT, edits=("restyle",), pull="celeste models pull fake/styles"),
            card("fake/more", EDIT, edits=("restyle",)),
            card("fake/quick", UPSCALE, parameter("mode", ChoiceRange(("fast",)))),
            card("fake/careful", UPSCALE, parameter("mode", ChoiceRange(("conservative", "fast")))),
        ],
        missing=["fake/styles"],
    ),
    "other": FakeProvider(
        [
            card("other/all", EDIT, edits=("restyle", "erase", "instruct")),
            card("other/wild", UPSCALE, parameter("mode", ChoiceRange(("creative",)))),
        ],
        name="other",
    ),
}


def edit(change: AnyEdit) -> Edit:
    return Edit(image=ImageInput(b"x"), edit=change)


def upscale(mode: UpscaleMode | None) -> Upscale:
    return Upscale(image=ImageInput(b"x"), mode=mode)


@pytest.mark.parametrize(
    ("request_", "model"),
    [
        (edit(Erase(Mask(ImageInput(b"x")))), "fake/eraser"),
        (edit(Restyle(style="x")), "fake/more"),
        (edit(Instruct("x")), "fake/eraser"),
        (upscale(None), "fake/quick"),
        (upscale(UpscaleMode.FAST), "fake/quick"),
        (upscale(UpscaleMode.CONSERVATIVE), "fake/careful"),
        (upscale(UpscaleMode.CREATIVE), "fake/quick"),
    ],
)
def test_without_a_name_the_first_that_suits_does_it(request_: ImageRequest, model: str) -> None:
    """What no model of the first provider does stays there to be refused: a key for another one changes nothing."""
    assert [card.id for card in cards_for(request_, Registry(EDITORS))] == [model]


def test_what_the_operator_set_may_be_of_any_provider() -> None:
    chosen = Registry(EDITORS, defaults={EDIT: ["fake/eraser", "other/all"]})
    for change, model in ((Instruct("x"), "other/all"), (Erase(Mask(ImageInput(b"x"))), "fake/eraser")):
        assert [card.id for card in cards_for(edit(change), chosen)] == [model]


def test_the_only_ones_that_suit_may_lack_their_weights() -> None:
    styles = FakeProvider(EDITORS["fake"].cards[:2], missing=["fake/styles"])
    request, registry = edit(Restyle(style="x")), Registry({"fake": styles})
    with pytest.raises(WeightsMissing, match="celeste models pull fake/styles"):
        check_able(*cards_for(request, registry), request, registry)


async def test_missing_weights_say_how_to_get_them() -> None:
    _, error = await collect_until_error(routing({}, routes()), generate("fake/one"))
    assert isinstance(error, WeightsMissing)
    assert error.metadata == {"command": "celeste models pull fake/one"}
    assert "celeste models pull fake/one" in error.message


async def test_options_for_a_provider_that_is_not_there_are_refused() -> None:
    _, error = await collect_until_error(routing({}, routes()), generate("fake/two", fakke={"a": 1}))
    assert isinstance(error, InvalidRequest)
    assert [violation.field for violation in error.violations] == ['options.provider_options["fakke"]']
    assert "fake, other" in error.message


async def test_options_for_another_provider_do_no_harm() -> None:
    attempt = {"fake": Fake()}
    events = await collect(routing(attempt, routes()), generate("fake/two", other={"a": 1}, fake={}))
    assert events == [Started("fake", "fake/two")]


async def test_a_repeat_stays_with_the_model_that_an_earlier_run_came_to() -> None:
    fake = Fake()
    nothing = EarlierCall("1", "fake/two", range(1), is_settled=True, is_owed=False)
    call = Call("a-call", earlier=(nothing, EarlierCall("2", "fake/two-large/v1.1", range(1)), nothing))
    (started,) = [
        event
        async for event in routing({"fake": fake}, routes())(generate("fake/two"), call)
        if isinstance(event, Started)
    ]
    assert started.model == "fake/two-large/v1.1"
    gone = replace(call, earlier=(EarlierCall("3", "fake/gone", range(1)),))
    with pytest.raises(OutcomeUnknown) as caught:
        await collect(routing({"fake": fake}, routes()), generate("fake/two"), gone)
    assert caught.value.metadata["ledger_entry"] == "3"
    assert len(fake.asked) == 1
