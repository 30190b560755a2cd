"""Clients in programs that use OpenTelemetry: the server's spans are below the program's."""

import asyncio
import subprocess
import sys

from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from tests.support.servers import running

from celeste_image.client import AsyncClient, Client
from celeste_image.core.request import Generate
from celeste_image.telemetry.tracing import Span, Tracer

REQUEST = Generate(prompt="a boat", model="local/compose")


async def test_calls_of_both_clients_go_on_with_the_current_span() -> None:
    kept: list[Span] = []
    program = TracerProvider(shutdown_on_exit=False).get_tracer("program")
    async with running(tracer=Tracer(kept.append)) as server:
        token = context.attach(baggage.set_baggage("user", "alice"))
        with program.start_as_current_span("asynchronous") as first:
            async with AsyncClient(server.address) as client:
                await client.run(REQUEST)

        def call() -> trace.Span:
            with program.start_as_current_span("blocking") as span, Client(server.address) as client:
                client.run(REQUEST)
            return span

        second = await asyncio.to_thread(call)
        context.detach(token)
    rpcs = [span for span in kept if span.name == "celeste.image.v1.ImageService/Stream"]
    found = [(int(rpc.trace_id, 16), int.from_bytes(rpc.parent_id)) for rpc in rpcs]
    callers = [span.get_span_context() for span in (first, second)]
    assert found == [(caller.trace_id, caller.span_id) for caller in callers]


async def test_a_call_outside_of_spans_begins_a_trace_at_the_server() -> None:
    kept: list[Span] = []
    async with running(tracer=Tracer(kept.append)) as server, AsyncClient(server.address) as client:
        await client.run(REQUEST)
    (rpc,) = [span for span in kept if not span.parent_id]
    assert not rpc.is_remote


def test_a_program_without_opentelemetry_does_not_import_it() -> None:
    program = (
        "import sys\nfrom celeste_image.client.traces import trace_metadata\n"
        "print(trace_metadata(), any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.split() == ["()", "False"]
