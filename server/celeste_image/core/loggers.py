"""Loggers: the names of the server's loggers, whose levels an operator can set."""

from importlib.util import find_spec

from celeste_image.core.nearest import nearest

__all__ = ["LOGGERS", "logger_problem"]

PACKAGE = "celeste_image"
LOGGERS = {
    f"{PACKAGE}.bugs": "unexpected exceptions with their tracebacks",
    f"{PACKAGE}.cache": "the cache of results: when it could not be read or written",
    f"{PACKAGE}.calls": "one line per operation",
    f"{PACKAGE}.certificates": "certificates that were exchanged, or can't be used",
    f"{PACKAGE}.credentials": "keys of vendors: their form, and new ones in a file",
    f"{PACKAGE}.database": "the database on PostgreSQL: failures, new versions of its tables",
    f"{PACKAGE}.engines": "what worker processes write to standard error",
    f"{PACKAGE}.imaging": "images of vendors that are decoded",
    f"{PACKAGE}.ledger": "paid calls whose end is not known or not written, usage that is not written",
    f"{PACKAGE}.log": "the log itself: lost lines, files that could not be rotated",
    f"{PACKAGE}.metrics": "metrics that could not be sent",
    f"{PACKAGE}.reload": "what a reload of the configuration changed, or why it did not",
    f"{PACKAGE}.remote_jobs": "jobs at vendors: failed polls, abandoned jobs",
    f"{PACKAGE}.results": "errors of a vendor after its images",
    f"{PACKAGE}.routes": "models that failed, before the next one is tried",
    f"{PACKAGE}.rpc": "one line per RPC, refusals, callers that do not read",
    f"{PACKAGE}.safety": "verdicts of the safety policy, and failed checks",
    f"{PACKAGE}.sandbox": "protections of worker processes",
    f"{PACKAGE}.server": "start, stop, health, sweeps",
    f"{PACKAGE}.store": "the artifact store: damage, failures, clock",
    f"{PACKAGE}.traces": "spans that could not be sent",
}
"""What each logger of the server tells. docs/logging.md has their events."""
LIBRARIES = ("aiohttp", "asyncio", "grpc", "httpcore", "httpx", "opentelemetry")
"""Loggers of libraries that an operator may mean; any other installed module may log too."""


def logger_problem(name: str) -> str:
    """Returns why there is no logger of this name, with the nearest name; empty if there may be one.

    A name stands for all names below it as well: `celeste_image` for all loggers of the server, `grpc` for `grpc.aio`.
    """
    top = name.partition(".")[0]
    if top == PACKAGE:
        found = name == PACKAGE or name in LOGGERS
    else:
        found = name in LIBRARIES or (top.isidentifier() and find_spec(top) is not None)
    if found:
        return ""
    near = nearest(name, (*LOGGERS, *LIBRARIES))
    return f"there is no logger {name!r}" + (f"; did you mean {near!r}?" if near else "; see docs/logging.md")
