"""Callers: every method is walked with every kind of credentials, against the table in `rpc/access.py`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import grpc
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.support.callers import bearer, key_table, new_key
from tests.support.grpc_calls import reason
from tests.support.methods import METHODS, called, request_of
from tests.support.servers import Running, running

from celeste_image.callers import Callers
from celeste_image.config.callers import CallerSettings
from celeste_image.core.caller import Caller
from celeste_image.core.errors import CredentialsInvalid
from celeste_image.rpc import access
from celeste_image.rpc.access import ACCESS, Access

ACME, ACME_NEXT, OTHER, EXPIRED = new_key(), new_key(), new_key(), new_key()
KEYS = {
    "acme": key_table(ACME, "acme"),
    "acme-next": key_table(ACME_NEXT, "acme", name="acme", not_after=datetime.now(UTC) + timedelta(days=1)),
    "other": key_table(OTHER, "other"),
    "expired": key_table(EXPIRED, "acme", not_after=datetime.now(UTC) - timedelta(seconds=1)),
}
REFUSED, DENIED = "CREDENTIALS_INVALID", "NOT_ALLOWED"
CREDENTIALS: dict[str, tuple[Sequence[tuple[str, str]], bool]] = {
    "no key": ((), False),
    "a bad key": (bearer(new_key()), False),
    "a key with its end cut off": (bearer(ACME[:-1]), False),
    "the digest of a key": (bearer(str(KEYS["acme"]["sha256"])), False),
    "an expired key": (bearer(EXPIRED), False),
    "an empty key": ((("authorization", "Bearer "),), False),
    "another scheme": ((("authorization", f"Basic {ACME}"),), False),
    "a key without its scheme": ((("authorization", ACME),), False),
    "a key in another header": ((("x-api-key", ACME),), False),
    "a good key and a bad one": ((*bearer(ACME), *bearer(new_key())), False),
    "a bad key and a good one": ((*bearer(new_key()), *bearer(ACME)), False),
    "the key": (bearer(ACME), True),
    "the key, its scheme in small letters": ((("authorization", f"bearer {ACME}"),), True),
    "the next key of the same caller": (bearer(ACME_NEXT), True),
    "another tenant's key": (bearer(OTHER), True),
}
"""Metadata, and whether the server knows the caller."""
OPEN = {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}


async def outcome(channel: grpc.aio.Channel, name: str, metadata: Sequence[tuple[str, str]]) -> str:
    """Calls a method with an empty request, and returns the code of its status, the reason of a refusal, or OK."""
    try:
        await called(channel, name, request_of(name)(), metadata, most=1)
    except grpc.aio.AioRpcError as error:
        code = str(error.code().name)
        return reason(error)[1] if code in ("UNAUTHENTICATED", "PERMISSION_DENIED") else code
    return "OK"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Running]:
    async with running(callers={"keys": KEYS}) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(server: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


def test_every_method_has_a_row() -> None:
    assert set(ACCESS) == set(METHODS)


def test_only_health_is_open() -> None:
    assert {name for name, who in ACCESS.items() if who is Access.ANYONE} == OPEN


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("credentials", CREDENTIALS)
async def test_every_method(channel: grpc.aio.Channel, credentials: str) -> None:
    metadata, is_known = CREDENTIALS[credentials]
    found = await asyncio.gather(*(outcome(channel, name, metadata) for name in METHODS))
    codes = dict(zip(METHODS, found, strict=True))
    refused = {name for name, code in codes.items() if code == REFUSED}
    assert refused == (set() if is_known else set(METHODS) - OPEN), codes
    assert DENIED not in codes.values()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("credentials", "text"), [("no key", "has no API key"), ("an expired key", "has expired")])
async def test_the_refusal_says_why_without_the_key(channel: grpc.aio.Channel, credentials: str, text: str) -> None:
    call = channel.unary_unary("/celeste.image.v1.ModelService/GetServerInfo")
    with pytest.raises(grpc.aio.AioRpcError, match=text) as caught:
        await call(b"", metadata=CREDENTIALS[credentials][0])
    assert EXPIRED not in str(caught.value)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_access_log_has_the_caller_and_never_the_key(channel: grpc.aio.Channel) -> None:
    with capture_logs() as lines:
        for metadata in (bearer(ACME_NEXT), bearer(OTHER), bearer(EXPIRED)):
            await outcome(channel, "/celeste.image.v1.ModelService/GetServerInfo", metadata)
    found = [(line["tenant"], line["caller"], line["code"]) for line in lines if line["event"] == "rpc"]
    assert found == [("acme", "acme", "OK"), ("other", "other", "OK"), ("", "", "UNAUTHENTICATED")]
    assert not any(key in str(lines) for key in (ACME_NEXT, OTHER, EXPIRED))


@pytest.mark.parametrize("known", [True, False], ids=["with keys", "without keys"])
@pytest.mark.parametrize("name", ["/celeste.image.v1.ModelService/GetServerInfo", "/grpc.health.v1.Health/Check"])
async def test_a_method_without_a_row_is_denied(monkeypatch: pytest.MonkeyPatch, name: str, known: bool) -> None:
    monkeypatch.delitem(access.ACCESS, name)  # type: ignore[arg-type]  # it is a dict
    async with running(callers={"keys": KEYS} if known else {}) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            assert await outcome(channel, name, bearer(ACME)) == DENIED


async def test_without_keys_everyone_may_call() -> None:
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        codes = await asyncio.gather(*(outcome(channel, name, bearer("any")) for name in METHODS))
    assert not {REFUSED, DENIED} & set(codes)


def test_a_key_expires_at_its_moment() -> None:
    now = 0.0
    key, end = new_key(), datetime(2030, 1, 1, tzinfo=UTC)
    callers = Callers(CallerSettings(keys={"a": key_table(key, "acme", not_after=end)}), now=lambda: now)
    now = end.timestamp() - 0.001
    assert callers.of_key(key) == Caller("acme", "a")
    now = end.timestamp()
    with pytest.raises(CredentialsInvalid, match="expired"):
        callers.of_key(key)


@pytest.mark.parametrize(
    ("uris", "caller"),
    [
        (["spiffe://e.org/ns/acme/sa/phone"], Caller("acme", "phone")),
        (["spiffe://e.org/batch"], Caller("acme", "nightly")),
        (["spiffe://e.org/web"], Caller("other", "web")),
        ([], None),
        (["spiffe://e.org/batch", "spiffe://e.org/web"], None),
        (["spiffe://e.org/batch/"], None),
        (["spiffe://e.org/batch\0"], None),
        (["spiffe://e.org/batch\n"], None),
        (["spiffe://E.org/batch"], None),
        (["spiffe://exorg/batch"], None),
        (["spiffe://e.org/ns/acme/sa/"], None),
        (["spiffe://e.org/ns/acme/sa/phone/x"], None),
        (["spiffe://e.org/ns/acme/x/sa/phone"], None),
        (["spiffe://e.org/ns/ACME/sa/phone"], None),
        (["spiffe://e.org/ns/acme\0/sa/phone"], None),
        (["spiffe://e.org/ns/../sa/phone"], None),
        (["spiffe://evil.org/ns/acme/sa/phone"], None),
        (["https://e.org/ns/acme/sa/phone"], None),
        (["x spiffe://e.org/ns/acme/sa/phone"], None),
        ([f"spiffe://e.org/ns/{'a' * 65}/sa/phone"], None),
    ],
)
def test_uris_of_certificates(uris: list[str], caller: Caller | None) -> None:
    rules = {
        "mesh": {"uri": "spiffe://e.org/ns/{tenant}/sa/{name}"},
        "batch": {"uri": "spiffe://e.org/batch", "tenant": "acme", "name": "nightly"},
        "web": {"uri": "spiffe://e.org/web", "tenant": "other"},
    }
    callers = Callers(CallerSettings.model_validate({"certificates": rules}))
    if caller:
        assert callers.of_certificate(uris) == caller
    else:
        with pytest.raises(CredentialsInvalid):
            callers.of_certificate(uris)
