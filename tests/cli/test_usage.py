"""celeste usage and celeste ledger: their arguments, tables, bars, CSV and JSON, at a real server."""

import asyncio
import csv
import io
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import click
import pytest
import pytest_asyncio
from click.testing import CliRunner
from tests.support.command import CELESTE
from tests.support.servers import running
from tests.support.spending import CallRow, insert_calls

from celeste_image.cli.main import celeste
from celeste_image.cli.tables import bar
from celeste_image.cli.times import Time
from celeste_image.cli.words import amount_in_words, cost_in_words, entry_cost_in_words
from celeste_image.core.caller import ANONYMOUS
from celeste_image.core.money import Cost, Money
from celeste_image.database.times import to_micros
from celeste_image.ledger import EndedOperation

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
REQUEST = "6f1c2d3e-0000-4000-8000-000000000001"
SINCE = ("--since", "2026-11-01")

Run = Callable[..., Awaitable["Ended"]]


class Ended(NamedTuple):
    """A command that ended."""

    exit_code: int | None
    stdout: str
    stderr: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """Runs a command at a server with a few days of usage."""
    store = {"url": tmp_path_factory.mktemp("store").as_uri()}
    async with running(store=store) as server:
        assert server.app.database.records and server.app.database.operations
        for day, outcome, labels in ((0, "", {"project": "x"}), (0, "CANCELLED", {}), (1, "", {})):
            started = NOON + day * DAY
            made = {"images": 1, "pixels": 1_500_000, "compute_seconds": 0.25} if not outcome else {}
            server.app.database.operations.add(
                EndedOperation(
                    ANONYMOUS, REQUEST, "local/compose", "generate", started, started, outcome, **made, labels=labels
                )
            )
        began = to_micros(NOON)
        paid = {"tenant": "anonymous", "model": "bfl/flux-pro", "started": began}
        await insert_calls(
            server.app.database.records,
            [
                CallRow(**paid, settled=1_000_000_000, basis="calculated"),
                CallRow(**paid | {"started": began + 1}, settled=500_000_000, currency="EUR", request_id=REQUEST),
                CallRow(**paid | {"started": began + 2}, state="uncertain", uncertain=40_000_000, reason="CANCELLED"),
                CallRow(**paid | {"started": began + 3}, currency=""),
            ],
        )

        async def run(*arguments: str) -> Ended:
            process = await asyncio.create_subprocess_exec(
                *(*CELESTE, *arguments, "--address", server.address),
                stdout=PIPE,
                stderr=PIPE,
                env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            )
            out, err = await process.communicate()
            return Ended(process.returncode, out.decode(), err.decode())

        yield run


def printed(result: Ended) -> list[list[str]]:
    """Returns the cells of a table."""
    assert result.exit_code == 0, result
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.stdout.splitlines()]


async def test_usage_is_a_table_by_day_with_bars(run: Run) -> None:
    heads, *rows = printed(await run("usage", *SINCE))
    assert heads == [
        *("day", "succeeded", "failed", "reused", "images", "megapixels", "compute s", "uncertain"),
        *("cost", "may cost too", "by operations"),
    ]
    cost = "1 of unknown price + 0.50 EUR + 1.00 USD"
    assert rows == [
        ["2026-11-20", "1", "1", "0", "1", "1.50", "0.2", "1", cost, "0.04 USD", "█" * 20],
        ["2026-11-21", "1", "0", "0", "1", "1.50", "0.2", "0", "-", "-", "█" * 10],
    ]


async def test_a_label_and_other_properties_choose_and_split(run: Run) -> None:
    _, paid, free = printed(await run("usage", *SINCE, "--by", "model, caller", "--label", "project=x"))
    assert (paid[:4], paid[9]) == (["bfl/flux-pro", "anonymous", "0", "0"], "0.50 EUR"), "the call of its request"
    assert free[:4] == ["local/compose", "anonymous", "1", "0"]
    _, row = printed(await run("usage", "--since", "2026-11-21", "--by", ""))
    assert row[:2] == ["1", "0"]
    nothing = await run("usage", *SINCE, "--until", "2026-11-02")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "no usage in this time\n")


async def test_csv_has_a_column_of_plain_numbers_for_each_currency(run: Run) -> None:
    result = await run("usage", *SINCE, "--csv")
    first, second = csv.DictReader(io.StringIO(result.stdout))
    assert (first["cost USD"], first["may cost too USD"], first["cost EUR"]) == ("1.00", "0.04", "0.50")
    assert (first["calls of unknown price"], second["cost USD"], second["calls of unknown price"]) == ("1", "", "0")


async def test_json_is_that_of_the_contract(run: Run) -> None:
    first, _ = json.loads((await run("usage", *SINCE, "--json")).stdout)
    assert (first["day"], first["succeeded"], first["usage"]["megapixels"]) == ("2026-11-20", "1", 1.5)
    (entry,) = json.loads((await run("ledger", "--state", "uncertain", "--json")).stdout)
    assert (entry["state"], entry["cost"]["uncertain"]["nanos"]) == ("LEDGER_STATE_UNCERTAIN", "40000000")


async def test_the_ledger_is_a_table_newest_first(run: Run) -> None:
    heads, *rows = printed(await run("ledger"))
    assert heads == [
        "time",
        "state",
        "operation",
        "model",
        "images",
        "cost",
        "reason",
        "caller",
        "request",
        "job",
        "id",
    ]
    assert [(row[1], row[5], row[6]) for row in rows] == [
        ("settled", "unknown", "-"),
        ("uncertain", "up to 0.04 USD", "CANCELLED"),
        ("settled", "0.50 EUR", "-"),
        ("settled", "1.00 USD", "-"),
    ]
    assert all(row[0] == "2026-11-20 12:00:00" for row in rows)
    _, row = printed(await run("ledger", "--request", REQUEST))
    assert row[8] == REQUEST
    limited = await run("ledger", "--limit", "2", "--csv")
    assert len(limited.stdout.splitlines()) == 3
    assert limited.stderr == "more calls are older; --limit shows more than 2\n"
    none = await run("ledger", "--state", "open")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "no paid calls\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["usage", "--by", "week"], "'week' is not one of day, model"),
        (["usage", "--by", "day,day"], "each of them can be given once"),
        (["usage", "--since", "yesterday"], "must be an age such as"),
        (["usage", "--label", "project"], "'project' is not NAME=VALUE"),
        (["usage", "--label", "a=1", "--label", "a=2"], "'a' is given twice"),
        (["usage", "--csv", "--json"], "exclude each other"),
        (["ledger", "--csv", "--json"], "exclude each other"),
        (["ledger", "--state", "paid"], "'paid' is not one of"),
        (["ledger", "--limit", "0"], "must be a whole number"),
        (["generate", "a boat", "--label", "=x"], "'=x' is not NAME=VALUE"),
    ],
)
async def test_wrong_arguments_are_refused_in_a_sentence(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(celeste, arguments, standalone_mode=False)
    assert isinstance(result.exception, click.ClickException)
    assert words in result.exception.format_message()


async def test_a_time_is_an_age_a_day_or_a_moment() -> None:
    def time(text: str) -> datetime:
        return Time(lambda: NOON).convert(text, None, None)

    assert [time(text) for text in ("30s", "5m", "12h", "7d", "4w")] == [
        *(
            NOON - timedelta(**age)
            for age in ({"seconds": 30}, {"minutes": 5}, {"hours": 12}, {"days": 7}, {"weeks": 4})
        )
    ]
    assert time("2026-11-20") == NOON - timedelta(hours=12)
    assert time("2026-11-20T13:00+01:00") == time("2026-11-20T12:00") == time("2026-11-20 12:00Z") == NOON
    for text in ("", "7", "d", "-1d", "999999w", "2026-13-01", "nan"):
        with pytest.raises(click.BadParameter):
            time(text)


async def test_bars_are_number_signs_where_there_are_no_blocks() -> None:
    assert [bar(amount, 100, has_blocks=False) for amount in (0, 1, 50, 100)] == ["", "#", "#" * 10, "#" * 20]
    assert [bar(amount, 10**15, has_blocks=True) for amount in (0, 1, 10**15)] == ["", "\u258f", "\u2588" * 20]


async def test_amounts_have_all_their_digits() -> None:
    amounts = {
        0: "0.00",
        1: "0.000000001",
        40_000_000: "0.04",
        1_500_000_000: "1.50",
        10**18 + 1: "1000000000.000000001",
    }
    assert {nanos: amount_in_words(Money("USD", nanos)) for nanos in amounts} == amounts
    assert cost_in_words(Cost(Money("USD", 5 * 10**8), unpriced_calls=2)) == "0.50 USD, 2 of unknown price"
    assert cost_in_words(Cost()) == entry_cost_in_words(Cost(unpriced_calls=1)) == "unknown"
    assert entry_cost_in_words(Cost(Money("USD", 0), Money("USD", 10**9))) == "up to 1.00 USD"
    assert entry_cost_in_words(None) == "-"
