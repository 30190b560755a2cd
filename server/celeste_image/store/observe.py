"""Observing: the spans and the metrics of the store's operations."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from celeste_image.core.errors import reason_of
from celeste_image.telemetry.instruments import STORE_DURATION
from celeste_image.telemetry.tracing import OFF, child

__all__ = ["observed", "observed_pieces"]

Given = ParamSpec("Given")
Result = TypeVar("Result")


def observed(
    operation: str, *, is_span: bool = True
) -> Callable[[Callable[Given, Awaitable[Result]]], Callable[Given, Coroutine[Any, Any, Result]]]:
    """Returns a decorator that measures an operation.

    Args:
        operation: A value of the label STORE_OPERATION.
        is_span: Whether each call is a span, too: one of many calls for one artifact is not.
    """

    def decorate(work: Callable[Given, Awaitable[Result]]) -> Callable[Given, Coroutine[Any, Any, Result]]:
        @wraps(work)
        async def measured(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            began, failure = time.monotonic(), ""
            with child(f"store {operation}", {"celeste.store.operation": operation}) if is_span else OFF:
                try:
                    return await work(*args, **kwargs)
                except BaseException as error:
                    failure = reason_of(error)
                    raise
                finally:
                    STORE_DURATION.record(time.monotonic() - began, operation, failure)

        return measured

    return decorate


async def observed_pieces(pieces: AsyncGenerator[Result, None]) -> AsyncGenerator[Result, None]:
    """Yields some pieces of an artifact, and measures the reading of each."""
    read = observed("read", is_span=False)(lambda: anext(pieces, None))
    async with aclosing(pieces):
        while (piece := await read()) is not None:
            yield piece
