"""Events of an answer: fetches and measures its images, and tells each missing one, the usage and the facts.

An image is base64 or a URL. A URL is fetched without the key; a relative one belongs to the API's URL.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

import structlog

from celeste_image.core.errors import CelesteError, ProviderFailed, SafetyBlocked
from celeste_image.core.events import Billed, Event, Fidelity, ImageFailed, Picture, Preview
from celeste_image.core.fidelity import FidelityLine
from celeste_image.outbound.client import IMAGE_TYPES
from celeste_image.outbound.exchange import ExchangeFailed, OriginRefused, Stage, Streamed
from celeste_image.providers.kit.answers import error_for_failure
from celeste_image.providers.kit.images import Answer, Found, data_in, is_image
from celeste_image.providers.kit.sse import any_event, json_values_of
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["TryAgain", "answers_of", "image_events", "lost", "picture_at_once", "picture_of", "preview_of"]

log = structlog.get_logger("celeste_image.results")

RETRY_PAUSES = (0.2, 1.0)
"""Seconds before each retry of a download that can't be named anew by a poll."""
TEMPORARY = (202, 404, 408, 425, 429)
"""Statuses below 500 after which a retry may succeed. A store may answer with 404 until all its copies are there."""
MOST_IMAGES = 16
"""Most images that are read from one call, which is the most that a request may ask for."""
URL_CHARACTERS = 16 << 10
PATH = re.compile(r"[^\s+=%:]+\.[A-Za-z0-9]{2,5}(\?\S*)?|(?=.*[./_?&-])[\w.~-]+(/[\w.~-]+)+(\?\S*)?")
"""A relative path without a leading slash: with a file's suffix, or with slashes between names."""
SCHEME = re.compile(r"[a-z][a-z0-9+.-]{1,20}:(?!.*[\r\n])", re.I)


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


async def answers_of(
    answer: Streamed, read: Callable[[str, Any], Answer], matters: Callable[[str], bool] = any_event
) -> AsyncGenerator[Answer, None]:
    """Yields what an answer of unknown form says, a body or a stream of events: see `json_values_of`.

    Args:
        answer: The answer, with a status below 300, which was not read yet.
        read: Reads the value of an event, given its name; the name is empty for a body.
        matters: Whether the event of a name may matter.

    Raises:
        ExchangeFailed: See `json_values_of`; or a stream ended without an image and without an error.
    """
    is_stream, is_told = True, False
    async with aclosing(json_values_of(answer, matters)) as values:
        async for kind, value in values:
            said = read(kind, value)
            is_stream = bool(kind)
            is_told |= bool(said.found or said.error)
            yield said
    if is_stream and not is_told:
        raise ExchangeFailed("the stream ended before the image arrived", Stage.ANSWERED, answer.head.status)


async def image_events(
    vendor: Vendor,
    answers: AsyncGenerator[Answer, None],
    *,
    count: int = 1,
    seed: int | None = None,
    deadline: float | None = None,
    asked: Mapping[str, Any] | None = None,
    previews: int = 0,
) -> AsyncGenerator[Event, None]:
    """Yields what the answers of one paid call say: previews, images, missing images, usage and facts.

    Every readable image is kept, those beyond `count` too. Reading ends when `count` images are there: a failure behind
    them is logged. An item keeps its place as the index, unless the call has more items than were asked for: then the
    images come first.

    Args:
        vendor: The vendor.
        answers: One Answer for a body, or several for a stream. May raise ExchangeFailed and CelesteError.
        count: Images that were asked for.
        seed: Seed for an image whose answer names none.
        deadline: By the clock of `Http`.
        asked: What was sent for the fields that the answer may name, by path.
        previews: Most previews; further ones are not read.

    Raises:
        CelesteError: There is no image. The error is the one that the answer tells, with `owed` if something was made.
    """
    reading = _Reading(count)
    try:
        async with aclosing(answers):
            async for answer in answers:
                if answer.preview and previews > 0:
                    previews -= 1
                    if preview := await preview_of(vendor, answer.preview, deadline):
                        yield preview
                if answer.billed:
                    yield Billed(answer.billed)
                for line in _lines(answer, asked or {}, has_one=count <= 1):
                    yield Fidelity(line)
                reading.take(answer)
                while (at := reading.next()) is not None:
                    index, found = at
                    try:
                        yield reading.made(await _first_readable(vendor, found, index, seed, deadline))
                    except CelesteError as error:
                        reading.fail(index, error)
                if reading.is_done:
                    break
    except ExchangeFailed as failure:
        reading.end(error_for_failure(vendor.name, failure))
    except CelesteError as error:
        reading.end(error)
    for event in reading.failures(vendor.name):
        yield event


class _Reading:
    """The images of one call: those that are made, those that are missing, and why."""

    def __init__(self, count: int) -> None:
        self._count = max(1, count)
        self._places: list[Found] = []
        self._waiting: list[int] = []
        self._made: set[int] = set()
        self._errors: dict[int, CelesteError] = {}
        self._error: CelesteError | None = None
        self._words = ""

    def take(self, answer: Answer) -> None:
        """Adds the items of an answer; an image that came before, in an event that is repeated, is left out."""
        self._words = answer.words or self._words
        self._error = self._error or answer.error
        again = bool(self._places)
        for found in answer.found:
            if again and found.images and any(found.images == place.images for place in self._places):
                continue
            if len(self._places) < MOST_IMAGES:
                self._waiting.append(len(self._places))
                self._places.append(found)

    def next(self) -> tuple[int, Found] | None:
        """Returns the place of the next item that may be an image."""
        while self._waiting:
            index = self._waiting.pop(0)
            if self._places[index].images:
                return index, self._places[index]
        return None

    def made(self, picture: Picture) -> Picture:
        """Counts an image and returns it with its index: its place, or the next one of a call with too many items."""
        if len(self._places) > self._count:
            picture = replace(picture, index=len(self._made))
        self._made.add(picture.index)
        return picture

    def fail(self, index: int, error: CelesteError) -> None:
        """Counts an image that was made and can't be used."""
        self._errors[index] = error

    @property
    def is_done(self) -> bool:
        """Whether all images are there."""
        return len(self._made) >= self._count

    def end(self, error: CelesteError) -> None:
        """Ends the reading early."""
        if self.is_done:
            log.warning("after the images", reason=error.reason, why=error.message)
        elif not isinstance(self._error, SafetyBlocked):  # a refusal that was told counts, though the rest was lost
            self._error = error

    def failures(self, name: str) -> Iterable[ImageFailed]:
        """Returns the missing images with their errors. Raises the error of a call without any image."""
        found = {
            index: self._errors.get(index) or place.error or self._error
            for index, place in enumerate(self._places)
            if index in self._errors or not place.images
        }
        if not self._made:
            raise self._worst([*found.values(), self._error], name)
        places = [index for index in range(self._count) if index not in self._made]
        if len(self._places) > self._count:  # the images came first, and the reasons follow in their order
            found = dict(zip(places, found.values(), strict=False))
        told = {index: found.get(index) or self._error for index in places}
        return [ImageFailed(index, error) for index, error in told.items() if error is not None]

    def _worst(self, found: Iterable[CelesteError | None], name: str) -> CelesteError:
        """Returns the error of a call without any image: first one that has to be paid, then what the answer tells."""
        errors = [error for error in found if error is not None]
        owed = [error for error in errors if error.metadata.get("owed") == "true"]
        if owed:
            return owed[0]
        if errors:
            return next((error for error in errors if "owed" in error.metadata), self._error or errors[0])
        words = f": {self._words}" if self._words else ""
        return ProviderFailed(f"{name}: the answer has no image{words}", metadata={"provider": name})


def _lines(answer: Answer, asked: Mapping[str, Any], *, has_one: bool) -> Iterable[FidelityLine]:
    """Returns the findings about the fields that the answer names."""
    facts = dict(answer.facts)
    if has_one and answer.found and answer.found[0].seed is not None:
        facts["seed"] = answer.found[0].seed
    for path, told in facts.items():
        sent = asked.get(path)
        differs = sent not in (None, "", "auto") and str(sent).lower() != str(told).lower()
        yield FidelityLine.found(path, told, problem=f"the provider says that it used {told}" if differs else "")


def lost(vendor: Vendor, text: str) -> ProviderFailed:
    """Returns the error for an image that the vendor made, so that it must be paid for, and that can't be fetched."""
    return ProviderFailed(f"{vendor.name}: {text}", metadata={"provider": vendor.name, "owed": "true"})


async def picture_of(
    vendor: Vendor, value: str | bytes, index: int, seed: int | None, deadline: float | None
) -> Picture:
    """Returns the measured image of bytes, a base64 text or a URL.

    Raises:
        TryAgain: The download failed.
        ProviderFailed: The data is not a readable image, or can never be fetched. Metadata `owed` is `true`.
    """
    data = await _bytes_of(vendor, value, deadline)
    try:
        return Picture(data, *await vendor.pixels.facts(data), index, seed)
    except CelesteError as error:
        raise lost(vendor, error.message.removeprefix(f"{vendor.name}: ")) from error


async def picture_at_once(
    vendor: Vendor, value: str | bytes, index: int, seed: int | None, deadline: float | None
) -> Picture:
    """Returns the measured image of bytes, a base64 text or a URL from an answer that can't be repeated.

    The image is paid for, so a download that failed for a temporary reason is retried.

    Raises:
        ProviderFailed: The data can't be fetched, or is not a readable image. Metadata `owed` is `true`.
    """
    for pause in (*RETRY_PAUSES, None):
        try:
            return await picture_of(vendor, value, index, seed, deadline)
        except TryAgain as failure:
            if (failure.error and not failure.cut) or pause is None:
                raise failure.error or lost(vendor, f"the image can't be fetched: {failure.__cause__}") from failure
        await asyncio.sleep(pause)
    raise AssertionError("the last try returns or raises")


async def preview_of(vendor: Vendor, value: str | bytes, deadline: float | None) -> Preview | None:
    """Returns the preview of bytes, a base64 text or a URL; None if it can't be fetched or read."""
    try:
        return Preview(*await vendor.pixels.preview(await _bytes_of(vendor, value, deadline)))
    except (CelesteError, TryAgain):
        return None


async def _first_readable(
    vendor: Vendor, found: Found, index: int, seed: int | None, deadline: float | None
) -> Picture:
    """Returns the image from the first place that has it. Raises ProviderFailed, for the first place."""
    first: CelesteError | None = None
    seed = seed if found.seed is None else found.seed
    for value in found.images:
        try:
            picture = await picture_at_once(vendor, value, index, seed, deadline)
        except CelesteError as error:
            first = first or error
        else:
            return replace(picture, revised_prompt=found.revised_prompt) if found.revised_prompt else picture
    assert first is not None
    raise first


async def _bytes_of(vendor: Vendor, value: str | bytes, deadline: float | None) -> bytes:
    """Returns the data of a URL or a base64 text. Raises TryAgain; ProviderFailed if a retry can't succeed."""
    if isinstance(value, bytes):
        return value
    url = _url_in(vendor, value)
    if url is None:
        data = data_in(value)
        if data is None:
            raise lost(vendor, "the image in the answer is neither a URL nor base64")
        return data
    try:
        reply = await vendor.http.follow(url, deadline=deadline, types=None)
        if not reply.body or not (reply.is_of(IMAGE_TYPES) or is_image(reply.body)):
            what = "not an image" if reply.body else "empty"
            raise ExchangeFailed(f"the answer is {what}", Stage.ANSWERED, reply.status)
        return reply.body
    except OriginRefused as refused:
        raise lost(vendor, f"the image's URL is not allowed ({refused}); {vendor.way_to_allow(url)}") from refused
    except ExchangeFailed as failure:
        # A URL may have expired; the next poll can name a new one.
        raise TryAgain.of(failure, lost(vendor, f"the image can't be fetched: {failure}")) from failure


def _url_in(vendor: Vendor, value: str) -> str | None:
    """Returns the absolute URL that a text stands for; None if it is base64 or a `data:` URL.

    A JPEG's base64 begins like a path, so a text that may be both is a path only if it is no image.
    """
    text = value.strip()
    if text[:5].lower() == "data:" or len(text) > URL_CHARACTERS:
        return None
    if SCHEME.match(text):
        return text
    if is_image(data_in(text)) or any(map(str.isspace, text)):
        return None
    is_path = text.startswith(("/", "./", "../", "?")) or PATH.fullmatch(text)
    return urljoin(f"{vendor.url}/", text) if is_path else None
