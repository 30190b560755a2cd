"""Errors of APIs like OpenAI's: names the request's field for a parameter that the API refuses."""

from celeste_image.core.errors import CelesteError, InvalidRequest, Violation

__all__ = ["with_field"]

FIELDS = {
    **{name: name for name in ("size", "quality", "background", "style", "seed", "negative_prompt")},
    **{"n": "count", "output_format": "output_media_type", "output_compression": "output_quality"},
    "mask": "inpaint.mask.image",
}
"""Field of the request for each of the API's parameters that has the same field in every operation."""


def with_field(error: CelesteError, parameter: str, text: str) -> CelesteError:
    """Returns an error of a request with the field of the parameter that the API names, if it is a known one."""
    if not isinstance(error, InvalidRequest) or parameter not in FIELDS:
        return error
    wrong = Violation(FIELDS[parameter], text or "was refused by the provider")
    return InvalidRequest(error.message, metadata=error.metadata, violations=[wrong])
