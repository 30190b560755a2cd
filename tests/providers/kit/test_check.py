"""Key checks: the form, the free call, and messages that quote no part of a key."""

import httpx
import pytest
from tests.support.recordings import KEY
from tests.support.transport import FakeTransport

from celeste_image.providers.base import Tools
from celeste_image.providers.kit.check import check_key
from celeste_image.providers.kit.credentials import Verdict, form_problem
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.providers.vendors.bfl import PROVIDER as BFL
from celeste_image.providers.vendors.gemini import PROVIDER as GEMINI
from celeste_image.providers.vendors.openai import PROVIDER as OPENAI
from celeste_image.providers.vendors.stability import PROVIDER as STABILITY

OPENAI_KEY = "sk-proj-" + "a1" * 20


def vendor(cls: type[Vendor], transport: httpx.AsyncBaseTransport, key: str = KEY) -> Vendor:
    return cls(cls.Settings(key=key), Tools(transport=transport, environment={}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cls", "base_url", "asked"),
    [
        (STABILITY, "", "https://api.stability.ai/v1/user/balance"),
        (STABILITY, "http://127.0.0.1:9/prefix/v2beta", "http://127.0.0.1:9/prefix/v1/user/balance"),
        (STABILITY, "http://127.0.0.1:9/prefix/v2beta/", "http://127.0.0.1:9/prefix/v1/user/balance"),
        (BFL, "", "https://api.bfl.ai/v1/credits"),
        (BFL, "http://127.0.0.1:9/prefix", "http://127.0.0.1:9/prefix/v1/credits"),
        (GEMINI, "http://127.0.0.1:9/prefix/v1", "http://127.0.0.1:9/prefix/v1/models?pageSize=1"),
    ],
)
async def test_the_check_is_beside_the_api(cls: type[Vendor], base_url: str, asked: str) -> None:
    seen: list[str] = []

    def transport(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json={"credits": 1})

    settings = cls.Settings(key=KEY, base_url=base_url, allow_private=bool(base_url))  # type: ignore[arg-type]
    checked = await check_key(cls(settings, Tools(transport=FakeTransport(transport), environment={})))
    assert seen == [asked]
    assert "accepts the key" in checked.text or checked.verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refuses the key"), (403, "refuses the key"), (500, "500"), (429, "429")]
)
async def test_a_check_that_fails_says_why(status: int, words: str) -> None:
    transport = FakeTransport(lambda request: httpx.Response(status, json={"error": {"message": f"bad {KEY}"}}))
    checked = await check_key(vendor(STABILITY, transport, "sk-" + "b2" * 24))
    assert checked.verdict is Verdict.FAILED
    assert words in checked.text
    assert KEY not in checked.text


async def test_a_vendor_that_can_not_be_reached() -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no way there")

    checked = await check_key(vendor(OPENAI, FakeTransport(down), OPENAI_KEY))
    assert checked.verdict is Verdict.FAILED
    assert "no way there" in checked.text


async def test_without_a_free_call_or_offline_nobody_is_asked() -> None:
    def asked(request: httpx.Request) -> httpx.Response:
        raise AssertionError("asked")

    class Quiet(BFL):
        key_path = ""

    transport = FakeTransport(asked)
    assert (await check_key(vendor(Quiet, transport, "0f" * 16))).verdict is Verdict.OK
    assert (await check_key(vendor(OPENAI, transport, OPENAI_KEY), online=False)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("key", "verdict"),
    [
        ("", Verdict.FAILED),
        ("sk-with space" + "a" * 20, Verdict.FAILED),
        ("r8_" + "a" * 37, Verdict.FAILED),
        ("AIza" + "a" * 35, Verdict.FAILED),
        ("something-else", Verdict.WARNING),
        (OPENAI_KEY, Verdict.OK),
    ],
)
def test_the_form_of_a_key(key: str, verdict: Verdict) -> None:
    found, text = form_problem(key, OPENAI.key_form)
    assert found is verdict
    assert not key or key not in text


def test_a_googles_key_is_right_for_google() -> None:
    assert form_problem("AIza" + "a" * 35, GEMINI.key_form)[0] is Verdict.OK


async def test_a_key_that_gemini_calls_a_bad_request_is_refused() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error = {"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid.", "details": [detail]}
    transport = FakeTransport(lambda request: httpx.Response(400, json={"error": error}))
    checked = await check_key(vendor(GEMINI, transport, "AIza" + "x" * 35))
    assert (checked.verdict, checked.text) == (Verdict.FAILED, "the vendor refuses the key")
