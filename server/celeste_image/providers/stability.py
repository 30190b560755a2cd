"""Stability AI: the Stable Image services of its REST API v2beta. Each service is a form; some are jobs."""

import asyncio
import base64
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

from celeste_image.core.errors import (
    CelesteError,
    OperationNotOffered,
    OutcomeUnknown,
    ProviderFailed,
    SafetyBlocked,
)
from celeste_image.core.events import Event, Picture, Progress, Submitted
from celeste_image.core.request import Call, ImageRequest
from celeste_image.providers.answers import at, error_for_failure, error_for_status, retry_after
from celeste_image.providers.catalog import load_cards, load_title
from celeste_image.providers.exchange import ExchangeFailed, Reply
from celeste_image.providers.families.multipart import JSON, Operation, Watching, check, parts_of, watched
from celeste_image.providers.families.stable_image import READS, StableImageOptions, operation_for
from celeste_image.providers.vendor import Vendor

__all__ = ["PROVIDER", "Stability"]

JOBS: Final = Watching(interval_seconds=10.0)
"""Polls that come faster are counted against the caller."""
BANNED_SECONDS: Final = 60.0
"""How long no calls are taken after too many."""
SEEDS: Final = 4_294_967_295
"""One above the largest seed; those that the server draws count modulo this. 0 lets the service draw one."""
TICKET = re.compile(r"[A-Za-z0-9_-]{1,128}")
MODERATED: Final = {"content_moderation": "unknown", "public_figure": "input"}
"""Names of errors of the safety system, and what it refused."""


class Stability(Vendor):
    """The API; `sleep` waits between polls, `clock` is what deadlines are read by."""

    name = "stability"
    title = load_title("stability")
    cards = load_cards("stability")
    Options = StableImageOptions
    base_url = "https://api.stability.ai/v2beta"
    key_variable = "STABILITY_API_KEY"
    key_form = r"sk-\w{20,}"
    key_path = "/user/balance"
    sleep: Callable[[float], Awaitable[None]] = staticmethod(asyncio.sleep)
    clock: Callable[[], float] = staticmethod(time.monotonic)

    async def run(self, request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        """Sends the form of a service and, where that makes it a job, asks for the job until it is over."""
        card, wanted = self.card(request.model), getattr(request, "output_media_type", "") or "image/png"
        operation = operation_for(card.name_on_wire, request)
        if operation is None:
            raise OperationNotOffered(f"{card.id} can't {request.kind.value} in this way")
        ticket = call.ticket
        try:
            if ticket is None:
                options = self.options(request.options.provider_options)
                check(card, request, operation, options)
                seed = getattr(request, "seed", None)
                extra = {
                    "output_format": wanted.removeprefix("image/"),
                    "seed": None if seed is None else seed % SEEDS,
                    "model": card.name_on_wire if operation.path == "generate/sd3" else None,
                }
                parts = await parts_of(self, operation, request, options, reads=READS, extra=extra)
                reply = await self.http.send(
                    "POST",
                    f"{self.url}/stable-image/{operation.path}",
                    deadline=call.deadline,
                    headers=JSON,
                    secrets=self.secrets,
                    files=parts,
                )
                if reply.status != 200:
                    raise self._error(reply)
                answer = reply.json()
                if operation.job:
                    ticket = self._ticket(at(answer, "id"))
                    yield Submitted(ticket, self.name)
            if ticket is not None:
                url = f"{self.url}/results/{self._ticket(ticket)}"
                async with aclosing(watched(self, url, call, JOBS, self._error, self.sleep, self.clock)) as states:
                    async for state in states:
                        if isinstance(state, Progress):
                            yield state
                        else:
                            answer = state.json()
        except ExchangeFailed as failure:
            raise error_for_failure(self.name, failure) from failure
        data = self._picture(answer, operation)
        seed = at(answer, "seed")
        seed = seed if isinstance(seed, int) and 0 < seed < SEEDS else None
        yield Picture(data, *await self.pictures.facts(data), seed=seed)

    def _ticket(self, given: Any) -> str:
        """Returns the id of a job. It goes into a path, and comes from outside: from the vendor, or by a queue."""
        if isinstance(given, str) and TICKET.fullmatch(given):
            return given
        text = f"{self.name}: what should name a job is none of its ids"
        raise OutcomeUnknown(text, metadata={"provider": self.name, "final": "true"})

    def _picture(self, answer: Any, operation: Operation) -> bytes:
        """Returns the bytes of the picture in an answer. Raises SafetyBlocked, ProviderFailed."""
        reason, metadata = self.said(at(answer, "finish_reason")), {"provider": self.name}
        if reason == "CONTENT_FILTERED":  # there is a picture all the same, a blurred one
            text = f"{self.name}: the result was refused by its safety system"
            raise SafetyBlocked(text, metadata=metadata | {"stage": "output"})
        data = at(answer, *operation.result)
        try:
            return base64.b64decode(data if isinstance(data, str) and data else "?", validate=True)
        except ValueError:
            why = f" ({reason})" if reason not in ("", "SUCCESS") else ""
            raise ProviderFailed(f"{self.name}: there is no picture in its answer{why}", metadata=metadata) from None

    def _error(self, reply: Reply, *, idempotent: bool = False) -> CelesteError:
        """Returns the error for an answer `{id, name, errors}`."""
        try:
            answer = reply.json()
        except ExchangeFailed:
            answer = None
        name, errors = at(answer, "name"), at(answer, "errors")
        text = self.said("; ".join(str(error) for error in errors) if isinstance(errors, list) else None)
        after = BANNED_SECONDS if reply.status == 429 and retry_after(reply.headers) is None else None
        stage = MODERATED.get(name) if isinstance(name, str) else None
        return error_for_status(
            self.name,
            reply,
            text,
            moderated=stage is not None,
            stage=stage or "unknown",
            after=after,
            idempotent=idempotent,
        )


PROVIDER = Stability
