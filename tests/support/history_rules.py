"""Rules: what a history of servers under faults must keep, each as a function that returns its violations in words.

docs/ledger-tests.md says what each rule means.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.support.history import REUSED, Entry, History, Key, Sent, by_request

__all__ = ["RULES", "HistoryBroken", "Violation", "broken_rules", "hold", "violations"]

REFUSED = frozenset({REUSED, "INVALID_FIELD", "UNKNOWN_FIELD", "NOT_ALLOWED", "CREDENTIALS_INVALID"})
"""Reasons of final errors before which nothing was done for the body."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: the letter of its rule, and how."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"({self.rule}) {self.text}"


class HistoryBroken(AssertionError):
    """A history breaks rules. Its text has a line for each violation."""

    def __init__(self, found: list[Violation]) -> None:
        super().__init__("\n".join(map(str, found)))
        self.found = found


def hold(history: History) -> None:
    """Raises HistoryBroken if a history breaks a rule."""
    if found := violations(history):
        raise HistoryBroken(found)


def violations(history: History) -> list[Violation]:
    """Returns all violations of a history, by rule."""
    return [Violation(rule, text) for rule, check in RULES.items() for text in check(history)]


def broken_rules(history: History) -> set[str]:
    """Returns the letters of the rules that a history breaks."""
    return {violation.rule for violation in violations(history)}


def results_can_be_read(history: History) -> Iterator[str]:
    """(a) Every image of a result can still be read, bit for bit."""
    for key, image in sorted({(call.key, image) for call in history.calls for image in call.images}):
        found = history.reads.get((key[0], image))
        if found is None:
            yield f"{_name(key)} saw the image {image[:8]}, and nobody read the image after the run"
        elif not found:
            yield f"{_name(key)} saw the image {image[:8]}, which can't be read"
        elif found != image:
            yield f"{_name(key)} saw the image {image[:8]}, and its bytes are now {found[:8]}"


def one_outcome_each(history: History) -> Iterator[str]:
    """(b) One id with one body has one final outcome: the same result, or the same error."""
    for key, calls in by_request(history.calls).items():
        for body in dict.fromkeys(call.body for call in calls):
            finals = [call for call in calls if call.body == body and call.is_final and call.reason != REUSED]
            for call in finals[1:]:
                if (call.reason, call.images) != (finals[0].reason, finals[0].images):
                    yield f"{_name(key)} saw {finals[0].outcome}, and then {call.outcome}"


def other_bodies_are_refused(history: History) -> Iterator[str]:
    """(c) One id serves one body. Each other body is refused, and the id's own body never is."""
    for key, calls in by_request(history.calls).items():
        served = list(dict.fromkeys(call.body for call in calls if call.is_final and call.reason not in REFUSED))
        if len(served) > 1:
            yield f"{_name(key)} served {len(served)} bodies: {', '.join(served)}"
        for call in calls:
            if call.reason != REUSED:
                continue
            if call.body in served:
                yield f"{_name(key)} refused the body {call.body}, which is its own"
            elif all(other.body == call.body or other.start >= call.end for other in calls):
                yield f"{_name(key)} refused the body {call.body}, and no other had been sent"


def jobs_are_submitted_once(history: History) -> Iterator[str]:
    """(d) A vendor with jobs gets at most one submission for each image of a request."""
    parts = {key: max(call.parts for call in calls) for key, calls in by_request(history.calls).items()}
    submitted = Counter(
        (sent.key, sent.provider) for sent in history.sent if sent.provider in history.with_jobs and sent.job
    )
    for (key, provider), count in submitted.items():
        if count > parts.get(key, 1):
            yield f"{_name(key)} submitted {count} jobs to {provider} for {parts.get(key, 1)} images"


def doubles_are_shown(history: History) -> Iterator[str]:
    """(e) Where jobs have no names: each charge of a request is shown, and only a free call is followed by another."""
    entries = by_request(entry for entry in history.entries if entry.provider not in history.with_jobs)
    sent = by_request(sent for sent in history.sent if sent.provider not in history.with_jobs)
    for key in dict.fromkeys([*entries, *sent]):
        charged = sum(call.amount > 0 for call in sent.get(key, ()))
        shown = sum(not entry.is_free for entry in entries.get(key, ()))
        if charged > shown:
            yield f"{_name(key)} was charged {charged} times, and the ledger shows {shown}"
        for earlier, later in _followed(entries.get(key, [])):
            if not earlier.is_free:
                yield f"{_name(key)} was sent again as {later.id}, and {earlier.id} may be owed: {_said(earlier)}"
        unexplained = len(sent.get(key, ())) - len(entries.get(key, ()))
        if unexplained > 0:
            yield f"{_name(key)} was sent {unexplained} times more than the ledger has entries"


def charges_and_entries_agree(history: History) -> Iterator[str]:
    """(f) No charge without an entry, no owed entry without a charge, and no entry that stays open."""
    for entry in history.entries:
        if entry.state == "open":
            yield f"{_name(entry.key)} has the entry {entry.id}, which is open though nobody works on it"
    for key, provider, sent, entries in _groups(history):
        charges = [call for call in sent if call.amount > 0]
        if not key[1] and charges:
            yield f"{provider} charged {len(charges)} calls for no request"
        elif provider in history.with_jobs:
            yield from _jobs_agree(key, charges, entries)
        else:
            owed = sum(entry.owed is True and not entry.is_in_doubt for entry in entries)
            if charges and not entries:
                yield f"{_name(key)} was charged by {provider}, and the ledger has no entry"
            if owed > len(charges):
                yield f"{_name(key)} owes {owed} calls to {provider}, which charged {len(charges)}"


def tenants_are_apart(history: History) -> Iterator[str]:
    """(g) No tenant sees a result of another one, nor can read its images."""
    owners: dict[str, set[str]] = {}
    for call in history.calls:
        for image in call.images:
            owners.setdefault(image, set()).add(call.tenant)
    for image, tenants in owners.items():
        if len(tenants) > 1:
            yield f"the image {image[:8]} was shown to {', '.join(sorted(tenants))}"
    for (tenant, image), found in history.reads.items():
        if found and tenant not in owners.get(image, {tenant}):
            yield f"{tenant} can read the image {image[:8]} of {', '.join(sorted(owners[image]))}"


def amounts_agree(history: History) -> Iterator[str]:
    """(h) The settled amounts of a request are what the vendor charged for its settled calls."""
    for key, provider, sent, entries in _groups(history):
        if provider not in history.exact:
            continue
        settled = [entry for entry in entries if not entry.is_in_doubt]
        told = [entry.amount for entry in settled if entry.amount is not None and not entry.is_free]
        if not told:
            continue
        charges, has_doubt = [call.amount for call in sent if call.amount], any(entry.is_in_doubt for entry in entries)
        if provider in history.with_jobs:
            jobs, has_doubt = {entry.job for entry in settled}, False
            charges = [call.amount for call in sent if call.job in jobs and call.amount]
        if surplus := Counter(told) - Counter(charges):
            amounts = ", ".join(map(str, surplus.elements()))
            yield f"{_name(key)} has settled {amounts} at {provider}, which charged {', '.join(map(str, charges)) or 0}"
        elif not has_doubt and sum(told) != sum(charges):
            yield f"{_name(key)} has settled {sum(told)} in all at {provider}, which charged {sum(charges)}"


RULES: Mapping[str, Callable[[History], Iterator[str]]] = {
    "a": results_can_be_read,
    "b": one_outcome_each,
    "c": other_bodies_are_refused,
    "d": jobs_are_submitted_once,
    "e": doubles_are_shown,
    "f": charges_and_entries_agree,
    "g": tenants_are_apart,
    "h": amounts_agree,
}
"""The rules by their letters."""


def _jobs_agree(key: Key, charges: list[Sent], entries: list[Entry]) -> Iterator[str]:
    """Yields what is wrong between a request's charged jobs and its entries at one vendor."""
    named = {entry.job: entry for entry in entries if entry.job}
    nameless = sum(entry.is_in_doubt for entry in entries if not entry.job)
    for charge in charges:
        entry = named.get(charge.job)
        if entry is None:
            nameless -= 1
            if nameless < 0:
                yield f"{_name(key)} was charged for the job {charge.job}, and no entry may be that of the job"
        elif entry.is_free:
            yield f"{_name(key)} was charged for the job {charge.job}, and {entry.id} says that it is free"
    jobs = {charge.job for charge in charges}
    for entry in entries:
        if entry.state == "settled" and entry.owed and entry.job not in jobs:
            yield f"{_name(key)} owes {entry.id}, and the vendor charged no job {entry.job or 'without a name'}"


def _groups(history: History) -> Iterator[tuple[Key, str, list[Sent], list[Entry]]]:
    """Yields each request and vendor, with what the vendor got and what the ledger says."""
    groups: dict[tuple[Key, str], tuple[list[Sent], list[Entry]]] = {}
    for sent in history.sent:
        groups.setdefault((sent.key, sent.provider), ([], []))[0].append(sent)
    for entry in history.entries:
        groups.setdefault((entry.key, entry.provider), ([], []))[1].append(entry)
    for (key, provider), (calls, entries) in groups.items():
        yield key, provider, calls, entries


def _followed(entries: list[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Yields each entry of a request that another one follows for the same image, with that one."""
    last: dict[int, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.id):
        if entry.part in last:
            yield last[entry.part], entry
        last[entry.part] = entry


def _said(entry: Entry) -> str:
    return f"it is {entry.state}" + ("" if entry.owed is None else f", owed {str(entry.owed).lower()}")


def _name(key: Key) -> str:
    return f"request {key[1] or '?'} of {key[0] or '?'}"
