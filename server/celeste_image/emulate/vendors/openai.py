"""Emulates OpenAI's image API, and the two dialects of it: Azure's deployments and compatible servers."""

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from celeste_image.core.card import ModelCard, SizeRange
from celeste_image.core.request import OperationKind
from celeste_image.emulate import painting
from celeste_image.emulate.base import Answer, Asked, FakeVendor, Refusal, Route
from celeste_image.emulate.work import opened, painted, seed_of, size_within
from celeste_image.providers.families.openai_like import OpenAILike
from celeste_image.providers.vendors.azure_openai import API_VERSION, AzureOpenAI
from celeste_image.providers.vendors.compatible import Compatible, CompatibleModel, card_of
from celeste_image.providers.vendors.openai import OpenAI

__all__ = ["FakeAzureOpenAI", "FakeCompatible", "FakeOpenAI"]

CODES = {
    "credentials": "invalid_api_key",
    "moderation": "moderation_blocked",
    "billing": "insufficient_quota",
    "not_found": "model_not_found",
    "value": "invalid_value",
}
MOST_IMAGES = 10
KNOWN = frozenset(
    {
        *("model", "prompt", "n", "size", "quality", "background", "output_format", "output_compression", "moderation"),
        *("user", "safety_identifier", "stream", "partial_images", "input_fidelity", "response_format", "style"),
        *("seed", "negative_prompt", "num_inference_steps", "guidance_scale", "step"),
    }
)
TOKENS = {"low": 272, "medium": 1056, "high": 4160}
"""Output tokens per megapixel, by quality."""


class FakeOpenAI(FakeVendor):
    """The image API of `api.openai.com`."""

    provider: ClassVar[type[OpenAILike]] = OpenAI
    name = "openai"
    key_statuses: ClassVar[Mapping[str, int]] = {**FakeVendor.key_statuses, "billing": 429}
    default_size = (1024, 1024)

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._delivered: dict[str, bytes] = {}

    def routes(self) -> Sequence[Route]:
        """Returns the image API, the Responses API and the list of models."""
        return (
            Route("POST", "/images/generations", self.generate),
            Route("POST", "/images/edits", self.edit),
            Route("POST", "/responses", self.respond),
            Route("GET", "/models", self.models, "check"),
        )

    def error(self, refusal: Refusal) -> Any:
        """Returns `{"error": {...}}`."""
        code = CODES.get(refusal.kind) or {429: "rate_limit_exceeded"}.get(refusal.status)
        kind = "requests" if refusal.status == 429 else "server_error" if refusal.status >= 500 else ""
        return {
            "error": {
                "message": refusal.text,
                "type": kind
                or ("image_generation_user_error" if refusal.kind == "moderation" else "invalid_request_error"),
                "param": refusal.field or None,
                "code": code,
            }
        }

    async def models(self, asked: Asked) -> Answer:
        """Lists the models."""
        known = [{"id": c.name_on_wire, "object": "model", "created": 0, "owned_by": "emulator"} for c in self.cards]
        return Answer({"object": "list", "data": known})

    async def generate(self, asked: Asked) -> Answer:
        """Makes images from a prompt."""
        card, count, size = self._read(asked, OperationKind.GENERATE)
        width, height = size or self.default_size
        words = str(asked.fields["prompt"])
        seeds = [seed_of(asked.fields.get("seed"), words) + index for index in range(count)]
        title = self._title(card)
        made = [await painted(asked, partial(painting.generated, width, height, title, words, seed)) for seed in seeds]
        return self._answer(asked, card, OperationKind.GENERATE, made, "image_generation")

    async def edit(self, asked: Asked) -> Answer:
        """Edits the first image, within the transparent part of the mask if there is a mask."""
        card, count, size = self._read(asked, OperationKind.EDIT)
        sources = [opened(data) for name in ("image", "image[]") for data in asked.files.get(name, ())]
        if not sources:
            raise Refusal(400, "Missing required parameter: 'image'.", "value", "image")
        source, words = sources[0], str(asked.fields["prompt"])
        mask = None
        if masks := asked.files.get("mask"):
            picture = opened(masks[0], "mask")
            if picture.mode != "RGBA" or not masks[0].startswith(b"\x89PNG"):
                raise Refusal(400, "Invalid mask image format - mask must be a PNG with transparency", "value", "mask")
            if picture.size != source.size:
                raise Refusal(400, "Invalid mask - must be as large as the image", "value", "mask")
            mask = picture.getchannel("A").point(lambda alpha: 255 - alpha)
        size = size or size_within(self._sizes(card, OperationKind.EDIT), source.size)
        seed = seed_of(asked.fields.get("seed"), words)
        ignoring = asked.behavior.image == "mask-ignored"
        made = []
        for index in range(count):

            def paint(seed: int = seed + index) -> Any:
                if mask is None or ignoring:
                    return painting.changed(source, self._title(card), words, seed).resize(size)
                return painting.filled(source, mask, seed).resize(size)

            made.append(await painted(asked, paint, source))
        return self._answer(asked, card, OperationKind.EDIT, made, "image_edit")

    async def respond(self, asked: Asked) -> Answer:
        """Makes images by the image tool of the Responses API: the same work in another format."""
        tools = [tool for tool in asked.fields.get("tools") or () if tool.get("type") == "image_generation"]
        if not tools:
            text = {"type": "output_text", "text": "I have no tool to draw with."}
            return Answer({"object": "response", "output": [{"type": "message", "content": [text]}]})
        given = asked.fields.get("input")
        content: list[dict[str, Any]] = (
            given[-1]["content"] if isinstance(given, list) else [{"type": "input_text", "text": given}]
        )
        words = " ".join(part["text"] for part in content if part["type"] == "input_text")
        urls = [part["image_url"] for part in content if part["type"] == "input_image"]
        fields = {"model": asked.fields.get("model"), "prompt": words, **tools[0]}
        fields.pop("type")
        files = {"image": [base64.b64decode(url.rpartition(",")[2]) for url in urls]}
        told = replace(asked, fields=fields, files=files)
        answer = await (self.edit(told) if urls else self.generate(told))
        calls = [
            {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": item["b64_json"]}
            for item in answer.value["data"]
        ]
        about = {"id": f"resp_{time.time_ns()}", "object": "response", "created_at": int(time.time())}
        how = {"status": "completed", "parallel_tool_calls": True, "tool_choice": "auto", "tools": tools}
        return Answer({**about, **how, "model": fields["model"], "output": calls, "error": None})

    def _title(self, card: ModelCard) -> str:
        return f"{card.id}, emulated"

    def _model(self, asked: Asked) -> str:
        return str(asked.fields.get("model", ""))

    def _sizes(self, card: ModelCard, kind: OperationKind) -> SizeRange:
        known = card.parameter(kind, "size")
        assert known and isinstance(known.range, SizeRange)
        return known.range

    def _read(self, asked: Asked, kind: OperationKind) -> tuple[ModelCard, int, tuple[int, int] | None]:
        """Returns the model, the number of images and the size, None for `auto`. Raises Refusal."""
        fields = asked.fields
        card = self.card(self._model(asked))
        asked.entry.model = card.name_on_wire
        asked.entry.ignored = sorted(fields.keys() - KNOWN)
        if kind not in card.operations:
            raise Refusal(400, f"'{card.name_on_wire}' can't {kind.value}", "value", "model")
        if not fields.get("prompt"):
            raise Refusal(400, "Missing required parameter: 'prompt'.", "value", "prompt")
        try:
            count = int(fields.get("n") or 1)
        except ValueError:
            raise Refusal(400, "n must be a whole number", "value", "n") from None
        if not 1 <= count <= MOST_IMAGES:
            raise Refusal(400, f"n must be 1 to {MOST_IMAGES}", "value", "n")
        named = str(fields.get("size") or "auto")
        if named == "auto":
            return card, count, None
        width, _, height = named.partition("x")
        bounds = self._sizes(card, kind)
        if not (width.isdigit() and height.isdigit()):
            raise Refusal(400, f"Invalid size '{named}'", "value", "size")
        size = int(width), int(height)
        if size != size_within(bounds, size):
            raise Refusal(400, f"Invalid size '{named}' for {card.name_on_wire}", "value", "size")
        return card, count, size

    def _answer(self, asked: Asked, card: ModelCard, kind: OperationKind, made: list[Any], event: str) -> Answer:
        fields = asked.fields
        form = str(fields.get("output_format") or "png")
        if form not in ("png", "jpeg", "webp"):
            raise Refusal(400, f"Invalid output_format '{form}'", "value", "output_format")
        if asked.behavior.image == "fewer":
            made = made[:-1]
        files = [painting.encoded(picture, f"image/{form}") for picture in made]
        if asked.behavior.image == "garbage":
            files = [b"no picture" * 20 for _ in files]
        megapixels = sum(picture.width * picture.height for picture in made) / 1e6
        quality = str(fields.get("quality") or "auto")
        tokens = round(TOKENS.get(quality, TOKENS["medium"]) * megapixels)
        previews = int(fields.get("partial_images") or 0) if str(fields.get("stream", "")).lower() == "true" else 0
        tokens += 100 * previews
        self.charge(asked, card, kind, len(made), megapixels, tokens)
        size = f"{made[0].width}x{made[0].height}" if made else ""
        about = {"background": "opaque", "output_format": form, "quality": quality, "size": size}
        usage = {
            **{"input_tokens": 50, "output_tokens": tokens, "total_tokens": 50 + tokens},
            "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
            "output_tokens_details": {"text_tokens": 0, "image_tokens": tokens},
        }
        now = int(time.time())
        if asked.behavior.moderate == "output":
            raise self.moderated("result")
        if str(fields.get("stream", "")).lower() == "true":
            events = []
            for index in range(previews):
                small = made[0].resize((max(64, made[0].width // 4), max(64, made[0].height // 4))).resize(made[0].size)
                value = {"b64_json": _text(painting.encoded(small)), "partial_image_index": index, "created_at": now}
                events.append((f"{event}.partial_image", {"type": f"{event}.partial_image", **value, **about}))
            for data in files:
                value = {"b64_json": _text(data), "usage": usage, "created_at": now}
                events.append((f"{event}.completed", {"type": f"{event}.completed", **value, **about}))
            return Answer(events=events, pause=asked.behavior.latency / len(events) if events else 0.0)
        items = [self._item(asked, file, form) for file in files]
        return Answer({"created": now, "data": items, "usage": usage, **about})

    def _item(self, asked: Asked, file: bytes, form: str) -> Mapping[str, str]:
        return {"b64_json": _text(file)}


class FakeAzureOpenAI(FakeOpenAI):
    """A resource of Azure OpenAI with a deployment of each model, named like the model."""

    provider = AzureOpenAI
    name = "azure_openai"
    path = ""

    @property
    def cards(self) -> Sequence[ModelCard]:
        """OpenAI's models, all deployed."""
        return OpenAI.cards

    def routes(self) -> Sequence[Route]:
        """Returns the routes of deployments and of the v1 API."""
        start = "/openai/deployments/{deployment}/images"
        return (
            Route("POST", f"{start}/generations", self.generate),
            Route("POST", f"{start}/edits", self.edit),
            Route("POST", "/openai/v1/images/generations", self.generate),
            Route("POST", "/openai/v1/images/edits", self.edit),
            Route("GET", "/openai/v1/models", self.models, "check"),
        )

    def table(self, url: str) -> dict[str, Any]:
        """Returns a table with a deployment of each active model."""
        models = [{"id": c.name_on_wire, "model": c.name_on_wire} for c in self.cards if c.stage.value == "active"]
        return super().table(url) | {"models": models}

    def _model(self, asked: Asked) -> str:
        if asked.params.get("deployment") and asked.query.get("api-version") != API_VERSION:
            raise Refusal(404, "Resource not found", "not_found")
        return str(asked.params.get("deployment") or asked.fields.get("model", ""))

    def _key(self, request: Any) -> str:
        return super()._key(request) or str(request.headers.get("authorization", "")).removeprefix("Bearer ")


class FakeCompatible(FakeOpenAI):
    """A server with OpenAI's API that returns its images by URL."""

    provider = Compatible
    name = "compatible"
    path = "/v1"

    def routes(self) -> Sequence[Route]:
        """Returns OpenAI's routes, variations and the images."""
        return (
            *super().routes(),
            Route("POST", "/images/variations", self.vary),
            Route("GET", "/files/{file}", self.file, "fetch"),
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


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
