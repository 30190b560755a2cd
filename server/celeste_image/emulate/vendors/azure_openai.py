"""Emulates Azure OpenAI: OpenAI's APIs under a resource's deployments, and its v1 API."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from celeste_image.core.card import ModelCard
from celeste_image.emulate.base import Answer, Asked, Refusal, Route
from celeste_image.emulate.vendors.openai import FakeOpenAI
from celeste_image.providers.vendors.azure_openai import AzureOpenAI
from celeste_image.providers.vendors.openai import OpenAI

__all__ = ["FakeAzureOpenAI"]

VERSION = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(-preview)?|preview|latest|v1")
"""The values of `api-version`: a date, or the words of the v1 API."""
CODES = {"credentials": "401", "permission": "403", "no_path": "404", "not_found": "DeploymentNotFound"}


class FakeAzureOpenAI(FakeOpenAI):
    """A resource of Azure OpenAI with a deployment of each model, named like the model."""

    provider = AzureOpenAI
    name = "azure_openai"
    path = ""
    key_statuses: ClassVar[Mapping[str, int]] = {**FakeOpenAI.key_statuses, "billing": 429}

    @property
    def cards(self) -> Sequence[ModelCard]:
        """OpenAI's models, all deployed."""
        return OpenAI.cards

    def routes(self) -> Sequence[Route]:
        """Returns the routes of deployments and of the v1 API."""
        dated = (
            *self.image_routes("/openai/deployments/{deployment}/images"),
            *self.responses.routes("/openai/responses"),
            *self.responses.routes("/openai/deployments/{deployment}/responses"),
            *self.stored.routes("/openai/files"),
            *self.model_routes("/openai/models"),
        )
        return (
            *(Route(r.method, r.path, self._versioned(r.handle), r.stage) for r in dated),
            *self.image_routes("/openai/v1/images"),
            *self.responses.routes("/openai/v1/responses"),
            *self.stored.routes("/openai/v1/files"),
            *self.model_routes("/openai/v1/models"),
        )

    def error(self, refusal: Refusal) -> Any:
        """Returns OpenAI's format with Azure's codes."""
        value = super().error(refusal)
        if code := CODES.get(refusal.kind):
            value["error"]["code"] = code
        return value

    def unknown(self, method: str, path: str) -> Refusal:
        """Returns Azure's refusal of a path."""
        return Refusal(404, "Resource not found", "no_path")

    def table(self, url: str) -> dict[str, Any]:
        """Returns a table with a deployment of each active model."""
        models = [{"id": c.name_on_wire, "model": c.name_on_wire} for c in self.cards if c.stage.value == "active"]
        return super().table(url) | {"models": models}

    def model_of(self, asked: Asked) -> str:
        """Returns the deployment of the path, else the model of the body."""
        return str(asked.params.get("deployment") or super().model_of(asked))

    def _versioned(self, handle: Any) -> Any:
        """Returns a route's handler that needs an API version."""

        async def handled(asked: Asked) -> Answer:
            if not VERSION.fullmatch(asked.query.get("api-version", "")):
                raise Refusal(404, "Resource not found", "no_path")
            answer: Answer = await handle(asked)
            return answer

        return handled

    def _key(self, request: Any) -> str:
        scheme, _, token = str(request.headers.get("authorization", "")).partition(" ")
        return super()._key(request) or (token.strip() if scheme.lower() == "bearer" else "")
