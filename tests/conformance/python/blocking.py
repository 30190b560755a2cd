"""The blocking runner: cases through the generated stubs on a channel of `grpc`."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from tests.conformance.python.outcome import SERVICES, Case, client_error


def run(case: Case, channel: grpc.Channel) -> dict[str, Any]:
    """Makes the call of a case."""
    call = getattr(SERVICES[case.service](channel), case.method)
    options = {"timeout": case.deadline_seconds, "metadata": case.metadata()}
    messages: list[Any] = []
    try:
        if case.streams:
            return stream(case, call(case.request(), **options), messages)
        if case.method == "WriteArtifact":
            response, made = call.with_call(case.chunks(), **options)
            return case.outcome([response], None, made.initial_metadata(), made.trailing_metadata())
        requests: Iterator[Any] = case.chunks() if "upload" in case.given else iter([case.request()])
        for request in requests:
            response, made = call.with_call(request, **options)
            messages.append(response)
            if "upload" in case.given and response.HasField("artifact"):
                break
        return case.outcome(messages, None, made.initial_metadata(), made.trailing_metadata())
    except grpc.RpcError as error:
        return case.outcome(messages, error, error.initial_metadata(), error.trailing_metadata())  # type: ignore[attr-defined]


def stream(case: Case, call: Any, messages: list[Any]) -> dict[str, Any]:
    """Reads a server stream to its end, or cancels it after some messages."""
    error = None
    try:
        for message in call:
            messages.append(message)
            if len(messages) == case.cancel_after:
                call.cancel()
                break
        for _ in call:
            pass
    except grpc.RpcError as failed:
        error = failed
    return case.outcome(messages, error, call.initial_metadata(), call.trailing_metadata())


def open_channel(case: Case, address: str) -> grpc.Channel:
    """Returns a channel to a server, with TLS if the case says so."""
    if (credentials := case.credentials()) is None:
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, credentials)


def run_one(case: Case) -> dict[str, Any]:
    """Makes the call of a case on a channel of its own."""
    with open_channel(case, case.given["address"]) as channel:
        try:
            return run(case, channel)
        except Exception as error:
            return client_error(case, error)


def main() -> None:
    """Runs a plan and writes the outcomes: `python -m tests.conformance.python.blocking PLAN OUTCOMES`."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    outcomes: list[dict[str, Any]] = []
    for given in plan["cases"]:
        count = given.get("at_once", 1)
        with ThreadPoolExecutor(count) as threads:
            outcomes += threads.map(run_one, [Case(given) for _ in range(count)])
    Path(sys.argv[2]).write_text(json.dumps({"outcomes": outcomes}))


if __name__ == "__main__":
    main()
