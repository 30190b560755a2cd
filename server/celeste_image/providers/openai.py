"""OpenAI's image API: the GPT image models."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from celeste_image.providers.base import Options
from celeste_image.providers.catalog import load_cards, load_title
from celeste_image.providers.families.openai_like import OpenAILike

__all__ = ["PROVIDER", "OpenAI", "OpenAIOptions"]


class OpenAIOptions(Options):
    """What only the GPT image models know; unset means the model's default. The cards say which reads which."""

    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    moderation: Literal["low", "auto"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    input_fidelity: Literal["low", "high"] | None = None
    safety_identifier: Annotated[str, StringConstraints(max_length=64)] | None = None


class OpenAI(OpenAILike):
    """The profile of the family is its API."""

    name = "openai"
    title = load_title("openai")
    cards = load_cards("openai")
    Options = OpenAIOptions
    base_url = "https://api.openai.com/v1"
    key_variable = "OPENAI_API_KEY"
    key_form = r"sk-[\w-]{20,}"
    key_path = "models"


PROVIDER = OpenAI
