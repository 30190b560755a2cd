"""Every vendor x every fault of its answer to a paid call: the right reason, retryable only when nothing was done.

A vendor that is added is found by itself and fails here until it has a request in REQUESTS.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from tests.providers.recordings import KEY, Body

from celeste_image.core.errors import CelesteError
from celeste_image.core.image import Size
from celeste_image.core.request import Call, Generate
from celeste_image.providers.discover import discover
from celeste_image.providers.vendor import Vendor

SQUARE = Size(aspect_ratio="1:1")
REQUESTS = {
    "bfl": Generate(model="bfl/flux-pro-1.1", prompt="a boat", size=Size(1024, 768), count=1, seed=1),
    "gemini": Generate(model="gemini/gemini-2.5-flash-image", prompt="a boat", size=SQUARE, count=1),
    "openai": Generate(model="openai/gpt-image-2", prompt="a boat", size=Size(1024, 1024), count=1),
    "stability": Generate(model="stability/core", prompt="a boat", size=SQUARE, count=1),
}
VENDORS = {name: cls for name, cls in discover().items() if issubclass(cls, Vendor)}
CALL = Call("00000000-0000-4000-8000-000000000000")

UNKNOWN, DOWN, LIMITED = "OUTCOME_UNKNOWN", "PROVIDER_UNAVAILABLE", "PROVIDER_RATE_LIMITED"
CREDENTIALS, FAILED = "PROVIDER_CREDENTIALS", "PROVIDER_FAILED"


@dataclass(frozen=True)
class Fault:
    """What goes wrong, the reasons that are right, and how long the caller is told to wait."""

    what: str
    answer: Callable[[httpx.Request], httpx.Response]
    reasons: tuple[str, ...]
    after: float | None = None

    def __str__(self) -> str:
        return self.what


Answer = Callable[[httpx.Request], httpx.Response]


def status(code: int, body: bytes = b"{}", kind: str = "application/json", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-type": kind}
    return lambda request: httpx.Response(code, headers=named, stream=Body(body))


def breaks(error: type[httpx.TransportError]) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error("it broke")

    return answer


IN_AN_HOUR = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
SECRET = json.dumps(
    {"error": {"message": f"the key {KEY} is bad"}, "errors": [KEY], "detail": KEY, "name": "x"}
).encode()
NO_ANSWER = (UNKNOWN, FAILED)
FAULTS = [
    Fault("connection refused", breaks(httpx.ConnectError), (DOWN,)),
    Fault("no connection in time", breaks(httpx.ConnectTimeout), (DOWN,)),
    Fault("reset after the request", breaks(httpx.ReadError), (UNKNOWN,)),
    Fault("no answer in time", breaks(httpx.ReadTimeout), (UNKNOWN,)),
    Fault("closed without an answer", breaks(httpx.RemoteProtocolError), (UNKNOWN,)),
    Fault("400", status(400), ("INVALID_FIELD",)),
    Fault("401", status(401), (CREDENTIALS,)),
    Fault("401 that repeats the key", status(401, SECRET), (CREDENTIALS,)),
    Fault("402", status(402), ("PROVIDER_BILLING",)),
    Fault("403", status(403), (CREDENTIALS,)),
    Fault("404", status(404), ("MODEL_NOT_FOUND",)),
    Fault("422", status(422), ("INVALID_FIELD",)),
    Fault("429", status(429), (LIMITED,)),
    Fault("429, seconds", status(429, retry_after="7"), (LIMITED,), 7),
    Fault("429, milliseconds", status(429, retry_after_ms="1500"), (LIMITED,), 1.5),
    Fault("429, a date", status(429, retry_after=IN_AN_HOUR), (LIMITED,), 3600),
    Fault("429, before now", status(429, retry_after="-5"), (LIMITED,), 0),
    Fault("429, ten days", status(429, retry_after="864000"), (LIMITED,), 86_400),
    Fault("429, nonsense", status(429, retry_after="soon"), (LIMITED,)),
    Fault("500", status(500), (UNKNOWN,)),
    Fault("502", status(502, b"<html>bad gateway", "text/html"), (UNKNOWN,)),
    Fault("503", status(503, retry_after="3"), (DOWN,), 3),
    Fault("504", status(504), (UNKNOWN,)),
    Fault("a page", status(200, b"<html><script>alert(1)</script>", "text/html"), NO_ANSWER),
    Fault("nothing", status(200, b""), NO_ANSWER),
    Fault("null", status(200, b"null"), NO_ANSWER),
    Fault("a list", status(200, b"[]"), NO_ANSWER),
    Fault("an error that is said to be none", status(200, SECRET), NO_ANSWER),
    Fault("truncated JSON", status(200, b'{"data": [{"b64_json": "aGVsbG8'), NO_ANSWER),
    Fault("numbers without end", status(200, b'{"data": 1e400, "id": 1e400}'), NO_ANSWER),
    Fault("deep JSON", status(200, b"[" * 100_000), NO_ANSWER),
    Fault("a mark at the beginning", status(200, b"\xef\xbb\xbf{}"), NO_ANSWER),
    Fault("compressed", status(200, b"\x1f\x8b" + bytes(100), content_encoding="gzip"), NO_ANSWER),
    Fault("over the cap", status(200, b"{}", content_length=str(1 << 40)), NO_ANSWER),
    Fault("redirected to a private address", status(302, location="http://169.254.169.254/latest"), (DOWN, *NO_ANSWER)),
]


def test_every_vendor_has_a_request() -> None:
    assert REQUESTS.keys() == VENDORS.keys()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("name", VENDORS)
async def test_the_right_reason_once_and_nothing_of_the_key(name: str, fault: Fault) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return fault.answer(request)

    cls = VENDORS[name]
    vendor = cls(cls.Settings(key=KEY), httpx.MockTransport(answer), {})  # type: ignore[call-arg,arg-type]
    try:
        with pytest.raises(CelesteError) as caught:
            async for _ in vendor.run(replace(REQUESTS[name]), CALL):
                pass
    finally:
        await vendor.close()
    error = caught.value
    assert error.reason in fault.reasons, error
    assert error.retryable == (error.reason in (DOWN, LIMITED))
    assert len(asked) == 1, "asked again"
    assert KEY not in f"{error} {error.metadata} {error.violations}"
    assert "<script>" not in str(error)
    if fault.after is not None:
        assert error.retry_after == pytest.approx(fault.after, abs=600 if fault.after == 3600 else 0)
