"""TEMPORARY: the cache branch has the real one."""

import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from celeste_image.core.image import ImageInput
from celeste_image.core.request import ImageRequest

LEFT_OUT = {"inline_limit_bytes", "preview_count", "labels", "cache_mode"}


async def fingerprint(request: ImageRequest) -> bytes:
    """Returns the digest of a body."""
    form = json.dumps([request.kind.value, _form(request)], sort_keys=True, default=str)
    return hashlib.sha256(form.encode()).digest()


def _form(value: Any) -> Any:
    if isinstance(value, ImageInput):
        digest = value.sha256 or value.artifact.rpartition("-")[2]
        if value.data:
            digest = hashlib.sha256(value.data).hexdigest()
        return digest or value.uri
    if is_dataclass(value):
        told = {}
        for part in fields(value):
            given = getattr(value, part.name)
            default = part.default_factory() if part.default_factory is not MISSING else part.default
            if given != default and part.name not in LEFT_OUT:
                told[part.name] = _form(given)
        return [type(value).__name__, told]
    if isinstance(value, tuple | list):
        return [_form(each) for each in value]
    return value
