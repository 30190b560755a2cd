"""What the server says of itself."""

from decimal import Decimal

import grpc
import pytest
from tests.support.servers import Running, running

from celeste_image.client import AsyncClient
from celeste_image.core.errors import RequestTooLarge
from celeste_image.v1 import ListModelsRequest, ListProvidersRequest, ModelServiceStub, operation_pb2
from celeste_image.v1 import model_service_pb2 as pb
from celeste_image.wire.models import KINDS
from celeste_image.wire.values import enum_word

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_providers(channel: grpc.aio.Channel) -> None:
    providers = (await ModelServiceStub(channel).ListProviders(ListProvidersRequest())).providers
    configured = {provider.name: provider.configured for provider in providers}
    assert configured["local"]
    assert {"openai", "gemini", "stability", "bfl"} <= configured.keys()
    kinds = {provider.kind for provider in providers if provider.kind == provider.name}
    assert kinds == {"azure_openai", "compatible", "kserve"} and not any(configured[kind] for kind in kinds)
    variables = {provider.name: provider.key_variable for provider in providers}
    assert (variables["openai"], variables["azure_openai"], variables["local"]) == (
        "OPENAI_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "",
    )


async def test_a_kind_that_is_configured_is_listed_by_its_providers() -> None:
    table = {"kind": "compatible", "base_url": "http://127.0.0.1:9/v1", "allow_private": True, "models": [{"id": "a"}]}
    async with running(providers={"studio": table}) as server, AsyncClient(server.address) as client:
        listed = {provider.name: (provider.kind, provider.configured) for provider in await client.providers()}
    assert listed["studio"] == ("compatible", True)
    assert "compatible" not in listed and "azure_openai" in listed


async def test_everything_that_the_catalog_says_is_served(server: Running) -> None:
    async with AsyncClient(server.address) as client:
        models = {model.id: model async for model in client.models(full=True)}
        assert await client.model("openai/gpt-image-2") == models["openai/gpt-image-2"]
    assert models["stability/core"].refusal_charge == pb.REFUSAL_CHARGE_FREE
    for provider in server.app.registry.providers.values():
        for card in provider.cards:
            model = models[card.id]
            assert [(p.operation, p.path) for p in model.parameters] == [
                (KINDS[kind], p.path) for kind, parameters in card.parameters.items() for p in parameters
            ]
            assert [
                (Decimal(p.price.nanos) / 10**9, p.price.currency_code, p.unit, p.per, p.condition, p.source)
                for p in model.prices
            ] == [(Decimal(p.amount), p.currency, p.unit, p.per, p.when, p.source) for p in card.prices]
            assert (model.lifecycle.ends_on, model.lifecycle.replacement) == (card.ends_on, card.replacement)
            assert (model.checked_on, model.source) == (card.checked_on, card.source)
            assert enum_word(pb.ModelEvidence, model.evidence) == card.evidence
            assert enum_word(pb.ModelStage, model.lifecycle.stage) == card.stage
            assert tuple(model.edits) == card.edits
            assert enum_word(pb.RefusalCharge, model.refusal_charge).replace("unspecified", "unknown") == (
                card.refusal_charge
            )
            assert (model.display_name, model.max_count, model.sends_previews) == (
                card.title,
                card.max_count,
                card.previews,
            )


async def test_pages_hold_every_model_once(channel: grpc.aio.Channel) -> None:
    stub = ModelServiceStub(channel)
    everything = [model.id for model in (await stub.ListModels(ListModelsRequest())).models]
    assert everything == sorted(everything)
    paged, token = [], ""
    while True:
        page = await stub.ListModels(ListModelsRequest(page_size=2, page_token=token))
        assert 1 <= len(page.models) <= 2
        paged += [model.id for model in page.models]
        token = page.next_page_token
        if not token:
            break
    assert paged == everything


async def test_a_filter_and_the_views(channel: grpc.aio.Channel) -> None:
    stub = ModelServiceStub(channel)
    basic = await stub.ListModels(ListModelsRequest(operation=operation_pb2.OPERATION_KIND_UPSCALE))
    local = {model.id for model in basic.models if model.id.startswith("local/")}
    assert local == {"local/lanczos", "local/realesrgan-animevideov3", "local/realesrgan-x4plus"}
    assert not any(model.parameters for model in basic.models)
    upscale = operation_pb2.OPERATION_KIND_UPSCALE
    full = await stub.ListModels(ListModelsRequest(view=pb.MODEL_VIEW_FULL, operation=upscale))
    assert all(model.parameters for model in full.models)
    one = (await stub.GetModel(pb.GetModelRequest(model="local/lanczos"))).model
    assert one in full.models


async def test_the_default_is_the_first_that_is_ready(
    channel: grpc.aio.Channel, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def default(models: pb.ListModelsResponse) -> list[str]:
        return [model.id for model in models.models if operation_pb2.OPERATION_KIND_UPSCALE in model.default_for]

    assert default(await ModelServiceStub(channel).ListModels(ListModelsRequest())) == ["local/realesrgan-animevideov3"]
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path))
    models = await ModelServiceStub(channel).ListModels(ListModelsRequest())
    assert default(models) == ["local/lanczos"]
    (missing,) = [model for model in models.models if model.id == "local/realesrgan-animevideov3"]
    assert missing.state == pb.MODEL_STATE_WEIGHTS_MISSING


async def test_limits_are_those_of_the_configuration() -> None:
    async with running(server={"request_bytes": 1 << 20}) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            info = await ModelServiceStub(channel).GetServerInfo(pb.GetServerInfoRequest())
            assert info.version
            assert info.limits.request_bytes == 1 << 20
            assert info.limits.image_pixels == 40_000_000
        async with AsyncClient(server.address) as client:
            with pytest.raises(RequestTooLarge):
                await client.analyze(b"x" * (1 << 20))


async def test_defaults_are_the_operators(server: Running) -> None:
    async with running(defaults={"upscale": ["local/lanczos"]}) as other:
        async with grpc.aio.insecure_channel(other.address) as channel:
            model = (await ModelServiceStub(channel).GetModel(pb.GetModelRequest(model="local/lanczos"))).model
    assert list(model.default_for) == [operation_pb2.OPERATION_KIND_UPSCALE]


async def test_aliases_are_listed_and_stand_for_their_first_model() -> None:
    draft, sharp = ["local/compose", "openai/gpt-image-2"], ["local/lanczos"]
    async with running(aliases={"sharp": sharp, "draft": draft}) as server:
        async with AsyncClient(server.address) as client:
            assert await client.aliases() == {"draft": tuple(draft), "sharp": tuple(sharp)}
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = ModelServiceStub(channel)
            first = await stub.ListModels(ListModelsRequest(page_size=1))
            second = await stub.ListModels(ListModelsRequest(page_size=1, page_token=first.next_page_token))
            upscale = await stub.ListModels(ListModelsRequest(operation=operation_pb2.OPERATION_KIND_UPSCALE))
            model = (await stub.GetModel(pb.GetModelRequest(model="draft"))).model
    assert [alias.name for alias in first.aliases] == ["draft", "sharp"]
    assert not second.aliases
    assert [alias.name for alias in upscale.aliases] == ["sharp"]
    assert model.id == "local/compose"
