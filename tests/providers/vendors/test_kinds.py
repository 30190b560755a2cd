"""Kinds: providers that exist by configuration alone, from the file to the HTTP request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from celeste_image.app import App, build_app
from celeste_image.config import Settings
from celeste_image.core.call import Call, Candidate
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Event
from celeste_image.core.request import Generate, OperationKind, RequestOptions
from celeste_image.providers.registry import discover, discover_kinds

STUDIO: dict[str, Any] = {
    "kind": "compatible",
    "base_url": "http://127.0.0.1:9/v1",
    "allow_private": True,
    "models": [{"id": "qwen-image", "seed": True, "edits": ["instruct", "inpaint"], "options": ["guidance_scale"]}],
}
AZURE: dict[str, Any] = {
    "base_url": "https://one.openai.azure.com",
    "key": "0" * 32,
    "models": [{"id": "pictures", "model": "gpt-image-2"}],
}


@asynccontextmanager
async def app_of(**providers: dict[str, Any]) -> AsyncIterator[App]:
    app = build_app(Settings(store={"url": "memory:///", "reserve_bytes": 0}, providers=providers))  # type: ignore[arg-type]
    try:
        yield app
    finally:
        await app.close()


def refusal(**providers: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match="providers") as caught:
        build_app(Settings(store={"url": "memory:///"}, providers=providers))  # type: ignore[arg-type]
    return str(caught.value)


def test_kinds_are_no_providers_by_themselves() -> None:
    assert {"azure_openai", "compatible"} <= discover_kinds().keys()
    assert not discover_kinds().keys() & discover().keys()


async def test_a_server_of_ones_own_is_a_table() -> None:
    async with app_of(studio=STUDIO, second={**STUDIO, "models": [{"id": "a/b:c"}]}) as app:
        card = app.registry.find("studio/qwen-image")
        assert card.operations == (OperationKind.GENERATE, OperationKind.EDIT)
        assert app.registry.ready(card), "such servers need no key"
        assert card.parameter(OperationKind.GENERATE, 'options.provider_options["studio"].guidance_scale')
        assert app.registry.find("second/a/b:c").name_on_wire == "a/b:c"
        assert app.registry.find("second/a/b:c").operations == (OperationKind.GENERATE,)
        given = {"studio": {"guidance_scale": 3.5}}
        request = Generate(model=card.id, prompt="a boat", seed=7, options=RequestOptions(provider_options=given))
        events: list[Event] = []
        with pytest.raises(CelesteError) as caught:
            async for event in app.registry.providers["studio"].run(request, Candidate(Call("0" * 8), card)):
                events.append(event)
        assert caught.value.reason == "PROVIDER_UNAVAILABLE", "nobody listens at port 9, and nothing was sent"
        assert caught.value.message.startswith("studio: ")


async def test_each_resource_of_azure_is_a_table() -> None:
    west = {**AZURE, "kind": "azure_openai", "base_url": "https://two.openai.azure.com"}
    async with app_of(azure_openai=AZURE, azure_west=west) as app:
        one, two = (app.registry.find(f"{name}/pictures") for name in ("azure_openai", "azure_west"))
        known = app.registry.find("openai/gpt-image-2")
        assert one.max_count == two.max_count == known.max_count
        assert not one.prices, "Microsoft has its own"
        assert two.parameter(OperationKind.GENERATE, 'options.provider_options["azure_west"].moderation')
        assert app.registry.ready(one)


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        ({"nobody": {}}, "providers.nobody: there is no such provider; the providers are "),
        (
            {"studio": {**STUDIO, "kind": "incompatible"}},
            "there is no kind 'incompatible'; the kinds are azure_openai, ",
        ),
        ({"local": {"kind": "compatible"}}, "providers.local: is a provider of its own"),
        ({"studio": {**STUDIO, "base_url": ""}}, "providers.studio.base_url: "),
        ({"studio": {**STUDIO, "models": []}}, "providers.studio.models: "),
        ({"studio": {**STUDIO, "models": [{"id": "a"}, {"id": "a"}]}}, "two models have the same id"),
        (
            {"studio": {**STUDIO, "models": [{"id": "a", "options": ["x"]}]}},
            "unknown option x; the options are moderation",
        ),
        ({"studio": {**STUDIO, "models": [{"id": "a", "sizes": ["big"]}]}}, "'big' is not a size"),
        ({"studio": {**STUDIO, "models": [{"id": "a", "generates": False}]}}, "must generate or edit"),
        ({"studio": {**STUDIO, "sise": 1}}, "providers.studio.sise: "),
        ({"azure_openai": {**AZURE, "models": [{"id": "a", "model": "gpt-7"}]}}, "'gpt-7' is not a model"),
    ],
)
def test_what_is_wrong_is_said(tables: dict[str, dict[str, Any]], text: str) -> None:
    assert text in refusal(**tables)


def test_a_refusal_does_not_tell_the_key() -> None:
    assert "canary" not in refusal(azure_openai={**AZURE, "key": "sk-canary", "key_file": "/tmp/x"})
