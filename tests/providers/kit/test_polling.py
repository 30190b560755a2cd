"""Remote jobs: a job is submitted and paid once, and polled until the deadline."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from structlog.testing import capture_logs
from tests.support.clocks import Clock
from tests.support.recordings import KEY
from tests.support.transport import Body, FakeTransport, Step, answer, raw
from tests.support.vendors import MeasuredPixels, run_error, run_events

from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import ModelCard
from celeste_image.core.errors import (
    CelesteError,
    DeadlineExceeded,
    OutcomeUnknown,
    ProviderBilling,
    ProviderCredentials,
    ProviderFailed,
    ProviderRateLimited,
    ProviderUnavailable,
    SafetyBlocked,
)
from celeste_image.core.events import Event, Picture, Preview, Progress, Submitted
from celeste_image.core.secret import Secret
from celeste_image.outbound.addresses import AddressForbidden
from celeste_image.providers.base import Tools
from celeste_image.providers.kit.polling import Polling, State
from celeste_image.providers.kit.remote_jobs import RemoteJobs
from celeste_image.providers.kit.vendor import Vendor, VendorSettings

PROFILE = Polling(
    states={
        "queued": State.QUEUED,
        "working": State.RUNNING,
        "done": State.READY,
        "refused": State.MODERATED,
        "stopped": State.CANCELLED,
        "broken": State.FAILED,
        "gone": State.MISSING,
    },
    stages={"refused": "output"},
    poll_url=("poll",),
    poll="/jobs/{id}",
    results=(("out",),),
    seed=("seed",),
    previews=(("look",),),
)
BY_ID = replace(PROFILE, poll_url=(), cancel=("DELETE", "/jobs/{id}"))
BASE = "https://api.played.test"
POLL = f"{BASE}/jobs/1?region=x"
OUT = "https://cdn.results.test/out.png"
TAKEN = answer({"id": "1", "poll": POLL})
WORKING = answer({"status": "working"})
DONE = answer({"status": "done", "out": OUT, "seed": 7})
PNG = raw(b"PNG and more", **{"content-type": "image/png"})
NORMAL: tuple[Step, ...] = (TAKEN, WORKING, DONE, PNG)


CARD = ModelCard("played/one", "One", "", {})


class Played(Vendor):
    name = "played"
    title = "Played"
    cards = ()
    base_url = BASE
    key_variable = "PLAYED_KEY"
    key_header = "x-key"
    key_prefix = ""
    own_hosts = ("*.played.test",)
    result_hosts = ("*.results.test",)


class World:
    """A vendor with scripted answers, and a clock."""

    def __init__(
        self,
        *steps: Step,
        profile: Polling = PROFILE,
        jitter: Callable[[float], float] = lambda seconds: seconds,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        **table: Any,
    ) -> None:
        self.script, self.clock = FakeTransport(*steps, repeat=True), Clock()
        tools = Tools(MeasuredPixels(), self.script, {}, self.clock, sleep or self.clock.sleep, jitter)
        self.vendor = Played(VendorSettings(key=Secret(KEY), **table), tools)
        self.jobs = RemoteJobs(self.vendor, profile)
        self.previews = 0

    def run(self, candidate: Candidate) -> AsyncGenerator[Event, None]:
        return self.jobs.run("/submit", candidate, previews=self.previews, json={"prompt": "a fox"})

    def call(self, seconds: float | None = None, ticket: str | None = None) -> Candidate:
        call = Call("a-call", deadline=None if seconds is None else self.clock.now + seconds)
        return Candidate(call, CARD, ticket=ticket)

    async def events(self, **call: Any) -> list[Event]:
        return await run_events(self.run, self.call(**call))

    async def outcome(self, **call: Any) -> tuple[list[Event], CelesteError]:
        return await run_error(self.run, self.call(**call))

    @property
    def submits(self) -> int:
        return self.script.sent().count("POST /submit")


PICTURE = Picture(b"PNG and more", "image/png", 4, 3, 0, 7)


async def test_a_job_is_submitted_polled_and_fetched() -> None:
    world = World(*NORMAL)
    assert await world.events() == [Submitted(POLL, "played"), PICTURE]
    assert world.script.sent() == ["POST /submit", "GET /jobs/1", "GET /jobs/1", "GET /out.png"]
    submit, poll, _, fetch = world.script.requests
    assert submit.headers["x-key"] == poll.headers["x-key"] == KEY
    assert str(poll.url) == POLL, "as it is"
    assert KEY not in str(fetch.headers), "no key goes to where results are"
    assert world.clock.pauses == [1.0, 1.0]


async def test_several_pictures_have_indexes() -> None:
    world = World(TAKEN, answer({"status": "done", "out": [OUT, OUT]}), PNG)
    pictures = [event for event in await world.events() if isinstance(event, Picture)]
    assert [(picture.index, picture.seed) for picture in pictures] == [(0, None), (1, None)]


async def test_without_a_url_it_is_asked_by_its_id() -> None:
    world = World(answer({"id": "a-1"}), DONE, PNG)
    assert (await world.events())[0] == Submitted("a-1", "played")
    assert world.script.sent()[1] == "GET /jobs/a-1"


# The submit: it is repeated only if it certainly was not processed


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (httpx.ConnectError("no"), ProviderUnavailable),
        (answer({}, 429, retry_after="7"), ProviderRateLimited),
        (answer({}, 503), ProviderUnavailable),
        (answer({"detail": "no credits"}, 402), ProviderBilling),
        (answer({"detail": "bad key"}, 401), ProviderCredentials),
        (answer({}, 500), OutcomeUnknown),
        (answer({}, 502), OutcomeUnknown),
        (answer({}, 504), OutcomeUnknown),
        (httpx.ReadError("cut"), OutcomeUnknown),
        (httpx.Response(200, stream=Body(b'{"id":', httpx.ReadError("cut"))), OutcomeUnknown),
        (raw(b"<html>ok</html>"), OutcomeUnknown),
        (raw(b'{"id": "1"'), OutcomeUnknown),
        (raw(b""), OutcomeUnknown),
        *((answer(value), OutcomeUnknown) for value in (None, [], {}, "x", {"id": None}, {"id": "../x"}, {"id": [1]})),
        (raw(b"", 302, location="https://evil.test/"), ProviderFailed),
    ],
)
async def test_a_submit_that_fails(step: Step, error: type[CelesteError]) -> None:
    world = World(step)
    events, raised = await world.outcome()
    assert (events, type(raised), world.submits) == ([], error, 1)
    assert KEY not in str(raised)
    assert len(world.script.requests) == 1
    if error is OutcomeUnknown:
        assert raised.metadata["final"] == "true"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/jobs/1",
        "http://api.played.test/jobs/1",
        "https://api.played.test.evil.test/1",
        "https://api.played.test@evil.test/1",
        "https://127.0.0.1/jobs/1",
        "http://169.254.169.254/latest/meta-data",
        "https://api.played.test:8443/jobs/1",
        "file:///etc/passwd",
    ],
)
async def test_a_url_to_ask_at_that_is_not_the_vendors_own_is_not_asked(url: str) -> None:
    world = World(answer({"id": "1", "poll": url}))
    events, error = await world.outcome()
    assert (events, type(error), world.script.sent()) == ([], OutcomeUnknown, ["POST /submit"])
    assert url not in str(error)


# Polls: a lost or refused poll is repeated, and no job is paid twice

LOST: dict[str, Step] = {
    "500": answer({}, 500),
    "502": raw(b"<html>bad gateway</html>", 502),
    "503 with Retry-After": answer({}, 503, retry_after="9"),
    "404": answer({"detail": "not yet"}, 404),
    "403": answer({}, 403),
    "429": answer({}, 429),
    "HTML": raw(b"<html>soon</html>"),
    "truncated JSON": raw(b'{"status": "wor'),
    "broken off": httpx.Response(200, stream=Body(b'{"status":', httpx.ReadError("cut"))),
    "too large": httpx.Response(200, headers={"content-length": str(1 << 40)}, stream=Body(b"{}")),
    "compressed": raw(b"\x1f\x8b", **{"content-encoding": "gzip"}),
    "empty": raw(b""),
    "null": answer(None),
    "a list": answer([]),
    "no status": answer({"state": "done"}),
    "status of another type": answer({"status": 7}),
    "redirect": raw(b"", 302, location="https://evil.test/"),
    "connection refused": httpx.ConnectError("refused"),
    "no answer": httpx.ReadTimeout("slow"),
    "job not known yet": answer({"status": "gone"}),
    "ready without a picture": answer({"status": "done", "out": None}),
}


@pytest.mark.parametrize("name", LOST)
@pytest.mark.parametrize("times", [1, 4])
async def test_a_poll_that_says_nothing_is_repeated(name: str, times: int) -> None:
    world = World(TAKEN, WORKING, *[LOST[name]] * times, WORKING, DONE, PNG)
    assert await world.events() == [Submitted(POLL, "played"), PICTURE]
    assert world.submits == 1
    assert {request.url.host for request in world.script.requests} == {"api.played.test", "cdn.results.test"}
    assert all(pause <= 10 for pause in world.clock.pauses)


@pytest.mark.parametrize("name", LOST)
async def test_a_job_that_can_never_be_asked_about_ends_in_time_and_not_as_retryable(name: str) -> None:
    world = World(TAKEN, WORKING, LOST[name])
    events, error = await world.outcome(seconds=300)
    assert events == [Submitted(POLL, "played")]
    assert world.submits == 1
    assert world.clock.passed <= 300
    assert not error.retryable, "a caller would buy it again"
    assert KEY not in str(error)
    lost = name in ("500", "502", "503 with Retry-After", "429", "connection refused", "no answer")
    expected = {"403": ProviderCredentials, "ready without a picture": ProviderFailed}
    assert type(error) is expected.get(name, DeadlineExceeded if lost else OutcomeUnknown)
    if type(error) is OutcomeUnknown:
        assert error.metadata["final"] == "true" and world.clock.passed < 100
    assert error.metadata["owed"] == "true"


async def test_only_refusals_in_a_row_end_it() -> None:
    refused = [answer({"detail": "not yet"}, 404)] * 7
    world = World(TAKEN, *refused, WORKING, *refused, DONE, PNG)
    assert (await world.events())[-1] == PICTURE


async def test_retry_after_is_honored_between_polls() -> None:
    world = World(TAKEN, answer({}, 429, retry_after="30"), WORKING, DONE, PNG)
    await world.events()
    assert world.clock.pauses == [1.0, 30.0, 1.0]


async def test_a_retry_after_beyond_the_deadline_ends_it_at_once() -> None:
    world = World(TAKEN, answer({}, 429, retry_after="864000"))
    _, error = await world.outcome(seconds=60)
    assert type(error) is DeadlineExceeded
    assert world.clock.passed == 1.0


async def test_a_word_that_is_not_known_means_that_it_goes_on() -> None:
    world = World(TAKEN, answer({"status": "dreaming"}), answer({"status": "dreaming"}), DONE, PNG)
    assert PICTURE in await world.events()


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        ({"status": "refused"}, SafetyBlocked, "refused"),
        ({"status": "broken", "error": "out of\nmemory " + KEY}, ProviderFailed, "out of memory [key]"),
        ({"status": "stopped"}, ProviderFailed, "stopped"),
    ],
)
async def test_a_job_that_ends_badly(reply: dict[str, Any], error: type[CelesteError], text: str) -> None:
    world = World(TAKEN, answer(reply))
    events, raised = await world.outcome()
    assert (events, type(raised)) == ([Submitted(POLL, "played")], error)
    assert text in str(raised) and KEY not in str(raised)
    assert raised.metadata["owed"] == "unknown"
    if error is SafetyBlocked:
        assert raised.metadata["stage"] == "output"


async def test_a_key_revoked_while_it_runs_is_told_as_such() -> None:
    world = World(TAKEN, WORKING, answer({}, 401))
    _, error = await world.outcome()
    assert type(error) is ProviderCredentials
    assert world.submits == 1


async def test_the_key_goes_to_the_regions_of_the_vendor() -> None:
    world = World(answer({"poll": "https://api.eu.played.test/jobs/1"}), DONE, PNG)
    await world.events()
    assert world.script.requests[1].headers["x-key"] == KEY


# Results


@pytest.mark.parametrize(
    "step",
    [
        raw(b"expired", 403),
        raw(b"gone", 404),
        raw(b"", 500),
        raw(b"<html>", **{"content-type": "text/html"}),
        raw(b"", **{"content-type": "image/png"}),
        httpx.ReadError("cut"),
        raw(b"", 302),
    ],
)
async def test_a_result_that_did_not_come_is_asked_for_anew(step: Step) -> None:
    fresh = "https://cdn.results.test/fresh.png"
    world = World(TAKEN, DONE, step, answer({"status": "done", "out": fresh, "seed": 7}), PNG)
    assert (await world.events())[-1] == PICTURE
    assert world.script.sent()[-3:] == ["GET /out.png", "GET /jobs/1", "GET /fresh.png"]
    assert world.submits == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/out.png",
        "http://cdn.results.test/out.png",
        "https://127.0.0.1/out.png",
        "https://[::1]/out.png",
        "data:image/png;base64,AAAA",
        "file:///etc/passwd",
        "https://results.test.evil.test/x",
    ],
)
async def test_a_result_from_elsewhere_is_not_fetched(url: str) -> None:
    world = World(TAKEN, answer({"status": "done", "out": url}), PNG)
    _, error = await world.outcome()
    assert type(error) is ProviderFailed and error.metadata["owed"] == "true"
    assert world.script.sent() == ["POST /submit", "GET /jobs/1"]


@pytest.mark.parametrize("step", [AddressForbidden(), raw(b"", 302, location="http://169.254.169.254/")])
async def test_a_result_at_a_private_address_is_not_fetched(step: Step) -> None:
    world = World(TAKEN, DONE, step)
    _, error = await world.outcome()
    assert type(error) is ProviderFailed and error.metadata["owed"] == "true"


async def test_a_redirect_to_where_results_may_be_is_followed() -> None:
    world = World(TAKEN, DONE, raw(b"", 302, location="https://cdn.results.test/moved.png"), PNG)
    assert (await world.events())[-1] == PICTURE
    assert world.script.sent()[-1] == "GET /moved.png"


@pytest.mark.parametrize("out", [7, {}, [7], ["", None], [[OUT]]])
async def test_results_of_another_type_are_no_results(out: Any) -> None:
    _, error = await World(TAKEN, answer({"status": "done", "out": out})).outcome()
    assert type(error) is ProviderFailed


async def test_a_result_that_is_no_picture_is_the_vendors_failure() -> None:
    world = World(TAKEN, DONE, raw(b"GIF?", **{"content-type": "image/png"}))
    _, error = await world.outcome()
    assert type(error) is ProviderFailed


@pytest.mark.parametrize(
    "out",
    [[{"url": OUT, "nsfw": False}], {"url": OUT}, [OUT], "UE5HIGFuZCBtb3Jl", "data:image/png;base64,UE5HIGFuZCBtb3Jl"],
    ids=str,
)
async def test_results_come_as_urls_objects_or_base64(out: Any) -> None:
    world = World(TAKEN, answer({"status": "done", "out": out, "seed": 7}), PNG)
    assert (await world.events())[-1] == PICTURE


@pytest.mark.parametrize("seed", [True, -1, 1 << 64, "7 or so", 1.5, None])
async def test_seeds_of_another_kind_are_left_out(seed: Any) -> None:
    world = World(TAKEN, answer({"status": "done", "out": OUT, "seed": seed}), PNG)
    (picture,) = [event for event in await world.events() if isinstance(event, Picture)]
    assert picture.seed is None


# Other kinds of job

BY_STATUS = Polling(
    states={"202": State.RUNNING, "200": State.READY, "fine": State.READY, "refused": State.MODERATED},
    status=(("why",),),
    poll="/jobs/{id}",
    results=(("first",), ("out",)),
)
INSIDE = answer({"out": base64.b64encode(b"PNG and more").decode(), "seed": 7, "why": "fine"})


async def test_the_state_may_be_the_status_and_the_picture_inside() -> None:
    world = World(answer({"id": "1"}), answer({}, 202), answer({}, 201), INSIDE, profile=BY_STATUS)
    assert await world.events() == [Submitted("1", "played"), PICTURE]
    assert world.script.sent() == ["POST /submit", *["GET /jobs/1"] * 3], "201 says nothing"


async def test_a_word_in_the_body_goes_before_the_status() -> None:
    refused = answer({"out": base64.b64encode(b"PNG blurred").decode(), "why": "refused"})
    _, error = await World(answer({"id": "1"}), refused, profile=BY_STATUS).outcome()
    assert type(error) is SafetyBlocked
    assert error.metadata == {"provider": "played", "stage": "unknown", "owed": "unknown"}


async def test_what_is_submitted_may_be_a_form() -> None:
    world = World(answer({"id": "1"}), INSIDE, profile=BY_STATUS)
    files = [("prompt", (None, b"a fox", None))]
    headers = {"accept": "application/json"}
    await run_events(lambda tried: world.jobs.run("/submit", tried, files=files, headers=headers), world.call())
    submit = world.script.requests[0]
    assert submit.headers["content-type"].startswith("multipart/form-data")
    assert submit.headers["accept"] == "application/json"
    assert b"a fox" in submit.content


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (INSIDE, PICTURE),
        (answer({"why": "refused"}), SafetyBlocked),
        (answer({"error": "out of memory"}), ProviderFailed),
        (answer({"id": "1"}, 202), ProviderFailed),
        (raw(b"{"), OutcomeUnknown),
        (answer({}, 429), ProviderRateLimited),
    ],
)
async def test_an_answer_that_is_no_job_is_the_result_and_nobody_is_asked(reply: Step, expected: Any) -> None:
    world = World(reply, profile=BY_STATUS)

    def run(candidate: Candidate) -> AsyncGenerator[Event, None]:
        return world.jobs.run("/submit", candidate, at_once=True, json={})

    if isinstance(expected, Picture):
        assert await run_events(run, world.call()) == [expected]
    else:
        events, error = await run_error(run, world.call())
        assert (events, type(error)) == ([], expected)
    assert world.script.sent() == ["POST /submit"]


async def test_a_result_may_be_apart_from_the_state() -> None:
    apart = replace(BY_ID, result="/jobs/{id}/out")
    world = World(TAKEN, answer({"status": "done"}), answer({}, 502), answer({"status": "done"}), INSIDE, profile=apart)
    assert (await world.events())[-1] == PICTURE
    assert world.script.sent()[1:] == ["GET /jobs/1", "GET /jobs/1/out"] * 2
    assert all(request.headers["x-key"] == KEY for request in world.script.requests)


# Time


@pytest.mark.parametrize("profile", [PROFILE, replace(PROFILE, interval_seconds=10)])
async def test_the_operator_says_how_often_a_job_is_asked_for(profile: Polling) -> None:
    world = World(TAKEN, WORKING, DONE, PNG, profile=profile, poll_seconds=0.25)
    await world.events()
    assert world.clock.pauses == [0.25, 0.25]


@pytest.mark.parametrize("seconds", [0, -1, 301, float("inf"), float("nan")])
def test_an_interval_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValidationError, match="poll_seconds"):
        VendorSettings(poll_seconds=seconds)


@pytest.mark.parametrize("seconds", [9, 11, 25, 39.9, 600])
@pytest.mark.parametrize("reply", [WORKING, answer({}, 503), answer({}, 429, retry_after="1"), answer({}, 404)])
async def test_polls_are_never_closer_than_the_interval(reply: Step, seconds: float) -> None:
    profile = replace(PROFILE, interval_seconds=10.0)
    world = World(TAKEN, reply, profile=profile, jitter=Tools().jitter)
    _, error = await world.outcome(seconds=seconds)
    assert not error.retryable
    assert all(10.0 <= pause <= 12.0 for pause in world.clock.pauses)
    assert bool(world.clock.pauses) == (seconds > 10)


async def test_the_deadline_ends_it_and_says_that_it_is_owed() -> None:
    world = World(TAKEN, WORKING)
    _, error = await world.outcome(seconds=10)
    assert type(error) is DeadlineExceeded and error.metadata["owed"] == "true"
    assert 8 <= world.clock.passed <= 10


async def test_a_job_that_never_ends_is_given_up_and_can_be_asked_for_later() -> None:
    world = World(TAKEN, WORKING, profile=replace(PROFILE, longest_seconds=50))
    _, error = await world.outcome(seconds=1000)
    assert type(error) is OutcomeUnknown
    assert error.metadata["final"] == "false"
    assert "working" in str(error)
    assert world.clock.passed <= 50


# Resuming


@pytest.mark.parametrize(
    ("ticket", "path"), [(POLL, "GET /jobs/1"), ("1", "GET /jobs/1"), ("a:b.c~d-e_f", "GET /jobs/a:b.c~d-e_f")]
)
async def test_with_a_ticket_it_resumes_and_submits_nothing(ticket: str, path: str) -> None:
    world = World(WORKING, DONE, PNG)
    assert await world.events(ticket=ticket) == [PICTURE]
    assert world.script.sent() == [path, path, "GET /out.png"]
    assert world.clock.pauses == [1.0], "it may be over already"


@pytest.mark.parametrize(
    "ticket",
    [
        "https://evil.test/1",
        "http://api.played.test/1",
        "../credits",
        "a/b",
        "a b",
        "",
        ".",
        "a" * 129,
        "é",
        "a\nb",
        "a?b",
    ],
)
async def test_a_ticket_that_is_not_one_of_ours_is_refused(ticket: str) -> None:
    world = World(*NORMAL)
    events, error = await world.outcome(ticket=ticket)
    assert (events, type(error), world.script.sent()) == ([], OutcomeUnknown, [])
    assert error.metadata["final"] == "true", "it can't be asked, and may be paid"


# Abandoning a job


async def test_leaving_early_cancels_where_the_vendor_can() -> None:
    world = World(TAKEN, answer({"status": "working", "progress": 0.5}), raw(b"", 204), profile=BY_ID)
    async with aclosing(world.run(world.call())) as events:
        async for event in events:
            if isinstance(event, Progress):
                break
    assert world.script.sent() == ["POST /submit", "GET /jobs/1", "DELETE /jobs/1"]
    assert world.script.requests[-1].headers["x-key"] == KEY


@pytest.mark.parametrize(("profile", "last"), [(BY_ID, "DELETE /jobs/1"), (PROFILE, "POST /submit")])
async def test_leaving_right_after_the_submit(profile: Polling, last: str) -> None:
    world = World(*NORMAL, profile=profile)
    async with aclosing(world.run(world.call())) as events:
        assert isinstance(await anext(events), Submitted)
    assert world.script.sent()[-1] == last
    assert world.submits == 1


@pytest.mark.parametrize(("status", "owed"), [(200, "unknown"), (404, "true"), (500, "true")])
async def test_a_deadline_cancels_too_and_tells_what_came_of_it(status: int, owed: str) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return raw(b"", status) if request.method == "DELETE" else answer({"status": "working"})

    world = World(TAKEN, reply, profile=BY_ID)
    _, error = await world.outcome(seconds=5)
    assert type(error) is DeadlineExceeded and error.metadata["owed"] == owed
    assert world.script.sent()[-1] == "DELETE /jobs/1"


async def test_a_cancelled_task_cancels_the_job() -> None:
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    world = World(TAKEN, WORKING, raw(b"", 204), profile=BY_ID, sleep=sleep)
    task = asyncio.create_task(world.events())
    await asleep.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.script.sent() == ["POST /submit", "DELETE /jobs/1"]


@settings(max_examples=30, deadline=None)
@given(st.floats(0.6, 10), st.floats(0.3, 12))
def test_a_deadline_leaves_time_to_tell_the_caller_what_is_owed(seconds: float, interval: float) -> None:
    world = World(TAKEN, WORKING, poll_seconds=interval)
    deadline = world.clock.now + seconds
    _, error = asyncio.run(world.outcome(seconds=seconds))
    assert type(error) is DeadlineExceeded and error.metadata["owed"] == "true"
    # By the clock and not by the time passed: the difference of two late times is rounded.
    assert world.clock.now <= deadline - PROFILE.tell_seconds


async def test_a_cancel_that_is_broken_off_is_sent_again_and_told() -> None:
    sending = asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE" and not sending.is_set():
            sending.set()
            await asyncio.Event().wait()
        return answer({"id": "1", "status": "working"})

    world = World(TAKEN, WORKING, profile=BY_ID)
    script = FakeTransport(TAKEN, slow, repeat=True)
    vendor = Played(
        VendorSettings(key=Secret(KEY)), Tools(MeasuredPixels(), script, {}, world.clock, world.clock.sleep)
    )
    jobs = RemoteJobs(vendor, BY_ID)
    with capture_logs() as logs:
        task = asyncio.create_task(run_events(lambda tried: jobs.run("/submit", tried), world.call(seconds=2)))
        await sending.wait()
        task.cancel()  # as gRPC does at the deadline
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [sent for sent in script.sent() if sent.startswith("DELETE")] == ["DELETE /jobs/1"] * 2
    assert [(entry["owed"], entry["request_id"]) for entry in logs if entry["event"] == "remote job abandoned"] == [
        ("unknown", world.call().call.request_id)
    ]


async def test_what_is_over_is_not_cancelled() -> None:
    for steps in ((TAKEN, DONE, PNG), (TAKEN, answer({"status": "broken"}))):
        world = World(*steps, profile=BY_ID)
        async with aclosing(world.run(world.call())) as events:
            try:
                async for event in events:
                    if isinstance(event, Picture):
                        break
            except ProviderFailed:
                pass
        assert not [sent for sent in world.script.sent() if sent.startswith("DELETE")]


def test_a_job_known_by_its_url_can_not_have_a_cancel_by_id() -> None:
    with pytest.raises(ValueError, match="cancel"):
        replace(PROFILE, cancel=("POST", "/cancel/{id}"))
    with pytest.raises(ValueError, match="result"):
        replace(PROFILE, result="/out/{id}")


# Progress and previews

numbers = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.integers(), st.floats(), st.floats(0, 1))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["queued", "working", "odd"]), numbers), max_size=12), st.sampled_from([1, 100])
)
def test_progress_never_falls_and_is_only_what_the_vendor_told(told: list[tuple[str, Any]], whole: int) -> None:
    polls: list[Callable[[httpx.Request], httpx.Response]] = [
        lambda _, word=word, value=value: answer({"status": word, "progress": value}) for word, value in told
    ]
    world = World(TAKEN, *polls, DONE, PNG, profile=replace(PROFILE, progress_whole=whole))
    events = asyncio.run(world.events())
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(set(fractions))
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert all(event.reported for event in events if isinstance(event, Progress))
    usable = [v for _, v in told if isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < float("inf")]
    assert bool(fractions) == bool(usable)
    assert events[-1] == PICTURE


async def test_previews_are_those_wanted_and_never_the_same_twice() -> None:
    looks = ["PNG one", "PNG one", "not a picture", "PNG two", "PNG three"]
    coded = [base64.b64encode(look.encode()).decode() for look in looks]
    polls = [answer({"status": "working", "look": look}) for look in [*coded, "%%%", 7]]
    world = World(TAKEN, *polls, DONE, PNG)
    world.previews = 2
    previews = [event.data for event in await world.events() if isinstance(event, Preview)]
    assert previews == [b"PNG one", b"PNG two"]


async def test_a_preview_may_be_a_url_and_a_bad_one_ends_nothing() -> None:
    looks = [answer({"status": "working", "look": url}) for url in ("https://evil.test/x", OUT)]
    world = World(TAKEN, *looks, PNG, DONE, PNG)
    world.previews = 8
    events = await world.events()
    assert [type(event) for event in events] == [Submitted, Preview, Picture]
    assert "evil.test" not in {request.url.host for request in world.script.requests}


async def test_no_previews_are_fetched_that_nobody_wants() -> None:
    world = World(TAKEN, answer({"status": "working", "look": OUT}), DONE, PNG)
    await world.events()
    assert len(world.script.requests) == 4
