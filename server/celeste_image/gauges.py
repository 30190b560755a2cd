"""Gauges: tells the metrics which objects have the numbers, and which names there are.

Gauges are read when somebody asks for the metrics; nothing is written for them in a call.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta

from celeste_image.admission import Breaker, ByteBudget, Slots
from celeste_image.certificates import CertificateFiles
from celeste_image.ledger import Ledger, Results
from celeste_image.providers.registry import Registry
from celeste_image.sandbox.workers import Workers
from celeste_image.store import ArtifactStore
from celeste_image.telemetry import instruments as of

__all__ = [
    "watch_budgets",
    "watch_cache",
    "watch_certificates",
    "watch_ledger",
    "watch_models",
    "watch_pauses",
    "watch_providers",
    "watch_store",
    "watch_workers",
]

Reading = Iterator[tuple[float, tuple[str, ...]]]


def watch_providers(registry: Registry, slots: Mapping[str, Slots]) -> Callable[[], None]:
    """Shows the queue and the slots of each provider, by its name. Returns a function that ends this."""
    of.PROVIDER.allow(registry.providers)

    def ready() -> Reading:
        for name in registry.providers:
            yield float(registry.configured(name)), (name,)

    def reading(value: Callable[[Slots], float]) -> Callable[[], Reading]:
        return lambda: ((value(each), (name,)) for name, each in slots.items())

    return _ending(
        of.PROVIDER_READY.watch(ready),
        of.PROVIDER_QUEUE_DEPTH.watch(reading(lambda slots: slots.waiting)),
        of.PROVIDER_QUEUE_AGE.watch(reading(lambda slots: slots.oldest_seconds())),
        of.PROVIDER_ACTIVE.watch(reading(lambda slots: slots.used)),
        of.PROVIDER_PLACES.watch(reading(lambda slots: slots.total)),
    )


def watch_pauses(breakers: Mapping[str, Breaker]) -> Callable[[], None]:
    """Shows which providers are paused, by their names."""
    of.PROVIDER.allow(breakers)
    return of.PROVIDER_PAUSED.watch(
        lambda: ((float(breaker.left_seconds > 0), (name,)) for name, breaker in breakers.items())
    )


def watch_models(registry: Registry, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Callable[[], None]:
    """Shows the time until vendors end models, for the models of providers that can be used.

    A model ends with its last day, at midnight UTC.
    """
    of.PROVIDER.allow(registry.providers)
    of.MODEL.allow(registry.cards)

    def shutdowns() -> Reading:
        usable = {name for name in registry.providers if registry.configured(name)}
        for card in registry.cards.values():
            if card.ends_on and card.provider in usable:
                end = datetime.combine(date.fromisoformat(card.ends_on) + timedelta(days=1), time(), UTC)
                yield (end - now()).total_seconds(), (card.provider, card.id)

    return of.MODEL_SHUTDOWN.watch(shutdowns)


def watch_workers(workers: Workers) -> Callable[[], None]:
    """Shows the worker processes of each engine, and the tasks that wait for one."""
    of.POOL.allow(workers.pools)

    def processes() -> Reading:
        for name, pool in workers.pools.items():
            yield pool.busy, (name, "busy")
            yield len(pool.pids), (name, "idle")

    def waiting() -> Reading:
        for name, pool in workers.pools.items():
            yield pool.waiting, (name,)

    return _ending(of.WORKERS.watch(processes), of.WORKERS_WAITING.watch(waiting))


def watch_budgets(budgets: Mapping[str, ByteBudget]) -> Callable[[], None]:
    """Shows how much memory calls hold, may hold, and wait for."""

    def reading(value: Callable[[ByteBudget], float]) -> Callable[[], Reading]:
        return lambda: ((value(budget), (name,)) for name, budget in budgets.items())

    return _ending(
        of.BUDGET_HELD.watch(reading(lambda budget: budget.held_bytes)),
        of.BUDGET_LIMIT.watch(reading(lambda budget: budget.total_bytes)),
        of.BUDGET_WAITING.watch(reading(lambda budget: budget.waiting)),
    )


def watch_store(store: ArtifactStore) -> Callable[[], None]:
    """Shows the room that the store has left, if it knows."""

    def free() -> Reading:
        if (size_bytes := store.free_bytes()) is not None:
            yield size_bytes, ()

    return of.STORE_FREE.watch(free)


def watch_ledger(ledger: Ledger) -> Callable[[], None]:
    """Shows how many calls may have to be paid and nobody knows."""
    return of.LEDGER_UNCERTAIN.watch(lambda: iter([(float(ledger.uncertain), ())]))


def watch_cache(results: Results) -> Callable[[], None]:
    """Shows how many bytes the cached results have."""

    def sizes() -> Reading:
        yield results.size_bytes, ("rows",)
        yield results.memory_bytes, ("memory",)

    return of.CACHE_SIZE.watch(sizes)


def watch_certificates(files: CertificateFiles) -> Callable[[], None]:
    """Shows the time until the certificates expire. Files that have changed are read for this, too."""
    return of.CERTIFICATE_REMAINING.watch(lambda: ((seconds, (name,)) for seconds, name in files.remaining()))


def _ending(*ends: Callable[[], None]) -> Callable[[], None]:
    stack = ExitStack()
    for end in ends:
        stack.callback(end)
    return stack.close
