"""ModelService: what this server can do."""

from collections.abc import Mapping
from typing import Any

import grpc

from celeste_image.core.card import LifecycleState, ModelCard
from celeste_image.core.errors import CelesteError, InvalidRequest
from celeste_image.core.request import OperationKind
from celeste_image.pipeline.route import Routes
from celeste_image.providers.base import Provider
from celeste_image.providers.registry import discover_kinds
from celeste_image.rpc.validate import check_message
from celeste_image.v1 import model_service_pb2 as pb
from celeste_image.v1 import model_service_pb2_grpc, operation_pb2
from celeste_image.wire.models import KINDS, parameter_to_proto

__all__ = ["ModelServicer"]

PAGE_BYTES = 3 << 20
DEFAULT_PAGE_SIZE = 100
Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Lists providers, models and limits."""

    def __init__(self, providers: Mapping[str, Provider], routes: Routes, info: pb.GetServerInfoResponse) -> None:
        self._providers = providers
        self._routes = routes
        self._info = info

    async def ListProviders(self, request: pb.ListProvidersRequest, context: Context) -> pb.ListProvidersResponse:
        """Lists the providers by name, and the kinds that no provider is of."""
        kinds = discover_kinds()
        found = [self._provider(name, provider, kinds) for name, provider in self._providers.items()]
        found += [
            pb.Provider(name=name, display_name=kind.title, kind=name, key_variable=getattr(kind, "key_variable", ""))
            for name, kind in kinds.items()
            if not any(provider.kind == name for provider in found)
        ]
        return pb.ListProvidersResponse(providers=sorted(found, key=lambda provider: provider.name))

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """Lists the models by id. The page token is the last id of the page before."""
        check_message(request)
        if request.page_token and request.page_token not in self._routes.cards:
            raise InvalidRequest.at("page_token", "is not one that this server gave")
        response = pb.ListModelsResponse()
        if not request.page_token:
            response.aliases.extend(
                pb.ModelAlias(name=name, models=models)
                for name, models in sorted(self._routes.aliases.items())
                if not request.operation or any(self._does(model, request.operation) for model in models)
            )
        size = 0
        for id_, card in sorted(self._routes.cards.items()):
            if id_ <= request.page_token:
                continue
            model = self._model(card, full=request.view == pb.MODEL_VIEW_FULL)
            if request.operation and request.operation not in model.operations:
                continue
            size += model.ByteSize()
            if len(response.models) == (request.page_size or DEFAULT_PAGE_SIZE) or size > PAGE_BYTES:
                response.next_page_token = response.models[-1].id
                break
            response.models.append(model)
        return response

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Returns one model with its parameters."""
        check_message(request)
        first, *_ = self._routes.models(request.model)
        return pb.GetModelResponse(model=self._model(self._routes.find(first), full=True))

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        """Returns version and limits."""
        return self._info

    def _provider(self, name: str, provider: Provider, kinds: Mapping[str, type[Any]]) -> pb.Provider:
        return pb.Provider(
            name=name,
            display_name=provider.title,
            configured=any(provider.ready(card) for card in provider.cards),
            kind=next((kind for kind, cls in kinds.items() if isinstance(provider, cls)), ""),
            key_variable=getattr(provider, "key_variable", ""),
        )

    def _does(self, model: str, operation: operation_pb2.OperationKind.ValueType) -> bool:
        return any(KINDS[kind] == operation for kind in self._routes.find(model).operations)

    def _model(self, card: ModelCard, *, full: bool) -> pb.Model:
        model = pb.Model(
            id=card.id,
            provider=card.provider,
            display_name=card.title,
            summary=card.summary,
            operations=[KINDS[kind] for kind in card.operations],
            state=self._state(card),
            default_for=[KINDS[kind] for kind in card.operations if self._is_default(card, kind)],
            license=card.license,
            source=card.source,
            checked_on=card.checked_on,
            max_count=card.max_count,
            previews=card.previews,
            lifecycle=pb.ModelLifecycle(
                ending=card.state is not LifecycleState.ACTIVE, ends_on=card.ends_on, replacement=card.replacement
            ),
            evidence=card.evidence,
        )
        if full:
            model.parameters.extend(
                parameter_to_proto(kind, parameter) for kind in card.operations for parameter in card.parameters[kind]
            )
            model.prices.extend(
                pb.PriceRule(
                    unit=price.unit,
                    amount=price.amount,
                    currency_code=price.currency,
                    condition=price.when,
                    source=price.source,
                    checked_on=price.checked_on,
                )
                for price in card.prices
            )
        return model

    def _state(self, card: ModelCard) -> pb.ModelState.ValueType:
        if card.state is LifecycleState.RETIRED:
            return pb.MODEL_STATE_RETIRED
        if self._routes.ready(card):
            return pb.MODEL_STATE_READY
        return pb.MODEL_STATE_WEIGHTS_MISSING if card.pull else pb.MODEL_STATE_CREDENTIALS_MISSING

    def _is_default(self, card: ModelCard, kind: OperationKind) -> bool:
        try:
            return self._routes.default(kind) == card.id
        except CelesteError:
            return False
