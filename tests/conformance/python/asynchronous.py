"""The asyncio runner: cases through the generated stubs on a channel of `grpc.aio`."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from tests.conformance.python.outcome import SERVICES, Case, client_error


async def run(case: Case, channel: grpc.aio.Channel) -> dict[str, Any]:
    """Makes the call of a case."""
    method = getattr(SERVICES[case.service](channel), case.method)
    options = {"timeout": case.deadline_seconds, "metadata": case.metadata()}
    messages: list[Any] = []
    call: Any = None
    error: grpc.aio.AioRpcError | None = None
    try:
        if case.streams:
            call = method(case.request(), **options)
            async for message in call:
                messages.append(message)
                if len(messages) == case.cancel_after:
                    call.cancel()
        elif case.method == "WriteArtifact":
            call = method(case.chunks(), **options)
            messages.append(await call)
        else:
            requests: Iterator[Any] = case.chunks() if "upload" in case.given else iter([case.request()])
            for request in requests:
                call = method(request, **options)
                messages.append(await call)
                if "upload" in case.given and messages[-1].HasField("artifact"):
                    break
    except grpc.aio.AioRpcError as failed:
        error = failed
    except asyncio.CancelledError:
        error = Cancelled()  # type: ignore[assignment]
    return case.outcome(messages, error, await call.initial_metadata(), await call.trailing_metadata())


class Cancelled(grpc.RpcError):
    """The status of a call that this client cancelled: grpc.aio raises CancelledError then."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.CANCELLED

    def details(self) -> str:
        return ""


def open_channel(case: Case, address: str) -> grpc.aio.Channel:
    """Returns a channel to a server, with TLS if the case says so."""
    if (credentials := case.credentials()) is None:
        return grpc.aio.insecure_channel(address)
    return grpc.aio.secure_channel(address, credentials)


async def run_all(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs the cases of a plan, one after the other."""
    outcomes = []
    for given in plan["cases"]:
        outcomes += await asyncio.gather(*(run_one(Case(given)) for _ in range(given.get("at_once", 1))))
    return outcomes


async def run_one(case: Case) -> dict[str, Any]:
    """Makes the call of a case on a channel of its own."""
    async with open_channel(case, case.given["address"]) as channel:
        try:
            return await run(case, channel)
        except Exception as error:
            return client_error(case, error)


def main() -> None:
    """Runs a plan and writes the outcomes: `python -m tests.conformance.python.asynchronous PLAN OUTCOMES`."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps({"outcomes": asyncio.run(run_all(plan))}))


if __name__ == "__main__":
    main()
