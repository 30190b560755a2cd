"""Emulates the Gemini API: `generateContent`, its stream, tokens, models and files."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from celeste_image.core.card import (
    IntegerRange,
    ModelCard,
    ModelStage,
    NumberRange,
    ParameterRange,
)
from celeste_image.emulate.base import Answer, Asked, Refusal, Route
from celeste_image.emulate.sending import new_id
from celeste_image.emulate.values import Wrong, held, one_of
from celeste_image.emulate.vendors.gemini_images import GeminiImages
from celeste_image.emulate.vendors.gemini_interactions import FakeInteractions
from celeste_image.emulate.vendors.gemini_json import items_of, object_of, proto_fields

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
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
PICTURE_TOKENS = 1290
BODY = frozenset(
    {
        *("contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig", "model"),
        *("cachedContent", "serviceTier", "store"),
    }
)
CONFIG = frozenset(
    {
        *("temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "responseMimeType"),
        *("responseSchema", "responseJsonSchema", "responseModalities", "seed", "presencePenalty"),
        *("frequencyPenalty", "responseLogprobs", "logprobs", "thinkingConfig", "imageConfig", "speechConfig"),
        *("mediaResolution", "enableEnhancedCivicAnswers", "responseFormat"),
    }
)
IMAGE_CONFIG = frozenset({"aspectRatio", "imageSize"})
"""Output formats and people are for Vertex AI."""
PART = frozenset(
    {
        *("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "thought"),
        *("codeExecutionResult", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"),
        *("toolCall", "toolResponse"),
    }
)
"""Fields of google-genai 3.4.0's types, without those of Vertex AI alone."""
RANGES: Mapping[str, ParameterRange] = {
    "seed": IntegerRange(-(1 << 31), (1 << 31) - 1),
    "temperature": NumberRange(0, 2),
    "topP": NumberRange(0, 1),
    "candidateCount": IntegerRange(1, 1),
}


class FakeGemini(GeminiImages):
    """The image models of `generativelanguage.googleapis.com`."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.interactions = FakeInteractions(self)

    def routes(self) -> Sequence[Route]:
        """Returns the methods of both API versions that SDKs use."""
        return tuple(
            route
            for version in ("/v1", "/v1beta")
            for route in (
                Route("POST", version + "/models/{model}:generateContent", self.generate),
                Route("POST", version + "/models/{model}:streamGenerateContent", self.stream),
                Route("POST", version + "/models/{model}:countTokens", self.count, "check"),
                Route("GET", version + "/models", self.models, "check"),
                Route("GET", version + "/models/{model}", self.model, "check"),
                *self.interactions.routes(version),
                *self.files.routes(version),
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
        elif refusal.field:
            violation = {"field": refusal.field, "description": refusal.text}
            details = [{"@type": BAD_REQUEST, "fieldViolations": [violation]}]
        word = STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
        return {"error": {"code": status, "message": refusal.text, "status": word, "details": details}}

    def error_for(self, refusal: Refusal, asked: Asked) -> Any:
        """Returns the format of interactions for theirs. The keys and paths are checked in front of both APIs."""
        is_theirs = "/interactions" in asked.entry.path and refusal.kind not in ("no_path", "no_method", "credentials")
        return self.interactions.error(refusal) if is_theirs else self.error(refusal)

    def _key(self, request: web.Request) -> str:
        """Returns the key of the header, else of the query."""
        return super()._key(request) or request.query.get("key", "")

    def wrong(self, wrong: Wrong) -> Refusal:
        """Returns Google's refusal of a value."""
        match wrong.rule:
            case "unknown":
                where, _, name = wrong.field.rpartition(".")
                at = f" at '{where}'" if where else ""
                text = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
            case "type":
                text = f"Invalid value at '{wrong.field}' (it must be {wrong.allowed})"
            case "choice":
                text = f"{wrong.field} must be one of {one_of(wrong.allowed)}"
            case _:
                text = f"{wrong.field} {super().wrong(wrong).text}"
        return Refusal(400, text, "value", wrong.field)

    async def models(self, asked: Asked) -> Answer:
        """Lists the models that are not retired."""
        most, start = asked.query.get("pageSize", "50"), asked.query.get("pageToken", "0")
        if not (most.isascii() and most.isdigit() and start.isascii() and start.isdigit()):
            raise Refusal(400, "pageSize and pageToken must be those of the API", "value", "page_size")
        listed = [_listed(card) for card in self.cards if card.stage is not ModelStage.RETIRED]
        first, last = int(start), int(start) + (int(most) or 50)
        more = {"nextPageToken": str(last)} if last < len(listed) else {}
        return Answer({"models": listed[first:last], **more})

    async def model(self, asked: Asked) -> Answer:
        """Returns one model."""
        return Answer(_listed(self.card(asked.params["model"])))

    async def count(self, asked: Asked) -> Answer:
        """Counts the tokens of a request."""
        self.card(asked.params["model"])
        fields = proto_fields(asked.fields, frozenset({"contents", "generateContentRequest"}), "")
        request = object_of(fields.get("generateContentRequest", {}), "generate_content_request")
        fields = proto_fields(request, BODY, "generate_content_request") if request else fields
        words, pictures = self.read(fields)
        counts = {"TEXT": max(1, len(words) // 4) if words else 0, "IMAGE": 258 * len(pictures)}
        details = [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]
        return Answer({"totalTokens": sum(counts.values()), "promptTokensDetails": details})

    async def generate(self, asked: Asked) -> Answer:
        """Answers with a single envelope."""
        return Answer(await self._envelope(asked))

    async def stream(self, asked: Asked) -> Answer:
        """Answers with the words, then the whole image: as events with `alt=sse`, else as a JSON array."""
        envelope = await self._envelope(asked)
        candidates = envelope.get("candidates")
        if not candidates or len(candidates[0].get("content", {}).get("parts", ())) < 2:
            return self._chunks(asked, [envelope])
        parts = candidates[0]["content"]["parts"]
        about = {name: envelope[name] for name in ("modelVersion", "responseId")}
        first = {"candidates": [{"content": {"role": "model", "parts": parts[:1]}, "index": 0}], **about}
        candidates[0]["content"]["parts"] = parts[1:]
        return self._chunks(asked, [first, envelope])

    def _chunks(self, asked: Asked, chunks: Sequence[Any]) -> Answer:
        if asked.query.get("alt") != "sse":
            return Answer(list(chunks))
        return Answer(events=[("", chunk) for chunk in chunks], pause=asked.behavior.latency / 2)

    async def blocked(self, asked: Asked) -> Answer:
        """Answers with an envelope that has no candidates."""
        if asked.entry.path.endswith("/interactions"):
            return self.interactions.blocked(asked)
        envelope = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}
        is_stream = asked.entry.path.endswith(":streamGenerateContent")
        return self._chunks(asked, [envelope]) if is_stream else Answer(envelope)

    async def _envelope(self, asked: Asked) -> dict[str, Any]:
        """Returns the answer of `generateContent`. Raises Refusal."""
        card = self.card(asked.params["model"])
        asked.entry.model = card.name_on_wire
        fields = proto_fields(asked.fields, BODY, "")
        words, pictures = self.read(fields)
        config = proto_fields(fields.get("generationConfig", {}), CONFIG, "generation_config")
        modalities = [str(m).upper() for m in items_of(config.get("responseModalities", ["TEXT", "IMAGE"]))]
        for modality in modalities:
            if modality not in ("TEXT", "IMAGE"):
                raise Wrong("generation_config.response_modalities", "choice", modality, ("TEXT", "IMAGE"))
        for name, allowed in RANGES.items():
            if name in config:
                held(f"generation_config.{name}", config[name], allowed)
        shape = proto_fields(config.get("imageConfig", {}), IMAGE_CONFIG, "generation_config.image_config")
        about = {
            **{"usageMetadata": usage(words), "modelVersion": card.name_on_wire},
            "responseId": new_id("r"),
        }
        wants = "IMAGE" in modalities or not modalities
        data = await self.picture(asked, card, words, pictures, shape, config.get("seed")) if wants else b""
        if asked.behavior.moderate == "output":
            return {"candidates": [{"finishReason": "IMAGE_SAFETY", "index": 0}], **about}
        parts: list[dict[str, Any]] = [{"text": "Here it is."}] if "TEXT" in modalities or not data else []
        if data:
            parts.append({"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode("ascii")}})
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        return {"candidates": [candidate], **about}

    def read(self, fields: Mapping[str, Any]) -> tuple[str, list[bytes]]:
        """Returns the words and the images of the contents, those of the last turn of the user. Raises Refusal."""
        words: list[str] = []
        pictures: list[bytes] = []
        if "systemInstruction" in fields:
            proto_fields(fields["systemInstruction"], frozenset({"role", "parts"}), "system_instruction")
        for index, given in enumerate(items_of(fields.get("contents", []))):
            at = f"contents[{index}]"
            content = proto_fields(given, frozenset({"role", "parts"}), at)
            if content.get("role", "user") not in ("user", "model", "function"):
                raise Refusal(400, "Please use a valid role: user, model.", "value", f"{at}.role")
            parts = items_of(content.get("parts", []))
            for number, item in enumerate(parts):
                self._read_part(proto_fields(item, PART, f"{at}.parts[{number}]"), words, pictures)
        if not words and not pictures:
            raise Refusal(400, "* GenerateContentRequest.contents: contents is not specified", "value", "contents")
        return " ".join(words), pictures

    def _read_part(self, part: Mapping[str, Any], words: list[str], pictures: list[bytes]) -> None:
        if "text" in part:
            if not isinstance(part["text"], str):
                raise Wrong("text", "type", part["text"], "a string")
            words.append(part["text"])
        elif "inlineData" in part:
            known = frozenset({"mimeType", "data", "displayName"})
            inline = proto_fields(part["inlineData"], known, "inline_data")
            pictures.append(self.inline(inline.get("mimeType"), inline.get("data")))
        elif "fileData" in part:
            about = proto_fields(part["fileData"], frozenset({"mimeType", "fileUri", "displayName"}), "file_data")
            pictures.append(self.files.data(about.get("fileUri")))


def _listed(card: ModelCard) -> dict[str, Any]:
    methods = ["generateContent", "countTokens"]
    about = {"version": "001", "inputTokenLimit": 32_768, "outputTokenLimit": 32_768}
    named = {"name": f"models/{card.name_on_wire}", "displayName": card.title, "description": card.summary}
    return {**named, **about, "supportedGenerationMethods": methods}


def usage(words: str) -> dict[str, Any]:
    """Returns the `usageMetadata` of an image."""
    asked = max(1, len(words) // 4)
    details = [{"modality": "IMAGE", "tokenCount": PICTURE_TOKENS}]
    return {
        "promptTokenCount": asked,
        "candidatesTokenCount": PICTURE_TOKENS,
        "totalTokenCount": asked + PICTURE_TOKENS,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": asked}],
        "candidatesTokensDetails": details,
    }
