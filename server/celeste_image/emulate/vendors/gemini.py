"""Emulates the Gemini API: `generateContent`, its stream, and interactions, with images in and out."""

import base64
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from celeste_image.core.card import ChoiceRange, ModelCard, SizeRange
from celeste_image.core.request import OperationKind
from celeste_image.emulate import painting
from celeste_image.emulate.base import Answer, Asked, FakeVendor, Refusal, Route
from celeste_image.emulate.work import opened, painted, ratio_size, seed_of
from celeste_image.providers.families.google import SIDES
from celeste_image.providers.vendors.gemini import Gemini

__all__ = ["FakeGemini"]

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
PICTURE_TOKENS = 1290


class FakeGemini(FakeVendor):
    """The image models of `generativelanguage.googleapis.com`."""

    provider = Gemini
    name = "gemini"
    path = ""
    key_statuses: ClassVar[Mapping[str, int]] = {**FakeVendor.key_statuses, "credentials": 400}

    def routes(self) -> Sequence[Route]:
        """Returns the methods of both API versions that SDKs use."""
        return tuple(
            route
            for version in ("/v1", "/v1beta")
            for route in (
                Route("POST", version + "/models/{model}:generateContent", self.generate),
                Route("POST", version + "/models/{model}:streamGenerateContent", self.stream),
                Route("POST", version + "/interactions", self.interact),
                Route("GET", version + "/models", self.models, "check"),
            )
        )

    def table(self, url: str) -> dict[str, Any]:
        """Returns the table; the base URL includes the version."""
        return super().table(f"{url}/v1")

    def error(self, refusal: Refusal) -> Any:
        """Returns `google.rpc.Status` in JSON."""
        details: list[Mapping[str, Any]] = []
        status = refusal.status
        if refusal.kind == "credentials":
            details = [{"@type": ERROR_INFO, "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
        word = STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
        return {"error": {"code": status, "message": refusal.text, "status": word, "details": details}}

    async def models(self, asked: Asked) -> Answer:
        """Lists the models."""
        methods = ["generateContent", "streamGenerateContent"]
        listed = [
            {"name": f"models/{card.name_on_wire}", "displayName": card.title, "supportedGenerationMethods": methods}
            for card in self.cards
        ]
        return Answer({"models": listed[: int(asked.query.get("pageSize", 50))]})

    async def generate(self, asked: Asked) -> Answer:
        """Answers with a single envelope."""
        return Answer(await self._envelope(asked, asked.params["model"], asked.fields))

    async def interact(self, asked: Asked) -> Answer:
        """Answers with an interaction: the same work in the newer API's format."""
        given, form = asked.fields.get("input"), asked.fields.get("response_format") or {}
        content = [{"type": "text", "text": given}] if isinstance(given, str) else given or ()
        parts = [
            {"inlineData": {"data": item.get("data", "")}} if item.get("type") == "image" else {"text": item["text"]}
            for item in content
        ]
        shape = {"aspectRatio": form.get("aspect_ratio"), "imageSize": form.get("image_size")}
        config = dict(asked.fields.get("generation_config") or {})
        config["imageConfig"] = {name: value for name, value in shape.items() if value}
        fields = {"contents": [{"parts": parts}], "generationConfig": config}
        envelope = await self._envelope(asked, str(asked.fields.get("model", "")), fields)
        made = envelope["candidates"][0].get("content", {}).get("parts", ())
        steps = [
            {"type": "image", "mime_type": "image/png", "data": part["inlineData"]["data"]}
            if "inlineData" in part
            else {"type": "text", "text": part["text"]}
            for part in made
        ]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Answer(
            {
                "id": envelope["responseId"],
                "object": "interaction",
                "model": asked.entry.model,
                "status": "completed" if steps else "failed",
                "role": "model",
                "created": now,
                "updated": now,
                "outputs": [step for step in steps if step["type"] == "image"],
                "steps": [{"type": "model_output", "content": steps}],
            }
        )

    async def stream(self, asked: Asked) -> Answer:
        """Answers with two events: the words, then the whole image."""
        envelope = await self._envelope(asked, asked.params["model"], asked.fields)
        candidates = envelope.get("candidates")
        if not candidates or "content" not in candidates[0]:
            return Answer(events=[("", envelope)])
        parts = candidates[0]["content"]["parts"]
        first = {"candidates": [{"content": {"role": "model", "parts": parts[:1]}, "index": 0}]}
        candidates[0]["content"]["parts"] = parts[1:]
        return Answer(events=[("", first), ("", envelope)], pause=asked.behavior.latency / 2)

    async def blocked(self, asked: Asked) -> Answer:
        """Answers with an envelope that has no candidates."""
        if asked.entry.path.endswith("/interactions"):
            return Answer({"object": "interaction", "status": "failed", "steps": []})
        envelope = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}
        is_stream = asked.entry.path.endswith(":streamGenerateContent")
        return Answer(events=[("", envelope)]) if is_stream else Answer(envelope)

    async def _envelope(self, asked: Asked, model: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        card = self.card(model)
        asked.entry.model = card.name_on_wire
        words, pictures = _read(fields)
        config = _at(fields, "generationConfig", "generation_config") or {}
        kind = OperationKind.EDIT if pictures else OperationKind.GENERATE
        width, height = _size(card, kind, _at(config, "imageConfig", "image_config") or {})
        seed, title = seed_of(config.get("seed"), words), f"{card.id}, emulated"
        about = {"usageMetadata": _usage(words), "modelVersion": card.name_on_wire, "responseId": f"r{time.time_ns()}"}
        if asked.behavior.moderate == "output":
            self.charge(asked, card, kind, 0, 0.0)
            return {"candidates": [{"finishReason": "IMAGE_SAFETY", "index": 0}], **about}
        if pictures:
            source = opened(pictures[0])
            if not _at(_at(config, "imageConfig", "image_config") or {}, "aspectRatio", "aspect_ratio"):
                width, height = ratio_size(f"{source.width}:{source.height}", width * height / 1e6)
            made = await painted(
                asked, lambda: painting.changed(source.resize((width, height)), title, words, seed), source
            )
        else:
            made = await painted(asked, lambda: painting.generated(width, height, title, words, seed))
        data = b"no picture" * 20 if asked.behavior.image == "garbage" else painting.encoded(made)
        parts: list[dict[str, Any]] = [{"text": "Here it is."}]
        if asked.behavior.image != "fewer":
            parts.append({"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode("ascii")}})
        self.charge(asked, card, kind, len(parts) - 1, made.width * made.height / 1e6)
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        return {"candidates": [candidate], **about}


def _read(fields: Mapping[str, Any]) -> tuple[str, list[bytes]]:
    """Returns the words and the images of the contents. Raises Refusal."""
    words: list[str] = []
    pictures: list[bytes] = []
    for content in fields.get("contents") or ():
        for part in content.get("parts") or ():
            inline = _at(part, "inlineData", "inline_data")
            if inline:
                try:
                    # google-genai uses URL-safe base64, others the standard alphabet.
                    pictures.append(
                        base64.b64decode(
                            inline["data"], altchars=b"-_" if _is_for_urls(inline["data"]) else None, validate=True
                        )
                    )
                except (KeyError, ValueError):
                    raise Refusal(400, "inlineData is not base64", "value") from None
            elif "text" in part:
                words.append(str(part["text"]))
    if not words and not pictures:
        raise Refusal(400, "contents are not specified", "value")
    return " ".join(words), pictures


def _size(card: ModelCard, kind: OperationKind, config: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the size of the image. Raises Refusal."""
    ratio, word = _at(config, "aspectRatio", "aspect_ratio") or "1:1", _at(config, "imageSize", "image_size")
    size = card.parameter(kind, "size")
    assert size and isinstance(size.range, SizeRange)
    if ratio not in size.range.ratios:
        raise Refusal(400, f"aspect_ratio must be one of {', '.join(size.range.ratios)}", "value")
    known = card.parameter(kind, 'options.provider_options["gemini"].image_size')
    offered = known.range.values if known and isinstance(known.range, ChoiceRange) else ("1K",)
    if word is not None and word not in offered:
        raise Refusal(400, f"image_size must be one of {', '.join(offered)}", "value")
    return ratio_size(ratio, SIDES[word or "1K"] ** 2 / 1e6, 32)


def _is_for_urls(text: str) -> bool:
    return "-" in text or "_" in text


def _usage(words: str) -> dict[str, Any]:
    asked = max(1, len(words) // 4)
    details = [{"modality": "IMAGE", "tokenCount": PICTURE_TOKENS}]
    return {
        "promptTokenCount": asked,
        "candidatesTokenCount": PICTURE_TOKENS,
        "totalTokenCount": asked + PICTURE_TOKENS,
        "candidatesTokensDetails": details,
    }


def _at(value: Mapping[str, Any], *names: str) -> Any:
    """Returns a field by any of its names: Google's JSON accepts two spellings of each. None when it is absent."""
    return next((value[name] for name in names if name in value), None)
