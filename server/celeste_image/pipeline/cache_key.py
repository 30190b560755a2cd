"""Cache key: a digest of all that a result depends on. Requests with the same key get the same result."""

import hashlib
import json
from collections.abc import Sequence

from celeste_image.config import SafetySettings
from celeste_image.core.card import ModelCard
from celeste_image.core.fingerprint import fingerprint_here
from celeste_image.core.request import ImageRequest
from celeste_image.pipeline.metadata import MetadataDefaults

__all__ = ["cache_key", "policy_hash"]

FORM = "celeste result 1"
"""Name of the form, a part of each key: a change of what is stored or digested begins anew."""


def policy_hash(safety: SafetySettings, metadata: MetadataDefaults) -> bytes:
    """Returns the digest of the server's settings that change results: its safety policy and its metadata.

    The version of Celeste is among the metadata, so an update begins with an empty cache.
    """
    defaults = [metadata.output_metadata, metadata.embed_recipe, metadata.software]
    return hashlib.sha256(json.dumps([safety.model_dump(mode="json"), defaults], sort_keys=True).encode()).digest()


def cache_key(tenant: str, request: ImageRequest, cards: Sequence[ModelCard], policy: bytes) -> bytes:
    """Returns the key of the result of a request, 32 bytes.

    Args:
        tenant: Owner of the result.
        request: The request. Its images are loaded, so they count as their digests.
        cards: The models that would be tried, in order.
        policy: See `policy_hash`.
    """
    options = request.options
    # A result says which fields are unknown to the server, and whether the model has previews.
    reported = [options.preview_count, *options.unknown]
    models = [[card.id, card.wire_id, card.checked_on] for card in cards]
    form = [FORM, tenant, fingerprint_here(request).hex(), reported, models, policy.hex()]
    return hashlib.sha256(json.dumps(form).encode()).digest()
