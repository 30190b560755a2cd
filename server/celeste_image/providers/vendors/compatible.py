"""Servers with OpenAI's image API, such as vLLM-Omni and LocalAI. A table of the configuration adds one.

[providers.studio]
kind = "compatible"
base_url = "http://gpu.example.com:8000/v1"
allow_private = true
models = [{ id = "qwen-image", seed = true, edits = ["instruct"], options = ["guidance_scale"] }]
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from celeste_image.core.card import (
    BoolRange,
    ChoiceRange,
    ImageRange,
    IntegerRange,
    ModelCard,
    ModelEvidence,
    ModelStage,
    NumberRange,
    Parameter,
    ParameterRange,
    SizeRange,
    TextRange,
)
from celeste_image.core.edits import Polarity
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.request import OperationKind
from celeste_image.providers.families.openai_like import FORMATS, OpenAILike, Profile
from celeste_image.providers.kit import Options, Origin, SecretHeader, Tools, VendorSettings

__all__ = ["KIND", "Compatible", "CompatibleModel", "CompatibleOptions", "CompatibleSettings", "card_of"]

Word = Annotated[str, StringConstraints(max_length=100)]


class CompatibleOptions(Options):
    """Options of such servers. The `options` in a model's table say which of them it reads."""

    moderation: Word | None = None
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    step: Annotated[int, Field(ge=1, le=1000)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=100)] | None = None


RANGES: Mapping[str, ParameterRange] = {
    "num_inference_steps": IntegerRange(1, 1000),
    "step": IntegerRange(1, 1000),
    "guidance_scale": NumberRange(0, 100),
}
"""Ranges of the options that are not texts."""

FIELDS: Mapping[str, Parameter] = {
    "quality": Parameter("quality", ChoiceRange(allow_other=True), "Quality", "Effort of the model."),
    "background": Parameter("background", ChoiceRange(allow_other=True), "Background", "Background of the image."),
    "output_quality": Parameter(
        "output_quality", IntegerRange(1, 100), "Encoding quality", "Quality of a lossy encoding, sent as is."
    ),
    "style": Parameter("style", ChoiceRange(allow_other=True), "Style", "A style, by name."),
    "end_user": Parameter("options.end_user", TextRange(128), "End user", "Opaque id of the end user, sent as `user`."),
}
"""Request fields that a model may read, by their names in `reads`."""


class CompatibleModel(BaseModel):
    """One model in `models`: its operations and fields. Other fields are not sent to the server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(pattern=r"^[\w.:/-]+$", max_length=150)] = Field(
        description="The model's id in requests, after the provider's name."
    )
    wire_id: str = Field(default="", description="The model's name on the server; empty means its id.")
    title: str = Field(default="", description="The model's name for people; empty means its id.")
    summary: str = Field(
        default="A model of a server that the operator named.", description="A description for people."
    )
    generates: bool = Field(default=True, description="Whether the model makes images from a prompt.")
    edits: tuple[Literal["instruct", "inpaint", "outpaint", "vary"], ...] = Field(
        default=(), description="Edits of the model."
    )
    sizes: tuple[str, ...] = Field(
        default=(), description="The allowed sizes, such as 1024x1024; empty means any size."
    )
    multiple_of: Annotated[int, Field(ge=1, le=512)] = Field(
        default=8, description="Both sides are multiples of it; unused with `sizes`."
    )
    maximum_side: Annotated[
        int, Field(ge=64, le=16_384, description="Longest side in pixels; unused with `sizes`.")
    ] = 4096
    max_count: Annotated[
        int, Field(ge=1, le=16, description="Most images per call; a larger count is split into calls.")
    ] = 1
    references: Annotated[int, Field(ge=0, le=15, description="Most reference images of `instruct`.")] = 0
    seed: bool = Field(default=False, description="Whether the model reads a seed.")
    negative_prompt: bool = Field(default=False, description="Whether the model reads a negative prompt.")
    previews: bool = Field(default=False, description="Whether the model streams previews.")
    output_media_types: tuple[Literal["image/png", "image/jpeg", "image/webp"], ...] = Field(
        default=(), description="Formats that a request can choose; empty means only the server's own."
    )
    reads: tuple[Literal["quality", "background", "output_quality", "style", "end_user"], ...] = Field(
        default=(), description="Further request fields that the model reads."
    )
    options: tuple[str, ...] = Field(default=(), description="Options that the model reads.")

    @field_validator("sizes")
    @classmethod
    def _are_sizes(cls, sizes: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [size for size in sizes if not re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", size)]:
            raise ValueError(f"{wrong[0]!r} is not a size such as 1024x1024")
        return sizes

    @field_validator("options")
    @classmethod
    def _are_options(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := set(options) - CompatibleOptions.model_fields.keys():
            known = ", ".join(CompatibleOptions.model_fields)
            raise ValueError(f"unknown option {', '.join(sorted(wrong))}; the options are {known}")
        return options

    @model_validator(mode="after")
    def _does_something(self) -> "CompatibleModel":
        if not (self.generates or self.edits):
            raise ValueError("a model must generate or edit")
        return self


class CompatibleSettings(VendorSettings):
    """`[providers.NAME]` with `kind = "compatible"`. The key is optional, because many such servers need none."""

    models: Annotated[tuple[CompatibleModel, ...], Field(min_length=1)]
    response_format: Literal["", "url", "b64_json"] = Field(
        default="", description="How the server returns images; empty means its default."
    )

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        Origin.of(url)  # raises ValueError; an empty URL is invalid
        return url

    @field_validator("models")
    @classmethod
    def _are_different(cls, models: tuple[CompatibleModel, ...]) -> tuple[CompatibleModel, ...]:
        if len({model.id for model in models}) < len(models):
            raise ValueError("two models have the same id")
        return models

    base_url: str = Field(default="", validate_default=True, description="URL of the API, with its /v1.")


class Compatible(OpenAILike):
    """One server of the operator, with the models in its table."""

    name = "compatible"
    title = "OpenAI-compatible server"
    Settings = CompatibleSettings
    Options = CompatibleOptions
    base_url = ""
    key_variable = ""
    model_form = r"[\w.:/-]{1,150}"

    def __init__(self, settings: CompatibleSettings, tools: Tools, *, name: str = "") -> None:
        super().__init__(settings, tools, name=name)
        self.cards = [card_of(self.name, model) for model in settings.models]
        self.profile = Profile(response_format=settings.response_format, end_user="user")

    @property
    def secrets(self) -> tuple[SecretHeader, ...]:
        """The header with the key; empty without a key."""
        return super().secrets if self.has_key else ()

    def ready(self, card: ModelCard) -> bool:
        """Returns whether the model is not retired; the operator's table says that it exists."""
        return card.stage is not ModelStage.RETIRED


def card_of(provider: str, model: CompatibleModel) -> ModelCard:
    """Returns the card of a model, from its table."""
    shared = list(_shared(provider, model))
    generate = [Parameter("prompt", TextRange(), "Prompt", "What the image shows.", required=True)]
    image = Parameter("image", ImageRange(IMAGE_TYPES, 40), "Image", "The image to change.", required=True)
    edit = [image, *(parameter for kind in model.edits for parameter in _edit(kind, model))] if model.edits else []
    parameters = {
        OperationKind.GENERATE: (*generate, *shared) if model.generates else (),
        OperationKind.EDIT: (*edit, *shared) if edit else (),
    }
    return ModelCard(
        id=f"{provider}/{model.id}",
        title=model.title or model.id,
        summary=model.summary,
        parameters={kind: found for kind, found in parameters.items() if found},
        edits=model.edits,
        outpaint=SizeRange(16, model.maximum_side, model.maximum_side**2 / 1e6),
        max_count=model.max_count,
        previews=model.previews,
        wire_id=model.wire_id,
        evidence=ModelEvidence.CONFIGURATION,
    )


def _shared(provider: str, model: CompatibleModel) -> Sequence[Parameter]:
    side = model.maximum_side
    sizes = tuple((int(across), int(down)) for across, _, down in (size.partition("x") for size in model.sizes))
    longest, shortest = max((max(size) for size in sizes), default=side), min((min(s) for s in sizes), default=16)
    bounds = SizeRange(shortest, longest, longest * longest / 1e6, 0 if sizes else model.multiple_of, sizes=sizes)
    found = [Parameter("size", bounds, "Size", "Width and height in pixels; unset means the server's default.")]
    if model.seed:
        found.append(Parameter("seed", IntegerRange(0), "Seed", "The same seed gives the same image."))
    if model.negative_prompt:
        found.append(Parameter("negative_prompt", TextRange(), "Negative prompt", "What the image must not show."))
    if types := model.output_media_types:
        found.append(Parameter("output_media_type", ChoiceRange(types), "Format", "Media type of the image."))
    found += [FIELDS[name] for name in model.reads]
    for name in model.options:
        path, title = f'options.provider_options["{provider}"].{name}', name.replace("_", " ").capitalize()
        kind = RANGES.get(name, TextRange(100))
        found.append(Parameter(path, kind, title, "See the server's own documentation.", advanced=True))
    return found


def _edit(kind: str, model: CompatibleModel) -> Sequence[Parameter]:
    if kind == "vary":
        return []
    prompt = Parameter(f"{kind}.prompt", TextRange(), "Prompt", "What the result shows.", required=kind != "outpaint")
    match kind:
        case "instruct":
            found = [prompt]
            if model.references:
                several = ImageRange(tuple(FORMATS), 40, model.references)
                found.append(
                    Parameter("references", several, "References", "More images that the prompt can refer to.")
                )
            return found
        case "inpaint":
            words = ChoiceRange(tuple(Polarity), Polarity.WHITE)
            return [
                prompt,
                Parameter("inpaint.mask.polarity", words, "Polarity", "Which mask values mark the area to change."),
                Parameter(
                    "inpaint.mask.feather", IntegerRange(0, 256, default=0), "Feather", "Soft border, in pixels."
                ),
                Parameter(
                    "inpaint.pixel_lock",
                    BoolRange(default=True),
                    "Pixel lock",
                    "Restores the pixels outside the mask exactly.",
                ),
            ]
        case _:
            return [prompt]


KIND = Compatible
