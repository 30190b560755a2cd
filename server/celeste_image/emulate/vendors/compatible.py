"""Emulates a server with OpenAI's image API that returns its images by URL."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from celeste_image.core.card import ModelCard
from celeste_image.emulate.base import Answer, Asked, Refusal, Route
from celeste_image.emulate.vendors.openai import FakeOpenAI
from celeste_image.providers.vendors.compatible import Compatible, CompatibleModel, card_of

__all__ = ["FakeCompatible"]


class FakeCompatible(FakeOpenAI):
    """A server with OpenAI's Image API, and the variations that OpenAI had. Such servers ignore unknown fields."""

    provider = Compatible
    name = "compatible"
    path = "/v1"
    strict: ClassVar[bool] = False
    extra: ClassVar[frozenset[str]] = frozenset(
        {"seed", "negative_prompt", "response_format", "num_inference_steps", "guidance_scale", "step", "style"}
    )

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._delivered: dict[str, bytes] = {}

    def routes(self) -> Sequence[Route]:
        """Returns the Image API, variations, models and the images."""
        return (
            *self.image_routes(),
            *self.model_routes(),
            Route("POST", "/images/variations", self.vary),
            Route("GET", "/files/{file}", self.file, "fetch", keyless=True),
        )

    @property
    def cards(self) -> Sequence[ModelCard]:
        """The models of the table."""
        models = self.table("")["models"]
        return [card_of(self.name, CompatibleModel.model_validate(model)) for model in models]

    def table(self, url: str) -> dict[str, Any]:
        """Returns a table with one model that has every feature of such servers."""
        edits = ["instruct", "inpaint", "outpaint", "vary"]
        model = {"id": "studio-1", "edits": edits, "seed": True, "max_count": 4}
        return super().table(url) | {"kind": "compatible", "models": [model], "response_format": "url"}

    async def vary(self, asked: Asked) -> Answer:
        """Makes variations of an image, without a prompt."""
        asked.fields.setdefault("prompt", "another like it")
        return await self.edit(asked)

    async def file(self, asked: Asked) -> Answer:
        """Returns an image by its URL."""
        name = asked.params["file"]
        if name not in self._delivered:
            raise Refusal(403 if name.startswith("expired") else 404, "there is no such file", "not_found")
        return Answer(body=self._delivered[name], media_type=f"image/{name.rpartition('.')[2]}")

    def _item(self, asked: Asked, file: bytes, form: str) -> Mapping[str, str]:
        if asked.fields.get("response_format") != "url":
            return super()._item(asked, file, form)
        name = f"{len(self._delivered):06d}.{form}"
        match asked.behavior.result:
            case "expired":
                return {"url": f"{asked.base}/v1/files/expired-{name}"}
            case "private":
                return {"url": f"http://169.254.169.254/{name}"}
        self._delivered[name] = file
        return {"url": f"{asked.base}/v1/files/{name}"}
