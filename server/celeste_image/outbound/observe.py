"""Observing: the span and the metrics of an HTTP exchange, and the trace context that a vendor gets."""

import time
from types import TracebackType

from celeste_image.core.errors import Cancelled
from celeste_image.outbound.exchange import ExchangeFailed, Request, Stage
from celeste_image.telemetry.instruments import HTTP_DURATION
from celeste_image.telemetry.series import OTHER
from celeste_image.telemetry.tracing import CLIENT, child, trace_headers

__all__ = ["ObservedExchange"]

FAILURES = {Stage.NOT_SENT: "not_sent", Stage.NOT_ANSWERED: "not_answered", Stage.ANSWERED: "bad_answer"}
ERROR = 400
"""The least HTTP status of an answer that is an error."""


class ObservedExchange:
    """An exchange from its request to the end of the answer.

    The span has no path and no query, which may hold keys, tickets and prompts.

    Args:
        request: The request.
        is_named: Whether the configuration or this package names the origin. The hosts of other ones are not shown.
        propagates: Whether the request gets the trace context.
    """

    def __init__(self, request: Request, *, is_named: bool, propagates: bool) -> None:
        self._method = request.method
        self._host = request.origin.host if is_named else OTHER
        self._began = time.monotonic()
        self._status = 0
        self._opened = child(request.method, kind=CLIENT)
        self._request, self._propagates = request, propagates

    def __enter__(self) -> "ObservedExchange":
        self._span = span = self._opened.__enter__()
        if span:
            span.attributes = {"http.request.method": self._method, "server.address": self._host}
            if self._host != OTHER:
                span.set("server.port", self._request.origin.port)
        if self._propagates and (headers := trace_headers(span)):
            self._request.headers = {**self._request.headers, **headers}
        return self

    def answers(self, status: int) -> None:
        """Notes the HTTP status of the answer."""
        self._status = status

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        status = str(self._status or "")
        failure = FAILURES[error.stage] if isinstance(error, ExchangeFailed) else ""
        HTTP_DURATION.record(time.monotonic() - self._began, self._method, self._host, status, failure)
        if not self._span:
            return
        if self._status:
            self._span.set("http.response.status_code", self._status)
        if failure or self._status >= ERROR:
            self._span.fail(failure or status)
        elif error is not None and not isinstance(error, Exception):
            self._span.fail(Cancelled.reason)
        self._span.end()
