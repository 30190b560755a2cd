"""Emulates OpenAI's Responses API as far as its image tool: input of every form, events, and stored responses."""

import base64
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celeste_image.core.card import BoolRange, IntegerRange, ModelCard, TextRange
from celeste_image.core.request import OperationKind
from celeste_image.emulate.base import Answer, Asked, Refusal, Route
from celeste_image.emulate.sending import new_id
from celeste_image.emulate.values import Wrong, held, present
from celeste_image.emulate.vendors.openai_images import Drawn, OpenAIImages, Order

__all__ = ["FakeResponses"]

TOOL = "image_generation"
LANGUAGE = "gpt-5"
"""The language model of the catalog whose card other language models share."""
LANGUAGE_MODELS = re.compile(r"(gpt-(4o|4\.1|5)|o3|o4-mini)([.-][\w.-]+)?")
FIELDS = frozenset(
    {
        *("background", "context_management", "conversation", "include", "input", "instructions", "max_output_tokens"),
        *("max_tool_calls", "metadata", "model", "moderation", "parallel_tool_calls", "previous_response_id", "prompt"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier"),
        *("service_tier", "store", "stream", "stream_options", "temperature", "text", "tool_choice", "tools"),
        *("top_logprobs", "top_p", "truncation", "user", "image", "access_programs", "background_options"),
    }
)
"""Fields of openai 3.54.0's `ResponseCreateParams`."""
OF_TOOL = frozenset({"type", "action", "input_image_mask", "model"})
ROLES = ("user", "assistant", "system", "developer")
PARTS = ("input_text", "input_image", "input_file", "input_audio", "output_text", "refusal")
MOST_STORED = 200


@dataclass(slots=True)
class Given:
    """What the input of a request says: the words of the last message that has any, and the images to change."""

    words: str = ""
    images: list[bytes] = field(default_factory=list)
    earlier: bytes | None = None
    """The last image of an earlier response; it is changed when no message brings one."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A response that a client may ask for again, with its images by the ids of their calls."""

    value: Mapping[str, Any]
    given: Any
    images: dict[str, bytes] = field(repr=False)


class FakeResponses:
    """The Responses API of a fake vendor."""

    def __init__(self, vendor: OpenAIImages) -> None:
        self._vendor = vendor
        self._stored: dict[str, Stored] = {}

    def routes(self, path: str) -> Sequence[Route]:
        """Returns the routes of responses."""
        one = path + "/{response}"
        return (
            Route("POST", path, self.create),
            Route("GET", one, self.get, "poll"),
            Route("DELETE", one, self.delete, "poll"),
            Route("POST", one + "/cancel", self.cancel, "poll"),
            Route("GET", one + "/input_items", self.items, "poll"),
        )

    async def create(self, asked: Asked) -> Answer:
        """Answers with an image when the request has the image tool, else with text."""
        fields = present(asked.fields)
        if unknown := sorted(fields.keys() - FIELDS):
            raise Wrong(unknown[0], "unknown")
        model = self._vendor.model_of(asked)
        card = self._language(model)
        asked.entry.model = model
        flags = {n: held(n, fields[n], BoolRange()) for n in ("stream", "store", "background") if n in fields}
        for name, allowed in (("instructions", TextRange()), ("max_output_tokens", IntegerRange(16))):
            if name in fields:
                held(name, fields[name], allowed)
        at, tool = _tool(fields)
        given = self._read(fields)
        drawn: Drawn | None = None
        order: Order | None = None
        if tool is not None:
            order = self._order(asked, tool, at, given, card, is_stream=flags.get("stream", False))
            drawn = await self._draw(asked, order, tool, at, given)
        value, images = _response(fields, model, order, drawn)
        if flags.get("store", True):
            self._keep(Stored(value, fields.get("input"), images))
        if flags.get("stream"):
            events = list(_events(value, drawn))
            return Answer(events=events, pause=asked.behavior.latency / len(events))
        if flags.get("background"):
            return Answer({**value, "status": "queued", "output": [], "usage": None, "completed_at": None})
        return Answer(value)

    async def get(self, asked: Asked) -> Answer:
        """Returns a stored response."""
        found = self._found(asked)
        if asked.query.get("stream", "").lower() == "true":
            return Answer(events=list(_events(found.value, None)))
        return Answer(found.value)

    async def delete(self, asked: Asked) -> Answer:
        """Forgets a response."""
        id_ = self._found(asked).value["id"]
        del self._stored[id_]
        return Answer({"id": id_, "object": "response", "deleted": True})

    async def cancel(self, asked: Asked) -> Answer:
        """Refuses or ends a response in the background; those of the emulator are done at once."""
        found = self._found(asked)
        if not found.value["background"]:
            raise Refusal(400, "Cannot cancel a synchronous response.", "value")
        return Answer(found.value)

    async def items(self, asked: Asked) -> Answer:
        """Lists the input of a response."""
        given = self._found(asked).given
        if isinstance(given, str):
            given = [{"role": "user", "content": [{"type": "input_text", "text": given}]}]
        listed = [{"id": f"msg_{n}", "type": "message", "status": "completed", **item} for n, item in enumerate(given)]
        ends = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]} if listed else {}
        return Answer({"object": "list", "data": listed, "has_more": False, **ends})

    def _language(self, model: str) -> ModelCard:
        """Returns the card of a language model. Raises Refusal."""
        if LANGUAGE_MODELS.fullmatch(model) and not any(card.name_on_wire == model for card in self._vendor.cards):
            model = LANGUAGE
        card = self._vendor.card(model)
        if not LANGUAGE_MODELS.fullmatch(card.name_on_wire):
            words = f"The requested model '{model}' cannot be used with the Responses API."
            raise Refusal(400, words, "unsupported_model", "model")
        return card

    def _order(
        self, asked: Asked, tool: Mapping[str, Any], at: str, given: Given, card: ModelCard, *, is_stream: bool
    ) -> Order:
        """Returns what the image tool is asked for. Raises Refusal."""
        action = tool.get("action", "auto")
        if action not in ("generate", "edit", "auto"):
            raise Wrong(f"{at}action", "choice", action, ("generate", "edit", "auto"))
        has_image = bool(given.images or given.earlier)
        if action == "edit" and not has_image:
            raise Refusal(400, "There is no image to edit in the input", "value", f"{at}action")
        kind = OperationKind.EDIT if has_image and action != "generate" else OperationKind.GENERATE
        if (model := tool.get("model")) is not None:
            card = self._vendor.card(str(held(f"{at}model", model, TextRange())))
            if LANGUAGE_MODELS.fullmatch(card.name_on_wire):
                raise Refusal(400, f"Invalid value: '{model}' is no image model", "value", f"{at}model")
        fields = {name: value for name, value in tool.items() if name not in OF_TOOL}
        for name in ("n", "stream", "user", "safety_identifier", "prompt"):
            if name in fields:
                raise Wrong(at + name, "unknown")
        fields |= {"prompt": given.words or "an image", "stream": is_stream}
        return self._vendor.order(asked, fields, kind, card, at)

    async def _draw(self, asked: Asked, order: Order, tool: Mapping[str, Any], at: str, given: Given) -> Drawn:
        if order.kind is OperationKind.GENERATE:
            return await self._vendor.draw(asked, order)
        images = given.images or [given.earlier or b""]
        source = self._vendor.source(images[0], "input")
        mask = None
        if (about := tool.get("input_image_mask")) is not None:
            name = f"{at}input_image_mask"
            mask = self._vendor.mask(self._vendor.referred(about, name), source)
        return await self._vendor.draw(asked, order, source, mask)

    def _read(self, fields: Mapping[str, Any]) -> Given:
        """Returns what the input says: a text, or items of any type. Raises Refusal."""
        found = Given()
        if (earlier := fields.get("previous_response_id")) is not None:
            stored = self._stored.get(earlier) if isinstance(earlier, str) else None
            if stored is None:
                words = f"Previous response with id '{earlier}' not found."
                raise Refusal(400, words, "previous_response_not_found", "previous_response_id")
            found.earlier = next(reversed(stored.images.values()), None)
        given = fields.get("input")
        if given is None:
            raise Wrong("input", "missing")
        if isinstance(given, str):
            found.words = given
            return found
        if not isinstance(given, list):
            raise Wrong("input", "type", given, "a string or an array of input items")
        for index, item in enumerate(given):
            self._read_item(item, f"input[{index}]", found)
        return found

    def _read_item(self, item: Any, at: str, found: Given) -> None:
        if not isinstance(item, Mapping):
            raise Wrong(at, "type", item, "an object")
        kind = item.get("type", "message" if "role" in item else None)
        if kind == f"{TOOL}_call":
            known, result = self._made(item), item.get("result")
            found.earlier = self._vendor.fetched(f"data:;base64,{result}", f"{at}.result") if result else known
            if found.earlier is None:
                raise Refusal(404, f"Item with id '{item.get('id')}' not found.", "not_found", "input")
            return
        if kind == "item_reference":
            found.earlier = self._made(item) or found.earlier
            return
        if not isinstance(kind, str):
            raise Wrong(f"{at}.type", "missing")
        if kind != "message":
            return  # the results of other tools, reasoning and the like say nothing about an image
        role, content = item.get("role"), item.get("content")
        if role not in ROLES:
            raise Wrong(f"{at}.role", "choice", role, ROLES)
        if content is None:
            raise Wrong(f"{at}.content", "missing")
        if isinstance(content, str):
            content = [{"type": "input_text", "text": content}]
        if not isinstance(content, list):
            raise Wrong(f"{at}.content", "type", content, "a string or an array of content parts")
        words, images = [], []
        for index, part in enumerate(content):
            where = f"{at}.content[{index}]"
            if not isinstance(part, Mapping):
                raise Wrong(where, "type", part, "an object")
            if part.get("type") not in PARTS:
                raise Wrong(f"{where}.type", "choice", part.get("type"), PARTS)
            if part["type"] in ("input_text", "output_text"):
                words.append(str(held(f"{where}.text", part.get("text"), TextRange())))
            elif part["type"] == "input_image":
                about = {name: part[name] for name in ("image_url", "file_id") if part.get(name) is not None}
                images.append(self._vendor.referred(about, where))
        if role == "user":
            found.words = " ".join(words) or found.words
            found.images = images or found.images

    def _made(self, item: Mapping[str, Any]) -> bytes | None:
        """Returns the image of an earlier call by its id; None for an unknown one."""
        id_ = str(item.get("id"))
        return next((stored.images[id_] for stored in self._stored.values() if id_ in stored.images), None)

    def _keep(self, stored: Stored) -> None:
        self._stored[stored.value["id"]] = stored
        if len(self._stored) > MOST_STORED:
            del self._stored[next(iter(self._stored))]

    def _found(self, asked: Asked) -> Stored:
        id_ = asked.params["response"]
        if (found := self._stored.get(id_)) is None:
            raise Refusal(404, f"Response with id '{id_}' not found.", "response_not_found", "response_id")
        return found


def _tool(fields: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
    """Returns where the image tool is, and the tool; None without one or when it may not be used. Raises Refusal."""
    tools, choice = fields.get("tools", []), fields.get("tool_choice", "auto")
    if not isinstance(tools, list):
        raise Wrong("tools", "type", tools, "an array")
    found: tuple[str, Mapping[str, Any] | None] = ("", None)
    for index, tool in enumerate(tools):
        if not isinstance(tool, Mapping):
            raise Wrong(f"tools[{index}]", "type", tool, "an object")
        if not isinstance(tool.get("type"), str):
            raise Wrong(f"tools[{index}].type", "missing")
        if tool["type"] == TOOL and found[1] is None:
            found = f"tools[{index}].", present(tool)
    if isinstance(choice, Mapping):
        if choice.get("type") == TOOL and found[1] is None:
            raise Refusal(400, f"Tool choice '{TOOL}' not found in 'tools' parameter.", "value", "tool_choice")
        return found if choice.get("type") in (TOOL, "allowed_tools") else ("", None)
    if choice not in ("auto", "none", "required"):
        raise Wrong("tool_choice", "choice", choice, ("none", "auto", "required"))
    return ("", None) if choice == "none" else found


def _response(
    fields: Mapping[str, Any], model: str, order: Order | None, drawn: Drawn | None
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Returns a response and its images by the ids of their calls."""
    now, output, images = int(time.time()), list[dict[str, Any]](), dict[str, bytes]()
    for data in drawn.files if drawn else ():
        call = {"type": f"{TOOL}_call", "id": new_id("ig"), "status": "completed"}
        assert drawn and order
        about = {"action": order.kind.value, "revised_prompt": order.prompt, **drawn.about}
        output.append({**call, "result": base64.b64encode(data).decode("ascii"), **about})
        images[call["id"]] = data
    words = "Here is the image." if images else "I made no image."
    text = {"type": "output_text", "text": words, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": new_id("msg"), "status": "completed", "role": "assistant", "content": [text]}
    output.append(message)
    given, made = 50, len(words) // 4
    usage = {
        **{"input_tokens": given, "output_tokens": made, "total_tokens": given + made},
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    echoed = ("instructions", "max_output_tokens", "metadata", "previous_response_id", "temperature", "top_p", "user")
    value = {
        **{"id": new_id("resp"), "object": "response", "created_at": now, "completed_at": now, "status": "completed"},
        **{"error": None, "incomplete_details": None, "model": model, "output": output, "usage": usage},
        **{name: fields.get(name) for name in echoed},
        **{"parallel_tool_calls": fields.get("parallel_tool_calls", True), "store": fields.get("store", True)},
        **{"tool_choice": fields.get("tool_choice", "auto"), "tools": fields.get("tools", [])},
        **{"background": fields.get("background", False), "truncation": fields.get("truncation", "disabled")},
        **{"reasoning": {"effort": None, "summary": None}, "text": {"format": {"type": "text"}}},
        **({"tool_usage": {"image_gen": drawn.usage, "web_search": {"num_requests": 0}}} if drawn else {}),
    }
    value["metadata"] = value["metadata"] or {}
    return value, images


def _events(value: Mapping[str, Any], drawn: Drawn | None) -> Iterator[tuple[str, Any]]:
    """Yields the events of a streamed response, numbered."""
    for number, (name, fields) in enumerate(_unnumbered(value, drawn)):
        yield name, {"type": name, "sequence_number": number, **fields}


def _unnumbered(value: Mapping[str, Any], drawn: Drawn | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    response = {**value, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    yield "response.created", {"response": response}
    yield "response.in_progress", {"response": response}
    for index, item in enumerate(value["output"]):
        at: dict[str, Any] = {"output_index": index, "item_id": item["id"]}
        if item["type"] == f"{TOOL}_call":
            yield from _calling(item, at, drawn)
            continue
        (part,) = item["content"]
        yield (
            "response.output_item.added",
            {"output_index": index, "item": {**item, "content": [], "status": "in_progress"}},
        )
        at |= {"content_index": 0}
        yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
        yield "response.output_text.delta", {**at, "delta": part["text"], "logprobs": []}
        yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}
        yield "response.content_part.done", {**at, "part": part}
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield "response.completed", {"response": value}


def _calling(item: Mapping[str, Any], at: Mapping[str, Any], drawn: Drawn | None) -> Iterator[tuple[str, Any]]:
    """Yields the events of a call of the image tool."""
    call, index = f"response.{TOOL}_call", at["output_index"]
    begun = {"type": item["type"], "id": item["id"], "status": "in_progress", "result": None}
    yield "response.output_item.added", {"output_index": index, "item": begun}
    yield f"{call}.in_progress", at
    yield f"{call}.generating", at
    for number, look in enumerate(drawn.previews if drawn else ()):
        assert drawn
        text = base64.b64encode(look).decode("ascii")
        yield f"{call}.partial_image", {**at, "partial_image_index": number, "partial_image_b64": text, **drawn.about}
    yield f"{call}.completed", at
    yield "response.output_item.done", {"output_index": index, "item": item}
