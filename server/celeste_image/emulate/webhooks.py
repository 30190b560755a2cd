"""Calls the webhooks of jobs that are done, on loopback only: an emulator is no way into other machines."""

import asyncio
import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from celeste_image.emulate.base import Refusal
from celeste_image.emulate.ledger import Entry, Ledger

__all__ = ["Webhooks"]

TIMEOUT = aiohttp.ClientTimeout(total=5)


class Webhooks:
    """The webhooks of a fake vendor. Each call is a line of the ledger with the stage `webhook`.

    Args:
        ledger: Records the calls.
        provider: The vendor's name.
    """

    def __init__(self, ledger: Ledger, provider: str) -> None:
        self._ledger, self._provider = ledger, provider
        self._calls: set[asyncio.Task[None]] = set()

    def check(self, url: str) -> None:
        """Raises Refusal for an address that is not on loopback. Of names only `localhost` is; none is resolved."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            parts, host = None, ""
        if parts is None or parts.scheme not in ("http", "https") or not host or "\\" in url:
            raise Refusal(422, "Input should be a valid URL", "url_parsing", "webhook_url")
        if not _is_loopback(host):
            raise Refusal(422, "The emulator calls webhooks on loopback only", "value_error", "webhook_url")

    def call(self, url: str, secret: str, state: Callable[[], Any], *, after: float) -> None:
        """Posts a job's state to a checked address, later.

        Args:
            url: The address.
            secret: Signs the body; empty for no signature.
            state: Returns the state.
            after: Seconds until the job is done.
        """
        task = asyncio.create_task(self._call(url, secret, state, after))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(self, url: str, secret: str, state: Callable[[], Any], after: float) -> None:
        await asyncio.sleep(after)
        body = orjson.dumps(state())
        headers = {"content-type": "application/json"}
        if secret:
            headers["x-bfl-signature"] = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        entry = Entry(self._provider, "POST", urlsplit(url).path or "/", stage="webhook", request_bytes=len(body))
        self._ledger.entries.append(entry)
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT, trust_env=False) as session,
                # A redirect could lead away from loopback.
                session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                entry.status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError):
            pass  # the status 0 says that there was no answer
        finally:
            self._ledger.on_end(entry)


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback
