"""routing, with several models: who is asked next, when nobody is, and what is said of it."""

from dataclasses import replace

import pytest
from tests.support.fake_provider import CALL, Fake, FakeProvider, card, collect, output, saved

from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import (
    ERRORS,
    Attempt,
    CelesteError,
    EngineLost,
    InvalidRequest,
    ModelNotFound,
    OutcomeUnknown,
    ProviderBilling,
    ProviderCredentials,
    ProviderRateLimited,
    ProvidersUnavailable,
    ProviderUnavailable,
    QueueFull,
    SafetyBlocked,
    Violation,
)
from celeste_image.core.events import Completed, Event, Fidelity, Progress, Saved, Started, Submitted
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.request import Generate, OperationKind, RequestOptions, Routing
from celeste_image.pipeline.complete import completing
from celeste_image.pipeline.route import cards_for, routing
from celeste_image.providers.registry import Registry

PROVIDERS = {
    "one": FakeProvider([card("one/a"), card("one/b"), card("one/upscaler", OperationKind.UPSCALE)], name="one"),
    "two": FakeProvider([card("two/a")], name="two"),
    "three": FakeProvider([card("three/a"), card("three/bare")], name="three", missing=["three/bare"]),
}
ALIASES = {"draft": ["one/a", "two/a"], "final": ["two/a", "three/a"]}
DOWN, BUSY = ProviderUnavailable("down"), ProviderRateLimited("busy", retry_after=7.0)
HONORED, ADJUSTED = FidelityOutcome.HONORED, FidelityOutcome.ADJUSTED


def request(model: str = "one/a", *fallbacks: str, **options: object) -> Generate:
    return Generate(prompt="x", model=model, options=RequestOptions(routing=Routing(fallbacks), **options))  # type: ignore[arg-type]


class Roads:
    """The roads of three providers, each with a script of its own; the last of those not named works."""

    def __init__(self, **scripts: object) -> None:
        self.fakes = {
            name: script if isinstance(script, Fake) else Fake(script or saved())  # type: ignore[arg-type]
            for name, script in ({"one": None, "two": None, "three": None} | scripts).items()
        }
        self.routes = Registry(PROVIDERS, aliases=ALIASES)
        self.run = routing(self.fakes, self.routes, clock=lambda: 1000.0)

    async def outcome(self, asked: Generate, call: Call = CALL) -> tuple[list[Event], CelesteError | None]:
        seen: list[Event] = []
        try:
            async for event in self.run(asked, call):
                seen.append(event)
        except CelesteError as error:
            return seen, error
        return seen, None

    def asked(self, name: str) -> int:
        return len(self.fakes[name].asked)


def line(events: list[Event]) -> FidelityLine:
    (*_, last) = [event.line for event in events if isinstance(event, Fidelity)]
    assert last.path == "model"
    return last


# Which models


@pytest.mark.parametrize(
    ("asked", "models"),
    [
        (request(), ["one/a"]),
        (request("one/a", "two/a", "one/b"), ["one/a", "two/a", "one/b"]),
        (request("one/a", "one/a", "two/a"), ["one/a", "two/a"]),
        (request("draft"), ["one/a", "two/a"]),
        (request("draft", "final", "one/b"), ["one/a", "two/a", "three/a", "one/b"]),
        (request(""), ["one/a"]),
        (request("", "two/a"), ["one/a", "two/a"]),
    ],
)
def test_candidates_come_in_order_and_once(asked: Generate, models: list[str]) -> None:
    assert [card.id for card in cards_for(asked, Registry(PROVIDERS, aliases=ALIASES))] == models


@pytest.mark.parametrize(
    ("asked", "path"),
    [(request("drfat"), "model"), (request("draft", "two/a", "thre/a"), "options.routing.fallback_models[1]")],
)
async def test_a_name_that_is_none_is_refused_before_anybody_is_asked(asked: Generate, path: str) -> None:
    roads = Roads()
    events, error = await roads.outcome(asked)
    assert (events, type(error)) == ([], ModelNotFound)
    assert error and [violation.field for violation in error.violations] == [path]


async def test_the_first_does_it_and_nobody_else_is_asked() -> None:
    roads = Roads()
    events, error = await roads.outcome(request("one/a", "two/a"))
    assert (events, error) == ([Started("one", "one/a", 1), saved()], None)
    assert roads.asked("two") == 0


async def test_an_alias_says_which_model_it_stood_for() -> None:
    events, error = await Roads().outcome(request("final"))
    assert error is None
    assert events[0] == Started("two", "two/a", 1)
    assert line(events) == FidelityLine("model", HONORED, asked="final", sent="two/a")


# When the next is asked

ELSEWHERE = [cls for cls in ERRORS.values() if cls.elsewhere]


@pytest.mark.parametrize("cls", ELSEWHERE)
async def test_a_model_that_did_nothing_gives_way_to_the_next(cls: type[CelesteError]) -> None:
    roads = Roads(one=cls("no way"))
    events, error = await roads.outcome(request("one/a", "two/a"))
    assert error is None
    assert [event for event in events if isinstance(event, Started)] == [
        Started("one", "one/a", 1),
        Started("two", "two/a", 2),
    ]
    assert events[-1] == saved()
    note = f"one/a failed ({cls.reason}): no way"
    assert line(events) == FidelityLine("model", ADJUSTED, asked="one/a", sent="two/a", message=note)


@pytest.mark.parametrize("cls", [cls for cls in ERRORS.values() if not cls.elsewhere])
async def test_every_other_failure_ends_it(cls: type[CelesteError]) -> None:
    failure = cls("no way")
    roads = Roads(one=failure)
    _, error = await roads.outcome(request("one/a", "two/a"))
    assert (error, roads.asked("two")) == (failure, 0)


def test_nothing_that_may_have_been_done_is_said_to_be_for_others() -> None:
    assert {cls.reason for cls in ELSEWHERE}.isdisjoint(
        {"OUTCOME_UNKNOWN", "PROVIDER_FAILED", "SAFETY_BLOCKED", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL"}
    )
    assert not ProvidersUnavailable.elsewhere


@pytest.mark.parametrize("event", [Submitted("t-1", "one"), saved()])
async def test_what_was_submitted_or_saved_stays_with_its_model(event: Event) -> None:
    roads = Roads(one=Fake(event, DOWN))
    _, error = await roads.outcome(request("one/a", "two/a"))
    assert (error, roads.asked("two")) == (DOWN, 0)


async def test_what_is_owed_stays_with_its_model() -> None:
    owed = ProviderCredentials("the key was taken away", metadata={"owed": "true"})
    roads = Roads(one=owed)
    assert (await roads.outcome(request("one/a", "two/a")))[1] is owed
    assert roads.asked("two") == 0


async def test_a_ticket_is_one_of_the_first_model_alone() -> None:
    roads = Roads(one=DOWN)
    _, error = await roads.outcome(request("one/a", "two/a"), replace(CALL, ticket="t-1"))
    assert (error, roads.asked("two")) == (DOWN, 0)


async def test_after_the_deadline_nobody_is_asked() -> None:
    roads = Roads(one=DOWN)
    assert (await roads.outcome(request("one/a", "two/a"), replace(CALL, deadline=1000.0)))[1] is DOWN
    assert (await roads.outcome(request("one/a", "two/a"), replace(CALL, deadline=1000.1)))[1] is None


@pytest.mark.parametrize("unable", ["one/upscaler", "three/bare"])
async def test_a_model_that_can_not_is_passed_over_and_told(unable: str) -> None:
    events, error = await Roads().outcome(request(unable, "two/a"))
    assert error is None
    assert events[0] == Started("two", "two/a", 1), "it never started"
    assert f"{unable} failed (" in line(events).message


async def test_a_mistake_in_one_providers_options_is_no_reason_to_ask_another() -> None:
    wrong = InvalidRequest.of([Violation('options.provider_options["one"].raww', "is not an option")])
    roads = Roads(one=wrong)
    assert (await roads.outcome(request("one/a", "two/a")))[1] is wrong
    assert roads.asked("two") == 0


async def test_options_reach_their_own_provider_alone() -> None:
    roads = Roads(one=DOWN)
    given = {"one": {"raw": True}, "two": {"quality": "low"}, "three": {}}
    await roads.outcome(request("one/a", "two/a", provider_options=given))
    assert roads.fakes["one"].asked[0].options.provider_options == {"one": {"raw": True}}
    assert roads.fakes["two"].asked[0].options.provider_options == {"two": {"quality": "low"}}


async def test_progress_does_not_fall_from_one_model_to_the_next() -> None:
    roads = Roads(one=Fake(Progress(0.6), DOWN), two=Fake(Progress(0.2), Progress(0.7), saved()))
    events, _ = await roads.outcome(request("one/a", "two/a"))
    assert [event.fraction for event in events if isinstance(event, Progress)] == [0.6, 0.7]


async def test_all_but_the_last_are_hurried() -> None:
    seen: list[bool] = []

    async def road(asked: object, candidate: Candidate):
        seen.append(candidate.has_fallback)
        raise DOWN
        yield

    run = routing(dict.fromkeys(PROVIDERS, road), Registry(PROVIDERS, aliases=ALIASES))  # type: ignore[arg-type]
    with pytest.raises(ProvidersUnavailable):
        await collect(run, request("one/a", "two/a", "three/a"))
    assert seen == [True, True, False]


# When all fail


async def test_all_that_may_be_back_are_unavailable_until_the_first_is() -> None:
    soon = QueueFull("full", retry_after=3.0)
    roads = Roads(one=BUSY, two=soon, three=ProviderBilling("unpaid"))
    _, error = await roads.outcome(request("one/a", "two/a", "three/a"))
    assert isinstance(error, ProvidersUnavailable)
    assert error.retry_after == 3.0
    assert error.attempts == (
        Attempt("one/a", "PROVIDER_RATE_LIMITED", "busy", 7.0),
        Attempt("two/a", "QUEUE_FULL", "full", 3.0),
        Attempt("three/a", "PROVIDER_BILLING", "unpaid"),
    )
    assert "one/a (PROVIDER_RATE_LIMITED)" in error.message


async def test_when_none_will_be_back_it_is_the_first_failure() -> None:
    first = InvalidRequest.at("size", "must be at most 1 megapixel")
    roads = Roads(one=first, two=ProviderCredentials("no key"))
    _, error = await roads.outcome(request("one/a", "two/a"))
    assert error is first
    assert [attempt.reason for attempt in error.attempts] == ["INVALID_FIELD", "PROVIDER_CREDENTIALS"]


@pytest.mark.parametrize("end", [OutcomeUnknown("?"), SafetyBlocked("no")])
async def test_a_later_end_has_the_attempts_too(end: CelesteError) -> None:
    roads = Roads(one=EngineLost("lost"), two=end)
    _, error = await roads.outcome(request("one/a", "two/a", "three/a"))
    assert error is end
    assert [attempt.model for attempt in error.attempts] == ["one/a", "two/a"]
    assert roads.asked("three") == 0


async def test_the_only_model_keeps_its_own_error() -> None:
    busy = ProviderRateLimited("busy")
    _, error = await Roads(one=busy).outcome(request())
    assert error is busy
    assert error.attempts == ()


# What the result says


async def test_the_result_has_nothing_of_a_model_that_was_left() -> None:
    old = FidelityLine("size", ADJUSTED, sent={"width": 512, "height": 512})
    new = FidelityLine("seed", FidelityOutcome.DEFAULTED, sent=7)
    roads = Roads(one=Fake(Fidelity(old), DOWN), two=Fake(Fidelity(new), Saved(output())))
    (*_, completed) = await collect(completing(roads.run), request("one/a", "two/a"))
    assert isinstance(completed, Completed)
    assert completed.result.model == "two/a"
    assert [line.path for line in completed.result.fidelity] == ["model", "seed"]
