"""The key of a cached result: all that the result depends on."""

from dataclasses import replace
from typing import Any

from tests.support.fake_provider import PAINTER, PLAIN

from celeste_image.config import SafetySettings
from celeste_image.core.card import ModelCard
from celeste_image.core.request import Generate, ImageRequest, RequestOptions
from celeste_image.pipeline.cache_key import cache_key, policy_hash
from celeste_image.pipeline.metadata import MetadataDefaults

REQUEST = Generate(prompt="a fox", model="fake/one")


def key(request: ImageRequest = REQUEST, tenant: str = "ann", cards: tuple[ModelCard, ...] = (PAINTER,)) -> bytes:
    return cache_key(tenant, request, cards, b"policy")


def test_the_key_depends_on_all_that_a_result_depends_on() -> None:
    keys = [
        key(),
        key(tenant="ben"),
        key(replace(REQUEST, prompt="a dog")),
        key(cards=(PLAIN,)),
        key(cards=(PAINTER, PLAIN)),
        key(cards=(PLAIN, PAINTER)),
        key(cards=(replace(PAINTER, checked_on="2026-12-01"),)),
        key(cards=(replace(PAINTER, wire_id="painter-2"),)),
        cache_key("ann", REQUEST, (PAINTER,), b"another policy"),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(each) for each in keys} == {32}
    assert key() == key(replace(REQUEST, options=RequestOptions(labels={"a": "b"})))


def test_the_policy_is_the_safety_settings_and_the_metadata() -> None:
    def policy(metadata: MetadataDefaults | None = None, **safety: Any) -> bytes:
        return policy_hash(SafetySettings(**safety), metadata or MetadataDefaults())

    policies = [
        policy(),
        policy(outputs={"explicit": "block"}),
        policy(outputs={"explicit": "blur"}),
        policy(outputs={"explicit": {"action": "block", "threshold": 0.5}}),
        policy(on_error="flag"),
        policy(MetadataDefaults(embed_recipe=True)),
        policy(MetadataDefaults(software="Celeste 2")),
    ]
    assert len(set(policies)) == len(policies)
    assert policy() == policy()
