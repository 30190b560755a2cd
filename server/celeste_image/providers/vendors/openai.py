"""OpenAI: GPT image models with the Image API, and language models with the image tool of the Responses API."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

import orjson

from celeste_image.core.call import Call
from celeste_image.core.card import ModelCard
from celeste_image.core.errors import ProviderFailed
from celeste_image.core.request import Edit, Generate
from celeste_image.providers.catalog import load_cards, load_title
from celeste_image.providers.families.openai_errors import openai_error
from celeste_image.providers.families.openai_like import OpenAILike, Order
from celeste_image.providers.kit import ExchangeFailed, Options, at, error_for_failure

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
    ) -> AsyncGenerator[tuple[bool, Any], None]:
        if card.called_like in DRAW_BY_TOOL:
            yield True, await self._drawn_by_tool(request, order, card, call)
            return
        async with aclosing(super()._answers(request, order, card, previews, call)) as answers:
            async for answer in answers:
                yield answer

    async def _drawn_by_tool(self, request: Generate | Edit, order: Order, card: ModelCard, call: Call) -> Any:
        """Calls the Responses API and returns the image in its answer, as an item of the Image API.

        Raises:
            ProviderFailed: The model answered with text instead of an image; the message has the text.
            CelesteError: The request was refused, or its outcome is unknown.
        """
        fields = self._fields(request, order, card, 0)
        tool = {name: value for name, value in fields.items() if name not in ("model", "prompt", "n")}
        given: Any = order.prompt
        if order.files:
            words = {"type": "input_text", "text": order.prompt}
            urls = [f"data:{kind};base64,{base64.b64encode(data).decode()}" for _, (_, data, kind) in order.files]
            given = [{"role": "user", "content": [words, *({"type": "input_image", "image_url": url} for url in urls)]}]
        body = {"model": card.name_on_wire, "input": given, "tools": [{"type": TOOL, **tool}]}
        try:
            sent = self.http.request("POST", f"{self.url}/responses", secrets=self.secrets, json=body)
            reply = await self.http.send(sent, deadline=call.deadline)
            if reply.status != 200:
                raise self.error(reply)
            answer = reply.json()
        except ExchangeFailed as error:
            raise error_for_failure(self.name, error) from error
        output = at(answer, "output")
        output = output if isinstance(output, list) else []
        drawn = next((item for item in output if at(item, "type") == f"{TOOL}_call"), None)
        if wrong := at(answer, "error") or at(drawn, "error"):
            reply = replace(reply, body=orjson.dumps({"error": wrong}))
            raise openai_error(self.name, reply, self.said, streamed=True)
        if drawn is not None:
            return {"b64_json": at(drawn, "result"), "revised_prompt": at(drawn, "revised_prompt")}
        words_said = self.said(" ".join(str(at(item, "content", 0, "text") or "") for item in output))
        raise ProviderFailed(f"{self.name}: the model made no image: {words_said}", metadata={"provider": self.name})


PROVIDER = OpenAI
