"""Vendor errors: each HTTP status, failure and form of Retry-After maps to one CelesteError."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeste_image.core.errors import (
    CelesteError,
    InvalidRequest,
    ModelNotFound,
    OutcomeUnknown,
    ProviderBilling,
    ProviderCredentials,
    ProviderFailed,
    ProviderRateLimited,
    ProviderUnavailable,
    SafetyBlocked,
)
from celeste_image.outbound.exchange import ExchangeFailed, OriginRefused, Reply, Stage
from celeste_image.providers.kit.answers import (
    at,
    duration_seconds,
    error_for_failure,
    error_for_status,
    retry_after,
    vendor_text,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
DAY = 86_400.0

STATUSES: dict[int, type[CelesteError]] = {
    **dict.fromkeys((400, 405, 406, 411, 413, 414, 415, 422), InvalidRequest),
    **dict.fromkeys((401, 403), ProviderCredentials),
    402: ProviderBilling,
    404: ModelNotFound,
    429: ProviderRateLimited,
    **dict.fromkeys((408, 503, 529), ProviderUnavailable),
}


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_of_a_paid_submit(status: int) -> None:
    error = error_for_status("x", Reply(status, {"retry-after": "7"}))
    expected = STATUSES.get(status, OutcomeUnknown if status >= 500 else ProviderFailed)
    assert type(error) is expected
    assert error.metadata["provider"] == "x"
    assert error.metadata["status"] == str(status)
    assert str(status) in str(error)
    assert error.retryable == (status in (408, 429, 503, 529)), "only where nothing was done"
    assert error.retry_after == (7.0 if error.retryable else None)
    assert error.metadata.get("final") == ("true" if expected is OutcomeUnknown else None)


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_of_a_poll(status: int) -> None:
    error = error_for_status("x", Reply(status, {}), idempotent=True)
    assert error.retryable == (status in (408, 429) or status >= 500)
    assert not isinstance(error, OutcomeUnknown)


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500])
def test_what_the_body_says_goes_before_the_status(status: int) -> None:
    blocked = error_for_status("x", Reply(status, {}), "no", moderated=True, billing=True, stage="output")
    assert type(blocked) is SafetyBlocked
    assert (str(blocked), blocked.metadata["stage"]) == ("x: no", "output")
    assert type(error_for_status("x", Reply(status, {}), billing=True)) is ProviderBilling


def test_seconds_that_the_body_names_go_before_those_of_the_headers() -> None:
    reply = Reply(429, {"retry-after": "7"})
    assert error_for_status("x", reply, after=3.0).retry_after == 3.0
    assert error_for_status("x", reply, after=0.0).retry_after == 0.0


# Exchanges without a usable answer


@pytest.mark.parametrize(
    ("failure", "submit", "poll"),
    [
        (ExchangeFailed("refused", Stage.NOT_SENT), ProviderUnavailable, ProviderUnavailable),
        (ExchangeFailed("cut", Stage.NOT_ANSWERED), OutcomeUnknown, ProviderUnavailable),
        (ExchangeFailed("no JSON", Stage.ANSWERED, 200), OutcomeUnknown, ProviderUnavailable),
        (ExchangeFailed("no JSON", Stage.ANSWERED, None), OutcomeUnknown, ProviderUnavailable),
        (ExchangeFailed("redirect", Stage.ANSWERED, 302), ProviderFailed, ProviderUnavailable),
        (ExchangeFailed("redirect", Stage.ANSWERED, 303), OutcomeUnknown, ProviderUnavailable),
        (ExchangeFailed("cut", Stage.ANSWERED, 401), ProviderCredentials, ProviderUnavailable),
        (ExchangeFailed("cut", Stage.ANSWERED, 429), ProviderRateLimited, ProviderUnavailable),
        (ExchangeFailed("cut", Stage.ANSWERED, 500), OutcomeUnknown, ProviderUnavailable),
        (ExchangeFailed("cut", Stage.ANSWERED, 503), ProviderUnavailable, ProviderUnavailable),
        (OriginRefused("not allowed"), ProviderFailed, ProviderFailed),
    ],
)
def test_failed_exchanges(failure: ExchangeFailed, submit: type[CelesteError], poll: type[CelesteError]) -> None:
    assert type(error_for_failure("x", failure)) is submit
    assert type(error_for_failure("x", failure, idempotent=True)) is poll
    assert str(failure) in str(error_for_failure("x", failure))


def test_a_broken_body_is_judged_as_a_whole_one() -> None:
    for status in range(400, 600):
        whole = error_for_status("x", Reply(status, {}))
        broken = error_for_failure("x", ExchangeFailed("cut", Stage.ANSWERED, status))
        assert type(broken) is type(whole), status


# Retry-After


def date(**after: float) -> str:
    return format_datetime(NOW + timedelta(**after), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "864000"}, DAY),
        ({"retry-after": "9" * 12}, DAY),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "8s"}, None),
        ({"retry-after": date(seconds=30)}, 30),
        ({"retry-after": date(days=-1)}, 0),
        ({"retry-after": date(days=10)}, DAY),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 -0000"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 14:00:30 +0200"}, 30),
        ({"retry-after": "Sunday, 22-Nov-26 12:00:30 GMT"}, 30),
        ({"retry-after": "Sun Nov 22 12:00:30 2026"}, 30),
        ({"retry-after": "Sun, 32 Nov 2026 12:00:30 GMT"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9),
        ({"retry-after-ms": "9" * 12}, DAY),
    ],
)
def test_retry_after_in_all_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
    assert retry_after(httpx.Headers({name.title(): value for name, value in headers.items()}), NOW) == seconds


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=60),
        st.from_regex(r"\A\w{0,9}, ?\d{1,5}[ -]\w{1,5}[ -]\d{1,7} \d{1,3}:\d{1,3}(:\d{1,3})? [+-]?\w{0,9}\Z"),
    )
)
def test_no_header_breaks_it(value: str) -> None:
    found = retry_after({"retry-after": value, "retry-after-ms": value})
    assert found is None or 0 <= found <= DAY


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("8s", 8), ("0.5s", 0.5), ("999999999s", DAY), ("8", None), (8, None), (None, None), ("-8s", None)],
)
def test_durations_of_protobuf(value: Any, seconds: float | None) -> None:
    assert duration_seconds(value) == seconds


# Values in a body

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values, st.lists(st.integers(-4, 4) | st.text(max_size=3), max_size=4))
def test_at_never_breaks(value: Any, path: list[str | int]) -> None:
    assert at(value, *path) == at(at(value, *path[:-1]), *path[-1:])


def test_at_finds_what_is_there() -> None:
    value = {"a": [{"b": 1}, {"b": 2}], "0": "zero"}
    assert (at(value, "a", 1, "b"), at(value, "a", -1, "b"), at(value)) == (2, 2, value)
    assert [at(value, *path) for path in [("x",), ("a", 2), ("a", "0"), (0,), ("a", 0, "b", "c")]] == [None] * 5


@given(st.text(max_size=800))
def test_what_a_vendor_says_is_one_short_line(value: str) -> None:
    text = vendor_text(value)
    assert len(text) <= 300
    assert text.isprintable()


def test_what_a_vendor_says_has_no_key() -> None:
    assert vendor_text("bad key sk-1, truly sk-1", ["sk-1", ""]) == "bad key [key], truly [key]"
    cut = vendor_text("x" * 295 + "sk-0123456789", ["sk-0123456789"])
    assert "sk-" not in cut
    assert [vendor_text(value) for value in (None, 7, {"a": 1}, ["x"])] == [""] * 4
