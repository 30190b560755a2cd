"""What a vendor's answers hold or name: pictures as base64 or at URLs, which are fetched without the key."""

import asyncio
import base64

from celeste_image.core.errors import CelesteError, ProviderFailed
from celeste_image.core.events import Picture, Preview
from celeste_image.outbound.exchange import ExchangeFailed, OriginRefused, Stage
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["Again", "lost", "picture_at_once", "picture_of", "preview_of"]

PAUSES = (0.2, 1.0)
"""Seconds before a picture that nobody can be asked for again is fetched once more."""
MAY_PASS = (408, 425, 429)
"""Statuses below 500 that say nothing of a picture."""


class Again(Exception):
    """An answer that says nothing: lost, or refused with an `error` that is the job's if the refusal stays.

    `cut` is that of ExchangeFailed, `after` the seconds that were named to wait.
    """

    def __init__(self, error: CelesteError | None = None, after: float | None = None, *, cut: bool = False) -> None:
        super().__init__(str(error or "lost"))
        self.cut = cut
        self.error = error
        self.after = after

    @classmethod
    def of(cls, failure: ExchangeFailed, error: CelesteError) -> "Again":
        """Returns what a failed exchange is: refused with an error where an answer came or never will, else lost."""
        status = failure.status or 0
        answered = failure.stage is Stage.ANSWERED and 200 <= status < 500 and status not in MAY_PASS
        return cls(error if answered or isinstance(failure, OriginRefused) else None, cut=failure.cut)


def lost(vendor: Vendor, text: str) -> ProviderFailed:
    """Returns the error for a picture that was made and can't be had."""
    return ProviderFailed(f"{vendor.name}: {text}", metadata={"provider": vendor.name, "owed": "true"})


async def picture_of(vendor: Vendor, value: str, index: int, seed: int | None, deadline: float | None) -> Picture:
    """Returns a picture from its base64 or its URL, measured. Raises Again; ProviderFailed if it can't be read."""
    data = await _bytes_of(vendor, value, deadline)
    return Picture(data, *await vendor.pixels.facts(data), index, seed)


async def picture_at_once(vendor: Vendor, value: str, index: int, seed: int | None, deadline: float | None) -> Picture:
    """Returns a picture that nobody can be asked for again: what may pass is waited for, since it is paid.

    Raises:
        ProviderFailed: It can't be had, or can't be read.
    """
    for pause in (*PAUSES, None):
        try:
            return await picture_of(vendor, value, index, seed, deadline)
        except Again as again:
            if (again.error and not again.cut) or pause is None:
                raise again.error or lost(vendor, "the picture can't be fetched") from again
        await asyncio.sleep(pause)
    raise AssertionError("the last try returns or raises")


async def preview_of(vendor: Vendor, value: str, deadline: float | None) -> Preview | None:
    """Returns a first look from its base64 or its URL; None if it can't be had, which ends nothing."""
    try:
        return Preview(*await vendor.pixels.preview(await _bytes_of(vendor, value, deadline)))
    except (CelesteError, Again):
        return None


async def _bytes_of(vendor: Vendor, value: str, deadline: float | None) -> bytes:
    """Returns what a URL or base64 is of. Raises Again; ProviderFailed where that can never be had."""
    if not value.startswith(("http://", "https://")):
        try:
            return base64.b64decode(value.rpartition(";base64,")[2], validate=True)
        except ValueError:
            raise lost(vendor, "the picture in its answer is neither a URL nor base64") from None
    try:
        reply = await vendor.http.follow(value, deadline=deadline)
        if not reply.body:
            raise ExchangeFailed("the answer is empty", Stage.ANSWERED, reply.status)
        return reply.body
    except OriginRefused as refused:
        raise lost(vendor, f"the picture is where nothing is fetched from ({refused})") from refused
    except ExchangeFailed as failure:
        # A URL that expired may be named anew.
        raise Again.of(failure, lost(vendor, f"the picture can't be fetched: {failure}")) from failure
