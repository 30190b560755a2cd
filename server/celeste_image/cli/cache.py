"""celeste cache: counts and clears the cached results in the database of the configuration."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import click

from celeste_image.cli.configuration import configuration_options, refused
from celeste_image.cli.options import labels_of
from celeste_image.cli.terminal import say, say_json

if TYPE_CHECKING:
    from celeste_image.database import Records

__all__ = ["command"]


@click.group(name="cache")
def command() -> int:
    """Count and clear the cached results of a server, also while it runs.

    The database is that of the configuration, as for celeste serve.
    """
    return 0


@command.command()
@click.option("--tenant", default="", help="Only results of this tenant.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configuration_options
def stats(tenant: str, as_json: bool, file: str | None, assignments: tuple[str, ...]) -> int:
    """Count the cached results and the bytes of their images, by tenant and model."""
    import asyncio

    from celeste_image.ledger.clearing import ModelResults, count_by_model

    async def counted() -> list[ModelResults]:
        async with _records(file, assignments) as records:
            return await count_by_model(records, tenant)

    with _failures():
        found = asyncio.run(counted())
    if as_json:
        rows = [
            {"tenant": each.tenant, "model": each.model, "results": each.results, "size_bytes": each.size_bytes}
            for each in found
        ]
        say_json({"models": rows, "results": sum(each.results for each in found)})
        return 0
    for each in found:
        say(f"{each.tenant}  {each.model}  {each.results:,}  {_size(each.size_bytes)}")
    say(f"{_results(sum(each.results for each in found))}, {_size(sum(each.size_bytes for each in found))}")
    return 0


@command.command()
@click.option("--request", default="", metavar="ID", help="Only the result that this request made.")
@click.option("--model", default="", metavar="MODEL", help="Only results of this model: its id, no alias.")
@click.option("--provider", default="", metavar="PROVIDER", help="Only results of this provider.")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="NAME=VALUE",
    callback=labels_of,
    help="Only results with this label; repeatable.",
)
@click.option("--tenant", default="", metavar="TENANT", help="Only results of this tenant.")
@click.option("--dry-run", "dry", is_flag=True, help="Count the results and leave them.")
@configuration_options
def clear(dry: bool, file: str | None, assignments: tuple[str, ...], **chosen: Any) -> int:
    """Clear the cached results that match all options; without one, all results. Their images stay artifacts.

    No server gives a cleared result from then on. A result that is being made is stored afterwards.
    """
    import asyncio

    from celeste_image.ledger import clearing

    which = clearing.Chosen(
        tenant=chosen["tenant"],
        model=chosen["model"],
        provider=chosen["provider"],
        request_id=chosen["request"].lower(),
        tags=chosen["tags"],
    )

    async def cleared() -> tuple[int, int]:
        async with _records(file, assignments) as records:
            return await clearing.clear(records, which, dry=dry)

    with _failures():
        results, size_bytes = asyncio.run(cleared())
    say(f"{_results(results)}, {_size(size_bytes)}: {'not cleared, as asked' if dry else 'cleared'}")
    return 0


@asynccontextmanager
async def _records(file: str | None, assignments: tuple[str, ...]) -> "AsyncIterator[Records]":
    """Opens the database of the configuration. Raises ValueError or OSError if there is none."""
    import os

    from celeste_image.config import load
    from celeste_image.database import PostgresRecords, SqliteRecords
    from celeste_image.databases import access_of, folder_of
    from celeste_image.store.open import DATABASE, open_backend
    from celeste_image.telemetry.logs import configure_logs

    configuration = load(assignments=assignments, file=file)
    try:
        settings = configuration.valid()
    except (ValueError, OSError) as error:
        raise refused(error, configuration) from error
    configure_logs("error", "console")
    if settings.database.is_postgresql:
        rows = PostgresRecords(access_of(settings.database, os.environ))
        try:
            await rows.begin()
            yield rows
        finally:
            await rows.close()
        return
    url = settings.database.url or settings.store.url
    if not url.startswith("file:"):
        text = f"store.url: must be file:///FOLDER to have a database, not {url or 'empty'}; or set database.url"
        raise ValueError(text)
    path = folder_of(url) / DATABASE
    if not path.is_file():
        raise ValueError(f"{path} does not exist: no server has used this database yet")
    backend = open_backend(url, {})
    try:
        yield SqliteRecords(backend)
    finally:
        await backend.close()


def _results(count: int) -> str:
    return "1 result" if count == 1 else f"{count:,} results"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):,.1f} MiB"


@contextmanager
def _failures() -> Iterator[None]:
    """Turns what can go wrong into one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(f"celeste cache needs {error.name}: pip install 'celeste-image[local]'") from error
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
