"""Images in answers: base64 in any form gives the same bytes, and any JSON value is read without an exception."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeste_image.core.errors import CelesteError, ProviderFailed
from celeste_image.outbound.exchange import Reply
from celeste_image.providers.kit.failures import Failure, error_of, failure_in, is_refusal, word_of
from celeste_image.providers.kit.images import answer_in, billed_in, data_in


def spaced(text: str, every: int, end: str) -> str:
    return end.join(text[i : i + every] for i in range(0, len(text), every))


@given(
    st.binary(min_size=1, max_size=200),
    st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
    st.booleans(),
    st.sampled_from(["", "data:image/png;base64,", "DATA:;Base64,", "data:image/jpeg;a=b;base64, "]),
    st.sampled_from(["", "\n", "\r\n", " ", "\\n"]),
)
def test_base64_in_any_form_is_the_same_bytes(data: bytes, encode: Any, padded: bool, head: str, end: str) -> None:
    text = encode(data).decode()
    text = text if padded else text.rstrip("=")
    assert data_in(head + spaced(text, 19, end)) == data


@given(
    st.binary(max_size=40),
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from("=-_+/ A\n")), max_size=3),
)
def test_what_is_base64_is_told_as_the_standard_library_tells_it(data: bytes, changes: list[tuple[int, str]]) -> None:
    text = base64.b64encode(data).decode()
    for place, letter in changes:
        text = text[:place] + letter + text[place:]
    plain = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        expected = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True) if plain else None
    except ValueError:
        expected = None
    assert data_in(text) == expected


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    found = data_in(text)
    assert found is None or isinstance(found, bytes)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "moderation_blocked", "500", "429", "AAAA", "/x.png", "error", "failed"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("error", "errors", "detail", "message", "code", "data", "images", "url", "b64_json", "status"),
                    *("usage", "seed", "finish_reason", "content_filter_results", "input_tokens", "image_url", "nsfw"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def made(failure: Failure, stage: str) -> CelesteError:
    return error_of("x", Reply(200, {}), failure, lambda text: text if isinstance(text, str) else "", stage=stage)


@given(VALUES)
def test_any_value_is_read(value: Any) -> None:
    answer = answer_in(value, made)
    assert all(isinstance(each.amount, float) and each.amount > 0 for each in answer.billed)
    for found in answer.found:
        assert not (found.images and found.error)
        assert found.error is None or found.error.metadata.get("owed") in (None, "unknown")


@given(VALUES)
def test_a_failure_in_any_value_is_an_error(value: Any) -> None:
    failure = failure_in({"error": value})
    if value in (None, "", {}, [], False, 0) or failure is None:
        return
    assert isinstance(made(failure, "unknown"), CelesteError)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("contentFilter", "content_filter"),
        ("CONTENT_FILTER", "content_filter"),
        ("content-filter", "content_filter"),
        ("Request Moderated", "request_moderated"),
        ("ResponsibleAIPolicyViolation", "responsible_aipolicy_violation"),
        ("", ""),
        (None, ""),
        (429, ""),
        ("x" * 101, ""),
    ],
)
def test_codes_have_one_form(code: Any, word: str) -> None:
    assert word_of(code) == word


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        *((code, True) for code in ("IMAGE_SAFETY", "prohibited_content", "blocklist", "SPII", "RECITATION", "NSFW")),
        *((code, True) for code in ("ESCALATION", "MODEL_ARMOR", "LANGUAGE", "content_moderation", "public_figure")),
        *((code, True) for code in ("Content Moderated", "image_content_policy_violation", "bio_policy_violation")),
        *((code, False) for code in ("STOP", "SUCCESS", "MAX_TOKENS", "BLOCK_REASON_UNSPECIFIED", "OTHER", "", None)),
        *((code, False) for code in ("SAFETY_UNSPECIFIED", "unmoderated", "rate_limit_exceeded", "invalid_value", 7)),
    ],
)
def test_refusals_are_known_by_their_codes(code: Any, refused: bool) -> None:
    assert is_refusal(code) is refused


@pytest.mark.parametrize(
    ("status", "code", "counts"),
    [
        (200, 429, 429),
        (201, 503, 503),
        (502, 429, 429),
        (503, 500, 503),
        (400, 429, 400),
        (401, 500, 401),
        (500, 503, 500),
    ],
)
def test_the_status_that_says_more_counts(status: int, code: int, counts: int) -> None:
    error = error_of("x", Reply(status, {}), Failure("no", status=code), str)
    assert error.metadata["status"] == str(counts)


def test_seconds_of_a_failure() -> None:
    for value, seconds in (
        ({"retry_after": 7}, 7),
        ({"retry_after": -1}, None),
        ({"details": [{"retryDelay": "8s"}]}, 8),
    ):
        failure = failure_in({"error": {"code": 429, **value}})
        assert failure and failure.after == seconds
        assert isinstance(made(failure, ""), CelesteError)


def test_text_alone_is_no_image() -> None:
    error = error_of("x", Reply(200, {}), Failure(), str)
    assert isinstance(error, ProviderFailed) and "without a reason" in str(error)
    assert billed_in({"input_tokens": 3, "output_tokens": 4}) == {"input_token": 3, "output_token": 4}
