"""Replaying: a repeated request id gets the first outcome, or waits for it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from celeste_image.core.call import Call
from celeste_image.core.errors import ProviderFailed, RequestIdReused, SafetyBlocked
from celeste_image.core.events import Event, Fidelity, Preview, Progress, Queued, Reused, Run, Saved, Started
from celeste_image.core.fingerprint import fingerprint
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ResultSource
from celeste_image.ledger import Claim, Outcome, Requests, request_to_json
from celeste_image.pipeline.flights import Flights

__all__ = ["replaying"]

KEPT = (SafetyBlocked, ProviderFailed)
"""Errors that are the outcome of a request. After any other, a repeat begins again, with the calls of the ledger."""
LOOK_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Pauses between looks at a request that another server works on; the last one repeats."""


def replaying(
    run: Run,
    requests: Requests,
    may_cost: Callable[[ImageRequest], bool],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Run:
    """Gives a repeated request its first outcome, and refuses another request with the same id.

    A repeat while the first runs waits for it, on whichever server that is. The result is MADE for the first caller who
    is still there, and REPLAYED for the others. If a server or a caller was lost, the repeat goes on with what the
    ledger has of the request: nothing is paid twice. A request without an id of its caller's is not written down.
    Whoever learns the id that the server made, from a stream or an error, can repeat it: its paid calls are in the
    ledger.

    Args:
        run: The rest of the pipeline.
        requests: The ids of all servers.
        may_cost: Returns whether a request may have to be paid. Then another server can go on with it.
        sleep: Waits for a number of seconds.
    """
    flights = Flights()

    async def replayed(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        if not call.is_named:
            async with aclosing(run(request, call)) as events:
                async for event in events:
                    yield event
            return
        body = await fingerprint(request)
        key = (call.caller.tenant, call.request_id, body)  # another body meets the claim of the first one
        is_first, reused, held = False, None, list[Event]()

        def start() -> AsyncGenerator[Event, None]:
            nonlocal is_first
            is_first = True
            return once(request, call, body)

        async with aclosing(flights.join(key, start, Reused(ResultSource.REPLAYED))) as events:
            async for event in events:
                if isinstance(event, Started):  # what is known of the model before this one is void
                    held = [each for each in held if not isinstance(each, Fidelity)]
                if is_first or isinstance(event, Queued | Started | Progress | Preview):
                    yield event
                elif isinstance(event, Reused):
                    reused = event
                elif Outcome.keeps(event):
                    held.append(event)  # what has been made counts for one caller, and for which one the end shows
        for event in ([reused] if reused else []) + held:
            yield event

    async def once(request: ImageRequest, call: Call, body: bytes) -> AsyncGenerator[Event, None]:
        """Runs a request that no other caller of this server works on."""
        claim = await claimed(request, call, body)
        if claim.outcome is not None:
            outcome = _decoded(claim)
            yield Reused(ResultSource.REPLAYED)
            for event in outcome.events:
                yield event
            if outcome.error:
                raise outcome.error
            return
        tenant, made = call.caller.tenant, list[Event]()
        try:
            async with aclosing(run(request, replace(call, earlier=claim.earlier))) as events:
                async for event in events:
                    if Outcome.keeps(event):
                        made.append(replace(event, data=b"") if isinstance(event, Saved) else event)
                    yield event
        except KEPT as error:
            await requests.finish(tenant, call.request_id, Outcome(made, error))
            raise
        except BaseException:
            requests.release_soon(tenant, call.request_id)
            raise
        await requests.finish(tenant, call.request_id, Outcome(made))

    async def claimed(request: ImageRequest, call: Call, body: bytes) -> Claim:
        """Returns the claim of a request once it is ours or has an outcome. Raises RequestIdReused."""
        tenant, id_ = call.caller.tenant, call.request_id
        whole, looks = request_to_json(request) if may_cost(request) else None, 0
        while True:
            claim = await requests.claim(call.caller, id_, body, whole)
            if claim.fingerprint != body:
                raise _reused(claim)
            if claim.is_ours or claim.outcome is not None:
                return claim
            if not await requests.release_dead(tenant, id_, claim.server):
                await sleep(LOOK_SECONDS[min(looks, len(LOOK_SECONDS) - 1)])
                looks += 1

    return replayed


def _reused(claim: Claim) -> RequestIdReused:
    text = "another request has this id; use an id of its own for each request"
    return RequestIdReused(text, metadata={"started": claim.started.isoformat(timespec="seconds")})


def _decoded(claim: Claim) -> Outcome:
    """Returns the outcome of a claim. Raises ProviderFailed if it can't be read."""
    assert claim.outcome is not None
    try:
        return Outcome.decode(claim.outcome)
    except ValueError as error:
        text = "the outcome of this request id can't be read; a later version of the server wrote it, or it is damaged"
        raise ProviderFailed(text, metadata={"owed": "unknown"}) from error
