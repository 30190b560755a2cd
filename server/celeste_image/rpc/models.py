"""ModelService: lists providers, models and limits."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from celeste_image.core.card import ModelCard, ModelStage
from celeste_image.providers.base import Provider
from celeste_image.providers.registry import Registry, discover_kinds
from celeste_image.rpc.identity import caller
from celeste_image.rpc.pages import PAGE_BYTES, next_page_token, page_size, page_start
from celeste_image.rpc.validate import check_strictly
from celeste_image.v1 import model_service_pb2 as pb
from celeste_image.v1 import model_service_pb2_grpc
from celeste_image.wire.models import KINDS, model_to_proto

__all__ = ["ModelServicer"]

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Lists providers, models and limits."""

    def __init__(self, registry: Registry, info: pb.GetServerInfoResponse) -> None:
        self._registry = registry
        self._info = info

    async def ListProviders(self, request: pb.ListProvidersRequest, context: Context) -> pb.ListProvidersResponse:
        """Lists the providers by name, and the kinds without a configured provider."""
        check_strictly(request)
        tenant = caller.get().tenant
        start = page_start(request, tenant)
        found = [provider for provider in self._listed() if provider.name > start]
        page, rest = found[: page_size(request)], found[page_size(request) :]
        token = next_page_token(request, tenant, page[-1].name) if rest else ""
        return pb.ListProvidersResponse(providers=page, next_page_token=token)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """Lists the models by id, up to a number and a size of the page."""
        check_strictly(request)
        tenant = caller.get().tenant
        start = page_start(request, tenant)
        response = pb.ListModelsResponse()
        if not start:
            response.aliases.extend(
                pb.ModelAlias(name=name, models=models)
                for name, models in sorted(self._registry.aliases.items())
                if any(self._matches(self._registry.find(model), request) for model in models)
            )
        size = 0
        for id_, card in sorted(self._registry.cards.items()):
            if id_ <= start or not self._matches(card, request):
                continue
            model = self._model(card, full=request.view == pb.MODEL_VIEW_FULL)
            size += model.ByteSize()
            if len(response.models) == page_size(request) or (size > PAGE_BYTES and response.models):
                response.next_page_token = next_page_token(request, tenant, response.models[-1].id)
                break
            response.models.append(model)
        return response

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Returns one model with its parameters."""
        check_strictly(request)
        first, *_ = self._registry.named(request.model)
        return pb.GetModelResponse(model=self._model(first, full=True))

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        """Returns version and limits."""
        check_strictly(request)
        return self._info

    def _listed(self) -> Sequence[pb.Provider]:
        """Returns the providers and the kinds without a configured provider, by name."""
        kinds = discover_kinds()
        found = [self._provider(name, provider, kinds) for name, provider in self._registry.providers.items()]
        found += [
            pb.Provider(name=name, display_name=kind.title, kind=name, key_variable=getattr(kind, "key_variable", ""))
            for name, kind in kinds.items()
            if not any(provider.kind == name for provider in found)
        ]
        return sorted(found, key=lambda provider: provider.name)

    def _provider(self, name: str, provider: Provider, kinds: Mapping[str, type[Any]]) -> pb.Provider:
        return pb.Provider(
            name=name,
            display_name=provider.title,
            configured=self._registry.configured(name),
            kind=next((kind for kind, cls in kinds.items() if isinstance(provider, cls)), ""),
            key_variable=getattr(provider, "key_variable", ""),
        )

    def _matches(self, card: ModelCard, request: pb.ListModelsRequest) -> bool:
        """Returns whether a model passes the filters of a request."""
        does = not request.operation or any(KINDS[kind] == request.operation for kind in card.operations)
        return does and (not request.edit or request.edit in card.edits)

    def _model(self, card: ModelCard, *, full: bool) -> pb.Model:
        default_for = [kind for kind in card.operations if self._registry.default(kind) == card]
        return model_to_proto(card, self._state(card), default_for, full=full)

    def _state(self, card: ModelCard) -> pb.ModelState.ValueType:
        if card.stage is ModelStage.RETIRED:
            return pb.MODEL_STATE_RETIRED
        if self._registry.ready(card):
            return pb.MODEL_STATE_READY
        return pb.MODEL_STATE_WEIGHTS_MISSING if card.pull else pb.MODEL_STATE_CREDENTIALS_MISSING
