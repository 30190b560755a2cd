"""Remote jobs: submits a job to a vendor, polls until the job ends, and yields its images.

The submit costs money: it is sent once, and its outcome is never guessed. A poll is free: a poll that is lost or
refused is repeated while there is time. After the submit no error is retryable, because a retry would pay twice.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import structlog

from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import (
    CelesteError,
    DeadlineExceeded,
    OutcomeUnknown,
    ProviderBilling,
    ProviderCredentials,
    ProviderFailed,
    SafetyBlocked,
)
from celeste_image.core.events import Billed, Event, Fidelity, Picture, Progress, Submitted
from celeste_image.core.fidelity import FidelityLine
from celeste_image.core.money import quantities
from celeste_image.outbound.exchange import ExchangeFailed, Reply
from celeste_image.providers.kit.answers import at, error_for_failure
from celeste_image.providers.kit.failures import failure_in
from celeste_image.providers.kit.images import Answer
from celeste_image.providers.kit.pauses import Pauses
from celeste_image.providers.kit.polling import Polling, State
from celeste_image.providers.kit.results import TryAgain, image_events, lost, picture_of, preview_of
from celeste_image.providers.kit.sse import values_in
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["RemoteJobs"]

log = structlog.get_logger("celeste_image.remote_jobs")

TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:~-]{0,127}")
"""Job ids that are safe in a URL's path."""
CANCEL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """One job at the vendor: the ticket that identifies it, and the URL that is polled."""

    ticket: str = field(repr=False)
    url: str = field(repr=False)


class _TimeUp(Exception):
    """The time for a job is over; the text is the last state that the vendor reported."""


class RemoteJobs:
    """Runs the jobs of one vendor.

    Args:
        vendor: The vendor; its `error` method reads refused submits and polls, its tools keep the time.
        profile: How its jobs are submitted and polled.
    """

    def __init__(self, vendor: Vendor, profile: Polling) -> None:
        self._vendor, self._profile = vendor, profile
        self._interval = vendor.settings.poll_seconds or profile.interval_seconds
        self._sleep, self._clock, self._jitter = vendor.tools.sleep, vendor.tools.clock, vendor.tools.jitter

    async def run(
        self,
        path: str,
        candidate: Candidate,
        *,
        previews: int = 0,
        at_once: bool = False,
        seed: int | None = None,
        **submit: Any,
    ) -> AsyncGenerator[Event, None]:
        """Submits a job, or resumes the job of the candidate's ticket, and yields its events up to its images.

        If the caller stops before the job ends, the job is cancelled where the vendor allows it. The log then says
        whether the job must be paid for.

        Args:
            path: Path of the submit, below the API's URL.
            candidate: The model that is tried, with its call.
            previews: Number of previews wanted.
            at_once: Whether the answer to the submit already has the images, as the last poll of a job does.
            seed: The seed that is sent; None if the vendor draws one.
            **submit: Headers and body of the submit, as `Http.request` takes them; ignored with a ticket.

        Raises:
            SafetyBlocked: A safety system refused.
            ProviderFailed: The job failed, or its images can't be fetched.
            OutcomeUnknown: The job may cost money and its outcome is unknown; metadata `final` of `false` means that
                its ticket can still be resumed.
            DeadlineExceeded: The call's deadline passed.
            CelesteError: The submit was refused, or later the key. After the submit, metadata `owed` of every error is
                `true`, or `unknown` if the job was cancelled or the vendor ended it.
        """
        call, ticket = candidate.call, candidate.ticket
        cost: Mapping[str, float] = {}
        until, is_deadline = self._until(call)
        if ticket is None:
            reply, word, answer = await self._submit(path, call, submit)
            if at_once:
                told = next((found.seed for found in self._profile.found_in(answer)), None)
                answers, first = self._at_once(reply, word, answer), seed if told is None else told
                images = image_events(self._vendor, answers, seed=first, deadline=call.deadline)
                async with aclosing(images) as events:
                    async for event in events:
                        yield event
                for event in self._seed_lines(told, seed):
                    yield event
                return
            cost = self._profile.cost_in(answer)
            self._check_submitted(reply, word, answer)
            url = at(answer, *self._profile.poll_url) if self._profile.poll_url else None
            job = self._job(url, at(answer, *self._profile.id), "its answer")
        else:
            is_url = "/" in ticket and self._profile.poll_url
            job = self._job(ticket if is_url else None, ticket, "the ticket")
        over = False
        try:
            if ticket is None:
                yield Submitted(job.ticket, self._vendor.name)
            watch = self._watch(job, until, previews, seed, cost, resumed=ticket is not None)
            async with aclosing(watch) as events:
                async for event in events:
                    over = over or isinstance(event, Picture)
                    yield event
        except _TimeUp as end:
            owed = await self._abandon(job, call)
            over = True
            if cost:
                yield Billed(quantities(cost))
            raise self._given_up(str(end), owed, is_deadline=is_deadline) from None
        except CelesteError as error:
            over = True
            error.metadata.setdefault("owed", "unknown" if isinstance(error, SafetyBlocked) else "true")
            if cost:  # named when the job was submitted
                yield Billed(quantities(cost))
            raise
        finally:
            if not over:
                await self._abandon(job, call)

    def _until(self, call: Call) -> tuple[float, bool]:
        """Returns when the job is given up, by the clock, and whether the call's deadline is the reason."""
        longest = self._clock() + self._profile.longest_seconds
        if call.deadline is None:
            return longest, False
        early = call.deadline - self._profile.tell_seconds
        return min(longest, early), early < longest

    async def _submit(self, path: str, call: Call, submit: Mapping[str, Any]) -> tuple[Reply, str, Any]:
        """Submits a job; returns the answer and what `_read` does.

        Raises:
            CelesteError: The submit failed; the error is retryable if nothing was done.
        """
        vendor = self._vendor
        secrets = vendor.secrets
        try:
            request = vendor.http.request("POST", vendor.url + path, secrets=secrets, **submit)
            async with vendor.http.stream(request, deadline=call.deadline) as streamed:
                reply = streamed.head
                if reply.status >= 400:
                    raise vendor.error(await streamed.whole())
                values, lost_rest = await values_in(streamed)
            answer = self._profile.with_headers(reply, values[0]) if values else None
            if lost_rest and not self._profile.found_in(answer):
                raise lost_rest
            return reply, vendor.said(self._profile.word_in(reply.status, answer)), answer
        except ExchangeFailed as failure:
            raise error_for_failure(vendor.name, failure) from failure
        except asyncio.CancelledError:
            log.warning("remote job abandoned", provider=vendor.name, owed="unknown", request_id=call.request_id)
            raise

    def _read(self, reply: Reply) -> tuple[str, Any]:
        """Returns the word for the job's state, empty if the answer has none, and the answer's value.

        Raises:
            ExchangeFailed: The answer is neither JSON nor an image.
        """
        answer = self._profile.value_of(reply)
        return self._vendor.said(self._profile.word_in(reply.status, answer)), answer

    def _check_submitted(self, reply: Reply, word: str, answer: Any) -> None:
        """Checks that a submit with a good status made a job. Raises CelesteError if its answer tells a failure."""
        if word and self._profile.state_of(word) in (State.MODERATED, State.FAILED, State.CANCELLED):
            self._state(word, answer)
        url, name = (
            at(answer, *self._profile.poll_url) if self._profile.poll_url else None,
            at(answer, *self._profile.id),
        )
        if not (url or name) and (failure := failure_in(answer)):
            raise self._vendor.failed(reply, failure)

    def _job(self, url: Any, name: Any, source: str) -> RemoteJob:
        """Returns the job with a URL, which is polled unchanged, or else with an id.

        Neither is trusted: the vendor sent it, or a caller sent it back as a ticket.

        Raises:
            OutcomeUnknown: Neither identifies a job of this vendor.
        """
        name = str(name) if isinstance(name, int) else name
        if isinstance(url, str) and url:
            if self._vendor.is_own(url):
                return RemoteJob(url, url)
        elif isinstance(name, str) and TICKET.fullmatch(name) and self._profile.poll:
            return RemoteJob(name, self._url(self._profile.poll, name))
        raise self._unknown(f"{self._vendor.name}: {source} does not identify a job that can be polled")

    async def _watch(
        self,
        job: RemoteJob,
        until: float,
        previews: int,
        sent_seed: int | None,
        cost: Mapping[str, float],
        *,
        resumed: bool,
    ) -> AsyncGenerator[Event, None]:
        """Polls a job and yields its events up to its images. Raises _TimeUp and the errors of `run`."""
        pauses = Pauses(self._interval)
        last, fraction = "", -1.0
        seen: str | bytes = ""
        if not resumed:  # a resumed job may be over already
            await self._wait(pauses, until, last)
        while True:
            try:
                word, answer = await self._ask(job.url, until)
                state = self._state(word, answer)
                if word != last and not self._profile.knows(word):
                    log.warning("unknown state", provider=self._vendor.name, state=word)
                last = word
                results = await self._results(job, answer, sent_seed, until) if state is State.READY else []
            except TryAgain as failure:
                log.warning("poll failed", provider=self._vendor.name, why=str(failure.__cause__ or failure))
                pauses.count_failure(failure)
            else:
                if results and (charged := self._profile.cost_in(answer) or cost):
                    yield Billed(quantities(charged))
                for event in results:
                    yield event
                if results:
                    return
                pauses.count_answer()
                if (reported := self._profile.fraction_in(answer)) is not None and reported > fraction:
                    yield Progress(fraction := reported, phase=state.value)
                look = self._profile.preview_in(answer) if previews else ""
                if look not in ("", seen):
                    seen = look
                    if preview := await preview_of(self._vendor, look, self._answer_by(until)):
                        previews -= 1
                        yield preview
            await self._wait(pauses, until, last)

    async def _wait(self, pauses: Pauses, until: float, last: str) -> None:
        """Waits for the next poll. Raises _TimeUp if no time is left for one."""
        left = until - self._clock()
        # The last poll is one interval before the end, unless the vendor asked for a longer pause.
        seconds = max(pauses.least, min(self._jitter(pauses.next), left - pauses.interval))
        if seconds >= left:
            raise _TimeUp(last or "none")
        await self._sleep(seconds)

    async def _ask(self, url: str, until: float) -> tuple[str, Any]:
        """Polls a job once; returns what `_read` does. Raises TryAgain, or SafetyBlocked if the poll says so."""
        vendor = self._vendor
        try:
            request = vendor.http.request("GET", url, headers=self._profile.headers, secrets=vendor.secrets_for(url))
            reply = await vendor.http.send(request, deadline=self._answer_by(until))
            if reply.status < 400:
                return self._read(reply)
        except ExchangeFailed as failure:
            text = f"{vendor.name}: the vendor accepted the job, but the poll failed: {failure}"
            raise TryAgain.of(failure, self._unknown(text)) from failure
        error = vendor.error(reply, idempotent=True)
        if isinstance(error, SafetyBlocked):
            raise error
        if error.retryable:
            raise TryAgain(after_seconds=error.retry_after)
        if not isinstance(error, ProviderCredentials | ProviderBilling):
            error = self._unknown(f"{error.message}; the outcome of the job is unknown")
        raise TryAgain(error)

    def _answer_by(self, until: float) -> float:
        """Returns the deadline of one poll, by the clock."""
        return min(until, self._clock() + self._profile.answer_seconds)

    def _state(self, word: str, answer: Any) -> State:
        """Returns the state that a word means: QUEUED, RUNNING or READY.

        Raises:
            SafetyBlocked: A safety system refused.
            ProviderFailed: The job failed or was cancelled.
            TryAgain: The answer has no state, or the vendor does not know the job.
        """
        name, said = self._vendor.name, self._vendor.text_in(answer)
        more = f": {said}" if said not in ("", word) else ""
        if not word:
            raise TryAgain(self._unknown(f"{name}: the answer does not have the job's state{more}"))
        state = self._profile.state_of(word)
        match state:
            case State.MODERATED:
                reasons = self._vendor.said(self._profile.reasons_in(answer))
                more = f": {reasons}" if reasons else more
                metadata = {"provider": name, **self._profile.refusal_by(word)}
                raise SafetyBlocked(f"{name}: its safety system refused ({word}){more}", metadata=metadata)
            case State.CANCELLED | State.FAILED:
                text = f"{name}: the job ended as {word}{more}"
                raise ProviderFailed(text, metadata={"provider": name, "owed": "unknown"})
            case State.MISSING:
                raise TryAgain(self._unknown(f"{name}: the vendor does not know the job{more}"))
        return state

    async def _results(self, job: RemoteJob, answer: Any, sent_seed: int | None, until: float) -> list[Event]:
        """Returns the images of a job that is ready, at least one, and what else its answer says.

        A single image whose download failed is fetched again after the next poll, which may name another URL. Of
        several, those that can be fetched are kept.

        Raises:
            TryAgain: The answer has no image, or it can't be fetched now.
            ProviderFailed: No image can be used.
        """
        if self._profile.result:
            _, answer = await self._ask(self._url(self._profile.result, job.ticket), until)
        found = self._profile.found_in(answer)
        if not found:
            said = self._vendor.text_in(answer) or "without a reason"
            raise TryAgain(lost(self._vendor, f"the answer has no image ({said})"))
        if len(found) == 1:
            told = found[0].seed
            seed = sent_seed if told is None else told
            picture = await picture_of(self._vendor, found[0].images[0], 0, seed, until)
            return [picture, *self._seed_lines(told, sent_seed)]
        answers = _once(Answer(tuple(found)))
        async with aclosing(image_events(self._vendor, answers, seed=sent_seed, deadline=until)) as events:
            return [event async for event in events]

    def _seed_lines(self, told: int | None, sent: int | None) -> list[Event]:
        """Returns the finding about the seed of one image, if the vendor names another than was sent.

        If 0 was sent, the vendor draws the seed.
        """
        if told is None or not sent or told == sent:
            return []
        problem = f"the provider says that it used {told}"
        return [Fidelity(FidelityLine.found("seed", told, problem=problem, image_index=0))]

    async def _at_once(self, reply: Reply, word: str, answer: Any) -> AsyncGenerator[Answer, None]:
        """Yields what the answer to a submit says, which can't be repeated. Raises CelesteError."""
        vendor, found = self._vendor, tuple(self._profile.found_in(answer))
        if not found and (failure := failure_in(answer)):
            raise vendor.failed(reply, failure)
        try:
            self._state(word, answer)
        except TryAgain as failed:
            raise failed.error or lost(vendor, "the answer has no image") from failed
        except CelesteError as error:
            error.metadata.setdefault("owed", "unknown")
            raise
        if not found:
            raise lost(vendor, f"the answer has no image ({vendor.text_in(answer) or 'without a reason'})")
        found = tuple(replace(each, seed=None) for each in found)  # told once, by `run`
        yield Answer(found, billed=quantities(self._profile.cost_in(answer)), words=vendor.text_in(answer))

    def _url(self, path: str, name: str) -> str:
        return self._vendor.url + path.format(id=quote(name, safe=""))

    def _unknown(self, text: str) -> OutcomeUnknown:
        """Returns the error for a job that must be paid for and can't be polled."""
        return OutcomeUnknown(text, metadata={"provider": self._vendor.name, "owed": "true", "final": "true"})

    def _given_up(self, last: str, owed: str, *, is_deadline: bool) -> CelesteError:
        """Returns the error for a job that took longer than the caller's deadline, or than the profile allows."""
        name, metadata = self._vendor.name, {"provider": self._vendor.name, "owed": owed}
        end = "was cancelled" if owed != "true" else "continues there and must be paid for"
        if is_deadline:
            return DeadlineExceeded(f"the deadline passed; the job at {name} {end}", metadata=metadata)
        text = f"{name}: the job did not end within {self._profile.longest_seconds:g} s (last state: {last}); it {end}"
        return OutcomeUnknown(text, metadata=metadata | {"final": "false"})

    async def _abandon(self, job: RemoteJob, call: Call) -> str:
        """Cancels a job where the vendor allows it; returns whether it must be paid for, `true` or `unknown`."""
        owed, name = "true", self._vendor.name
        if self._profile.cancel:
            verb, path = self._profile.cancel
            deadline = self._clock() + CANCEL_SECONDS
            try:
                url, secrets = self._url(path, job.ticket), self._vendor.secrets
                request = self._vendor.http.request(verb, url, secrets=secrets)
                reply = await self._vendor.http.send(request, deadline=deadline)
                if reply.status < 300:
                    owed = "unknown"
                else:
                    log.warning("cancel failed", provider=name, why=f"HTTP {reply.status}", request_id=call.request_id)
            except (ExchangeFailed, CelesteError) as error:
                log.warning("cancel failed", provider=name, why=str(error), request_id=call.request_id)
        log.warning("remote job abandoned", provider=name, owed=owed, request_id=call.request_id)
        return owed


async def _once(answer: Answer) -> AsyncGenerator[Answer, None]:
    yield answer
