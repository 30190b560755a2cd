"""celeste ledger: lists the calls to providers that may have to be paid, newest first."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import click

from celeste_image.cli.options import Server, WholeNumber, server_options
from celeste_image.cli.tables import NOTHING, print_csv, print_table
from celeste_image.cli.terminal import say, say_json
from celeste_image.cli.times import TIME, shown_time

if TYPE_CHECKING:
    from celeste_image.core.usage import SpendEntry

__all__ = ["command"]

STATES = ("open", "settled", "uncertain")
HEADS = ("time", "state", "operation", "model", "images", "cost", "reason", "caller", "request", "job", "id")


@click.command(name="ledger")
@click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="Only calls in this state; repeatable."
)
@click.option("--request", "request_id", default="", metavar="UUID", help="Only calls for this request.")
@click.option("--since", type=TIME, help="Earliest start: an age such as 7d, or a day.")
@click.option("--until", type=TIME, help="Latest start, itself not included.")
@click.option("--limit", type=WholeNumber(1), default=100, show_default=True, help="Most calls.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the calls as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the calls as JSON.")
@server_options
def command(
    states: Sequence[str],
    request_id: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_csv: bool,
    as_json: bool,
    server: Server,
) -> int:
    """List the calls to vendors that may have to be paid, newest first. Times are in UTC."""
    from celeste_image.cli.own_server import connect

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    with connect(server) as client:
        found = client.ledger(start=since, end=until, states=states, request_id=request_id)
        entries = list(islice(found, limit + 1))
    shown = entries[:limit]
    if as_json:
        from google.protobuf import json_format

        from celeste_image.wire.usage import entry_to_proto

        say_json([json_format.MessageToDict(entry_to_proto(entry)) for entry in shown])
    elif as_csv:
        print_csv(HEADS, list(map(_cells, shown)))
    elif shown:
        print_table(HEADS, list(map(_cells, shown)), frozenset({"images"}))
    else:
        say("no paid calls", err=True)
    if len(entries) > limit:
        say(f"more calls are older; --limit shows more than {limit}", err=True)
    return 0


def _cells(entry: "SpendEntry") -> list[str]:
    from celeste_image.cli.words import entry_cost_in_words

    return [
        shown_time(entry.start),
        entry.state.value,
        entry.operation.value if entry.operation else NOTHING,
        entry.model,
        str(entry.images),
        entry_cost_in_words(entry.cost),
        entry.reason or NOTHING,
        entry.caller,
        entry.request_id,
        entry.provider_job or NOTHING,
        entry.id,
    ]
