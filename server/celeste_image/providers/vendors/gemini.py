"""Gemini: images by Google's language models, with the Gemini API, which has no masks."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import from_json

from celeste_image.core.call import Candidate
from celeste_image.core.card import ChoiceRange, ModelCard
from celeste_image.core.edits import Instruct, Restyle
from celeste_image.core.errors import CelesteError, OperationNotOffered
from celeste_image.core.events import Event, Warned
from celeste_image.core.image import ImageInput, ImageReference
from celeste_image.core.media import media_type
from celeste_image.core.request import Edit, Generate, ImageRequest
from celeste_image.providers.catalog import load_cards, load_title
from celeste_image.providers.families.google import Wishes, body_of, image_part, image_size_for, interaction_of
from celeste_image.providers.families.google_answers import answer_in, error_in, interaction_in, plain
from celeste_image.providers.kit import Options, Reply, Vendor, VendorSettings
from celeste_image.providers.kit.images import Answer
from celeste_image.providers.kit.results import image_events
from celeste_image.providers.kit.sse import values_in

__all__ = ["PROVIDER", "Gemini", "GeminiOptions"]

READS = ("image/png", "image/jpeg", "image/webp")
"""Media types that the API reads, of those that this server accepts."""
SEEDS = 1 << 31
"""The API's seeds are signed 32-bit integers. Larger seeds, which the server may draw, are taken modulo this."""


def _of_settings(value: Any) -> Any:
    """Returns safety settings in the API's form from the forms that `GeminiOptions` names."""
    value = _of_text(value)
    if isinstance(value, dict):  # thresholds by category
        value = [{"category": category, "threshold": threshold} for category, threshold in value.items()]
    if not isinstance(value, list):
        return value
    return [
        {name: _upper(name, word) for name, word in item.items()} if isinstance(item, dict) else item for item in value
    ]


def _upper(name: str, word: Any) -> Any:
    if not isinstance(word, str):
        return word
    word = word.upper()
    return f"HARM_CATEGORY_{word}" if name == "category" and not word.startswith("HARM_CATEGORY_") else word


def _of_thinking(value: Any) -> Any:
    """Returns a thinking configuration from the forms that `GeminiOptions` names."""
    value = plain(_of_text(value))
    if isinstance(value, dict) and isinstance(level := value.get("thinking_level"), str):
        value["thinking_level"] = level.lower()
    return value


def _of_text(value: Any) -> Any:
    """Returns the value of JSON in a text; any other value unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return from_json(value)
    except ValueError:
        return value


NOT_IN_INTERACTIONS = {
    "candidate_count": "an interaction has one candidate",
    "thinking_budget": "an interaction has a thinking level, and no budget",
}
"""Options that interactions don't have, and why."""


class GeminiSettings(VendorSettings):
    """`[providers.gemini]`."""

    api: Literal["generate_content", "interactions"] = Field(
        default="generate_content",
        description="The API that is called: generateContent, or the newer interactions.",
    )
    store: bool = Field(
        default=False,
        description="Whether Google may keep interactions, with their images, so that they can be fetched later.",
    )


class SafetySetting(BaseModel):
    """The threshold at which Google blocks one category of harm."""

    model_config = ConfigDict(extra="forbid")

    category: Annotated[str, Field(pattern=r"^HARM_CATEGORY_[A-Z_]{1,60}$")]
    threshold: Literal["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"]


class ThinkingConfig(BaseModel):
    """How long the model thinks: a level, or the most tokens of its thoughts, for models that have a budget."""

    model_config = ConfigDict(extra="forbid")

    thinking_level: Literal["", "minimal", "low", "medium", "high", "xhigh"] = ""
    thinking_budget: Annotated[int, Field(ge=-1, le=65_536)] | None = None


class GeminiOptions(Options):
    """`options.provider_options["gemini"]`; `image_size` overrides the pixels of `size`.

    A value that is a list or an object may be JSON in a text, as command lines have it. The names of its fields may
    have either of Google's spellings, and its enum values any case.
    """

    image_size: Literal["", "512", "1K", "2K", "4K"] = ""
    candidate_count: Annotated[int, Field(ge=1, le=8)] | None = None
    safety_settings: Annotated[Sequence[SafetySetting], BeforeValidator(_of_settings)] = ()
    thinking_config: Annotated[ThinkingConfig, BeforeValidator(_of_thinking)] = ThinkingConfig()


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
        """Makes one image, or more if the model answers with more. All arrive in one piece, so progress is unknown."""
        if not isinstance(request, Generate | Edit):
            raise OperationNotOffered(f"{request.model} can't {request.kind.value}")
        if isinstance(request, Edit) and isinstance(request.edit, Restyle):
            # Before the call is paid for: with `strict`, this warning ends the request.
            yield Warned("restyle", "done by instruction: the prompt describes the style or refers to the style image")
        wishes = self._wishes(request, candidate.card)
        if self.settings.api == "interactions":
            for name, text in NOT_IN_INTERACTIONS.items():
                if getattr(wishes, name) is not None:
                    option = "thinking_config" if name == "thinking_budget" else name
                    yield Warned(f'options.provider_options["{self.name}"].{option}', text)
        parts = await self._parts(request)
        answers = self._answers(parts, wishes, candidate)
        async with aclosing(image_events(self, answers, seed=wishes.seed, deadline=candidate.call.deadline)) as events:
            async for event in events:
                yield event

    async def _answers(
        self, parts: list[dict[str, Any]], wishes: Wishes, candidate: Candidate
    ) -> AsyncGenerator[Answer, None]:
        """Sends the request; yields what its answer says. Raises ExchangeFailed, CelesteError."""
        model = candidate.card.name_on_wire
        if self.settings.api == "interactions":
            path, body, read = "interactions", interaction_of(model, parts, wishes), interaction_in
        else:
            path, body, read = f"models/{model}:generateContent", body_of(parts, wishes), answer_in
        sent = self.http.request("POST", f"{self.url}/{path}", secrets=self.secrets, json=body)
        async with self.http.stream(sent, deadline=candidate.call.deadline) as answer:
            if answer.head.status >= 300:
                raise self.error(await answer.whole())
            values, failure = await values_in(answer)
        if values:
            yield read(self.name, answer.head, values, self.said)
        if failure:
            raise failure

    def error(self, reply: Reply, *, idempotent: bool = False) -> CelesteError:
        """Returns the error for an answer of status 300 or above."""
        return error_in(self.name, reply, self.said)

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

    def _wishes(self, request: Generate | Edit, card: ModelCard) -> Wishes:
        """Returns what the model is asked for; an option that is not on its card is left out."""
        base = f'options.provider_options["{self.name}"]'
        options = self.options(request.options.provider_options)
        read = {name for name in type(options).model_fields if card.parameter(request.kind, f"{base}.{name}")}
        sizes, image_size = card.parameter(request.kind, f"{base}.image_size"), options.image_size
        if sizes and not image_size and request.size.width and isinstance(sizes.range, ChoiceRange):
            image_size = image_size_for(request.size.width, request.size.height, sizes.range.values)
        thinking = options.thinking_config if "thinking_config" in read else ThinkingConfig()
        safety = options.safety_settings if "safety_settings" in read else ()
        return Wishes(
            aspect_ratio=request.size.aspect_ratio,
            image_size=image_size if sizes else "",  # without the parameter, the model has only one size
            seed=None if request.seed is None else request.seed % SEEDS,
            candidate_count=options.candidate_count if "candidate_count" in read else None,
            safety_settings={setting.category: setting.threshold for setting in safety},
            thinking_level=thinking.thinking_level,
            thinking_budget=thinking.thinking_budget,
            store=self.settings.store,
        )


PROVIDER = Gemini


def introduction(number: int, reference: ImageReference) -> str:
    """Returns the text before a reference's image; empty if the reference has neither a role nor a name."""
    about = [f'is called "{reference.name}"'] if reference.name else []
    about += [f"is a reference for: {reference.role}"] if reference.role else []
    return f"Image {number}, which comes next, {' and '.join(about)}." if about else ""


def _sentences(restyle: Restyle) -> str:
    return ". ".join(words for words in (restyle.style, restyle.prompt) if words)
