"""What OpenAI's Image API and its Responses API share: orders held against a card, and the making of their images."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from PIL import Image

from celeste_image.core.card import (
    BoolRange,
    ChoiceRange,
    IntegerRange,
    ModelCard,
    ModelStage,
    ParameterRange,
    SizeRange,
    TextRange,
)
from celeste_image.core.media import media_type
from celeste_image.core.request import OperationKind
from celeste_image.emulate import painting
from celeste_image.emulate.base import Asked, FakeVendor, Refusal
from celeste_image.emulate.ledger import Work
from celeste_image.emulate.values import Wrong, held, in_card, one_of, option, present
from celeste_image.emulate.vendors.openai_files import FakeFiles
from celeste_image.emulate.work import decoded, opened, painted, seed_of, size_within
from celeste_image.providers.families.openai_like import OpenAILike
from celeste_image.providers.vendors.openai import OpenAI

__all__ = ["Drawn", "OpenAIImages", "Order"]

MOST_IMAGES = 10
MOST_SOURCES = 16
MOST_RATIO = 3
READS = ("image/png", "image/jpeg", "image/webp")
PARTIALS = IntegerRange(0, 3)
COMPRESSION = IntegerRange(0, 100)
FORMS = ChoiceRange(("png", "jpeg", "webp"))
"""The API also has gif and svg, which need access to a preview."""
COMMON: dict[str, ParameterRange | str] = {
    "output_compression": COMPRESSION,
    "partial_images": PARTIALS,
    "complexity": ChoiceRange(("low", "medium", "high")),
    "quality": "quality",
    "background": "background",
    "safety_identifier": "options.end_user",
    "user": TextRange(),
    "stream": BoolRange(),
}
MODERATION = ChoiceRange(("low", "auto"))
FIELDS: Mapping[OperationKind, Mapping[str, ParameterRange | str]] = {
    OperationKind.GENERATE: COMMON | {"moderation": "options.moderation"},
    OperationKind.EDIT: COMMON | {"input_fidelity": "options.input_fidelity"},
}
"""The optional fields of openai 3.54.0's `ImageGenerateParams` and `ImageEditParams`: the path of the card's parameter
with their range, or the range itself. `response_format` and `style` were those of DALL·E; no GPT image model reads
them. `frame_count`, `frame_duration_ms` and `svg` belong to formats in preview."""
PREVIEW = frozenset({"frame_count", "frame_duration_ms", "svg"})
DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
IMAGE_MODEL = re.compile(r"(gpt|chatgpt)-image|dall-e")
TOKENS = {"low": 272, "medium": 1056, "high": 4160, "xhigh": 6240, "max": 8320}
"""Output tokens per megapixel, by quality."""
USUAL = "medium"
"""The quality that the model chooses."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a request asks for, held against the model's card; `size` None is the model's choice."""

    card: ModelCard
    kind: OperationKind
    prompt: str
    count: int = 1
    size: tuple[int, int] | None = None
    form: str = "png"
    compression: int = 100
    quality: str = "auto"
    background: str = "auto"
    stream: bool = False
    previews: int = 0
    seed: Any = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """The images of an order, encoded, with what the answer says about them."""

    files: Sequence[bytes]
    previews: Sequence[bytes]
    about: Mapping[str, str]
    tokens: int
    input_tokens: int = 50
    usage: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        given, made = self.input_tokens, self.tokens
        usage = {
            **{"input_tokens": given, "output_tokens": made, "total_tokens": given + made},
            "input_tokens_details": {"text_tokens": given, "image_tokens": 0},
            "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
        }
        object.__setattr__(self, "usage", usage)


class OpenAIImages(FakeVendor):
    """A fake vendor that makes images as OpenAI does."""

    provider: ClassVar[type[OpenAILike]] = OpenAI
    name = "openai"
    key_statuses: ClassVar[Mapping[str, int]] = {**FakeVendor.key_statuses, "billing": 429}
    default_size = (1024, 1024)
    strict: ClassVar[bool] = True
    """Whether fields that are unknown to the API or to the model are refused; else the ledger names them."""
    extra: ClassVar[frozenset[str]] = frozenset()
    """Further fields that are known and not held against a range."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.stored = FakeFiles()

    def wrong(self, wrong: Wrong) -> Refusal:
        """Returns OpenAI's refusal of a value."""
        name, value, allowed = wrong.field, wrong.value, wrong.allowed
        number = "integer" if isinstance(value, int) else "decimal"
        match wrong.rule:
            case "type":
                code, text = "invalid_type", f"Invalid type for '{name}': expected {allowed}, but got {_kind(value)}."
            case "choice":
                code, text = "invalid_value", f"Invalid value: '{value}'. Supported values are: {one_of(allowed)}."
            case "minimum":
                code = f"{number}_below_min_value"
                text = (
                    f"Invalid '{name}': {number} below minimum value. Expected a value >= {allowed}, but got {value}."
                )
            case "maximum":
                code = f"{number}_above_max_value"
                text = (
                    f"Invalid '{name}': {number} above maximum value. Expected a value <= {allowed}, but got {value}."
                )
            case "length":
                code, had = "string_above_max_length", len(value)
                text = f"Invalid '{name}': string too long. Expected at most {allowed} characters, but got {had}."
            case "missing":
                code, text = "missing_required_parameter", f"Missing required parameter: '{name}'."
            case "unknown":
                code, text = "unknown_parameter", f"Unknown parameter: '{name}'."
            case _:
                return super().wrong(wrong)
        return Refusal(400, text, code, name)

    def card(self, model: str) -> ModelCard:
        """Returns a model's card by its name or by the name of one of its dated snapshots. Raises Refusal."""
        try:
            return super().card(model)
        except Refusal:
            if (name := DATED.sub("", model)) == model:
                raise
            return super().card(name)

    def order(
        self, asked: Asked, given: Mapping[str, Any], kind: OperationKind, card: ModelCard | None = None, at: str = ""
    ) -> Order:
        """Returns what a request asks for.

        Args:
            asked: The request.
            given: Its fields, or those of the Responses API's tool with the prompt.
            kind: The operation.
            card: The model; None means the one that the request names.
            at: Where the fields are, for errors, such as `tools[0].`.

        Raises:
            Refusal: The model is unknown or can't do it.
            Wrong: A field is unknown, or its value is out of range.
        """
        fields, text = present(given), asked.body.is_form
        if card is None:
            card = self.card(self.model_of(asked))
            if self.strict and not IMAGE_MODEL.match(card.name_on_wire):
                listed = [c.name_on_wire for c in self.cards if c.previews and c.stage is not ModelStage.RETIRED]
                raise Wrong("model", "choice", card.name_on_wire, listed)
        asked.entry.model = asked.entry.model or card.name_on_wire
        if kind not in card.operations:
            raise Refusal(400, f"'{card.name_on_wire}' can't {kind.value}", "value", "model")
        prompt = fields.pop("prompt", None) if "prompt" in fields else None
        if prompt in (None, ""):
            raise Wrong("prompt", "missing")
        path = "prompt" if kind is OperationKind.GENERATE else "instruct.prompt"
        held("prompt", prompt, in_card(card, kind, path) or TextRange())
        most = IntegerRange(1, min(MOST_IMAGES, max(1, card.max_count)))
        read: dict[str, Any] = {"n": held(at + "n", fields.pop("n"), most, text=text)} if "n" in fields else {}
        for name in ("model", "image", "image[]", "images", "mask", "markup"):
            value = fields.pop(name, None)
            if asked.body.is_form and name != "model" and value is not None:
                raise Wrong(name, "type", value, "a file")
        size = self._size(card, kind, fields.pop("size", "auto"), at)
        form = held(at + "output_format", fields.pop("output_format", "png"), FORMS)
        for name, value in fields.items():
            known = FIELDS[kind].get(name)
            if at and name == "moderation":  # the tool has it for edits too, and the model decides about the image
                known = MODERATION
            if isinstance(known, str):
                path = option(card, known[8:]) if known in ("options.moderation", "options.input_fidelity") else known
                known = in_card(card, kind, path)
                if known is None:
                    self._absent(card, name, at)
            if known is not None:
                read[name] = held(at + name, value, known, text=text)
            elif self.strict:
                hint = "gif" if name.startswith("frame") else "svg"
                if name in PREVIEW:
                    raise Refusal(400, f"'{name}' is only supported with output_format={hint}", "value", at + name)
                raise Wrong(at + name, "unknown", value)
        asked.entry.ignored = sorted(fields.keys() - read.keys() - self.extra)
        if read.get("background") == "transparent" and form == "jpeg":
            raise Refusal(400, "A transparent background needs png or webp", "value", at + "background")
        if read.get("output_compression", 100) != 100 and form == "png" and self.strict:
            words = "Compression less than 100 is not supported for PNG output format"
            raise Refusal(400, words, "invalid_png_output_compression", at + "output_compression")
        return Order(
            card,
            kind,
            prompt,
            count=read.get("n", 1),
            size=size,
            form=form,
            compression=read.get("output_compression", 100),
            quality=read.get("quality", "auto"),
            background=read.get("background", "auto"),
            stream=read.get("stream", False),
            previews=read.get("partial_images", 0),
            seed=fields.get("seed"),
        )

    async def draw(
        self, asked: Asked, order: Order, source: Image.Image | None = None, mask: Image.Image | None = None
    ) -> Drawn:
        """Makes the images of an order and charges for them; within `mask`, where it is white, if there is one."""
        card, words, title = order.card, order.prompt, self._title(order.card)
        if source is None:
            size = order.size or self.default_size
        else:
            size = order.size or size_within(self._sizes(card, order.kind), source.size)
        seed = seed_of(order.seed, words)
        ignoring = asked.behavior.image == "mask-ignored"

        def paint(seed: int) -> Image.Image:
            if source is None:
                made = painting.generated(*size, title, words, seed)
            elif mask is None or ignoring:
                made = painting.changed(source, title, words, seed).resize(size)
            else:
                made = painting.filled(source, mask, seed).resize(size)
            return painting.cut_out(made) if order.background == "transparent" else made

        made = [await painted(asked, lambda at=n: paint(seed + at), source) for n in range(order.count)]  # type: ignore[misc]
        if asked.behavior.image == "fewer":
            made = made[:-1]
        kind, previews = f"image/{order.form}", order.previews if order.stream and made else 0
        files = [painting.encoded(picture, kind, order.compression) for picture in made]
        if asked.behavior.image == "garbage":
            files = [b"no picture" * 20 for _ in files]
        looks = []
        for _ in range(previews):
            small = made[0].resize((max(64, made[0].width // 4), max(64, made[0].height // 4))).resize(made[0].size)
            looks.append(painting.encoded(small, kind, order.compression))
        megapixels = sum(picture.width * picture.height for picture in made) / 1e6
        quality = USUAL if order.quality == "auto" else order.quality
        tokens = round(TOKENS[quality] * megapixels) + 100 * previews
        about = {
            "background": "transparent" if order.background == "transparent" else "opaque",
            "output_format": order.form,
            "quality": quality,
            "size": f"{made[0].width}x{made[0].height}" if made else "",
        }
        drawn = Drawn(files, looks, about, tokens)
        counted = {"input_text_token": drawn.input_tokens, "output_image_token": tokens}
        sizes = [picture.size for picture in made]
        self.charge(asked, card, order.kind, Work(sizes, tokens=counted, facts={"quality": quality}))
        if asked.behavior.moderate == "output":
            raise self.moderated("result")
        return drawn

    def referred(self, given: Any, at: str) -> bytes:
        """Returns the image of `{"image_url": ...}` or `{"file_id": ...}`. Raises Refusal."""
        if not isinstance(given, Mapping):
            raise Wrong(at, "type", given, "an object")
        url, file = given.get("image_url"), given.get("file_id")
        if (url is None) == (file is None):
            raise Wrong(f"{at}.image_url", "missing")
        return self.stored.data(file) if url is None else self.fetched(url, f"{at}.image_url")

    def fetched(self, url: Any, at: str) -> bytes:
        """Returns the bytes of a `data:` URL. Raises Refusal, also for other URLs: an emulator fetches nothing."""
        if not isinstance(url, str):
            raise Wrong(at, "type", url, "a string")
        if not url[:5].lower() == "data:":
            raise Refusal(
                400, f"Error while downloading {url[:200]}: an emulator fetches nothing", "invalid_image_url", at
            )
        try:
            return decoded(url)
        except ValueError:
            words = "Expected a base64-encoded data URL with an image MIME type (e.g. 'data:image/png;base64,...')"
            raise Refusal(400, f"Invalid '{at}'. {words}", "value", at) from None

    def source(self, data: bytes, at: str) -> Image.Image:
        """Returns an image that the API reads. Raises Refusal."""
        if data and (kind := media_type(data[:16])) not in READS:
            words = f"unsupported mimetype ('{kind}'). Supported file formats are {one_of(READS)}."
            raise Refusal(400, f"Invalid file '{at}': {words}", "unsupported_file_mimetype", at)
        return opened(data, at)

    def mask(self, data: bytes, source: Image.Image) -> Image.Image:
        """Returns a mask, white where the image changes. Raises Refusal."""
        picture = opened(data, "mask")
        if picture.mode != "RGBA" or not data.startswith(b"\x89PNG"):
            words = "Invalid mask image format - mask must be a PNG with transparency"
            raise Refusal(400, words, "invalid_mask_image_format", "mask")
        if picture.size != source.size:
            words = "Invalid mask image - mask must be as large as the image"
            raise Refusal(400, words, "invalid_image_mask_size", "mask")
        return picture.getchannel("A").point(lambda alpha: 255 - alpha)

    def _absent(self, card: ModelCard, name: str, at: str) -> None:
        """Raises Refusal for a parameter that the API has and the model has not, unless such fields are ignored."""
        if not self.strict:
            return
        if name == "input_fidelity":
            words = f"The model '{card.name_on_wire}' does not support the 'input_fidelity' parameter."
            raise Refusal(400, words, "invalid_input_fidelity_model", at + name)
        raise Wrong(at + name, "unknown")

    def _title(self, card: ModelCard) -> str:
        return f"{card.id}, emulated"

    def model_of(self, asked: Asked) -> str:
        """Returns the name of the model that a request is for. Raises Wrong."""
        model = asked.fields.get("model")
        if model is None:
            raise Wrong("model", "missing")
        return str(held("model", model, TextRange()))

    def _sizes(self, card: ModelCard, kind: OperationKind) -> SizeRange:
        known = in_card(card, kind, "size")
        assert isinstance(known, SizeRange)
        return known

    def _size(self, card: ModelCard, kind: OperationKind, given: Any, at: str) -> tuple[int, int] | None:
        """Returns the requested size; None for `auto`. Raises Refusal."""
        named = held(at + "size", given, TextRange())
        if named in ("auto", ""):
            return None
        found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", named)
        bounds = self._sizes(card, kind)
        size = (int(found[1]), int(found[2])) if found else (0, 0)
        if not found or size != size_within(bounds, size):
            raise Refusal(400, f"Invalid size '{named}' for {card.name_on_wire}", "value", at + "size")
        if self.strict and not bounds.sizes and max(size) > MOST_RATIO * min(size):
            raise Refusal(400, f"Invalid size '{named}': the ratio must be 1:3 to 3:1", "value", at + "size")
        return size


def _kind(value: Any) -> str:
    """Returns the JSON type of a value, as the vendor's errors have it."""
    kinds = {bool: "a boolean", int: "an integer", float: "a decimal number", str: "a string", list: "an array"}
    return kinds.get(type(value), "an object") + " instead"
