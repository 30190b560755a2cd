"""Body: a request as JSON, so that another server can go on with it."""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import orjson
from pydantic import TypeAdapter

from celeste_image.core.edits import EDITS
from celeste_image.core.request import Analyze, Edit, Generate, ImageRequest, Upscale
from celeste_image.ledger.outcome import plain

__all__ = ["request_from_json", "request_to_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _AnyEdit(Edit):
    """An edit whose kind has been read before."""

    edit: Any


KINDS: dict[str, Any] = {cls.kind.value: cls for cls in (Generate, _AnyEdit, Upscale, Analyze)}
EDIT_KINDS: dict[str, Any] = dict(EDITS)


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
            values["edit"] = _adapter(EDIT_KINDS[edit]).validate_python(values["edit"], extra="forbid")
        request: ImageRequest = _adapter(kind).validate_python(values, extra="forbid")
        if isinstance(request, _AnyEdit):
            request = Edit(**{each.name: getattr(request, each.name) for each in fields(Edit)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a request: {type(error).__name__}") from error
    return request


@cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
