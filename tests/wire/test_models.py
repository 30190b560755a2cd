"""Models: every parameter that a card has gets over the wire and back."""

import pytest
from tests.support.recording_evidence import cards

from celeste_image.core.card import ModelCard
from celeste_image.providers.registry import build_providers
from celeste_image.v1 import model_service_pb2 as pb
from celeste_image.wire.models import parameter_from_proto, parameter_to_proto

CARDS = [*cards().values(), *build_providers({})["local"].cards]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_parameters_come_back_as_they_went(card: ModelCard) -> None:
    for kind, parameters in card.parameters.items():
        for parameter in parameters:
            assert parameter_from_proto(parameter_to_proto(kind, parameter)) == parameter


def test_a_kind_that_is_newer_than_the_client_is_text() -> None:
    assert parameter_from_proto(pb.Parameter(path="x", title="X")).path == "x"
