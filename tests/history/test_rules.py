"""Each rule of histories: what breaks it, and what comes near and does not."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.history import REUSED, UNKNOWN, Call, Entry, History, Sent
from tests.support.history_rules import RULES, HistoryBroken, broken_rules, hold, violations

RED, BLUE, GREEN = "red" * 20, "blue" * 16, "green" * 12
PRICE = Decimal("0.03")


def call(images: tuple[str, ...] = (RED,), start: float = 0, **others: object) -> Call:
    given: dict[str, object] = {"tenant": "ann", "request_id": "one", "body": "a fox", "end": start + 1}
    return Call(**(given | {"start": start, "images": images} | others))  # type: ignore[arg-type]


def lost(start: float = 0, **others: object) -> Call:
    return call((), start, **({"reason": "SERVER_UNAVAILABLE", "is_final": False} | others))


def failed(reason: str, start: float = 0, **others: object) -> Call:
    return call((), start, reason=reason, **others)


def job(name: str = "j1", amount: Decimal = PRICE, **others: str) -> Sent:
    return Sent(**({"tenant": "ann", "request_id": "one", "provider": "bfl"} | others), job=name, amount=amount)  # type: ignore[arg-type]


def sent(amount: Decimal = PRICE, **others: str) -> Sent:
    return Sent(**({"tenant": "ann", "request_id": "one", "provider": "openai"} | others), amount=amount)  # type: ignore[arg-type]


def entry(name: str = "1", provider: str = "openai", **others: object) -> Entry:
    return Entry(name, "ann", "one", provider, **others)  # type: ignore[arg-type]


def of_job(name: str = "1", job: str = "j1", **others: object) -> Entry:
    return entry(name, "bfl", job=job, **others)


def uncertain(name: str = "1", provider: str = "openai", **others: object) -> Entry:
    return entry(name, provider, state="uncertain", owed=None, **others)


def free(name: str = "1", provider: str = "openai", **others: object) -> Entry:
    return entry(name, provider, owed=False, **others)


def history(*items: Call | Sent | Entry, reads: dict[tuple[str, str], str] | None = None) -> History:
    """Returns a history in which each image can be read by the tenant that saw it, unless `reads` says otherwise."""
    calls = [item for item in items if isinstance(item, Call)]
    can_read = {(call.tenant, image): image for call in calls for image in call.images}
    return History(
        calls,
        [item for item in items if isinstance(item, Sent)],
        [item for item in items if isinstance(item, Entry)],
        can_read | (reads or {}),
    )


CENTS = Decimal("0.04")


def billed(*items: Call | Sent | Entry) -> History:
    """Returns a history of vendors whose very charge the ledger knows."""
    return replace(history(*items), exact=frozenset({"openai", "bfl"}))


BROKEN = {
    "a: it can't be read": history(call(), reads={("ann", RED): ""}),
    "a: it has other bytes": history(call(), reads={("ann", RED): BLUE}),
    "a: the second of two images is gone": history(call((RED, BLUE)), reads={("ann", BLUE): ""}),
    "a: nobody tried to read it": replace(history(call()), reads={}),
    "b: two results": history(call(), call((BLUE,), 2)),
    "b: two results in another order": history(call((RED, BLUE)), call((BLUE, RED), 2)),
    "b: a result after a final error": history(failed(UNKNOWN), call(start=2)),
    "b: a final error after a result": history(call(), failed("PROVIDER_FAILED", 2)),
    "b: another final error": history(failed(UNKNOWN), failed("PROVIDER_FAILED", 2)),
    "b: two results with a lost connection between": history(call(), lost(2), call((BLUE,), 4)),
    "c: two bodies have results": history(call(), call((BLUE,), 2, body="a dog")),
    "c: one body has a result and one a failure of the vendor": history(call(), failed(UNKNOWN, 2, body="a dog")),
    "c: its own body is refused": history(call(), failed(REUSED, 2)),
    "c: refused, and no other body was sent": history(failed(REUSED)),
    "c: refused, and the other body came later": history(failed(REUSED), call((BLUE,), 2, body="a dog")),
    "d: two jobs for an image": history(call(), job(), job("j2"), of_job(), of_job("2", "j2")),
    "d: a job after a lost connection": history(lost(), lost(2), job("j1"), job("j2"), of_job(), of_job("2", "j2")),
    "d: three jobs for two images": history(
        call((RED, BLUE), parts=2), *(job(name) for name in "123"), *(of_job(name, name) for name in "123")
    ),
    "d: a second job that is free": history(call(), job(), job("j2", Decimal(0)), of_job()),
    "e: two charges and one entry": history(call(), sent(), sent(), entry()),
    "e: a charge that an entry calls free": history(failed("PROVIDER_FAILED"), sent(), free()),
    "e: sent again after an uncertain call": history(call(), sent(), sent(), uncertain(), entry("2")),
    "e: sent again after a paid call": history(call(), sent(), sent(), entry(), entry("2")),
    "e: sent again by another vendor after an uncertain call": history(
        call(), sent(), sent(provider="gemini"), uncertain(), entry("2", "gemini")
    ),
    "e: a free call that no entry shows": history(call(), sent(Decimal(0)), sent(), entry()),
    "f: a charge without an entry": history(lost(), sent()),
    "f: a job without an entry": history(lost(), job()),
    "f: a job, and the entry of another one": history(lost(), job(), of_job(job="j2", state="uncertain")),
    "f: two nameless jobs and one entry without a name": history(
        lost(parts=2), job(), job("j2"), uncertain(provider="bfl")
    ),
    "f: a charged job that is said to be free": history(call(), job(), free(provider="bfl", job="j1")),
    "f: an owed entry without a charge": history(call(), entry()),
    "f: an owed entry of a vendor that charged nothing": history(call(), sent(Decimal(0)), entry()),
    "f: an owed job that was never submitted": history(call(), of_job()),
    "f: an entry that stays open": history(lost(), sent(), entry(state="open", owed=None)),
    "f: a charge for no request": history(call(), sent(), entry(), sent(tenant="", request_id="")),
    "g: two tenants see one image": history(call(), call(tenant="bob", request_id="two")),
    "g: two tenants with one request id see one image": history(call(), call(tenant="bob")),
    "g: a tenant reads the image of another": history(call(), reads={("bob", RED): RED}),
    "g: a tenant reads other bytes by the name of another's image": history(call(), reads={("bob", RED): GREEN}),
    "h: more is settled than was charged": billed(call(), job(), of_job(amount=CENTS)),
    "h: less is settled than was charged": billed(call(), sent(), entry(amount=Decimal("0.029"))),
    "h: nothing is settled for a charge": billed(call(), sent(), entry(amount=Decimal(0))),
    "h: the uncertain call's charge is settled twice": billed(
        call(parts=2), sent(), sent(CENTS), entry(amount=PRICE), entry("2", amount=PRICE, part=1)
    ),
    "h: the amounts of two jobs are one too high": billed(
        call((RED, BLUE), parts=2), job(), job("j2"), of_job(amount=PRICE), of_job("2", "j2", amount=CENTS)
    ),
}

KEPT = {
    "nothing happened": history(),
    "a: two images can be read": history(call((RED, BLUE))),
    "a: what nobody saw can't be read": history(lost(), reads={("ann", RED): ""}),
    "a: another tenant can't read it": history(call(), reads={("bob", RED): ""}),
    "b: one result three times": history(call(), call(start=2), call(start=4)),
    "b: a result after a lost connection and an error that heals": history(
        lost(), failed("PROVIDER_RATE_LIMITED", 2, is_final=False), call(start=4)
    ),
    "b: a result after an unknown outcome that is not final": history(failed(UNKNOWN, is_final=False), call(start=2)),
    "b: one error twice": history(failed(UNKNOWN), failed(UNKNOWN, 2)),
    "b: two requests": history(call(), call((BLUE,), request_id="two")),
    "b: one id in two tenants": history(call(), call((BLUE,), tenant="bob")),
    "c: another body is refused": history(call(), failed(REUSED, 2, body="a dog")),
    "c: the id is of the body that came second": history(lost(), call((BLUE,), 2, body="a dog"), failed(REUSED, 4)),
    "c: two bodies at one time": history(call(), failed(REUSED, 0.5, body="a dog")),
    "c: another body is wrong in itself": history(call(), failed("INVALID_FIELD", 2, body="")),
    "c: another body saw a lost connection": history(call(), lost(2, body="a dog")),
    "d: two jobs for two images": history(call((RED, BLUE), parts=2), job(), job("j2"), of_job(), of_job("2", "j2")),
    "d: a submission that was refused, and a job": history(
        call(), job("", Decimal(0)), job(), free(provider="bfl"), of_job("2")
    ),
    "d: one job in each of two tenants": history(
        call(),
        call((BLUE,), tenant="bob"),
        job(),
        job("j2", tenant="bob"),
        of_job(),
        replace(of_job("2", "j2"), tenant="bob"),
    ),
    "e: sent again after a free call": history(call(), sent(Decimal(0)), sent(), free(), entry("2")),
    "e: three free calls": history(lost(), *(sent(Decimal(0)) for _ in range(3)), *(free(name) for name in "123")),
    "e: an uncertain call that was charged": history(failed(UNKNOWN), sent(), uncertain()),
    "e: an uncertain call that was never sent": history(failed(UNKNOWN), uncertain()),
    "e: two images of one request, both uncertain": history(
        failed(UNKNOWN, parts=2), sent(), sent(), uncertain(), uncertain("2", part=1)
    ),
    "e: another vendor after a free call": history(
        call(), sent(Decimal(0)), sent(provider="gemini"), free(), entry("2", "gemini")
    ),
    "f: a job whose name nobody learned": history(failed(UNKNOWN), job(), uncertain(provider="bfl")),
    "f: an entry that was written, and no job": history(failed(UNKNOWN), uncertain(provider="bfl")),
    "f: a job that is uncertain": history(failed(UNKNOWN, is_final=False), job(), of_job(state="uncertain", owed=None)),
    "f: a settled call of which nobody knows whether it is owed": history(call(), sent(Decimal(0)), entry(owed=None)),
    "f: a refusal for no request": history(
        sent(Decimal(0), tenant="", request_id=""), replace(free(), tenant="", request_id="")
    ),
    "g: one tenant sees one image by two requests": history(call(), call(request_id="two")),
    "g: both may read what both made": history(call(), call((BLUE,), tenant="bob"), reads={("bob", RED): ""}),
    "h: as charged": billed(call(), job(), of_job(amount=PRICE)),
    "h: an uncertain call costs something else": billed(
        failed(UNKNOWN, parts=2),
        job(),
        job("j2", CENTS),
        of_job(amount=PRICE),
        of_job("2", "j2", state="uncertain", owed=None),
    ),
    "h: a free call": billed(call(), sent(Decimal(0)), sent(), free(amount=Decimal(0)), entry("2", amount=PRICE)),
    "h: a ledger without amounts": billed(call(), sent(), entry()),
    "h: an estimate of a vendor whose bill is not known": history(call(), sent(), entry(amount=CENTS)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_found(name: str) -> None:
    assert name[0] in broken_rules(BROKEN[name])


@pytest.mark.parametrize("name", KEPT)
def test_what_comes_near_is_no_violation(name: str) -> None:
    assert violations(KEPT[name]) == []
    hold(KEPT[name])


def test_each_rule_has_two_violations_and_a_near_miss() -> None:
    for rule in RULES:
        assert sum(name.startswith(f"{rule}:") for name in BROKEN) >= 2
        assert any(name.startswith(f"{rule}:") for name in KEPT)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a: it can't be read", "(a) request one of ann saw the image redredre, which can't be read"),
        ("b: a result after a final error", f"(b) request one of ann saw {UNKNOWN}, and then the images redredre"),
        ("c: two bodies have results", "(c) request one of ann served 2 bodies: a fox, a dog"),
        ("d: two jobs for an image", "(d) request one of ann submitted 2 jobs to bfl for 1 images"),
        ("e: two charges and one entry", "(e) request one of ann was charged 2 times, and the ledger shows 1"),
        ("f: an owed job that was never submitted", "(f) request one of ann owes 1, and the vendor charged no job j1"),
        ("g: two tenants see one image", "(g) the image redredre was shown to ann, bob"),
        (
            "h: less is settled than was charged",
            "(h) request one of ann has settled 0.029 at openai, which charged 0.03",
        ),
    ],
)
def test_a_violation_says_what_is_wrong(name: str, text: str) -> None:
    with pytest.raises(HistoryBroken) as caught:
        hold(BROKEN[name])
    assert text in str(caught.value).splitlines()


def test_a_history_can_be_written_down() -> None:
    for made in [*BROKEN.values(), *KEPT.values()]:
        assert made.as_json()
