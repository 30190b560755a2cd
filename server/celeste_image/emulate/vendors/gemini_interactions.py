"""Emulates Gemini's interactions: input of every form, events, and stored interactions."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from celeste_image.core.card import BoolRange, IntegerRange, TextRange
from celeste_image.emulate.base import Answer, Asked, Refusal, Route
from celeste_image.emulate.sending import new_id
from celeste_image.emulate.values import Wrong, held, present
from celeste_image.emulate.vendors.gemini_images import GeminiImages
from celeste_image.emulate.vendors.gemini_json import items_of, object_of

__all__ = ["FakeInteractions"]

CODES = {
    401: "unauthenticated",
    402: "failed_precondition",
    403: "permission_denied",
    404: "not_found",
    405: "invalid_request",
    429: "resource_exhausted",
    503: "unavailable",
    504: "gateway_timeout",
}
FIELDS = frozenset(
    {
        *("model", "agent", "agent_config", "background", "cached_content", "continuation_token", "environment"),
        *("generation_config", "input", "labels", "previous_interaction_id", "response_format", "response_mime_type"),
        *("response_modalities", "safety_settings", "service_tier", "store", "stream", "system_instruction", "tools"),
        "webhook_config",
    }
)
CONFIG = frozenset(
    {
        *("image_config", "max_output_tokens", "seed", "speech_config", "stop_sequences", "temperature", "top_p"),
        *("thinking_level", "thinking_summaries", "tool_choice", "transcription_config", "video_config"),
    }
)
FORMAT = frozenset({"type", "aspect_ratio", "delivery", "image_size", "mime_type"})
"""Fields of google-genai 3.4.0's `CreateModelInteractionParam`, `GenerationConfigParam`, `ImageResponseFormatParam`."""
MIME_TYPES = ("image/jpeg",)
"""The values of `mime_type` of that SDK's `ImageResponseFormatMimeType`."""
CONTENT = ("text", "image", "audio", "document", "video")
MOST_STORED = 200


@dataclass(slots=True)
class Given:
    """What the input says: the words and images of the user, and the last image of the model."""

    words: list[str] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    earlier: bytes | None = None


class FakeInteractions:
    """The interactions of the fake vendor."""

    def __init__(self, vendor: GeminiImages) -> None:
        self._vendor = vendor
        self._stored: dict[str, Mapping[str, Any]] = {}

    def routes(self, version: str) -> Sequence[Route]:
        """Returns the routes of interactions below an API version."""
        one = version + "/interactions/{interaction}"
        return (
            Route("POST", version + "/interactions", self.create),
            Route("GET", one, self.get, "poll"),
            Route("DELETE", one, self.delete, "poll"),
            Route("POST", one + "/cancel", self.cancel, "poll"),
        )

    def error(self, refusal: Refusal) -> Any:
        """Returns an error, whose code is a word."""
        usual = CODES.get(refusal.status, "internal_error" if refusal.status >= 500 else "invalid_request")
        words = {"moderation": "prohibited_content", "image_safety": "image_safety"}
        return {"error": {"code": words.get(refusal.kind, usual), "message": refusal.text}}

    def blocked(self, asked: Asked) -> Answer:
        """Refuses a prompt."""
        raise Refusal(400, "The prompt was blocked: it has prohibited content.", "moderation")

    async def create(self, asked: Asked) -> Answer:
        """Makes an image."""
        fields = present(asked.fields)
        if unknown := sorted(fields.keys() - FIELDS):
            raise Wrong(unknown[0], "unknown")
        if "agent" in fields:
            raise Refusal(404, "The agent is not found.", "not_found", "agent")
        if "model" not in fields:
            raise Refusal(400, "Either model or agent is required.", "value", "model")
        card = self._vendor.card(str(held("model", fields["model"], TextRange())))
        asked.entry.model = card.name_on_wire
        flags = {n: held(n, fields[n], BoolRange()) for n in ("stream", "store", "background") if n in fields}
        if flags.get("background") and not flags.get("store", True):
            raise Refusal(400, "background needs store", "value", "background")
        given = self._read(fields)
        config = object_of(fields.get("generation_config", {}), "generation_config")
        if unknown := sorted(config.keys() - CONFIG):
            raise Wrong(f"generation_config.{unknown[0]}", "unknown")
        if config.get("seed") is not None:
            held("generation_config.seed", config["seed"], IntegerRange(-(1 << 31), (1 << 31) - 1))
        form = _format(fields, config)
        words, data, kind = " ".join(given.words), b"", "image/png"
        if form is not None:
            kind = form.get("mime_type") or "image/png"
            shape = {"aspectRatio": form.get("aspect_ratio"), "imageSize": form.get("image_size")}
            pictures = given.images or ([given.earlier] if given.earlier else [])
            data = await self._vendor.picture(asked, card, words, pictures, shape, config.get("seed"), kind)
        if asked.behavior.moderate == "output":
            raise Refusal(400, "The image was blocked: it may be unsafe.", "image_safety")
        value = _interaction(card.name_on_wire, words, data, kind, fields)
        if flags.get("store", True):
            self._stored[value["id"]] = value
            if len(self._stored) > MOST_STORED:
                del self._stored[next(iter(self._stored))]
        if flags.get("stream"):
            events = list(_events(value))
            return Answer(events=events, pause=asked.behavior.latency / len(events))
        if flags.get("background"):
            return Answer({**value, "status": "in_progress", "steps": [], "outputs": []})
        return Answer(value)

    async def get(self, asked: Asked) -> Answer:
        """Returns a stored interaction, or its events after `last_event_id`."""
        value = self._found(asked)
        if asked.query.get("stream", "").lower() != "true":
            return Answer(value)
        events, last = list(_events(value)), asked.query.get("last_event_id")
        ids = [event["event_id"] for _, event in events]
        return Answer(events=events[ids.index(last) + 1 :] if last in ids else events)

    async def delete(self, asked: Asked) -> Answer:
        """Forgets an interaction."""
        del self._stored[self._found(asked)["id"]]
        return Answer({})

    async def cancel(self, asked: Asked) -> Answer:
        """Refuses: the emulator's interactions are done at once."""
        self._found(asked)
        raise Refusal(400, "Only interactions in the background that are in progress can be cancelled.", "value")

    def _found(self, asked: Asked) -> Mapping[str, Any]:
        id_ = asked.params["interaction"]
        if (found := self._stored.get(id_)) is None:
            raise Refusal(404, f"Interaction {id_} is not found.", "not_found")
        return found

    def _read(self, fields: Mapping[str, Any]) -> Given:
        """Returns what the input says: a text, one content, or a list of contents or steps. Raises Refusal."""
        found = Given()
        if (earlier := fields.get("previous_interaction_id")) is not None:
            stored = self._stored.get(str(earlier))
            if stored is None:
                raise Refusal(404, f"Interaction {earlier} is not found.", "not_found")
            for step in stored["steps"]:
                self._read_step(step, "steps", found)
        given = fields.get("input")
        if given is None:
            raise Wrong("input", "missing")
        if isinstance(given, str):
            found.words.append(given)
        else:
            for index, item in enumerate(items_of(given)):
                at = f"input[{index}]" if isinstance(given, list) else "input"
                kind = object_of(item, at).get("type")
                if kind in CONTENT:
                    self._read_content(item, at, found, by_user=True)
                else:
                    self._read_step(item, at, found)
        if not found.words and not found.images:
            raise Refusal(400, "The input has neither text nor an image.", "value", "input")
        return found

    def _read_step(self, step: Mapping[str, Any], at: str, found: Given) -> None:
        kind, content = step.get("type"), step.get("content")
        if not isinstance(kind, str):
            raise Wrong(f"{at}.type", "missing")
        if kind not in ("user_input", "model_output"):
            if not kind.endswith(("_call", "_result")) and kind != "thought":
                raise Wrong(f"{at}.type", "choice", kind, (*CONTENT, "user_input", "model_output", "thought"))
            return
        if not isinstance(content, list | None):
            raise Wrong(f"{at}.content", "type", content, "an array")
        for index, item in enumerate(content or ()):
            where = f"{at}.content[{index}]"
            if object_of(item, where).get("type") not in CONTENT:
                raise Wrong(f"{where}.type", "choice", item.get("type"), CONTENT)
            self._read_content(item, where, found, by_user=kind == "user_input")

    def _read_content(self, item: Mapping[str, Any], at: str, found: Given, *, by_user: bool) -> None:
        if item["type"] == "text" and by_user:
            found.words.append(str(held(f"{at}.text", item.get("text"), TextRange())))
        elif item["type"] == "text":
            held(f"{at}.text", item.get("text"), TextRange())
        elif item["type"] == "image":
            uri = item.get("uri")
            data = self._vendor.files.data(uri) if uri else self._vendor.inline(item.get("mime_type"), item.get("data"))
            if by_user:
                found.images.append(data)
            else:
                found.earlier = data


def _format(fields: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns how the image shall be; None when only other things are asked for. Raises Wrong."""
    found: Mapping[str, Any] | None = None
    formats = items_of(fields["response_format"]) if "response_format" in fields else []
    for index, given in enumerate(formats):
        at = f"response_format[{index}]" if len(formats) > 1 else "response_format"
        if object_of(given, at).get("type") != "image":
            continue
        form = present(given)
        if unknown := sorted(form.keys() - FORMAT):
            raise Wrong(f"{at}.{unknown[0]}", "unknown")
        for name, allowed in (("mime_type", MIME_TYPES), ("delivery", ("inline",))):
            if name in form and form[name] not in allowed:
                raise Wrong(f"{at}.{name}", "choice", form[name], allowed)
        found = form
    modalities = [str(word).lower() for word in items_of(fields.get("response_modalities") or [])]
    if found is None and (not formats or "image" in modalities) and (not modalities or "image" in modalities):
        older = object_of(config.get("image_config") or {}, "generation_config.image_config")
        if unknown := sorted(older.keys() - {"aspect_ratio", "image_size"}):
            raise Wrong(f"generation_config.image_config.{unknown[0]}", "unknown")
        found = older
    return found


def _interaction(model: str, words: str, data: bytes, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": "Here it is." if data else "I made no image."}]
    if data:
        content.append({"type": "image", "mime_type": kind, "data": base64.b64encode(data).decode("ascii")})
    given, made = max(1, len(words) // 4), 1290 if data else 0
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    usage = {
        **{"total_input_tokens": given, "total_output_tokens": made, "total_tokens": given + made},
        **{"total_cached_tokens": 0, "total_thought_tokens": 0, "total_tool_use_tokens": 0},
        "input_tokens_by_modality": [{"modality": "text", "tokens": given}],
        "output_tokens_by_modality": [{"modality": "image", "tokens": made}] if made else [],
    }
    about = {name: fields[name] for name in ("previous_interaction_id", "labels") if name in fields}
    return {
        **{"id": new_id("v1"), "object": "interaction", "model": model, "status": "completed", "role": "model"},
        **{"created": now, "updated": now, "usage": usage, **about},
        "outputs": [item for item in content if item["type"] == "image"],
        "steps": [{"type": "model_output", "content": content}],
    }


def _events(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the events of a streamed interaction."""
    short = {name: value[name] for name in ("id", "object", "model", "created", "updated")}
    events: list[dict[str, Any]] = [
        {"event_type": "interaction.created", "interaction": {**short, "status": "in_progress"}},
        {"event_type": "interaction.status_update", "interaction_id": value["id"], "status": "in_progress"},
    ]
    for index, step in enumerate(value["steps"]):
        events.append({"event_type": "step.start", "index": index, "step": {"type": step["type"], "content": []}})
        events += [{"event_type": "step.delta", "index": index, "delta": item} for item in step["content"]]
        events.append({"event_type": "step.stop", "index": index, "usage": value["usage"]})
    done = {**short, "status": value["status"], "usage": value["usage"]}
    events.append({"event_type": "interaction.completed", "interaction": done})
    for number, event in enumerate(events):
        yield event["event_type"], {**event, "event_id": f"{value['id']}-{number}"}
