"""Stability AI: the Stable Image services of the REST API v2beta. Each call is a multipart form; some run as jobs."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from celeste_image.core.call import Candidate
from celeste_image.core.errors import CelesteError, OperationNotOffered
from celeste_image.core.events import Event, Picture
from celeste_image.core.request import ImageRequest
from celeste_image.providers.catalog import load_cards, load_title
from celeste_image.providers.families.stable_image import READS, StableImageOptions, operation_for
from celeste_image.providers.kit import (
    Polling,
    RemoteJobs,
    Reply,
    State,
    Tools,
    Vendor,
    VendorSettings,
    at,
    check_request,
    error_for_status,
    parts_of,
    retry_after,
    value_in,
)
from celeste_image.providers.kit.failures import told_in

__all__ = ["PROVIDER", "Stability"]

POLLING: Final = Polling(
    # An answer with CONTENT_FILTERED has an image too, which is blurred. The reason stands in the body, in a header, or
    # in both. It is there to tell a refusal, so a word that is not known is taken for one.
    states={
        "202": State.RUNNING,
        "200": State.READY,
        "SUCCESS": State.READY,
        "in-progress": State.RUNNING,
        "CONTENT_FILTERED": State.MODERATED,
    },
    unknown=State.MODERATED,
    stages={"": "output"},
    # The OpenAPI calls it a "successful generation", and says that each of these is charged.
    charges={"CONTENT_FILTERED": "true"},
    status=(("finish_reason",), ("finish_reason_header",), ("status",)),
    headers_read={"finish-reason": "finish_reason_header", "seed": "seed"},
    poll="/results/{id}",
    results=(("image",), ("result",)),
    interval_seconds=10.0,  # faster polls count against the rate limit
    longest_seconds=900.0,
    answer_seconds=120.0,  # the last poll holds the image
)
BANNED_SECONDS: Final = 60.0
"""How long the API refuses calls after too many."""
SEEDS: Final = 4_294_967_295
"""One above the largest seed. Seeds are taken modulo this. With 0 the service draws a seed."""
STAGES: Final = {"public_figure": "input"}
"""The part that the safety system refused, by the names of errors that tell it."""


class Stability(Vendor):
    """The Stability API. Most services answer with the image; a job is polled."""

    name = "stability"
    title = load_title("stability")
    cards = load_cards("stability")
    Options = StableImageOptions
    base_url = "https://api.stability.ai/v2beta"
    key_variable = "STABILITY_API_KEY"
    key_form = r"sk-\w{20,}"
    key_path = "../v1/user/balance"
    model_form = ""  # each service has its own form, so an unknown model can't be called
    texts = (("finish_reason",),)

    def __init__(self, settings: VendorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self.remote_jobs = RemoteJobs(self, POLLING)

    async def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        """Sends the form of a service, and polls if the service runs a job."""
        card, wanted = candidate.card, getattr(request, "output_media_type", "") or "image/png"
        operation = operation_for(card.called_like, request)
        if operation is None:
            raise OperationNotOffered(f"{card.id} can't {request.kind.value} in this way")
        parts, seed = [], None
        if candidate.ticket is None:
            options = self.options(request.options.provider_options)
            check_request(card, request, operation, options)
            seed = getattr(request, "seed", None)
            seed = None if seed is None else seed % SEEDS
            extra = {
                "output_format": wanted.removeprefix("image/"),
                "seed": seed,
                "model": card.name_on_wire if operation.path == "generate/sd3" else None,
            }
            parts = await parts_of(self, operation, request, options, reads=READS, extra=extra)
        path, at_once = f"/stable-image/{operation.path}", not operation.job
        job = self.remote_jobs.run(path, candidate, at_once=at_once, seed=seed, headers=POLLING.headers, files=parts)
        async with aclosing(job) as events:
            async for event in events:
                yield replace(event, seed=event.seed or None) if isinstance(event, Picture) else event

    def error(self, reply: Reply, *, idempotent: bool = False) -> CelesteError:
        """Returns the error for an answer with `{id, name, errors}`."""
        answer = value_in(reply)
        failure = told_in(reply)
        errors = at(answer, "errors")
        text = "; ".join(str(error) for error in errors) if isinstance(errors, list) else ""
        return error_for_status(
            self.name,
            reply,
            self.said(text),
            moderated=failure.is_refusal,
            billing=failure.is_billing,
            stage=next((STAGES[word] for word in failure.words if word in STAGES), "unknown"),
            after=BANNED_SECONDS if reply.status == 429 and retry_after(reply.headers) is None else None,
            idempotent=idempotent,
        )


PROVIDER = Stability
