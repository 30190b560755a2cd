"""OpenAI: GPT image models with the Image API, and language models with the image tool of the Responses API."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

from celeste_image.core.call import Call
from celeste_image.core.card import ModelCard
from celeste_image.core.request import Edit, Generate
from celeste_image.providers.catalog import load_cards, load_title
from celeste_image.providers.families.openai_like import OpenAILike, Order
from celeste_image.providers.kit import Answer, Options, at

__all__ = ["PROVIDER", "OpenAI", "OpenAIOptions"]

TOOL = "image_generation"
DRAW_BY_TOOL = frozenset({"gpt-5"})
"""Models that are called with the Responses API. OpenAI chooses the image model."""


class OpenAIOptions(Options):
    """Options of the GPT image models; unset means the model's default. A card has the options that its model reads."""

    moderation: Literal["low", "auto"] | None = None
    input_fidelity: Literal["low", "high"] | None = None


class OpenAI(OpenAILike):
    """The OpenAI API, which is the default profile of the family."""

    name = "openai"
    title = load_title("openai")
    cards = load_cards("openai")
    Options = OpenAIOptions
    base_url = "https://api.openai.com/v1"
    key_variable = "OPENAI_API_KEY"
    key_form = r"sk-[\w-]{20,}"
    key_path = "models"

    async def _answers(
        self, request: Generate | Edit, order: Order, card: ModelCard, previews: int, call: Call
    ) -> AsyncGenerator[Answer, None]:
        if card.called_like in DRAW_BY_TOOL:
            yield await self._drawn_by_tool(request, order, card, call)
            return
        async with aclosing(super()._answers(request, order, card, previews, call)) as answers:
            async for answer in answers:
                yield answer

    async def _drawn_by_tool(self, request: Generate | Edit, order: Order, card: ModelCard, call: Call) -> Answer:
        """Calls the Responses API and returns what its answer says. Raises ExchangeFailed and CelesteError."""
        fields = self._fields(request, order, card, 0)
        tool = {name: value for name, value in fields.items() if name not in ("model", "prompt", "n")}
        given: Any = order.prompt
        if order.files:
            words = {"type": "input_text", "text": order.prompt}
            urls = [f"data:{kind};base64,{base64.b64encode(data).decode()}" for _, (_, data, kind) in order.files]
            given = [{"role": "user", "content": [words, *({"type": "input_image", "image_url": url} for url in urls)]}]
        body = {"model": card.name_on_wire, "input": given, "tools": [{"type": TOOL, **tool}]}
        sent = self.http.request("POST", f"{self.url}/responses", secrets=self.secrets, json=body)
        reply = await self.http.send(sent, deadline=call.deadline)
        if reply.status >= 300:
            raise self.error(reply)
        value = reply.json()
        output = at(value, "output")
        output = output if isinstance(output, list) else []
        answer = self.answer_in(reply, value)
        drawn = [item for item in output if at(item, "type") == f"{TOOL}_call"]
        words_said = self.said(" ".join(str(at(item, "content", 0, "text") or "") for item in output))
        return replace(answer, found=tuple(self.found_in(reply, item) for item in drawn), words=words_said)


PROVIDER = OpenAI
