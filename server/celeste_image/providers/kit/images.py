"""What an answer says: where its images are, which are missing and why, usage, and facts. One reading for all vendors.

`answer_in` reads the forms that servers with an API like OpenAI's use. A vendor with another form makes the `Answer`
itself, or names its own fields.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import pybase64

from celeste_image.core.errors import CelesteError
from celeste_image.core.media import media_type
from celeste_image.core.money import Quantity, quantities
from celeste_image.providers.kit.answers import at
from celeste_image.providers.kit.failures import Failure, failure_in, is_refusal

__all__ = ["Answer", "Found", "answer_in", "billed_in", "data_in", "facts_in", "found_in", "seed_in"]

LISTS: Final = (
    *("data", "images", "image", "output", "outputs", "artifacts", "results", "result", "predictions"),
    *("image_urls", "image_base64", "base64"),
)
"""Fields of an answer that may hold its images: a list, one object or one text. The first with an image counts."""
MOST_NESTED: Final = 3
"""How deep an answer may lie in the fields of another, as in `{"code": 0, "data": {"images": []}}`."""
REVISED_CHARACTERS: Final = 32 << 10
"""Longest revised prompt that is kept: an answer of this server has to hold it."""
FIELDS: Final = (
    *("b64_json", "b64", "base64", "image_base64", "bytesBase64Encoded", "result", "image", "data", "url", "image_url"),
    *("imageUrl", "uri", "sample"),
)
"""Fields of an item that may hold its image, as base64, bytes, a `data:` URL, a URL, or an object with one of these."""
FINISHES: Final = ("finish_reason", "finishReason")
FLAGS: Final = ("filtered", "nsfw", "blocked", "moderated", "flagged")
"""Fields that are true for an image which a safety system withheld."""
SEEDS: Final = 1 << 64

ErrorOf = Callable[[Failure, str], CelesteError]
"""Returns the error for a failure, and the stage of a refusal: `Vendor.failed` with the answer."""


@dataclass(frozen=True, slots=True)
class Found:
    """One image of an answer, or why it is missing.

    Attributes:
        images: Where the image may be, the best first: bytes, base64 text, or a URL. Empty if it is missing.
        error: Why it is missing; None for an image, and for one that is missing without a reason.
        seed: The seed that the vendor names.
        revised_prompt: The prompt as the vendor rewrote it.
    """

    images: tuple[str | bytes, ...] = field(default=(), repr=False)
    error: CelesteError | None = None
    seed: int | None = None
    revised_prompt: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says, or one event of a stream.

    Attributes:
        found: Its images, in order, with places for those that are missing.
        error: The failure that it tells. It counts only for images that are missing.
        billed: What the vendor counted for its bill, such as `output_image_token`: see `PriceRule.unit`.
        facts: What the vendor says it used, by the path of the request's field: `quality`, `background`.
        words: Text that came in the place of an image, cleaned.
        preview: A preview, as base64, bytes or URL; empty for none.
    """

    found: tuple[Found, ...] = ()
    error: CelesteError | None = None
    billed: tuple[Quantity, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""
    preview: str | bytes = field(default="", repr=False)

    @property
    def has_image(self) -> bool:
        """Whether it has an image, readable or not."""
        return any(each.images for each in self.found)


def answer_in(
    value: Any, error_of: ErrorOf, *, lists: Sequence[str] = LISTS, fields: Sequence[str] = FIELDS, depth: int = 0
) -> Answer:
    """Returns what the JSON value of an answer says; bytes are one image.

    Args:
        value: The value, of any type.
        error_of: Makes an error of a failure.
        lists: Fields that may hold the images.
        fields: Fields of an item that may hold its image.
        depth: How many answers this one lies in.
    """
    if isinstance(value, bytes):
        return Answer((Found((value,)),))
    if isinstance(value, list):
        value = {"data": value} if not failure_in(value) else value[0]
    if not isinstance(value, dict):
        return Answer()
    found: tuple[Found, ...] = ()
    for name in lists:
        listed = value.get(name)
        is_one = isinstance(listed, dict | str | bytes) and bool(listed)
        items = listed if isinstance(listed, list) else [listed] if is_one else []
        here = tuple(found_in(item, error_of, fields) for item in items)
        if any(each.images for each in here):
            found = here
            break
        found = found or here
    if not any(each.images for each in found) and (alone := found_in(value, error_of, fields, is_item=False)).images:
        found = (alone,)
    if not any(each.images for each in found) and depth < MOST_NESTED:
        inner = (value[name] for name in lists if isinstance(value.get(name), dict))
        deeper = (answer_in(each, error_of, lists=lists, fields=fields, depth=depth + 1).found for each in inner)
        found = next((each for each in deeper if any(one.images for one in each)), found)
    told = failure_in(value)
    seed = seed_in(value.get("seed"))
    if seed is not None and len(found) == 1 and found[0].seed is None:
        found = (Found(found[0].images, found[0].error, seed, found[0].revised_prompt),)
    return Answer(
        found,
        error_of(told, "unknown") if told else None,
        quantities(billed_in(value.get("usage"), images_only=True)),
        facts_in(value),
    )


def found_in(item: Any, error_of: ErrorOf, fields: Sequence[str] = FIELDS, *, is_item: bool = True) -> Found:
    """Returns the image of one item, or why it is missing.

    A refusal in the finish reason counts although the item has an image, because such images are blurred or empty. A
    refused image was made, and whether it has to be paid is not said: `owed` is `unknown`.
    """
    if isinstance(item, str | bytes):
        return Found((item,) if item.strip() else ())
    if not isinstance(item, dict):
        return Found()
    images = tuple(_images(item, fields))
    seed, words = seed_in(item.get("seed")), item.get("revised_prompt")
    revised = words[:REVISED_CHARACTERS] if isinstance(words, str) else ""
    refusal = next((word for name in FINISHES if is_refusal(word := item.get(name))), None)
    if not is_item:
        return Found(images if refusal is None else (), None, seed, revised)
    if images and refusal is None:
        return Found(images, None, seed, revised)
    told = failure_in(item)
    if told is None and isinstance(reason := item.get("raiFilteredReason"), str):  # as Imagen tells it
        told = Failure(reason, ("content_filter",))
    if refusal is None and (told is None or not told.is_refusal) and (stage := _withheld(item)):
        refusal = "content_filter"
    else:
        stage = "output"
    if refusal is not None:
        told = Failure(told.text if told else "", (str(refusal).lower(), *(told.words if told else ())))
    if told is None:
        return Found((), None, seed, revised)
    return Found((), error_of(told, stage if told.is_refusal else "unknown"), seed, revised)


def data_in(text: str) -> bytes | None:
    """Returns the bytes of a base64 text or a `data:` URL, in any form that vendors use; None if the text is neither.

    Read are line ends and spaces, both alphabets, missing and surplus padding, percent-encoding, quotes around the
    text, and `data:` in any case with parameters, with base64 or without. Whether it is an image is for the guard.
    """
    # The usual form, decoded without a copy. The steps below change nothing in it.
    try:
        if decoded := pybase64.b64decode(text, validate=True):
            return decoded
    except ValueError:
        pass
    text = text.strip().removeprefix("b'").removeprefix("base64,").strip("\"'").strip()
    is_url = text[:5].lower() == "data:"
    if is_url or ";base64," in text[:200].lower():
        head, comma, text = text.partition(",")
        if not comma:
            return None
        if is_url and not head.lower().rstrip().endswith("base64"):
            return unquote_to_bytes(text)
    if "%" in text[:4096] or "%" in text[-12:]:
        text = unquote_to_bytes(text).decode("ascii", errors="replace")
    if "\\" in text:
        text = text.replace("\\n", "").replace("\\r", "").replace("\\/", "/")
    packed = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    if not packed or len(packed) % 4 == 1:
        return None
    try:
        return pybase64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except ValueError:
        return None


def is_image(data: bytes | None) -> bool:
    """Returns whether bytes begin like an image of a format that the server reads."""
    return bool(data) and media_type((data or b"")[:16]) != "application/octet-stream"


def seed_in(value: Any) -> int | None:
    """Returns a seed from 0 to 2**64 - 1, also one that is a text; None for any other value."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,20}", value):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < SEEDS else None


def facts_in(value: Any) -> Mapping[str, Any]:
    """Returns what an answer says was used, by the path of the request's field."""
    names = ("quality", "background", "style")
    return {name: told for name in names if isinstance(told := at(value, name), str) and 0 < len(told) <= 64}


def billed_in(usage: Any, *, images_only: bool = False) -> Mapping[str, float]:
    """Returns the tokens of a `usage` object in OpenAI's form, by unit: `input_text_token`, `output_image_token`.

    Tokens of an unknown kind are `input_token` and `output_token`. With `images_only`, all output is images: OpenAI's
    Image API leaves out the kinds in streams.
    """
    billed: dict[str, float] = {}
    for side in ("input", "output"):
        total = _amount(at(usage, f"{side}_tokens"))
        details = at(usage, f"{side}_tokens_details")
        kinds = {f"{side}_{kind}_token": _amount(at(details, f"{kind}_tokens")) for kind in ("text", "image")}
        unknown = "output_image_token" if images_only and side == "output" else f"{side}_token"
        units = kinds | {unknown: max(0.0, total - sum(kinds.values())) + kinds.get(unknown, 0.0)}
        billed |= {unit: amount for unit, amount in units.items() if amount}
    return billed


def _amount(value: Any) -> float:
    """Returns a count of units; 0 for anything that is no count."""
    is_count = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e15
    return float(value) if is_count else 0.0


def _images(item: Mapping[str, Any], fields: Sequence[str], depth: int = 0) -> list[str | bytes]:
    found: list[str | bytes] = []
    for name in fields:
        value = item.get(name)
        if value is None:
            continue
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str | bytes) and value.strip():
            places: list[str | bytes] = [value]
        else:
            places = _images(value, fields, depth + 1) if isinstance(value, dict) and depth < 2 else []
        found += [place for place in places if place not in found]
    return found


def _withheld(item: Mapping[str, Any]) -> str:
    """Returns the stage at which an item's flags or Azure's filter results say that it was withheld; else empty."""
    for name, stage in (("content_filter_results", "output"), ("prompt_filter_results", "prompt")):
        results = item.get(name)
        if isinstance(results, dict) and any(at(result, "filtered") is True for result in results.values()):
            return stage
    return "output" if any(item.get(name) is True for name in FLAGS) or item.get("respect_moderation") is False else ""
