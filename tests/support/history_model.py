"""Histories as hypothesis draws them: those of a small model of servers that keep all promises, and broken ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from hypothesis import assume
from hypothesis import strategies as st
from tests.support.history import REUSED, UNKNOWN, Call, Entry, History, Sent, by_request

__all__ = ["MUTATIONS", "broken_histories", "histories"]

T = TypeVar("T")

TENANTS = ("ann", "bob")
PRICES = {"bfl": Decimal("0.03"), "openai": Decimal("0.0412"), "gemini": Decimal("0.039")}
OTHER = "another body"


@dataclass
class _Model:
    """Servers that keep all promises, and what they leave behind."""

    draw: st.DrawFn
    made: History = field(default_factory=lambda: History(exact=frozenset(PRICES)))
    count: int = 0

    def new(self, kind: str) -> str:
        """Returns a new name. Later ones sort after earlier ones."""
        self.count += 1
        return f"{kind}{self.count:06}"

    def request(self, tenant: str, request_id: str) -> None:
        """Adds a request that its caller repeats until the outcome is known, or gives up."""
        parts = self.draw(st.integers(1, 3))
        provider = self.draw(st.sampled_from(sorted(PRICES)))
        ends = [self._part(tenant, request_id, provider, part) for part in range(parts)]
        images: tuple[str, ...] = ()
        reason = "PROVIDER_FAILED" if "free" in ends else ""
        if "in doubt" in ends:
            reason = UNKNOWN
        elif not reason:
            images = tuple(self.new("image") for _ in range(parts))
        made, time = self.made, float(self.count)
        call = Call(tenant, request_id, "a body", time, time + 1, parts=parts)
        healing = self.draw(
            st.lists(st.sampled_from(["SERVER_UNAVAILABLE", "QUEUE_FULL", "DEADLINE_EXCEEDED"]), max_size=2)
        )
        for why in healing:
            made.calls.append(replace(call, reason=why, is_final=False))
        for _ in range(self.draw(st.integers(0 if healing else 1, 3))):
            time += 2
            made.calls.append(replace(call, start=time, end=time + 1, images=images, reason=reason))
            made.reads.update(((tenant, image), image) for image in images)
            made.reads.update(((other, image), "") for image in images for other in TENANTS if other != tenant)
            if self.draw(st.booleans()):
                made.calls.append(replace(call, body=OTHER, start=time, end=time + 1, reason=REUSED))

    def _part(self, tenant: str, request_id: str, provider: str, part: int) -> str:
        """Adds the calls to a vendor for one image: some that are free, then one. Returns how that ended."""
        made = self.made

        def sent(amount: Decimal, job: str = "") -> None:
            made.sent.append(Sent(tenant, request_id, provider, amount=amount, job=job))

        def entry(**others: object) -> None:
            given = {"part": part, **others}
            made.entries.append(Entry(self.new("entry"), tenant, request_id, provider, **given))  # type: ignore[arg-type]

        for _ in range(self.draw(st.integers(0, 2))):
            sent(Decimal(0))
            entry(owed=False, amount=Decimal(0))
        price = PRICES[provider]
        job = self.new("job") if provider in made.with_jobs else ""
        end = self.draw(st.sampled_from(["paid", "paid", "in doubt", "free"]))
        if end == "paid":
            sent(price, job)
            entry(owed=True, amount=price, job=job)
        elif end == "in doubt":
            if self.draw(st.booleans()):
                sent(price, job)
            entry(state="uncertain", owed=None, job=job if self.draw(st.booleans()) else "")
        return end


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draws a history that breaks no rule."""
    model = _Model(draw)
    for number in range(draw(st.integers(1, 5))):
        for tenant in draw(st.sampled_from([("ann",), ("bob",), TENANTS])):
            model.request(tenant, f"request{number}")
    return model.made


Mutation = Callable[[st.DrawFn, History], History]
"""Breaks a promise of a history that breaks none."""


@st.composite
def broken_histories(draw: st.DrawFn, mutation: Mutation) -> History:
    """Draws a history with one broken promise."""
    return mutation(draw, draw(histories()))


def _one(draw: st.DrawFn, items: list[T]) -> T:
    """Draws one of some items. Without any, hypothesis tries another history."""
    assume(items)
    return draw(st.sampled_from(items))


def _result(draw: st.DrawFn, made: History) -> Call:
    return _one(draw, [call for call in made.calls if call.has_result])


def _paid(draw: st.DrawFn, made: History) -> Entry:
    return _one(draw, [entry for entry in made.entries if entry.state == "settled" and entry.owed])


def _lose_an_image(draw: st.DrawFn, made: History) -> History:
    call = _result(draw, made)
    return replace(made, reads=made.reads | {(call.tenant, call.images[-1]): ""})


def _damage_an_image(draw: st.DrawFn, made: History) -> History:
    call = _result(draw, made)
    return replace(made, reads=made.reads | {(call.tenant, call.images[0]): "damaged"})


def _answer_otherwise(draw: st.DrawFn, made: History) -> History:
    call = _one(draw, [call for call in made.calls if call.is_final and call.reason != REUSED])
    return replace(made, calls=[*made.calls, replace(call, images=("other",), reason="")])


def _fail_after_the_outcome(draw: st.DrawFn, made: History) -> History:
    call = _one(draw, [call for call in made.calls if call.is_final and call.reason != REUSED])
    return replace(made, calls=[*made.calls, replace(call, images=(), reason="SAFETY_BLOCKED")])


def _serve_another_body(draw: st.DrawFn, made: History) -> History:
    call = _one(draw, [call for call in made.calls if call.is_final and call.reason != REUSED])
    return replace(made, calls=[*made.calls, replace(call, body="a third body")])


def _refuse_its_own_body(draw: st.DrawFn, made: History) -> History:
    call = _one(draw, [call for call in made.calls if call.is_final and call.body != OTHER])
    return replace(made, calls=[*made.calls, replace(call, images=(), reason=REUSED)])


def _submit_again(draw: st.DrawFn, made: History) -> History:
    """Submits as many more jobs as are too many, each with an entry of its own."""
    job = _one(draw, [sent for sent in made.sent if sent.job])
    parts = max(call.parts for call in by_request(made.calls)[job.key]) if job.key in by_request(made.calls) else 1
    more = [replace(job, job=f"more{number}") for number in range(parts)]
    entries = [
        Entry(f"zmore{n}", *job.key, job.provider, job=each.job, amount=job.amount) for n, each in enumerate(more)
    ]
    return replace(made, sent=[*made.sent, *more], entries=[*made.entries, *entries])


def _send_again(draw: st.DrawFn, made: History) -> History:
    """Sends a call again that may have to be paid, with an entry of its own."""
    entry = _one(draw, [e for e in made.entries if not e.is_free and e.provider not in made.with_jobs])
    price = PRICES[entry.provider]
    again = replace(entry, id="z", state="settled", owed=True, amount=price)
    sent = Sent(*entry.key, entry.provider, amount=price)
    return replace(made, entries=[*made.entries, again], sent=[*made.sent, sent])


def _hide_a_double(draw: st.DrawFn, made: History) -> History:
    """Charges a call twice, of which the ledger shows one."""
    charged = _one(
        draw,
        [
            sent
            for sent in made.sent
            if sent.amount
            and sent.provider not in made.with_jobs
            and not any(entry.is_in_doubt and entry.key == sent.key for entry in made.entries)
        ],
    )
    return replace(made, sent=[*made.sent, charged])


def _forget_the_entries(draw: st.DrawFn, made: History) -> History:
    charged = _one(draw, [sent for sent in made.sent if sent.amount])
    return replace(made, entries=[entry for entry in made.entries if entry.key != charged.key])


def _call_a_job_free(draw: st.DrawFn, made: History) -> History:
    entry = _one(draw, [entry for entry in made.entries if entry.job and entry.state == "settled" and entry.owed])
    return replace(made, entries=[replace(each, owed=False) if each is entry else each for each in made.entries])


def _owe_for_nothing(draw: st.DrawFn, made: History) -> History:
    entry = _paid(draw, made)
    return replace(made, sent=[sent for sent in made.sent if (sent.key, sent.provider) != (entry.key, entry.provider)])


def _leave_open(draw: st.DrawFn, made: History) -> History:
    entry = _one(draw, made.entries)
    return replace(made, entries=[replace(each, state="open") if each is entry else each for each in made.entries])


def _show_to_another_tenant(draw: st.DrawFn, made: History) -> History:
    call = _result(draw, made)
    return replace(made, calls=[*made.calls, replace(call, tenant="eve", request_id="eves")])


def _let_another_tenant_read(draw: st.DrawFn, made: History) -> History:
    call = _result(draw, made)
    return replace(made, reads=made.reads | {("eve", call.images[0]): call.images[0]})


def _settle_another_amount(draw: st.DrawFn, made: History) -> History:
    entry = _paid(draw, made)
    amount = draw(st.sampled_from([Decimal(0), Decimal("0.000000001"), Decimal(7)]))
    return replace(made, entries=[replace(each, amount=amount) if each is entry else each for each in made.entries])


MUTATIONS: Mapping[str, tuple[str, Mutation]] = {
    mutation.__name__.strip("_").replace("_", " "): (rule, mutation)
    for rule, mutation in (
        ("a", _lose_an_image),
        ("a", _damage_an_image),
        ("b", _answer_otherwise),
        ("b", _fail_after_the_outcome),
        ("c", _serve_another_body),
        ("c", _refuse_its_own_body),
        ("d", _submit_again),
        ("e", _send_again),
        ("e", _hide_a_double),
        ("f", _forget_the_entries),
        ("f", _call_a_job_free),
        ("f", _owe_for_nothing),
        ("f", _leave_open),
        ("g", _show_to_another_tenant),
        ("g", _let_another_tenant_read),
        ("h", _settle_another_amount),
    )
}
"""What breaks a promise, and the rule that has to find it, by name."""
