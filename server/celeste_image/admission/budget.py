"""Budgets: amounts that calls hold together, such as bytes, handed out in turn to those who ask."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable

from celeste_image.admission.asker import asker
from celeste_image.core.errors import CelesteError, MemoryBudget, QueueFull

__all__ = ["MOST_WAITING", "SILENT_SECONDS", "UNLIMITED", "Budget", "ByteBudget", "Hold"]

MOST_WAITING = 1000
"""Most reservations that wait. A waiting call holds some memory, so one more is refused at once."""
RETRY_SECONDS = 1.0
UNLIMITED = 1 << 62
SILENT_SECONDS = 1.0
"""A caller that the server has waited for this long gives its room to those who wait for some."""
SHARED_BY = 32
"""A budget of at least so many reservations keeps half of itself for askers with few silent ones."""
SHARE = 16
"""Part of a budget that one asker may hold in silence when that half is touched: a sixteenth."""


class Budget:
    """A limit of an amount that calls hold together.

    `reserve` is for what is still to come, and may wait. `count` is for what is here already, such as the bytes of an
    image that an engine made. It is counted at once, even beyond the limit: refusing it would free nothing and lose the
    work. Reservations then wait until the sum is below the limit again.

    Each asker has a line of its own, in order of arrival, and the lines are served in turn. Nobody overtakes a
    reservation that waits for the limit, however large it is.

    Silent holds: those of calls that wait for their caller, to send or to read. An asker has few of them while others
    need room: half of the budget is not for silent holds beyond an asker's share, and when reservations wait, the hold
    that has been silent longest, of the asker with the most of them, is evicted after SILENT_SECONDS.

    Args:
        total: The limit. A larger reservation is admitted when nothing is held.
        wait_seconds: Longest wait of a reservation; None means that every reservation is admitted some time.
        asker_total: The limit of what one asker holds.
        unit: What is counted, for people.
        within: Another budget, whose sum and this one stay below its limit. One reservation is always admitted here,
            so that what the others hold can end.
    """

    def __init__(
        self,
        total: int = UNLIMITED,
        wait_seconds: float | None = 5.0,
        *,
        asker_total: int = UNLIMITED,
        unit: str = "bytes",
        within: "Budget | None" = None,
    ) -> None:
        self.total = total
        self.held = 0
        self.unit = unit
        self._wait_seconds = wait_seconds
        self._asker_total = asker_total
        self._within = within
        self._inner: Budget | None = None
        if within:
            within._inner = self
        self._lines: OrderedDict[Hashable, deque[_Entry]] = OrderedDict()
        self._waiting = 0
        self._by_asker: Counter[Hashable] = Counter()
        """What askers hold, if there is a limit of it."""
        self._silent: dict[Hold, None] = {}
        """Silent holds, the one that has been silent longest first."""
        self._silent_by_asker: Counter[Hashable] = Counter()
        self._leaving = 0
        """What evicted holds are about to give back."""
        self._evicting: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Number of reservations that wait."""
        return self._waiting

    def change_limit(self, total: int, wait_seconds: float) -> None:
        """Sets the limit and the longest wait. What is held stays, also beyond the limit."""
        self.total, self._wait_seconds = total, wait_seconds
        self._move()

    async def reserve(self, size: int, *, silent: bool = False) -> "Hold":
        """Returns a hold of what is still to come, when it is the asker's turn and there is room.

        Args:
            size: The amount.
            silent: Whether the call waits for its caller from then on: see `Hold.speaks`.

        Raises:
            MemoryBudget: There was no room in time, or too many reservations wait; QueueFull for other units.
        """
        who = asker.get()
        if not size or (not self._waiting and self._fits(size) and self._may(who, size, silent)):
            return self._take(_Entry(who, size, silent))
        entry = _Entry(who, size, silent, asyncio.get_running_loop().create_future())
        self._join(entry)
        assert entry.turn
        try:
            await asyncio.wait([entry.turn], timeout=self._wait_seconds)
        except asyncio.CancelledError:
            self._leave(entry)
            raise
        if not entry.turn.done():
            self._leave(entry)
            raise self.refusal(size)
        return entry.turn.result()

    def take(self, size: int) -> "Hold":
        """Returns a hold like `reserve`, but waits for nothing."""
        who = asker.get()
        if not self._fits(size) or not self._may(who, size, silent=False):
            raise self.refusal(size)
        return self._take(_Entry(who, size))

    def count(self, size: int) -> "Hold":
        """Returns a hold of what is here already."""
        return self._take(_Entry(asker.get(), size))

    def refusal(self, size: int) -> CelesteError:
        """Returns the error of a reservation that finds no room."""
        return QueueFull(
            f"calls hold {self.held:,} of the {self.total:,} {self.unit} that they may hold together, or one caller "
            f"holds its share; there was no room for {size:,} more",
            metadata={"limit": str(self.total), "value": str(self.held + size), "unit": self.unit},
            retry_after=RETRY_SECONDS,
        )

    def _fits(self, size: int) -> bool:
        if not self.held:
            return True
        outer, inner = self._within, self._inner
        others = (outer.held if outer else 0) + (inner.held if inner else 0)
        return self.held + others + size <= (outer.total if outer else self.total)

    def _may(self, who: Hashable, size: int, silent: bool) -> bool:
        """Returns whether an asker's own limits allow an amount."""
        if self._asker_total < UNLIMITED and who is not None:
            of_asker = self._by_asker[who]
            if of_asker and of_asker + size > self._asker_total:
                return False
        if not silent or size * SHARED_BY > self.total or 2 * (self.held + size) <= self.total:
            return True
        of_asker = self._silent_by_asker[who]
        return not of_asker or of_asker + size <= self.total // SHARE

    def _take(self, entry: "_Entry") -> "Hold":
        hold = Hold(self, entry.size, entry.who)
        self._add(entry.size, entry.who)
        if entry.silent:
            self.fall_silent(hold)
        return hold

    def _join(self, entry: "_Entry") -> None:
        """Puts a reservation into its line. If too many wait, the last one of the longest line is refused."""
        line = self._lines.setdefault(entry.who, deque())
        line.append(entry)
        self._waiting += 1
        self._move()
        if self._waiting > MOST_WAITING and self._wait_seconds is not None:
            longest = max(self._lines.values(), key=len)
            last = longest[-1] if len(longest) > len(line) else entry
            self._drop(last)
            assert last.turn
            last.turn.set_exception(self.refusal(last.size))

    def _leave(self, entry: "_Entry") -> None:
        """Takes back a reservation whose call has left, admitted or not."""
        assert entry.turn
        if not entry.turn.done():
            self._drop(entry)
            self._move()
        elif not entry.turn.exception():
            entry.turn.result().close()

    def _drop(self, entry: "_Entry") -> None:
        line = self._lines[entry.who]
        line.remove(entry)
        self._waiting -= 1
        if not line:
            del self._lines[entry.who]

    def change(self, size: int, who: Hashable) -> None:
        """Adds an amount to the sum, or subtracts it; for Hold."""
        self._add(size, who)
        if self._waiting:
            self._move()
        for other in (self._within, self._inner):
            if other and other.waiting:
                other._move()

    def _add(self, size: int, who: Hashable) -> None:
        self.held += size
        if self._asker_total < UNLIMITED and who is not None:
            self._by_asker[who] += size
            if not self._by_asker[who]:
                del self._by_asker[who]

    def fall_silent(self, hold: "Hold") -> None:
        """Notes that the call of a hold waits for its caller, if it did not wait before; for Hold."""
        if hold in self._silent:
            return
        hold.silent_since = asyncio.get_running_loop().time()
        hold.silent_size = hold.size
        self._silent[hold] = None
        self._silent_by_asker[hold.who] += hold.silent_size

    def speak(self, hold: "Hold") -> None:
        """Notes that the caller of a hold has sent or read something; for Hold."""
        if hold in self._silent:
            del self._silent[hold]
            self._silent_by_asker[hold.who] -= hold.silent_size
            if not self._silent_by_asker[hold.who]:
                del self._silent_by_asker[hold.who]
            if self._waiting:
                self._move()

    def has_left(self, hold: "Hold") -> None:
        """Notes that an evicted hold has given back what it held; for Hold."""
        self._leaving -= hold.leaving_size

    def _move(self) -> None:
        """Admits waiting reservations, one of each line in turn, while there is room."""
        while entry := self._next():
            line = self._lines[entry.who]
            line.popleft()
            self._waiting -= 1
            if line:
                self._lines.move_to_end(entry.who)
            else:
                del self._lines[entry.who]
            assert entry.turn
            entry.turn.set_result(self._take(entry))
        if self._waiting and self._silent and not self._evicting:
            self._evict_later()

    def _next(self) -> "_Entry | None":
        """Returns the reservation that is admitted next; None if there is no room for it."""
        for line in self._lines.values():
            if self._may(line[0].who, line[0].size, line[0].silent):
                return line[0] if self._fits(line[0].size) else None
        return None

    def _evict_later(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = next(iter(self._silent))
        self._evicting = loop.call_at(max(loop.time(), oldest.silent_since + SILENT_SECONDS), self._evict)

    def _evict(self) -> None:
        """Ends as many silent calls as the next reservation needs, of the askers with the most of them."""
        self._evicting = None
        heads = [line[0] for line in self._lines.values()]
        needs = next((head for head in heads if self._may(head.who, head.size, head.silent)), None)
        if needs is None or self._fits(needs.size):
            return
        now = asyncio.get_running_loop().time()
        late = [hold for hold in self._silent if now >= hold.silent_since + SILENT_SECONDS and hold.can_end]
        left = self._silent_by_asker.copy()
        while late and self.held - self._leaving + needs.size > self.total:
            most = max(late, key=lambda hold: left[hold.who])  # of one asker the first, which is the oldest
            if most.who != needs.who and left[most.who] <= left[needs.who]:
                break
            late.remove(most)
            left[most.who] -= most.silent_size
            self._leaving += most.size
            most.evict()
        if self._waiting and self._silent:
            loop = asyncio.get_running_loop()
            self._evicting = loop.call_at(loop.time() + SILENT_SECONDS / 4, self._evict)


class ByteBudget(Budget):
    """A budget of memory, in bytes."""

    @property
    def total_bytes(self) -> int:
        """The limit."""
        return self.total

    @property
    def held_bytes(self) -> int:
        """What calls hold now."""
        return self.held

    def refusal(self, size: int) -> CelesteError:
        """Returns the error of a reservation that finds no room."""
        return MemoryBudget(
            f"calls hold {self.held:,} of the {self.total:,} bytes that they may hold together; "
            f"there was no room for {size:,} more",
            metadata={"limit": str(self.total), "value": str(self.held + size)},
            retry_after=RETRY_SECONDS,
        )


class Hold:
    """An amount that one call holds of a budget. As a context manager, it gives it back at the end.

    Attributes:
        size: The amount.
        who: The asker.
        silent_since: When the call began to wait for its caller, by the clock of the event loop.
        silent_size: The amount at that time.
        leaving_size: The amount when it was evicted; 0 if it was not.
        end: Ends the wait of a silent call.
    """

    def __init__(self, budget: Budget, size: int, who: Hashable = None) -> None:
        self._budget = budget
        self.size = size
        self.who = who
        self.silent_since, self.silent_size, self.leaving_size = 0.0, 0, 0
        self.end: asyncio.Timeout | None = None
        self._closed = False

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def can_end(self) -> bool:
        """Whether the wait for the caller can be ended: it has begun, and its time is not over."""
        return self.end is not None and not self.end.expired()

    @property
    def is_evicted(self) -> bool:
        """Whether the room was needed for others while the caller was silent."""
        return bool(self.leaving_size)

    def falls_silent(self, end: asyncio.Timeout) -> None:
        """Notes that the call waits for its caller. `end` ends the wait if others need the room."""
        self.end = end
        self._budget.fall_silent(self)

    def speaks(self) -> None:
        """Notes that the caller has sent or read something."""
        self.end = None
        self._budget.speak(self)

    def eviction(self) -> CelesteError:
        """Returns the error of an evicted call whose caller did not send."""
        error = self._budget.refusal(self.leaving_size)
        error.message = f"the caller sent nothing for {SILENT_SECONDS:g} s, and others needed its memory"
        error.args = (error.message,)
        return error

    def evict(self) -> None:
        """Ends the wait for the caller; for Budget."""
        assert self.end
        self.leaving_size = self.size
        self._budget.speak(self)
        self.end.reschedule(asyncio.get_running_loop().time())

    def resize(self, size: int) -> None:
        """Changes the amount. What is more is counted without waiting, since it is here already."""
        if not self._closed:
            more, self.size = size - self.size, size
            self._budget.change(more, self.who)

    def close(self) -> None:
        """Gives everything back; later calls do nothing."""
        if not self._closed:
            if self.leaving_size:
                self._budget.has_left(self)
            self._budget.speak(self)
            self.resize(0)
            self._closed = True


class _Entry:
    """A reservation. `turn` gets its hold if it waits."""

    __slots__ = ("silent", "size", "turn", "who")

    def __init__(
        self, who: Hashable, size: int, silent: bool = False, turn: "asyncio.Future[Hold] | None" = None
    ) -> None:
        self.who, self.size, self.silent, self.turn = who, size, silent, turn
