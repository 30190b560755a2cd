"""celeste usage: adds up what was used and what it cost, with a bar for each row."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from celeste_image.cli.options import Server, labels_of, server_options
from celeste_image.cli.tables import NOTHING, bar, print_csv, print_table
from celeste_image.cli.terminal import is_unicode, say, say_json
from celeste_image.cli.times import TIME

if TYPE_CHECKING:
    from celeste_image.core.usage import UsageRow

__all__ = ["command"]

DIMENSIONS = ("day", "model", "operation", "caller")
HEADS = ("succeeded", "failed", "reused", "images", "megapixels", "compute s", "uncertain", "cost", "may cost too")


def _dimensions(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in value.split(",") if word.strip())
    for word in words:
        if word not in DIMENSIONS:
            raise click.BadParameter(f"{word!r} is not one of {', '.join(DIMENSIONS)}", ctx, param)
    if len(set(words)) < len(words):
        raise click.BadParameter("each of them can be given once", ctx, param)
    return words


@click.command(name="usage")
@click.option("--since", type=TIME, default="30d", show_default=True, help="Start: an age such as 7d, or a day.")
@click.option("--until", type=TIME, help="End, itself not included; default: now.")
@click.option(
    "--by",
    "group_by",
    default="day",
    show_default=True,
    callback=_dimensions,
    metavar="PROPERTIES",
    help="day, model, operation and caller, separated by commas; '' for one row.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    callback=labels_of,
    help="Only requests with this label; repeatable.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@server_options
def command(
    since: datetime,
    until: datetime | None,
    group_by: Sequence[str],
    labels: Mapping[str, str],
    as_csv: bool,
    as_json: bool,
    server: Server,
) -> int:
    """Add up what was used and what it cost, by day or by other properties. Days begin at midnight UTC."""
    from celeste_image.cli.own_server import connect

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    with connect(server) as client:
        rows = list(client.usage(since, end=until, group_by=group_by, labels=labels))
    if as_json:
        from google.protobuf import json_format

        from celeste_image.wire.usage import row_to_proto

        say_json([json_format.MessageToDict(row_to_proto(row)) for row in rows])
    elif as_csv:
        print_csv(*_csv(rows, group_by))
    elif rows:
        bars, of_what = _bars(rows)
        heads = (*group_by, *HEADS, f"by {of_what}")
        table = [[*_cells(row, group_by), bar] for row, bar in zip(rows, bars, strict=True)]
        print_table(heads, table, frozenset(HEADS))
    else:
        say("no usage in this time", err=True)
    return 0


def _cells(row: "UsageRow", group_by: Sequence[str]) -> list[str]:
    """Returns the cells of a row in the table. Amounts in several currencies are in one cell."""
    from celeste_image.cli.words import cost_in_words, money_in_words

    uncertain = [cost.uncertain for cost in row.costs if cost.uncertain and cost.uncertain.nanos]
    return [
        *_counts(row, group_by),
        " + ".join(map(cost_in_words, row.costs)) or NOTHING,
        " + ".join(map(money_in_words, uncertain)) or NOTHING,
    ]


def _counts(row: "UsageRow", group_by: Sequence[str]) -> list[str]:
    return [
        *(str(getattr(row, name) or NOTHING) for name in group_by),
        str(row.succeeded),
        str(row.failed),
        str(row.reused),
        str(row.images),
        f"{row.pixels / 1e6:.2f}",
        NOTHING if row.compute_seconds is None else f"{row.compute_seconds:.1f}",
        str(row.uncertain),
    ]


def _csv(rows: Sequence["UsageRow"], group_by: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Returns the heads and the rows of CSV, in which each currency has two columns of plain numbers."""
    from celeste_image.cli.words import amount_in_words

    known = (money for row in rows for cost in row.costs for money in (cost.settled, cost.uncertain) if money)
    currencies = sorted({money.currency_code for money in known})
    heads = [*group_by, *HEADS[:-2]]
    heads += [f"{head} {currency}" for currency in currencies for head in HEADS[-2:]] + ["calls of unknown price"]
    table = []
    for row in rows:
        cells = _counts(row, group_by)
        for currency in currencies:
            for kind in ("settled", "uncertain"):
                found = [money for cost in row.costs if (money := getattr(cost, kind))]
                amounts = [amount_in_words(money) for money in found if money.currency_code == currency]
                cells.append(amounts[0] if amounts else "")
        table.append([*cells, str(sum(cost.unpriced_calls for cost in row.costs))])
    return heads, table


def _bars(rows: Sequence["UsageRow"]) -> tuple[list[str], str]:
    """Returns a bar for each row and what it measures: the cost if all is in one currency, else the operations."""
    currencies = {cost.settled.currency_code for row in rows for cost in row.costs if cost.settled}
    amounts = [sum(cost.settled.nanos for cost in row.costs if cost.settled) for row in rows]
    what = "cost"
    if len(currencies) != 1 or not any(amounts):
        amounts, what = [row.succeeded + row.failed for row in rows], "operations"
    most = max(amounts) or 1
    return [bar(amount, most, has_blocks=is_unicode()) for amount in amounts], what
