"""Images in a vendor's answers: decodes base64, or fetches a URL without sending the key, and reads type and size."""

import asyncio
import base64

from celeste_image.core.errors import CelesteError, ProviderFailed
from celeste_image.core.events import Picture, Preview
from celeste_image.outbound.exchange import ExchangeFailed, OriginRefused, Stage
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["TryAgain", "lost", "picture_at_once", "picture_of", "preview_of"]

RETRY_PAUSES = (0.2, 1.0)
"""Seconds before each retry of a download that can't be named anew by a poll."""
TEMPORARY = (408, 425, 429)
"""Statuses below 500 after which a retry may succeed."""


class TryAgain(Exception):
    """A poll or a download had no result; the same may succeed later.

    Attributes:
        error: The error to raise if this failure repeats: an answer refused the request. None after a lost exchange.
        after_seconds: The pause that the vendor asked for, in seconds; None if it asked for none.
        cut: Whether the connection or the time ended within the answer.
    """

    def __init__(
        self, error: CelesteError | None = None, after_seconds: float | None = None, *, cut: bool = False
    ) -> None:
        super().__init__(str(error or "lost"))
        self.error = error
        self.after_seconds = after_seconds
        self.cut = cut

    @classmethod
    def of(cls, failure: ExchangeFailed, error: CelesteError) -> "TryAgain":
        """Returns the exception for a failed exchange, with `error` if the same request would fail again."""
        status = failure.status or 0
        is_refusal = failure.stage is Stage.ANSWERED and 200 <= status < 500 and status not in TEMPORARY
        return cls(error if is_refusal or isinstance(failure, OriginRefused) else None, cut=failure.cut)


def lost(vendor: Vendor, text: str) -> ProviderFailed:
    """Returns the error for an image that the vendor made, so that it must be paid for, and that can't be fetched."""
    return ProviderFailed(f"{vendor.name}: {text}", metadata={"provider": vendor.name, "owed": "true"})


async def picture_of(vendor: Vendor, value: str, index: int, seed: int | None, deadline: float | None) -> Picture:
    """Returns the measured image of a base64 text or a URL.

    Raises:
        TryAgain: The download failed.
        ProviderFailed: The data is not a readable image, or can never be fetched.
    """
    data = await _bytes_of(vendor, value, deadline)
    return Picture(data, *await vendor.pixels.facts(data), index, seed)


async def picture_at_once(vendor: Vendor, value: str, index: int, seed: int | None, deadline: float | None) -> Picture:
    """Returns the measured image of a base64 text or a URL from an answer that can't be repeated.

    The image is paid for, so a download that failed for a temporary reason is retried.

    Raises:
        ProviderFailed: The data can't be fetched, or is not a readable image.
    """
    for pause in (*RETRY_PAUSES, None):
        try:
            return await picture_of(vendor, value, index, seed, deadline)
        except TryAgain as failure:
            if (failure.error and not failure.cut) or pause is None:
                raise failure.error or lost(vendor, "the image can't be fetched") from failure
        await asyncio.sleep(pause)
    raise AssertionError("the last try returns or raises")


async def preview_of(vendor: Vendor, value: str, deadline: float | None) -> Preview | None:
    """Returns the preview of a base64 text or a URL; None if it can't be fetched or read."""
    try:
        return Preview(*await vendor.pixels.preview(await _bytes_of(vendor, value, deadline)))
    except (CelesteError, TryAgain):
        return None


async def _bytes_of(vendor: Vendor, value: str, deadline: float | None) -> bytes:
    """Returns the data of a URL or a base64 text. Raises TryAgain; ProviderFailed if a retry can't succeed."""
    if not value.startswith(("http://", "https://")):
        try:
            return base64.b64decode(value.rpartition(";base64,")[2], validate=True)
        except ValueError:
            raise lost(vendor, "the image in the answer is neither a URL nor base64") from None
    try:
        reply = await vendor.http.follow(value, deadline=deadline)
        if not reply.body:
            raise ExchangeFailed("the answer is empty", Stage.ANSWERED, reply.status)
        return reply.body
    except OriginRefused as refused:
        raise lost(vendor, f"the image's URL is not allowed ({refused})") from refused
    except ExchangeFailed as failure:
        # A URL may have expired; the next poll can name a new one.
        raise TryAgain.of(failure, lost(vendor, f"the image can't be fetched: {failure}")) from failure
