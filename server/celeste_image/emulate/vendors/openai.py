"""Emulates OpenAI's Image API: generations, edits by form and by JSON, files and models."""

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

from celeste_image.core.card import (
    ModelCard,
    ModelStage,
)
from celeste_image.core.request import OperationKind
from celeste_image.emulate.base import Answer, Asked, Refusal, Route
from celeste_image.emulate.values import Wrong
from celeste_image.emulate.vendors.openai_images import MOST_SOURCES, Drawn, OpenAIImages, Order
from celeste_image.emulate.vendors.openai_responses import FakeResponses

__all__ = ["FakeOpenAI"]

CODES = {
    "credentials": "invalid_api_key",
    "moderation": "moderation_blocked",
    "billing": "insufficient_quota",
    "permission": "",
    "not_found": "model_not_found",
    "value": "invalid_value",
    "image": "invalid_image_file",
    "no_method": "method_not_supported",
    "no_path": "",
    "told": "",
    "invalid": "",
    "bug": "",
}
"""The vendor's codes by the kind of a refusal; another kind is a code itself."""


class FakeOpenAI(OpenAIImages):
    """The image API of `api.openai.com`."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.responses = FakeResponses(self)

    def routes(self) -> Sequence[Route]:
        """Returns the Image API, the Responses API, files and models."""
        return (
            *self.image_routes(),
            *self.responses.routes("/responses"),
            *self.stored.routes("/files"),
            *self.model_routes(),
        )

    def image_routes(self, start: str = "/images") -> Sequence[Route]:
        """Returns the routes of the Image API."""
        return (
            Route("POST", f"{start}/generations", self.generate),
            Route("POST", f"{start}/edits", self.edit),
        )

    def model_routes(self, path: str = "/models") -> Sequence[Route]:
        """Returns the routes of the models."""
        return (
            Route("GET", path, self.models, "check"),
            Route("GET", path + "/{model}", self.model, "check"),
        )

    def error(self, refusal: Refusal) -> Any:
        """Returns `{"error": {...}}`."""
        code = CODES.get(refusal.kind, refusal.kind) or {429: "rate_limit_exceeded"}.get(refusal.status)
        kind = "requests" if refusal.status == 429 else "server_error" if refusal.status >= 500 else ""
        return {
            "error": {
                "message": refusal.text,
                "type": kind
                or ("image_generation_user_error" if refusal.kind == "moderation" else "invalid_request_error"),
                "param": refusal.field or None,
                "code": code or None,
            }
        }

    def unknown(self, method: str, path: str) -> Refusal:
        """Returns OpenAI's refusal of a path."""
        return Refusal(404, f"Invalid URL ({method} {path})", "no_path")

    def wrong_method(self, method: str, path: str) -> Refusal:
        """Returns OpenAI's refusal of a method."""
        text = f"Not allowed to {method} on {path} (HINT: Perhaps you meant to use a different HTTP method?)"
        return Refusal(405, text, "no_method")

    async def models(self, asked: Asked) -> Answer:
        """Lists the models that are not retired."""
        listed = [_listed(card) for card in self.cards if card.stage is not ModelStage.RETIRED]
        return Answer({"object": "list", "data": listed})

    async def model(self, asked: Asked) -> Answer:
        """Returns one model."""
        return Answer(_listed(self.card(asked.params["model"])) | {"id": asked.params["model"]})

    async def generate(self, asked: Asked) -> Answer:
        """Makes images from a prompt."""
        self._takes(asked, "application/json")
        order = self.order(asked, asked.fields, OperationKind.GENERATE)
        return self._answer(asked, order, await self.draw(asked, order), "image_generation")

    async def edit(self, asked: Asked) -> Answer:
        """Edits the first image, within the transparent part of the mask if there is a mask."""
        self._takes(asked, "multipart/form-data", "application/json")
        order = self.order(asked, asked.fields, OperationKind.EDIT)
        if asked.body.is_form:
            sources = [(data, name) for name in ("image", "image[]") for data in asked.files.get(name, ())]
            mask, markup = (next(iter(asked.files.get(name, ())), None) for name in ("mask", "markup"))
        else:
            given = asked.fields.get("images") or []
            if not isinstance(given, list):
                raise Wrong("images", "type", given, "an array")
            sources = [(self.referred(item, f"images[{n}]"), f"images[{n}]") for n, item in enumerate(given)]
            has_mask = asked.fields.get("mask") is not None
            mask, markup = self.referred(asked.fields["mask"], "mask") if has_mask else None, None
        if not sources:
            raise Wrong("image" if asked.body.is_form else "images", "missing")
        if len(sources) > MOST_SOURCES:
            raise Refusal(400, f"Invalid 'image': at most {MOST_SOURCES} images", "array_above_max_length", "image")
        if mask and markup:
            raise Refusal(400, "'markup' cannot be combined with 'mask'", "value", "markup")
        images = [self.source(data, name) for data, name in sources]
        if markup:
            self.source(markup, "markup")
        cut = self.mask(mask, images[0]) if mask else None
        return self._answer(asked, order, await self.draw(asked, order, images[0], cut), "image_edit")

    def _takes(self, asked: Asked, *kinds: str) -> None:
        """Raises Refusal for a body of another media type than `kinds`."""
        given = asked.body.media_type
        if self.strict and given not in kinds:
            only = " or ".join(f"'{kind}'" for kind in kinds)
            words = f"Unsupported content type: '{given}'. This API method only accepts {only} requests."
            raise Refusal(400, words, "unsupported_content_type")

    def _answer(self, asked: Asked, order: Order, drawn: Drawn, event: str) -> Answer:
        now = int(time.time())
        if not order.stream:
            items = [self._item(asked, file, order.form) for file in drawn.files]
            return Answer({"created": now, "data": items, "usage": drawn.usage, **drawn.about})
        events = []
        for index, data in enumerate(drawn.previews):
            value = {"b64_json": _text(data), "partial_image_index": index, "created_at": now}
            events.append((f"{event}.partial_image", {"type": f"{event}.partial_image", **value, **drawn.about}))
        for data in drawn.files:
            value = {"b64_json": _text(data), "usage": drawn.usage, "created_at": now}
            events.append((f"{event}.completed", {"type": f"{event}.completed", **value, **drawn.about}))
        return Answer(events=events, pause=asked.behavior.latency / len(events) if events else 0.0)

    def _item(self, asked: Asked, file: bytes, form: str) -> Mapping[str, str]:
        return {"b64_json": _text(file)}


def _listed(card: ModelCard) -> dict[str, Any]:
    return {"id": card.name_on_wire, "object": "model", "created": 0, "owned_by": "emulator"}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
