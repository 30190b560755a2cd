"""The image tool of OpenAI's Responses API, with which a language model draws; the same at OpenAI and Azure.

Source: openai 3.54.0, `types/responses/`, read 2026-11-30.
"""

import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from celeste_image.core.errors import CelesteError, ProviderFailed
from celeste_image.core.money import quantities
from celeste_image.outbound.exchange import ExchangeFailed, Reply, Stage, Streamed
from celeste_image.providers.kit.answers import at
from celeste_image.providers.kit.failures import Failure
from celeste_image.providers.kit.images import Answer, billed_in, facts_in
from celeste_image.providers.kit.sse import json_values_of
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["answers_to", "body_for"]

TOOL: Final = "image_generation"
CALL: Final = f"{TOOL}_call"
OUTSIDE: Final = ("model", "prompt", "n", "stream", "safety_identifier", "user", "tool_choice", "image_model")
"""Fields that are not the tool's."""
ENDS: Final = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")

Part = tuple[str, tuple[str, bytes, str]]


def body_for(fields: Mapping[str, Any], prompt: str, files: Sequence[Part], *, store: bool) -> dict[str, Any]:
    """Returns the body of a request that makes one image.

    The tool is forced, unless `tool_choice` says otherwise: without it, the model may answer with text alone.

    Args:
        fields: The fields of the Image API.
        prompt: The prompt.
        files: The images, and the mask under the name `mask`.
        store: Whether the vendor may keep the answer.
    """
    tool = {name: value for name, value in fields.items() if name not in OUTSIDE}
    if "image_model" in fields:
        tool["model"] = fields["image_model"]
    content: list[dict[str, Any]] = [{"type": "input_text", "text": prompt}]
    for name, (_, data, kind) in files:
        url = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
        if name == "mask":
            tool["input_image_mask"] = {"image_url": url}
        else:
            content.append({"type": "input_image", "image_url": url})
    choice = fields.get("tool_choice", TOOL)
    body = {
        "model": fields["model"],
        "input": [{"role": "user", "content": content}] if files else prompt,
        "tools": [{"type": TOOL, **tool}],
        "tool_choice": {"type": TOOL} if choice == TOOL else choice,
        "store": store,
    }
    return body | {name: fields[name] for name in ("stream", "safety_identifier") if name in fields}


async def answers_to(vendor: Vendor, answer: Streamed, image_model: str = "") -> AsyncGenerator[Answer, None]:
    """Yields what an answer with a status below 300 says: previews, then all else at once, since usage comes last.

    Args:
        vendor: The vendor.
        answer: The answer, which was not read yet.
        image_model: Id of the model that draws, which has a meter of its own; empty if it is unknown.

    Raises:
        ExchangeFailed: The answer was cut off. The images that are complete are yielded before.
    """
    items: list[Any] = []
    failure: ExchangeFailed | None = None
    async with aclosing(json_values_of(answer, _matters)) as values:
        try:
            async for kind, value in values:
                if kind.endswith(".partial_image"):
                    preview = at(value, "partial_image_b64")
                    yield Answer(preview=preview if isinstance(preview, str | bytes) else "")
                elif kind == "response.output_item.done":
                    items.append(at(value, "item"))
                elif kind == "error" and not items:
                    told = vendor.answer_in(answer.head, value if at(value, "error") else {"error": value})
                    yield replace(told, found=())
                    return
                elif kind in ENDS or not kind or at(value, "object") == "response":
                    whole = at(value, "response") if kind in ENDS else value
                    yield _read(vendor, answer.head, whole, items, image_model)
                    return
        except ExchangeFailed as error:
            failure = error
    if items:
        yield _read(vendor, answer.head, {}, items, image_model)
    raise failure or ExchangeFailed("the stream ended before the image arrived", Stage.ANSWERED, answer.head.status)


def _read(vendor: Vendor, head: Reply, value: Any, items: Sequence[Any], image_model: str) -> Answer:
    """Returns what a response says; `items` are the items of its stream, for a response without them."""
    output = at(value, "output")
    output = output if isinstance(output, list) and output else items
    drawn = [item for item in output if at(item, "type") == CALL]
    found = tuple(vendor.found_in(head, item) for item in drawn)
    words = vendor.said(" ".join(_texts(output)))
    tool, model = billed_in(at(value, "tool_usage", "image_gen"), images_only=True), billed_in(at(value, "usage"))
    return Answer(
        found,
        _error(vendor, head, value, output, words),
        (*quantities(tool, image_model), *quantities(model)),
        facts_in(drawn[0]) if len(drawn) == 1 else {},
        words,
    )


def _error(vendor: Vendor, head: Reply, value: Any, output: Sequence[Any], words: str) -> CelesteError | None:
    """Returns the failure of a response: its error, the reason why it is incomplete, a refusal, or text instead."""
    if isinstance(value, dict) and (error := vendor.answer_in(head, {"error": value.get("error")}).error):
        return error
    if isinstance(reason := at(value, "incomplete_details", "reason"), str):
        return vendor.failed(head, Failure(words or f"the answer is incomplete ({reason})", (reason,)))
    refusals = [part for item in output for part in _parts(item) if at(part, "type") == "refusal"]
    if refusals:
        text = at(refusals[0], "refusal")
        return vendor.failed(head, Failure(text if isinstance(text, str) else words, ("refusal",)), "prompt")
    if words and not any(at(item, "type") == CALL for item in output):
        text = f"{vendor.name}: the model made no image: {words}"
        return ProviderFailed(text, metadata={"provider": vendor.name})
    return None


def _parts(item: Any) -> Sequence[Any]:
    content = at(item, "content")
    return content if isinstance(content, list) else ()


def _texts(output: Sequence[Any]) -> Sequence[str]:
    parts = [part for item in output for part in _parts(item)]
    found = [at(part, "text") or at(part, "refusal") for part in parts]
    return [text for text in found if isinstance(text, str)]


def _matters(event: str) -> bool:
    return event in (*ENDS, "error", "response.output_item.done") or event.endswith(".partial_image")
