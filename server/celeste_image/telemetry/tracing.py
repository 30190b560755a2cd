"""Tracing: the spans of a call, from the RPC to the vendor.

A span here is a small object, and costs a few microseconds; `span_export.py` encodes and sends the spans that have
ended. Spans of OpenTelemetry's SDK cost ten times as much: see server/decisions/0026-own-spans.md.

    with child("store put", {"celeste.store.operation": "put"}) as span:
        ...
        if span:
            span.set("celeste.size", 10)

`child` returns a span below the current one, or nothing if the call is not recorded. A new span is not the current one:
`attached` makes it so. An async generator runs in the context of its reader, so it must never be attached across a
`yield`.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Literal

from celeste_image.core.errors import reason_of
from celeste_image.telemetry.trace_context import SAMPLED, TRACEPARENT, TRACESTATE, read_context

__all__ = [
    "CLIENT",
    "INTERNAL",
    "OFF",
    "SERVER",
    "Sampling",
    "Span",
    "Tracer",
    "Value",
    "attached",
    "child",
    "current",
    "exemplar",
    "trace_headers",
]

Value = str | int | float | bool
"""A value of an attribute. No caller's text: no prompt, URL, key or ticket is an attribute of a span."""

INTERNAL, SERVER, CLIENT = 1, 2, 3  # opentelemetry/proto/trace/v1/trace.proto, SpanKind
SHORT_WAIT_NS: Final = 1_000_000
"""A shorter wait is no span: nobody waited."""
MOST_EVENTS: Final = 128
"""Most events of a span, which is the default of OpenTelemetry's SDK; further ones are counted."""


class Trace:
    """What the spans of one call in this process have in common.

    Attributes:
        id: 16 bytes.
        state: The caller's `tracestate`; empty without one.
        is_recorded: Whether its spans are exported.
        began_unix_ns: The time of day at the monotonic time zero, so that no step of the wall clock bends a trace.
    """

    __slots__ = ("began_unix_ns", "id", "is_recorded", "state", "tracer")

    def __init__(self, id_: bytes, state: str, tracer: "Tracer", *, is_recorded: bool) -> None:
        self.id = id_
        self.state = state
        self.tracer = tracer
        self.is_recorded = is_recorded
        self.began_unix_ns = time.time_ns() - time.monotonic_ns()


class Span:
    """One piece of work with its beginning and end. As a context manager, it ends with its block.

    Attributes:
        trace: The trace.
        id: 8 bytes.
        parent_id: The id of the span above; empty for the first span of a trace.
        is_remote: Whether the span above is of another process.
        name: Few distinct ones: a name has no ids.
        kind: INTERNAL, SERVER or CLIENT.
        began_ns: By `time.monotonic_ns`.
        ended_ns: Likewise; 0 while it lasts.
        attributes: Facts for whoever looks at the trace.
        events: Time, name and attributes of each event.
        dropped_events: Number of events beyond MOST_EVENTS.
        error: Why the work failed; empty if it did not.
    """

    __slots__ = (
        "attributes",
        "began_ns",
        "dropped_events",
        "ended_ns",
        "error",
        "events",
        "id",
        "is_remote",
        "kind",
        "name",
        "parent_id",
        "trace",
    )

    def __init__(
        self,
        trace: Trace,
        name: str,
        kind: int,
        attributes: dict[str, Value],
        parent_id: bytes = b"",
        *,
        is_remote: bool = False,
    ) -> None:
        self.trace = trace
        self.id = random.randbytes(8)  # noqa: S311  # an id, not a secret
        self.parent_id = parent_id
        self.is_remote = is_remote
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.events: list[tuple[int, str, Mapping[str, Value]]] = []
        self.dropped_events = 0
        self.error = ""
        self.began_ns = time.monotonic_ns()
        self.ended_ns = 0

    def __enter__(self) -> "Span":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.end(error)

    def child(self, name: str, attributes: dict[str, Value] | None = None, kind: int = INTERNAL) -> "Span | Off":
        """Returns a new span below this one, or OFF if the trace is not recorded."""
        return Span(self.trace, name, kind, attributes or {}, self.id) if self.trace.is_recorded else OFF

    def past(self, name: str, began_ns: int, ended_ns: int, attributes: dict[str, Value] | None = None) -> None:
        """Adds a span below this one for work that is over."""
        if self.trace.is_recorded:
            span = Span(self.trace, name, INTERNAL, attributes or {}, self.id)
            span.began_ns = began_ns
            span.end(at_ns=ended_ns)

    def waited(self, name: str, began_ns: int, ended_ns: int, attributes: dict[str, Value] | None = None) -> None:
        """Adds a span below this one for a wait that is over, if there was one."""
        if ended_ns - began_ns >= SHORT_WAIT_NS:
            self.past(name, began_ns, ended_ns, attributes)

    def set(self, name: str, value: Value) -> None:
        """Sets an attribute."""
        self.attributes[name] = value

    def event(self, name: str, attributes: Mapping[str, Value] | None = None) -> None:
        """Adds an event that happens now."""
        if len(self.events) < MOST_EVENTS:
            self.events.append((time.monotonic_ns(), name, attributes or {}))
        else:
            self.dropped_events += 1

    def fail(self, error_type: str) -> None:
        """Marks the work as failed; `error_type` is a reason, never a text."""
        self.error = self.attributes["error.type"] = error_type

    def end(self, error: BaseException | None = None, *, at_ns: int = 0) -> None:
        """Ends the span, and hands it to the exporter if its trace is recorded. A second end does nothing."""
        if self.ended_ns:
            return
        if error is not None:
            self.fail(reason_of(error))
        self.ended_ns = at_ns or time.monotonic_ns()
        if self.trace.is_recorded:
            self.trace.tracer.sink(self)

    @property
    def trace_id(self) -> str:
        """The id of the trace, 32 hex digits."""
        return self.trace.id.hex()

    def headers(self) -> dict[str, str]:
        """Returns the headers that make this span the parent of a call to another service."""
        flags = SAMPLED if self.trace.is_recorded else 0
        found = {TRACEPARENT: f"00-{self.trace.id.hex()}-{self.id.hex()}-{flags:02x}"}
        if self.trace.state:
            found[TRACESTATE] = self.trace.state
        return found


class Off:
    """In place of a span that is not recorded; as a context manager it gives None."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


OFF: Final = Off()
_current: ContextVar[Span | None] = ContextVar("celeste_span", default=None)


def current() -> Span | None:
    """Returns the span that this task works for; None outside of calls, and while there are no traces."""
    return _current.get()


def child(name: str, attributes: dict[str, Value] | None = None, kind: int = INTERNAL) -> Span | Off:
    """Returns a new span below the current one, or OFF if nothing is recorded. Its context manager gives it, or None.

    The new span is not the current one.
    """
    parent = _current.get()
    if parent is None or not parent.trace.is_recorded:
        return OFF
    return Span(parent.trace, name, kind, attributes or {}, parent.id)


class attached:  # noqa: N801  # reads as a function
    """Makes a span the current one inside a block, which must not contain a `yield`. None changes nothing."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> None:
        if self._span is not None:
            self._token = _current.set(self._span)

    def __exit__(self, *_: object) -> Literal[False]:
        if self._token is not None:
            _current.reset(self._token)
        return False


def exemplar() -> tuple[int, int] | None:
    """Returns the ids of trace and span for an exemplar of what happens now; None if no exported trace has it."""
    span = _current.get()
    if span is None or not span.trace.is_recorded:
        return None
    return int.from_bytes(span.trace.id), int.from_bytes(span.id)


def trace_headers(span: Span | None = None) -> dict[str, str]:
    """Returns the headers for a call to a vendor, below `span` or the current one; none if that is not wanted."""
    span = span or _current.get()
    return span.headers() if span is not None and span.trace.tracer.propagates else {}


class Sampling:
    """Decides which traces are recorded, as OpenTelemetry's samplers of these names do.

    Args:
        ratio: The share of traces that is recorded, 0 to 1.
        follows_parent: Whether the decision of a caller with a `traceparent` counts instead.
    """

    def __init__(self, ratio: float = 1.0, *, follows_parent: bool = True) -> None:
        self._bound = round(ratio * (1 << 64))
        self._follows_parent = follows_parent

    def takes(self, trace_id: bytes, parent: bool | None) -> bool:
        """Returns whether a trace is recorded; `parent` is the decision of the caller, or None."""
        if parent is not None and self._follows_parent:
            return parent
        return int.from_bytes(trace_id[8:]) < self._bound


class Tracer:
    """Makes the first span of each call.

    Args:
        sink: Takes the spans of recorded traces when they have ended, in any thread.
        sampling: Decides which traces are recorded.
        propagates: Whether vendors get the trace context.
        close: Sends the spans that are left, and ends the connection; takes some seconds at most.
    """

    def __init__(
        self,
        sink: Callable[[Span], None],
        sampling: Sampling | None = None,
        *,
        propagates: bool = True,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.sink = sink
        self.propagates = propagates
        self.close = close
        self._sampling = sampling or Sampling()

    def serve(
        self, name: str, headers: Iterable[tuple[str, str | bytes]], attributes: dict[str, Value] | None = None
    ) -> Span:
        """Returns the span of a call that arrived with some headers, whose names are in lower case."""
        caller = read_context(headers)
        trace_id = caller.trace_id if caller else random.randbytes(16)  # noqa: S311
        takes = self._sampling.takes(trace_id, caller.is_sampled if caller else None)
        trace = Trace(trace_id, caller.state if caller else "", self, is_recorded=takes)
        parent_id = caller.span_id if caller else b""
        return Span(trace, name, SERVER, attributes or {}, parent_id, is_remote=caller is not None)
