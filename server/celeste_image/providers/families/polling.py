"""Submit and poll: the vendor takes a job, names it, and is asked about it until it is over.

What is paid is the submit, so it is sent once and what became of it is never guessed. A poll costs nothing: one that is
lost or refused is repeated while there is time. Once a job was submitted no error here is one that the pipeline would
retry, nor one that tells a caller to send it all again.
"""

import asyncio
import base64
import math
import random
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import structlog

from celeste_image.core.errors import CelesteError, DeadlineExceeded, OutcomeUnknown, ProviderFailed, SafetyBlocked
from celeste_image.core.events import Event, Picture, Preview, Progress, Submitted
from celeste_image.core.request import Call
from celeste_image.providers.answers import at, error_for_failure, error_for_status
from celeste_image.providers.exchange import ExchangeFailed, OriginRefused, Reply, Stage
from celeste_image.providers.vendor import Vendor

__all__ = ["Job", "Jobs", "Path", "Polling", "State"]

log = structlog.get_logger("celeste_image.jobs")

Path = tuple[str | int, ...]
"""Where a value is in an answer: names and indexes, as `at` takes them; empty is nowhere."""

TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:~-]{0,127}")
"""Ids that may stand in a path."""
PICTURES = ("image/", "application/octet-stream", "binary/octet-stream", "")
POLL_SECONDS = 20.0
"""A poll that is not answered by then is lost."""
LONGEST_PAUSE_SECONDS = 10.0
CANCEL_SECONDS = 3.0


class State(StrEnum):
    """What a vendor's words for a job come to. MISSING is a job that the vendor does not know."""

    QUEUED = "queued"
    RUNNING = "running"
    READY = "ready"
    MODERATED = "moderated"
    CANCELLED = "cancelled"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """How one vendor's jobs are asked for.

    Attributes:
        states: What its words mean. A word that is not here is one for a job that runs on.
        stages: What was refused, `prompt`, `input` or `output`, by the words for MODERATED.
        id: Where the submit's answer has the job's id.
        poll_url: Where it has the URL to ask at, if it has one. Then that is the ticket, else the id is.
        poll: The path to ask at, with `{id}`, below the API's URL; used where there is no URL.
        status: Where an answer has the word for the state.
        results: Where it has URLs of pictures: a text, or a list of them.
        seed: Where it has the seed.
        progress: Where it has the share done; `progress_whole` is all of it, 1 or 100.
        previews: Where a first look may be, as base64 or a URL: the first that is there.
        headers: What polls send along.
        texts: Where it says why something failed: the first that is there.
        cancel: Verb and path, with `{id}`; None where jobs can't be cancelled. Needs ids for tickets.
        interval_seconds: Between polls, about.
        longest_seconds: After that long a job is given up.
        refusals: Refused polls in a row after which it is given up.
    """

    states: Mapping[str, State]
    stages: Mapping[str, str] = field(default_factory=dict)
    id: Path = ("id",)
    poll_url: Path = ()
    poll: str = ""
    status: Path = ("status",)
    results: tuple[Path, ...] = ()
    seed: Path = ()
    progress: Path = ("progress",)
    progress_whole: float = 1.0
    previews: tuple[Path, ...] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: {"accept": "application/json"})
    texts: tuple[Path, ...] = (("detail",), ("detail", 0, "msg"), ("error",), ("message",))
    cancel: tuple[str, str] | None = None
    interval_seconds: float = 1.0
    longest_seconds: float = 600.0
    refusals: int = 8

    def __post_init__(self) -> None:
        if self.cancel and self.poll_url:
            raise ValueError("a job that is known by its URL can't be cancelled by its id")


@dataclass(frozen=True, slots=True)
class Job:
    """One job: the ticket that names it, and where to ask about it."""

    ticket: str = field(repr=False)
    url: str = field(repr=False)


class _Again(Exception):
    """A poll that says nothing: lost, or refused with an `error` that is the job's if the refusal stays."""

    def __init__(self, error: CelesteError | None = None, after: float | None = None) -> None:
        super().__init__(str(error or "lost"))
        self.error = error
        self.after = after


class _Late(Exception):
    """The time for a job is over; the text is what the vendor said of it last."""


class Jobs:
    """Runs jobs of one vendor.

    Args:
        vendor: Whose they are.
        profile: How they are asked for.
        sleep: Waits between polls.
        clock: What deadlines are read by.
        jitter: Makes a pause out of an interval.
    """

    def __init__(
        self,
        vendor: Vendor,
        profile: Polling,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float], float] = lambda seconds: seconds * random.uniform(0.8, 1.2),  # noqa: S311
    ) -> None:
        self._vendor, self._profile = vendor, profile
        self._sleep, self._clock, self._jitter = sleep, clock, jitter

    async def run(self, path: str, body: Any, call: Call, *, previews: int = 0) -> AsyncGenerator[Event, None]:
        """Submits a job, or resumes that of the call's ticket, and yields what happens until its pictures are there.

        Left before the job is over, it is cancelled where the vendor can do that; the log says whether it is owed for.

        Args:
            path: Where to submit, below the API's URL.
            body: What, as a value for JSON; not read with a ticket.
            call: The call.
            previews: How many first looks are wanted.

        Raises:
            SafetyBlocked: A safety system refused.
            ProviderFailed: The job failed, or its pictures can't be had.
            OutcomeUnknown: It may have to be paid and is not known to be over; with metadata `final` of `false` the
                provider can still be asked.
            DeadlineExceeded: The call's deadline passed; metadata `owed` is `true`, or `unknown` after a cancel.
            CelesteError: The submit was refused, or the key since.
        """
        until = self._clock() + self._profile.longest_seconds
        until = until if call.deadline is None else min(until, call.deadline)
        resumed = call.ticket is not None
        job = await self._submit(path, body, call.deadline) if call.ticket is None else self._resume(call.ticket)
        over = False
        try:
            if not resumed:
                yield Submitted(job.ticket, self._vendor.name)
            async with aclosing(self._watch(job, until, previews, resumed=resumed)) as events:
                async for event in events:
                    over = over or isinstance(event, Picture)
                    yield event
        except _Late as late:
            over = True
            raise self._given_up(str(late), await self._leave(job), deadline=until == call.deadline) from None
        except CelesteError:
            over = True
            raise
        finally:
            if not over:
                await self._leave(job)

    async def _submit(self, path: str, body: Any, deadline: float | None) -> Job:
        """Submits a job. Raises CelesteError: retryable only if nothing was submitted."""
        vendor, profile = self._vendor, self._profile
        try:
            reply = await vendor.http.send(
                "POST", vendor.url + path, deadline=deadline, secrets=vendor.secrets, json=body
            )
            if reply.status >= 400:
                raise error_for_status(vendor.name, reply, self._text(_json(reply)))
            answer = reply.json()
        except ExchangeFailed as failure:
            raise error_for_failure(vendor.name, failure) from failure
        except asyncio.CancelledError:
            log.warning("job left", provider=vendor.name, owed="unknown")
            raise
        url, name = at(answer, *profile.poll_url) if profile.poll_url else None, at(answer, *profile.id)
        try:
            if isinstance(url, str):
                return self._job_at(url)
            return self._job_of(str(name) if isinstance(name, int) else name)
        except ValueError as error:
            text = f"{vendor.name}: it took a job, but its answer {error}"
            raise OutcomeUnknown(text, metadata=self._facts(final="true")) from error

    def _resume(self, ticket: str) -> Job:
        """Returns the job of a ticket. It comes from an event of ours, but by way of others. Raises ProviderFailed."""
        try:
            return self._job_at(ticket) if "/" in ticket and self._profile.poll_url else self._job_of(ticket)
        except ValueError as error:
            text = f"{self._vendor.name}: the ticket is none of its jobs: it {error}"
            raise ProviderFailed(text, metadata=self._facts()) from error

    def _job_at(self, url: str) -> Job:
        """Returns the job that is asked for at a URL, which is used as it is. Raises ValueError."""
        if not self._vendor.is_own(url):
            raise ValueError("has a URL to ask at that is not the vendor's own")
        return Job(url, url)

    def _job_of(self, name: Any) -> Job:
        """Returns the job with an id. Raises ValueError."""
        if not (isinstance(name, str) and TICKET.fullmatch(name)):
            raise ValueError("has no id of a job")
        if not self._profile.poll:
            raise ValueError("has no URL to ask at")
        return Job(name, self._vendor.url + self._profile.poll.format(id=quote(name, safe="")))

    async def _watch(self, job: Job, until: float, previews: int, *, resumed: bool) -> AsyncGenerator[Event, None]:
        """Yields what happens to a job until its pictures are there. Raises _Late and what `run` says."""
        said, fraction, refused, bad, seen = "", -1.0, 0, 0, ""
        pause, least = self._jitter(self._profile.interval_seconds), 0.0
        while True:
            if not resumed:
                # The last poll is just before the end, unless the vendor wants none until then.
                left = until - self._clock()
                pause = max(least, min(pause, left - self._profile.interval_seconds))
                if not 0 < pause < left:
                    raise _Late(said or "nothing was said of it")
                await self._sleep(pause)
            resumed = False
            try:
                answer = await self._poll(job, until)
                word = self._vendor.said(at(answer, *self._profile.status))
                state = self._profile.states.get(word, State.RUNNING)
                if word not in self._profile.states and word != said:
                    log.warning("unknown state", provider=self._vendor.name, state=word)
                said = word
                if state is State.READY:
                    for picture in await self._pictures(answer, until):
                        yield picture
                    return
                self._check(state, word, answer)
                if (told := self._fraction(answer)) is not None and told > fraction:
                    yield Progress(fraction := told, phase=state.value)
                value = self._preview_in(answer) if previews else ""
                if value not in ("", seen) and (look := await self._preview(seen := value)):
                    previews -= 1
                    yield look
            except _Again as again:
                bad += 1
                refused = refused + 1 if again.error else refused
                if again.error and refused >= self._profile.refusals:
                    raise again.error from again.__cause__
                pause = min(LONGEST_PAUSE_SECONDS, self._jitter(self._profile.interval_seconds * 2**bad))
                least = again.after or 0.0
            else:
                refused = bad = 0
                pause, least = self._jitter(self._profile.interval_seconds), 0.0

    async def _poll(self, job: Job, until: float) -> Any:
        """Asks about a job. Raises _Again."""
        vendor = self._vendor
        try:
            reply = await vendor.http.send(
                "GET",
                job.url,
                deadline=min(until, self._clock() + POLL_SECONDS),
                headers=self._profile.headers,
                secrets=vendor.secrets_for(job.url),
            )
            answer = _json(reply)
        except ExchangeFailed as failure:
            raise self._again(failure) from failure
        if reply.status < 400 and isinstance(at(answer, *self._profile.status), str):
            return answer
        error = error_for_status(vendor.name, reply, self._text(answer), idempotent=True)
        if error.retryable:
            raise _Again(after=error.retry_after)
        if reply.status not in (401, 402, 403):
            text = f"{vendor.name}: it took a job, but does not say what became of it (HTTP status {reply.status})"
            error = OutcomeUnknown(text, metadata=self._facts(final="true"))
        raise _Again(error)

    def _check(self, state: State, word: str, answer: Any) -> None:
        """Raises what a state is that ends a job, or _Again if the vendor does not know the job."""
        name, said = self._vendor.name, self._text(answer)
        more = f": {said}" if said else ""
        match state:
            case State.MODERATED:
                stage = self._profile.stages.get(word, "unknown")
                text = f"{name}: its safety system refused ({word}){more}"
                raise SafetyBlocked(text, metadata={"provider": name, "stage": stage})
            case State.CANCELLED | State.FAILED:
                raise ProviderFailed(f"{name}: the job ended as {word}{more}", metadata=self._facts(owed="unknown"))
            case State.MISSING:
                raise _Again(
                    OutcomeUnknown(f"{name}: it does not know the job{more}", metadata=self._facts(final="true"))
                )

    async def _pictures(self, answer: Any, until: float) -> list[Picture]:
        """Fetches and measures the pictures of a job that is ready. Raises ProviderFailed, _Again."""
        values = [at(answer, *path) for path in self._profile.results]
        urls = [url for value in values for url in (value if isinstance(value, list) else [value]) if url]
        if not urls or not all(isinstance(url, str) for url in urls):
            raise _Again(self._lost("the job is ready, but has no picture"))
        seed = at(answer, *self._profile.seed) if self._profile.seed else None
        seed = seed if isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 1 << 64 else None
        pictures = []
        for index, url in enumerate(urls):
            data = await self._fetch(url, until)
            pictures.append(Picture(data, *await self._vendor.pictures.facts(data), index, seed))
        return pictures

    async def _fetch(self, url: str, until: float) -> bytes:
        """Fetches a result, without the key. Raises ProviderFailed, _Again: a URL that expired may be named anew."""
        try:
            reply = await self._vendor.http.send("GET", url, deadline=until, headers={"accept": "image/*"})
        except OriginRefused as refused:
            raise self._lost(f"the picture is where nothing is fetched from ({refused})") from refused
        except ExchangeFailed as failure:
            raise self._again(failure) from failure
        if reply.status == 200 and reply.is_of(PICTURES) and reply.body:
            return reply.body
        if reply.status == 429 or reply.status >= 500:
            raise _Again(after=error_for_status(self._vendor.name, reply, idempotent=True).retry_after)
        raise _Again(self._lost(f"the picture can't be fetched (HTTP status {reply.status})"))

    def _preview_in(self, answer: Any) -> str:
        values = (at(answer, *path) for path in self._profile.previews)
        return next((value for value in values if isinstance(value, str) and value), "")

    async def _preview(self, value: str) -> Preview | None:
        """Returns a first look from its base64 or its URL; None if it can't be had, which ends nothing."""
        try:
            if value.startswith(("http://", "https://")):
                data = await self._fetch(value, self._clock() + POLL_SECONDS)
            else:
                data = base64.b64decode(value.rpartition(",")[2])
            return Preview(*await self._vendor.pictures.preview(data))
        except (CelesteError, _Again, ValueError):
            return None

    def _again(self, failure: ExchangeFailed) -> _Again:
        """Returns what a failed exchange that costs nothing is: lost, or refused where an answer came or never will."""
        if isinstance(failure, OriginRefused) or (
            failure.stage is Stage.ANSWERED and failure.status in range(200, 400)
        ):
            text = f"{self._vendor.name}: it took a job, but can't be asked about it: {failure}"
            return _Again(OutcomeUnknown(text, metadata=self._facts(final="true")))
        return _Again()

    def _lost(self, text: str) -> ProviderFailed:
        return ProviderFailed(f"{self._vendor.name}: {text}", metadata=self._facts(owed="true"))

    def _fraction(self, answer: Any) -> float | None:
        """Returns the share done that the vendor tells of; None if it does not."""
        told = at(answer, *self._profile.progress) if self._profile.progress else None
        if not isinstance(told, int | float) or isinstance(told, bool) or not math.isfinite(told):
            return None
        return min(1.0, max(0.0, told / self._profile.progress_whole))

    def _text(self, answer: Any) -> str:
        """Returns what an answer says for people."""
        return next((text for path in self._profile.texts if (text := self._vendor.said(at(answer, *path)))), "")

    def _facts(self, **facts: str) -> dict[str, str]:
        return {"provider": self._vendor.name, **facts}

    def _given_up(self, said: str, owed: str, *, deadline: bool) -> CelesteError:
        """Returns the error for a job that took too long, for the caller or for us."""
        name = self._vendor.name
        end = "was cancelled" if owed != "true" else "goes on there and has to be paid"
        if deadline:
            return DeadlineExceeded(f"the deadline passed; the job at {name} {end}", metadata=self._facts(owed=owed))
        text = f"{name}: the job is not over after {self._profile.longest_seconds:g} s ({said}); it {end}"
        return OutcomeUnknown(text, metadata=self._facts(owed=owed, final="false"))

    async def _leave(self, job: Job) -> str:
        """Cancels a job that nobody waits for any more; returns whether it has to be paid, `true` or `unknown`."""
        owed, name = "true", self._vendor.name
        if self._profile.cancel:
            verb, path = self._profile.cancel
            url = self._vendor.url + path.format(id=quote(job.ticket, safe=""))
            deadline = self._clock() + CANCEL_SECONDS
            try:
                reply = await self._vendor.http.send(verb, url, deadline=deadline, secrets=self._vendor.secrets)
                owed = "unknown" if reply.status < 300 else owed
            except (ExchangeFailed, CelesteError) as error:
                log.warning("cancel failed", provider=name, why=str(error))
        log.warning("job left", provider=name, owed=owed)
        return owed


def _json(reply: Reply) -> Any:
    """Returns what an answer has in it; None where that is not JSON and the status says more. Raises ExchangeFailed."""
    try:
        return reply.json()
    except ExchangeFailed:
        if reply.status >= 400:
            return None
        raise
