"""celeste callers: makes API keys for the callers of a server."""

import hashlib
import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from celeste_image.cli.options import Number
from celeste_image.cli.terminal import say
from celeste_image.core.caller import CALLER_NAME

__all__ = ["command"]

PREFIX = "celeste_"
"""Lets people and scanners of secrets see what a key is for."""
KEY_BYTES = 32
MOST_DAYS = 36500


@click.group(name="callers")
def command() -> int:
    """Make API keys for the callers of a server.

    A server keeps the SHA-256 of a key in its configuration. The key itself is shown once, and is the caller's alone.
    """
    return 0


def _name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not CALLER_NAME.fullmatch(value):
        raise click.BadParameter(f"{value!r} must have 1 to 64 of a-z, 0-9, '_' and '-', and begin with a-z or 0-9")
    return value


@command.command(name="new-key")
@click.argument("key", metavar="KEY", callback=_name)
@click.option("--tenant", required=True, callback=_name, help="Owner of the artifacts.")
@click.option("--name", callback=_name, help="Name of the caller; default: KEY.")
@click.option("--days", type=Number(min=0, max=MOST_DAYS), help="Days until the key expires; default: never.")
@click.option("--to", "file", metavar="FILE", help="Write the key to a new FILE, which only you can read.")
def new_key(key: str, tenant: str, name: str | None, days: float | None, file: str | None) -> int:
    """Make a key named KEY. Standard output gets its table for celeste.toml, standard error the key.

    As in: celeste callers new-key phone --tenant acme --to phone.key >> celeste.toml
    """
    text = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    if file:
        try:
            with open(os.open(Path(file), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
                written.write(text + "\n")
        except FileExistsError as error:
            raise click.UsageError(f"{file} exists; choose another file") from error
    say("")  # the table may follow others
    say(f"[callers.keys.{key}]")
    say(f'tenant = "{tenant}"')
    if name:
        say(f'name = "{name}"')
    say(f'sha256 = "{hashlib.sha256(text.encode()).hexdigest()}"')
    if days is not None:
        say(f"not_after = {datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}")
    say(f"wrote {file}, which only you can read" if file else f"the key, which is shown only now: {text}", err=True)
    return 0
