"""OpenAI: GPT image models with the Image API, and language models with the image tool of the Responses API."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from celeste_image.providers.catalog import load_cards, load_title
from celeste_image.providers.families.openai_like import OpenAILike, Profile
from celeste_image.providers.kit import Options, VendorSettings

__all__ = ["PROVIDER", "OpenAI", "OpenAIOptions", "OpenAISettings"]


class OpenAIOptions(Options):
    """Options of OpenAI's models; unset means the model's default. A card has the options that its model reads.

    Attributes:
        moderation: How much is refused.
        input_fidelity: How closely the images of the request are kept.
        action: What a language model's tool does. `auto` lets the model choose.
        tool_choice: Whether a language model must use its tool, or may answer with text.
        image_model: The image model of a language model's tool.
    """

    moderation: Literal["low", "auto"] | None = None
    input_fidelity: Literal["low", "high"] | None = None
    action: Literal["auto", "generate", "edit"] | None = None
    tool_choice: Literal["image_generation", "auto"] | None = None
    image_model: Annotated[str, StringConstraints(pattern=r"^[\w.-]+$", max_length=100)] | None = None


class OpenAISettings(VendorSettings):
    """`[providers.openai]`."""

    store: bool = Field(
        default=False,
        description="Whether the vendor may keep answers of the Responses API, with their images, for later calls.",
    )


class OpenAI(OpenAILike):
    """The OpenAI API, which is the default profile of the family."""

    name = "openai"
    title = load_title("openai")
    cards = load_cards("openai")
    Settings = OpenAISettings
    Options = OpenAIOptions
    base_url = "https://api.openai.com/v1"
    key_variable = "OPENAI_API_KEY"
    key_form = r"sk-[\w-]{20,}"
    key_path = "models"
    profile = Profile(responses_path="/responses")


PROVIDER = OpenAI
