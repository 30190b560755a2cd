"""Azure OpenAI: OpenAI's models in an operator's own resource, under the names of the operator's deployments.

[providers.azure_openai]
base_url = "https://my-resource.openai.azure.com"
# A language model draws with the first image model of the table, or with that of its `image_deployment`.
models = [{ id = "my-deployment", model = "gpt-image-2" }, { id = "my-talker", model = "gpt-5.5" }]
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from celeste_image.core.card import ModelCard, ModelEvidence
from celeste_image.core.secret import Secret
from celeste_image.providers.catalog import load_catalog
from celeste_image.providers.families.openai_like import LANGUAGE_MODELS, OpenAILike, Profile
from celeste_image.providers.kit import Origin, SecretHeader, Tools, cards_from
from celeste_image.providers.vendors.openai import OpenAIOptions, OpenAISettings

__all__ = ["KIND", "AzureOpenAI", "AzureSettings", "Deployment"]

API_VERSION = "2025-04-01-preview"
LIFECYCLE = ("stage", "ends_on", "replacement", "prices", "refusal_charge")
"""Keys of OpenAI's catalog that do not apply to Azure: Microsoft decides about them."""

EVIDENCE = {"gpt-image-2": ModelEvidence.OFFICIAL_CLIENT}
"""Evidence for deployments of a model, from recordings of Azure's own client; other models have the specification."""


IMAGE_HEADER = "x-ms-oai-image-generation-deployment"
"""Header of the Responses API with the deployment of the image model, which Azure does not choose.

Source: https://learn.microsoft.com/azure/ai-services/openai/how-to/responses, read 2026-11-30.
"""


class Deployment(BaseModel):
    """One deployment: its name in the resource, and the OpenAI model that it runs.

    Attributes:
        id: The deployment's name in the resource.
        model: OpenAI's name of the model.
        image_deployment: For a language model, the deployment of the image model that draws for it. Empty means the
            first one of the table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(pattern=r"^[\w.-]+$", max_length=100)]
    model: str
    image_deployment: Annotated[str, StringConstraints(pattern=r"^[\w.-]*$", max_length=100)] = ""

    @field_validator("model")
    @classmethod
    def _is_known(cls, model: str) -> str:
        if model not in (known := [entry["id"] for entry in load_catalog("openai")["models"]]):
            raise ValueError(f"{model!r} is not a model; the models are {', '.join(known)}")
        return model


class AzureSettings(OpenAISettings):
    """`[providers.azure_openai]`, or another name with `kind = "azure_openai"` for each further resource."""

    models: Annotated[tuple[Deployment, ...], Field(min_length=1)]
    base_url: str = Field(default="", validate_default=True, description="The endpoint of the resource.")
    api_version: str = Field(
        default=API_VERSION,
        description="API version of the deployments' paths; empty means the v1 API, which has no versions.",
    )

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        Origin.of(url)  # raises ValueError; an empty URL is invalid
        return url.rstrip("/")

    @model_validator(mode="after")
    def _can_draw(self) -> "AzureSettings":
        for deployment in self.models:
            if deployment.model.startswith(LANGUAGE_MODELS) and not self.image_deployment_of(deployment):
                text = "draws with a deployment of an image model: add one to `models`, or name it in image_deployment"
                raise ValueError(f"the language model of {deployment.id!r} {text}")
        return self

    def image_deployment_of(self, language: Deployment) -> str:
        """Returns the deployment that draws for a language model; empty if no deployment can."""
        images = (each.id for each in self.models if not each.model.startswith(LANGUAGE_MODELS))
        return language.image_deployment or next(images, "")


class AzureOpenAI(OpenAILike):
    """One Azure OpenAI resource."""

    name = "azure_openai"
    title = "Azure OpenAI"
    Settings = AzureSettings
    Options = OpenAIOptions
    base_url = ""
    key_variable = "AZURE_OPENAI_API_KEY"
    key_header = "api-key"
    key_prefix = ""

    def __init__(self, settings: AzureSettings, tools: Tools, *, name: str = "") -> None:
        super().__init__(settings, tools, name=name)
        self.cards = _cards(self.name, settings.models)
        self._is_v1 = not settings.api_version
        self._models = {each.id: each.model for each in settings.models}
        self._drawing = {each.id: settings.image_deployment_of(each) for each in settings.models}
        start = "/openai/v1" if self._is_v1 else "/openai/deployments/{model}"
        self.profile = Profile(
            generate_path=f"{start}/images/generations",
            edit_path=f"{start}/images/edits",
            responses_path="/openai/v1/responses" if self._is_v1 else "/openai/responses",
            query={} if self._is_v1 else {"api-version": settings.api_version},
        )

    @property
    def secrets(self) -> tuple[SecretHeader, ...]:
        """The headers with the key; the v1 API also accepts OpenAI's header."""
        (key,) = super().secrets
        return (
            (key, replace(key, header="authorization", value=Secret(f"Bearer {key.value.reveal()}")))
            if self._is_v1
            else (key,)
        )

    def _model(self, card: ModelCard) -> str:
        return self._models[card.called_like]

    def _drawing_model(self, card: ModelCard, fields: Mapping[str, Any]) -> str:
        return f"{self.name}/{self._drawing[card.called_like]}"

    def _headers(self, card: ModelCard) -> Mapping[str, str]:
        if not self._is_drawn_by_tool(card):
            return {}
        return {IMAGE_HEADER: self._drawing[card.called_like]}


def _cards(provider: str, deployments: Sequence[Deployment]) -> tuple[ModelCard, ...]:
    """Returns a card for each deployment, with the parameters of the same model at OpenAI."""
    catalog = {name: value for name, value in load_catalog("openai").items() if name not in LIFECYCLE}
    entries: Mapping[str, Mapping[str, Any]] = {entry["id"]: entry for entry in catalog["models"]}
    models = []
    for deployment in deployments:
        known = {name: value for name, value in entries[deployment.model].items() if name not in LIFECYCLE}
        title, evidence = (
            f"{known['title']} ({deployment.id})",
            EVIDENCE.get(deployment.model, ModelEvidence.SPECIFICATION),
        )
        models.append({**known, "id": deployment.id, "wire_id": deployment.id, "title": title, "evidence": evidence})
    return cards_from(provider, {**catalog, "models": models})


KIND = AzureOpenAI
