"""Body: a request as JSON, so that another server can go on with it."""

from functools import cache
from typing import Any

import orjson
from pydantic import TypeAdapter

from celeste_image.core.edits import EDITS
from celeste_image.core.request import Analyze, Edit, Generate, ImageRequest, Upscale
from celeste_image.ledger.outcome import plain

__all__ = ["request_from_json", "request_to_json"]

KINDS = {cls.kind.value: cls for cls in (Generate, Edit, Upscale, Analyze)}


def request_to_json(request: ImageRequest) -> bytes | None:
    """Returns a request as JSON; None if image bytes are inside it: only its caller has those."""
    if any(image.data for _, image in request.images()):
        return None
    edit = request.edit.field if isinstance(request, Edit) else ""
    return orjson.dumps({"kind": request.kind.value, "edit": edit, "request": request}, default=plain)


def request_from_json(data: bytes) -> ImageRequest:
    """Returns the request of some JSON. Raises ValueError if a later version wrote it, or the disk damaged it."""
    try:
        found = orjson.loads(data)
        kind, values = KINDS[found["kind"]], found["request"]
        if edit := found["edit"]:
            values["edit"] = _adapter(EDITS[edit]).validate_python(values["edit"])
        request: ImageRequest = _adapter(kind).validate_python(values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a request: {type(error).__name__}") from error
    return request


@cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
