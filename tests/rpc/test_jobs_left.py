"""Jobs of vendors that a caller leaves, through a running server: polling ends, the vendor's cancel is asked for where
there is one, and whether money is owed is told. With a ticket a job is resumed, and nothing is submitted.
"""

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.support import pictures
from tests.support.servers import Running, running

from celeste_image.client import AsyncClient
from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import ModelCard, Parameter, Price, TextRange
from celeste_image.core.errors import CelesteError, DeadlineExceeded
from celeste_image.core.events import Event, Picture, Submitted
from celeste_image.core.request import Generate, ImageRequest, OperationKind
from celeste_image.emulate import EMULATED, Behavior, Emulator, emulating
from celeste_image.emulate.base import Answer, Asked, FakeVendor, Refusal, Route
from celeste_image.emulate.jobs import FakeJobs
from celeste_image.emulate.ledger import Work
from celeste_image.providers.base import Tools
from celeste_image.providers.kit.polling import Polling, State
from celeste_image.providers.kit.remote_jobs import RemoteJobs
from celeste_image.providers.kit.vendor import Vendor, VendorSettings
from celeste_image.v1 import GenerateRequest, ImageServiceStub, StreamRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG, SHORT = "a boat [emulate: latency=60]", "a boat"
PROMPT = Parameter("prompt", TextRange(), "Prompt", "What to show.", required=True)


class Printer(Vendor):
    """A vendor whose jobs can be cancelled, which none of those that are built in offers."""

    name = "printer"
    title = "Printer"
    cards = (
        ModelCard("printer/one", "One", "", {OperationKind.GENERATE: (PROMPT,)}, prices=(Price("image", "0.05"),)),
    )
    base_url = "https://printer.test/v1"
    key_variable = "PRINTER_KEY"
    profile = Polling(
        states={"working": State.RUNNING, "done": State.READY, "unknown": State.MISSING},
        poll="/jobs/{id}",
        results=(("picture",),),
        cancel=("DELETE", "/jobs/{id}"),
        tell_seconds=3.0,  # a machine may be busy
    )

    def __init__(self, settings: VendorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self.jobs = RemoteJobs(self, self.profile)

    async def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        assert isinstance(request, Generate)
        async with aclosing(self.jobs.run("/jobs", candidate, json={"prompt": request.prompt})) as events:
            async for event in events:
                yield event


class Plotter(Printer):
    """The same without a cancel."""

    profile = replace(Printer.profile, cancel=None)


class FakePrinter(FakeVendor):
    """It, emulated. `refuses` says that cancels come too late."""

    provider = Printer
    name = "printer"

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._jobs = FakeJobs()
        self.refuses = False

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/jobs", self.submit),
            Route("GET", "/jobs/{id}", self.poll, "poll"),
            Route("DELETE", "/jobs/{id}", self.cancel, "cancel"),
        )

    def table(self, url: str) -> dict[str, Any]:
        return super().table(url) | {"poll_seconds": 0.05}

    def error(self, refusal: Refusal) -> Any:
        return {"detail": refusal.text}

    async def submit(self, asked: Asked) -> Answer:
        job = self._jobs.submit(asked.behavior, pictures.plain(32, 32), 7)
        asked.entry.job = job.id
        self.charge(asked, self.cards[0], OperationKind.GENERATE, Work([(32, 32)]))
        return Answer({"id": job.id})

    async def poll(self, asked: Asked) -> Answer:
        job = self._jobs.find(asked.params["id"])
        asked.entry.job = asked.params["id"]
        if job is None:
            return Answer({"status": "unknown"})
        if self._jobs.fraction(job) < 1:
            return Answer({"status": "working", "progress": self._jobs.fraction(job)})
        return Answer({"status": "done", "picture": base64.b64encode(job.data).decode()})

    async def cancel(self, asked: Asked) -> Answer:
        asked.entry.job = asked.params["id"]
        if self.refuses:
            raise Refusal(409, "the job can't be cancelled any more")
        return Answer({"status": "cancelled"})


class Place:
    """A server with a vendor that can cancel, and one that can't, and what they wrote down."""

    def __init__(self, server: Running, emulator: Emulator, logs: list[MutableMapping[str, Any]]) -> None:
        self.server, self.emulator, self.logs = server, emulator, logs
        self.id = str(uuid.uuid4())

    def stages(self, name: str) -> list[str]:
        return [entry.stage for entry in self.emulator.ledger.of(name)]

    def logged(self, event: str) -> list[Mapping[str, Any]]:
        return [entry for entry in self.logs if entry["event"] == event]

    async def over(self, outcome: str) -> Mapping[str, Any]:
        """Returns what the log says of a job that was left, once its call is over on the server."""
        async with asyncio.timeout(10):
            while not self.logged("call"):
                await asyncio.sleep(0.005)
        assert [call["outcome"] for call in self.logged("call")] == [outcome]
        (left,) = self.logged("remote job abandoned")
        return left


MODELS = {"printer": "printer/one", "bfl": "bfl/flux-2-klein-4b"}


@asynccontextmanager
async def placed() -> AsyncIterator[tuple[Running, Emulator]]:
    async with emulating([FakePrinter, EMULATED["bfl"]]) as emulator:
        tools = Tools()
        printer = Printer(Printer.Settings(**emulator["printer"].table), tools)
        async with running([printer], tools, providers={"bfl": emulator["bfl"].table}) as server:
            yield server, emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[tuple[Running, Emulator]]:
    async with placed() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def place(server: tuple[Running, Emulator]) -> AsyncIterator[Place]:
    server[1].ledger.clear()
    fake = server[1]["printer"].vendor
    assert isinstance(fake, FakePrinter)
    fake.refuses = False
    with capture_logs() as logs:
        yield Place(*server, logs)


async def submitted(call: Any) -> None:
    async for response in call:
        if response.event.WhichOneof("kind") == "submitted":
            return
    raise AssertionError("it was not submitted")


def streamed(place: Place, name: str, prompt: str = LONG) -> StreamRequest:
    message = StreamRequest()
    message.operation.generate.CopyFrom(GenerateRequest(request_id=place.id, model=MODELS[name], prompt=prompt))
    return message


async def another_job_takes_its_polls(place: Place, name: str) -> None:
    """Runs a job of several polls, in which time one that is still polled would show."""
    async with AsyncClient(place.server.address) as client:
        await client.generate("a boat [emulate: latency=0.4]", model=MODELS[name])


@pytest.mark.parametrize(("name", "owed", "asked"), [("printer", "unknown", 1), ("bfl", "true", 0)])
@pytest.mark.parametrize("unary", [False, True])
async def test_a_cancelled_call_ends_the_polls_and_asks_for_the_vendors_cancel(
    place: Place, name: str, owed: str, asked: int, unary: bool
) -> None:
    async with grpc.aio.insecure_channel(place.server.address) as channel:
        stub = ImageServiceStub(channel)
        if unary:
            call: Any = stub.Generate(streamed(place, name).operation.generate)
            async with asyncio.timeout(10):
                while "poll" not in place.stages(name):
                    await asyncio.sleep(0.005)
        else:
            call = stub.Stream(streamed(place, name))
            await submitted(call)
        call.cancel()
        left = await place.over("CANCELLED")
    assert (left["provider"], left["owed"], left["request_id"]) == (name, owed, place.id)
    polls = place.stages(name).count("poll")
    assert place.stages(name).count("cancel") == asked
    job = next(entry.job for entry in place.emulator.ledger.of(name, "call"))
    await another_job_takes_its_polls(place, name)
    assert len([e for e in place.emulator.ledger.of(name, "poll") if e.job == job]) == polls
    assert len(place.emulator.ledger.of(name, "call")) == 2, "the other job's; this one was submitted once"


@pytest.mark.parametrize(("cls", "owed"), [(Printer, "unknown"), (Plotter, "true")])
async def test_at_the_deadline_the_caller_learns_what_is_owed(place: Place, cls: type[Printer], owed: str) -> None:
    tools = Tools()
    vendor = cls(cls.Settings(**place.emulator["printer"].table), tools)
    async with running([vendor], tools) as server, AsyncClient(server.address) as client:
        with pytest.raises(DeadlineExceeded) as caught:
            await client.run(Generate(model="printer/one", prompt=LONG), request_id=place.id, timeout=3.5)
    assert caught.value.metadata["owed"] == owed, "it is told before gRPC itself ends the call"
    assert (caught.value.metadata["provider"], place.stages("printer").count("call")) == ("printer", 1)
    (left,) = place.logged("remote job abandoned")
    assert (left["owed"], left["request_id"]) == (owed, place.id)
    assert place.logged("call")[0]["outcome"] == "DEADLINE_EXCEEDED"


async def test_a_cancel_that_comes_too_late_is_told(place: Place) -> None:
    fake = place.emulator["printer"].vendor
    assert isinstance(fake, FakePrinter)
    fake.refuses = True
    async with grpc.aio.insecure_channel(place.server.address) as channel:
        call = ImageServiceStub(channel).Stream(streamed(place, "printer"))
        await submitted(call)
        call.cancel()
        left = await place.over("CANCELLED")
    assert left["owed"] == "true"
    assert [entry["why"] for entry in place.logged("cancel failed")] == ["HTTP 409"]


@pytest.mark.parametrize("name", MODELS)
async def test_left_before_the_answer_to_the_submit_nobody_knows(place: Place, name: str) -> None:
    place.emulator[name].vendor.next[:] = [Behavior(answer="hang")]
    async with grpc.aio.insecure_channel(place.server.address) as channel:
        call = ImageServiceStub(channel).Stream(streamed(place, name))
        async with asyncio.timeout(10):
            while "call" not in place.stages(name):
                await asyncio.sleep(0.005)
        call.cancel()
        left = await place.over("CANCELLED")
    assert left["owed"] == "unknown"
    assert place.stages(name) == ["call"]


@pytest.mark.parametrize("name", MODELS)
async def test_with_a_ticket_the_job_is_resumed_and_none_is_submitted(place: Place, name: str) -> None:
    vendor = place.server.app.registry.providers[name]
    request = Generate(model=MODELS[name], prompt="a boat [emulate: latency=0.2]", count=1)
    ticket = ""
    card = place.server.app.registry.find(MODELS[name])
    call = Call(place.id, deadline=time.monotonic() + 20)
    async with aclosing(vendor.run(request, Candidate(call, card))) as events:
        async for event in events:
            if isinstance(event, Submitted):
                ticket = event.ticket
                break
    resumed = Candidate(call, card, ticket=ticket)
    async with aclosing(vendor.run(request, resumed)) as events:
        made = [event async for event in events]
    assert isinstance(made[-1], Picture)
    assert not [event for event in made if isinstance(event, Submitted)]
    (submit,) = place.emulator.ledger.of(name, "call")
    assert submit.charged == place.emulator.ledger.charged(name) > 0
    assert {entry.job for entry in place.emulator.ledger.of(name, "poll")} == {submit.job}


async def test_a_ticket_of_a_job_that_is_gone_submits_nothing_either(place: Place) -> None:
    vendor = place.server.app.registry.providers["printer"]
    with pytest.raises(CelesteError) as caught:
        call, card = Call(place.id, deadline=time.monotonic() + 3.5), place.server.app.registry.find("printer/one")
        request = Generate(model="printer/one", prompt=SHORT, count=1)
        async with aclosing(vendor.run(request, Candidate(call, card, ticket="not-there"))) as events:
            async for _ in events:
                pass
    assert caught.value.metadata["owed"] in ("true", "unknown")
    assert "call" not in place.stages("printer")
