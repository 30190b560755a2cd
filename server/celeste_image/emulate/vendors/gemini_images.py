"""What Gemini's `generateContent` and its interactions share: models, images in, and the making of images."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from celeste_image.core.card import (
    ChoiceRange,
    ModelCard,
    SizeRange,
)
from celeste_image.core.request import OperationKind
from celeste_image.emulate import painting
from celeste_image.emulate.base import Asked, FakeVendor, Refusal
from celeste_image.emulate.ledger import Work
from celeste_image.emulate.values import held, in_card, option
from celeste_image.emulate.vendors.gemini_files import FakeGeminiFiles
from celeste_image.emulate.work import decoded, opened, painted, ratio_size, seed_of
from celeste_image.providers.families.google import SIDES
from celeste_image.providers.vendors.gemini import Gemini

__all__ = ["GeminiImages"]

READS = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")


class GeminiImages(FakeVendor):
    """A fake vendor that makes images as the Gemini API does."""

    provider = Gemini
    name = "gemini"
    path = ""
    key_statuses: ClassVar[Mapping[str, int]] = {**FakeVendor.key_statuses, "credentials": 400}

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.files = FakeGeminiFiles()

    def card(self, model: str) -> ModelCard:
        """Returns a model's card. Raises Refusal for unknown and retired models."""
        try:
            return super().card(model.removeprefix("models/"))
        except Refusal as error:
            words = f"models/{model} is not found for API version v1, or is not supported for generateContent."
            raise Refusal(404, f"{words} Call ListModels to see the models.", "not_found") from error

    async def picture(
        self,
        asked: Asked,
        card: ModelCard,
        words: str,
        pictures: Sequence[bytes],
        shape: Mapping[str, Any],
        seed: Any = None,
        media_type: str = "image/png",
    ) -> bytes:
        """Makes and charges for an image, and returns it; empty when its making is to fail. Raises Refusal.

        Args:
            asked: The request.
            card: The model.
            words: The prompt.
            pictures: The images of the request; the first one is changed.
            shape: `aspectRatio` and `imageSize`.
            seed: The request's seed.
            media_type: The image's format.
        """
        kind = OperationKind.EDIT if pictures else OperationKind.GENERATE
        width, height = _size(card, kind, shape)
        number, title = seed_of(seed, words), f"{card.id}, emulated"
        source = opened(pictures[0]) if pictures else None
        if asked.behavior.moderate == "output":
            self.charge(asked, card, kind, Work())
            return b""
        if source:
            if not shape.get("aspectRatio"):
                width, height = ratio_size(f"{source.width}:{source.height}", width * height / 1e6)
            scaled = source.resize((width, height))
            made = await painted(asked, lambda: painting.changed(scaled, title, words, number), source)
        else:
            made = await painted(asked, lambda: painting.generated(width, height, title, words, number))
        if asked.behavior.image == "fewer":
            self.charge(asked, card, kind, Work())
            return b""
        self.charge(asked, card, kind, Work([made.size], facts={"image_size": shape.get("imageSize") or "1K"}))
        return b"no picture" * 20 if asked.behavior.image == "garbage" else painting.encoded(made, media_type)

    def inline(self, media_type: Any, data: Any) -> bytes:
        """Returns an image from base64 of either alphabet. Raises Refusal."""
        if media_type not in READS:
            raise Refusal(400, f"Unsupported MIME type: {media_type}", "value")
        try:
            if not isinstance(data, str) or not data:
                raise ValueError
            return decoded(data)
        except ValueError:
            raise Refusal(400, "Invalid value at 'inline_data.data' (TYPE_BYTES), Base64 decoding failed") from None


def _size(card: ModelCard, kind: OperationKind, shape: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the size of the image. Raises Wrong."""
    size = in_card(card, kind, "size")
    assert isinstance(size, SizeRange)
    ratio = held("aspect_ratio", shape.get("aspectRatio") or "1:1", ChoiceRange(size.ratios))
    known = in_card(card, kind, option(card, "image_size"))
    offered = known if isinstance(known, ChoiceRange) else ChoiceRange(("1K",))
    word = held("image_size", shape.get("imageSize") or "1K", offered)
    return ratio_size(ratio, SIDES[word] ** 2 / 1e6, 32)
