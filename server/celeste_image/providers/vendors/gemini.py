"""Gemini: images by Google's language models, with the Gemini API, which has no masks."""

from collections.abc import AsyncGenerator
from typing import Any, Literal

from pydantic import Field

from celeste_image.core.call import Candidate
from celeste_image.core.card import ChoiceRange, ModelCard
from celeste_image.core.edits import Instruct, Restyle
from celeste_image.core.errors import CelesteError, OperationNotOffered
from celeste_image.core.events import Event, Picture, Warned
from celeste_image.core.image import ImageInput, ImageReference
from celeste_image.core.media import media_type
from celeste_image.core.request import Edit, Generate, ImageRequest
from celeste_image.providers.catalog import load_cards, load_title
from celeste_image.providers.families.google import (
    body_of,
    error_of,
    image_part,
    image_size_for,
    interaction_of,
    picture_in,
    picture_in_interaction,
)
from celeste_image.providers.kit import ExchangeFailed, Options, Reply, Vendor, VendorSettings, error_for_failure

__all__ = ["PROVIDER", "Gemini", "GeminiOptions"]

READS = ("image/png", "image/jpeg", "image/webp")
"""Media types that the API reads, of those that this server accepts."""
SEEDS = 1 << 31
"""The API's seeds are signed 32-bit integers. Larger seeds, which the server may draw, are taken modulo this."""


class GeminiSettings(VendorSettings):
    """`[providers.gemini]`."""

    api: Literal["generate_content", "interactions"] = Field(
        default="generate_content",
        description="The API that is called: generateContent, or the newer interactions.",
    )


class GeminiOptions(Options):
    """`options.provider_options["gemini"]`; `image_size` overrides the pixels of `size`."""

    image_size: Literal["", "512", "1K", "2K", "4K"] = ""


class Gemini(Vendor):
    """The Gemini API."""

    name = "gemini"
    title = load_title("gemini")
    cards = load_cards("gemini")
    Settings = GeminiSettings
    Options = GeminiOptions
    base_url = "https://generativelanguage.googleapis.com/v1"
    key_variable = "GEMINI_API_KEY"
    key_form = r"(AIza[\w-]{35}|AQ\.[\w.-]{20,})"
    key_path = "models?pageSize=1"
    key_header = "x-goog-api-key"
    key_prefix = ""

    settings: GeminiSettings

    async def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        """Makes one image. The image arrives in one piece, so progress is unknown."""
        if not isinstance(request, Generate | Edit):
            raise OperationNotOffered(f"{request.model} can't {request.kind.value}")
        if isinstance(request, Edit) and isinstance(request.edit, Restyle):
            # Before the call is paid for: with `strict`, this warning ends the request.
            yield Warned("restyle", "done by instruction: the prompt describes the style or refers to the style image")
        card = candidate.card
        seed = None if request.seed is None else request.seed % SEEDS
        parts, shape = await self._parts(request), self._shape(request, card)
        if self.settings.api == "interactions":
            path, body, read = (
                "interactions",
                interaction_of(card.name_on_wire, parts, **shape, seed=seed),
                picture_in_interaction,
            )
        else:
            path, body, read = (
                f"models/{card.name_on_wire}:generateContent",
                body_of(parts, **shape, seed=seed),
                picture_in,
            )
        try:
            sent = self.http.request("POST", f"{self.url}/{path}", secrets=self.secrets, json=body)
            reply = await self.http.send(sent, deadline=candidate.call.deadline)
            if reply.status != 200:
                raise self.error(reply)
            data = read(self.name, reply.json(), self.said)
        except ExchangeFailed as error:
            raise error_for_failure(self.name, error) from error
        yield Picture(data, *await self.pixels.facts(data), seed=seed)

    def error(self, reply: Reply, *, idempotent: bool = False) -> CelesteError:
        """Returns the error for an answer with another status than 200."""
        return error_of(self.name, reply, self.said)

    async def _parts(self, request: Generate | Edit) -> list[dict[str, Any]]:
        """Returns the parts of the message: the images, then the prompt.

        A text before a reference tells the model its role and name.
        """
        images: tuple[ImageInput, ...] = ()
        match request:
            case Generate():
                words = request.prompt
            case Edit(edit=Instruct() as instruct):
                words, images = instruct.prompt, (request.image,)
            case Edit(edit=Restyle(style_image=None) as restyle):
                words = f"Redraw the first picture in this style: {_sentences(restyle)}"
                images = (request.image,)
            case Edit(edit=Restyle(style_image=ImageInput() as style) as restyle):
                words = f"Redraw the first picture in the style of the second. {_sentences(restyle)}".strip()
                images = (request.image, style)
            case _:
                raise OperationNotOffered(f"{request.model} can't {request.kind.value} in this way")
        parts = [await self._image(image) for image in images]
        for number, reference in enumerate(request.references, len(images) + 1):
            if about := introduction(number, reference):
                parts.append({"text": about})
            parts.append(await self._image(reference.image))
        return [*parts, {"text": words}]

    async def _image(self, image: ImageInput) -> dict[str, Any]:
        """Returns the part that holds an image."""
        data = await self.sendable(image, READS)
        return image_part(data, media_type(data[:16]))

    def _shape(self, request: Generate | Edit, card: ModelCard) -> dict[str, str]:
        """Returns the aspect ratio and the word for the size; empty values are left to the model."""
        known = card.parameter(request.kind, f'options.provider_options["{self.name}"].image_size')
        image_size = self.options(request.options.provider_options).image_size
        if known is None:  # the model has only one size
            image_size = ""
        elif not image_size and request.size.width and isinstance(known.range, ChoiceRange):
            image_size = image_size_for(request.size.width, request.size.height, known.range.values)
        return {"aspect_ratio": request.size.aspect_ratio, "image_size": image_size}


PROVIDER = Gemini


def introduction(number: int, reference: ImageReference) -> str:
    """Returns the text before a reference's image; empty if the reference has neither a role nor a name."""
    about = [f'is called "{reference.name}"'] if reference.name else []
    about += [f"is a reference for: {reference.role}"] if reference.role else []
    return f"Image {number}, which comes next, {' and '.join(about)}." if about else ""


def _sentences(restyle: Restyle) -> str:
    return ". ".join(words for words in (restyle.style, restyle.prompt) if words)
