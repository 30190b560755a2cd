"""Answers of Google and Stability as relays and odd servers send them: no paid image is lost for their form."""

import gzip
import json
from typing import Any

import pytest
from tests.providers.vendors.test_odd_vendors import (
    BLUE,
    RED,
    RED_PNG,
    Case,
    Place,
    check,
    image,
    in_loop,
    made,
    part,
    step,
    steps,
)
from tests.providers.vendors.test_odd_vendors import place as place  # noqa: PLC0414 (a fixture)
from tests.support.hosts import reply

SAFETY = "SAFETY_BLOCKED"
WHOLE = json.dumps(made(part())).encode()
FIRST = json.dumps(made({"text": "Here it is."}, reason=None)).encode()
DONE = json.dumps({"image": RED, "finish_reason": "SUCCESS"}).encode()


def sent(body: bytes, kind: str = "application/json", status: str = "200 OK", *more: str) -> bytes:
    return reply(status, body, kind, *more)


def short(body: bytes) -> bytes:
    """An answer without its last two bytes, as where `content-length` counts characters."""
    return sent(body[:-2])


def events(*values: bytes) -> bytes:
    return sent(b"".join(b"data: " + value + b"\r\n\r\n" for value in values), "text/event-stream")


def interaction(*content: Any) -> bytes:
    return json.dumps(steps(step(*content))).encode()


@pytest.mark.parametrize(
    "case",
    [
        Case("an event", "gemini", events(WHOLE)),
        Case("two events", "gemini", events(FIRST, WHOLE)),
        Case("two lines", "gemini", sent(FIRST + b"\n" + WHOLE)),
        Case("status 201", "gemini", sent(WHOLE, status="201 Created")),
        Case("status 206", "gemini", sent(WHOLE, status="206 Partial")),
        Case("an image alone", "gemini", sent(RED_PNG, "image/png")),
        Case("two bytes short", "gemini", short(WHOLE)),
        Case("gzip unsaid", "gemini", sent(gzip.compress(WHOLE))),
        Case("left br", "gemini", sent(WHOLE, "application/json", "200 OK", "content-encoding: br")),
        Case("a surplus comma", "gemini", sent(WHOLE[:-1] + b",}")),
        Case("two of two events", "gemini", events(WHOLE, json.dumps(made(part(BLUE))).encode()), "rb"),
        Case(
            "a refusal in an event",
            "gemini",
            events(json.dumps(made(reason="IMAGE_SAFETY")).encode()),
            reason=SAFETY,
            stage="output",
        ),
        Case("an event", "interactions", events(json.dumps({"interaction": steps(step(image()))}).encode())),
        Case("two bytes short", "interactions", short(interaction(image()))),
        Case("status 201", "interactions", sent(interaction(image()), status="201 Created")),
        Case("bytes of no type", "stability", sent(RED_PNG, "application/octet-stream")),
        Case("an image named JSON", "stability", sent(RED_PNG)),
        Case("two bytes short", "stability", short(DONE)),
        Case("gzip unsaid", "stability", sent(gzip.compress(DONE))),
        Case("no image", "stability", sent(b'{"finish_reason": "SUCCESS"}'), reason="PROVIDER_FAILED", says="no image"),
    ],
    ids=str,
)
@in_loop
async def test_the_form_of_an_answer_costs_no_image(place: Place, case: Case) -> None:
    await check(place, case)
