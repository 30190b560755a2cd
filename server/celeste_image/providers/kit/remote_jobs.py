"""Submit and poll: the vendor takes a job, names it, and is asked about it until it is over.

What is paid is the submit, so it is sent once and what became of it is never guessed. A poll costs nothing: one that is
lost or refused is repeated while there is time. Once a job was submitted no error here is one that the pipeline would
retry, nor one that tells a caller to send it all again.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog

from celeste_image.core.call import Call
from celeste_image.core.errors import (
    CelesteError,
    DeadlineExceeded,
    OutcomeUnknown,
    ProviderBilling,
    ProviderCredentials,
    ProviderFailed,
    SafetyBlocked,
)
from celeste_image.core.events import Event, Picture, Progress, Submitted
from celeste_image.outbound.exchange import ExchangeFailed, Reply
from celeste_image.providers.kit.answers import at, error_for_failure
from celeste_image.providers.kit.polling import Polling, State
from celeste_image.providers.kit.results import Again, lost, picture_at_once, picture_of, preview_of
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["RemoteJobs"]

log = structlog.get_logger("celeste_image.jobs")

TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:~-]{0,127}")
"""Ids that may stand in a path."""
LONGEST_PAUSE_SECONDS = 10.0
REFUSALS = 8
"""Refused polls in a row after which a job is given up: about a minute."""
CANCEL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Job:
    """One job: the ticket that names it, and where to ask about it."""

    ticket: str = field(repr=False)
    url: str = field(repr=False)


class _Late(Exception):
    """The time for a job is over; the text is what the vendor said of it last."""


class RemoteJobs:
    """Runs jobs of one vendor.

    Args:
        vendor: Whose they are; `Vendor.error` says what its refusals are, of submits and polls alike.
        profile: How they are asked for.
        sleep: Waits between polls.
        clock: What deadlines are read by.
        jitter: Makes a pause out of an interval, never a shorter one.
    """

    def __init__(
        self,
        vendor: Vendor,
        profile: Polling,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float], float] = lambda seconds: seconds * random.uniform(1.0, 1.2),  # noqa: S311
    ) -> None:
        self._vendor, self._profile = vendor, profile
        self._interval = vendor.settings.poll_seconds or profile.interval_seconds
        self._sleep, self._clock, self._jitter = sleep, clock, jitter

    async def run(
        self, path: str, call: Call, *, previews: int = 0, at_once: bool = False, **submit: Any
    ) -> AsyncGenerator[Event, None]:
        """Submits a job, or resumes that of the call's ticket, and yields what happens until its pictures are there.

        Left before the job is over, it is cancelled where the vendor can do that; the log says whether it is owed for.

        Args:
            path: Where to submit, below the API's URL.
            call: The call.
            previews: How many first looks are wanted.
            at_once: Whether the answer to the submit is no job but already what a poll's answer is in the end.
            **submit: What to submit, as `Http.send` takes it; not read with a ticket.

        Raises:
            SafetyBlocked: A safety system refused.
            ProviderFailed: The job failed, or its pictures can't be had.
            OutcomeUnknown: It may have to be paid and is not known to be over; with metadata `final` of `false` the
                provider can still be asked.
            DeadlineExceeded: The call's deadline passed.
            CelesteError: The submit was refused, or the key since. Once there is a job, metadata `owed` of every error
                is `true`, or `unknown` after a cancel and where the vendor ended it.
        """
        until, late = self._clock() + self._profile.longest_seconds, False
        if call.deadline is not None and call.deadline - self._profile.tell_seconds < until:
            until, late = call.deadline - self._profile.tell_seconds, True
        if call.ticket is None:
            word, answer = await self._submit(path, call, submit)
            if at_once:
                for picture in await self._at_once(word, answer, call.deadline):
                    yield picture
                return
            url = at(answer, *self._profile.poll_url) if self._profile.poll_url else None
            job = self._job(url, at(answer, *self._profile.id), "its answer")
        else:
            is_url = "/" in call.ticket and self._profile.poll_url
            job = self._job(call.ticket if is_url else None, call.ticket, "the ticket")
        over = False
        try:
            if call.ticket is None:
                yield Submitted(job.ticket, self._vendor.name)
            async with aclosing(self._watch(job, until, previews, resumed=call.ticket is not None)) as events:
                async for event in events:
                    over = over or isinstance(event, Picture)
                    yield event
        except _Late as end:
            owed = await self._leave(job, call)
            over = True
            raise self._given_up(str(end), owed, deadline=late) from None
        except CelesteError as error:
            over = True
            error.metadata.setdefault("owed", "unknown" if isinstance(error, SafetyBlocked) else "true")
            raise
        finally:
            if not over:
                await self._leave(job, call)

    async def _submit(self, path: str, call: Call, submit: Mapping[str, Any]) -> tuple[str, Any]:
        """Sends what is paid for; returns what `_read` does. Raises CelesteError, retryable if nothing was done."""
        vendor = self._vendor
        secrets = vendor.secrets
        try:
            request = vendor.http.request("POST", vendor.url + path, secrets=secrets, **submit)
            reply = await vendor.http.send(request, deadline=call.deadline)
            if reply.status >= 400:
                raise vendor.error(reply)
            return self._read(reply)
        except ExchangeFailed as failure:
            raise error_for_failure(vendor.name, failure) from failure
        except asyncio.CancelledError:
            log.warning("job left", provider=vendor.name, owed="unknown", request_id=call.request_id)
            raise

    def _read(self, reply: Reply) -> tuple[str, Any]:
        """Returns the word for a job's state, empty if there is none, and the whole answer. Raises ExchangeFailed."""
        answer = reply.json()
        return self._profile.word_in(reply.status, answer, self._vendor.said), answer

    def _job(self, url: Any, name: Any, where: str) -> Job:
        """Returns the job at a URL, which is used as it is, or else with an id. Raises OutcomeUnknown.

        Both come from outside: from the vendor, or from an event of ours by way of others.
        """
        name = str(name) if isinstance(name, int) else name
        if isinstance(url, str) and url:
            if self._vendor.is_own(url):
                return Job(url, url)
        elif isinstance(name, str) and TICKET.fullmatch(name) and self._profile.poll:
            return Job(name, self._url(self._profile.poll, name))
        raise self._unknown(f"{self._vendor.name}: {where} names no job that it can be asked about")

    async def _watch(self, job: Job, until: float, previews: int, *, resumed: bool) -> AsyncGenerator[Event, None]:
        """Yields what happens to a job until its pictures are there. Raises _Late and what `run` says."""
        profile, vendor, interval = self._profile, self._vendor, self._interval
        last, fraction, seen, refused, pause, least = "", -1.0, "", 0, interval, interval
        while True:
            if not resumed:
                # The last poll is just before the end, unless the vendor wants none until then.
                left = until - self._clock()
                wait = max(least, min(self._jitter(pause), left - interval))
                if wait >= left:
                    raise _Late(last or "nothing was said of it")
                await self._sleep(wait)
            resumed = False
            try:
                word, answer = await self._ask(job.url, until)
                state = self._state(word, answer)
                if word not in (last, *profile.states):
                    log.warning("unknown state", provider=vendor.name, state=word)
                last = word
                if state is State.READY:
                    if profile.result:
                        _, answer = await self._ask(self._url(profile.result, job.ticket), until)
                    for picture in await self._made(answer, until):
                        yield picture
                    return
                if (told := profile.fraction_in(answer)) is not None and told > fraction:
                    yield Progress(fraction := told, phase=state.value)
                look = profile.preview_in(answer) if previews else ""
                if look not in ("", seen):
                    seen = look
                    if preview := await preview_of(vendor, look, min(until, self._clock() + profile.answer_seconds)):
                        previews -= 1
                        yield preview
            except Again as again:
                log.warning("poll lost", provider=vendor.name, why=str(again.__cause__ or again))
                refused += again.error is not None
                if again.error and refused >= REFUSALS:
                    raise again.error from again.__cause__
                pause = max(interval, min(LONGEST_PAUSE_SECONDS, 2 * pause))
                least = max(interval, again.after or 0.0)
            else:
                refused, pause, least = 0, interval, interval

    async def _ask(self, url: str, until: float) -> tuple[str, Any]:
        """Asks about a job; returns what `_read` does. Raises Again; SafetyBlocked where that is the answer."""
        vendor, profile = self._vendor, self._profile
        try:
            deadline, secrets = min(until, self._clock() + profile.answer_seconds), vendor.secrets_for(url)
            request = vendor.http.request("GET", url, headers=profile.headers, secrets=secrets)
            reply = await vendor.http.send(request, deadline=deadline)
            if reply.status < 400:
                return self._read(reply)
        except ExchangeFailed as failure:
            text = f"{vendor.name}: it took a job, but can't be asked about it: {failure}"
            raise Again.of(failure, self._unknown(text)) from failure
        error = vendor.error(reply, idempotent=True)
        if isinstance(error, SafetyBlocked):
            raise error
        if error.retryable:
            raise Again(after=error.retry_after)
        told = isinstance(error, ProviderCredentials | ProviderBilling)
        raise Again(error if told else self._unknown(f"{error.message}; what became of the job is not known"))

    def _state(self, word: str, answer: Any) -> State:
        """Returns what a word is for. Raises the error of a job that ended badly, Again if nothing is known of it."""
        name, said = self._vendor.name, self._vendor.text_in(answer)
        more = f": {said}" if said not in ("", word) else ""
        match self._profile.states.get(word, State.RUNNING):
            case _ if not word:
                raise Again(self._unknown(f"{name}: it does not say what became of the job{more}"))
            case State.MODERATED:
                metadata = {"provider": name, "stage": self._profile.stages.get(word, "unknown")}
                raise SafetyBlocked(f"{name}: its safety system refused ({word}){more}", metadata=metadata)
            case State.CANCELLED | State.FAILED:
                text = f"{name}: the job ended as {word}{more}"
                raise ProviderFailed(text, metadata={"provider": name, "owed": "unknown"})
            case State.MISSING:
                raise Again(self._unknown(f"{name}: it does not know the job{more}"))
            case state:
                return state

    async def _at_once(self, word: str, answer: Any, deadline: float | None) -> list[Picture]:
        """Returns the pictures of an answer that nobody can be asked for again."""
        try:
            self._state(word, answer)
            values, seed = self._values(answer), self._profile.seed_in(answer)
        except Again as again:
            raise again.error or lost(self._vendor, "there is no picture in its answer") from again
        return [await picture_at_once(self._vendor, value, n, seed, deadline) for n, value in enumerate(values)]

    async def _made(self, answer: Any, until: float | None) -> list[Picture]:
        """Returns the pictures of an answer, fetched and measured. Raises ProviderFailed, Again."""
        values, seed = self._values(answer), self._profile.seed_in(answer)
        return [await picture_of(self._vendor, value, index, seed, until) for index, value in enumerate(values)]

    def _values(self, answer: Any) -> list[str]:
        """Returns URLs and base64 of an answer's pictures, at least one. Raises Again."""
        if values := self._profile.pictures_in(answer):
            return values
        said = self._vendor.text_in(answer) or "it does not say why"
        raise Again(lost(self._vendor, f"there is no picture in its answer ({said})"))

    def _url(self, path: str, name: str) -> str:
        return self._vendor.url + path.format(id=quote(name, safe=""))

    def _unknown(self, text: str) -> OutcomeUnknown:
        """Returns the error for a job that is paid and can't be asked about."""
        return OutcomeUnknown(text, metadata={"provider": self._vendor.name, "owed": "true", "final": "true"})

    def _given_up(self, said: str, owed: str, *, deadline: bool) -> CelesteError:
        """Returns the error for a job that took too long, for the caller or for us."""
        name, facts = self._vendor.name, {"provider": self._vendor.name, "owed": owed}
        end = "was cancelled" if owed != "true" else "goes on there and has to be paid"
        if deadline:
            return DeadlineExceeded(f"the deadline passed; the job at {name} {end}", metadata=facts)
        text = f"{name}: the job is not over after {self._profile.longest_seconds:g} s ({said}); it {end}"
        return OutcomeUnknown(text, metadata=facts | {"final": "false"})

    async def _leave(self, job: Job, call: Call) -> str:
        """Cancels a job that nobody waits for any more; returns whether it has to be paid, `true` or `unknown`."""
        owed, name = "true", self._vendor.name
        if self._profile.cancel:
            verb, path = self._profile.cancel
            url, deadline = self._url(path, job.ticket), self._clock() + CANCEL_SECONDS
            try:
                request = self._vendor.http.request(verb, url, secrets=self._vendor.secrets)
                reply = await self._vendor.http.send(request, deadline=deadline)
                if reply.status < 300:
                    owed = "unknown"
                else:
                    log.warning("cancel failed", provider=name, why=f"HTTP {reply.status}", request_id=call.request_id)
            except (ExchangeFailed, CelesteError) as error:
                log.warning("cancel failed", provider=name, why=str(error), request_id=call.request_id)
        log.warning("job left", provider=name, owed=owed, request_id=call.request_id)
        return owed
