"""The recipe of a picture: what it was made by and of, as plain values that are written into it when asked for."""

from typing import Any, Final

from celeste_image.core.request import Edit, Generate, ImageRequest, Upscale

__all__ = ["RECIPE_NAMESPACE", "RECIPE_PROPERTY", "recipe_of"]

RECIPE_NAMESPACE: Final = "urn:celeste-image:recipe#"
RECIPE_PROPERTY: Final = "celeste:Recipe"
"""The property of XMP that holds the recipe, as JSON, by its usual prefix."""


def recipe_of(request: ImageRequest, request_id: str, provider: str, seed: int | None, software: str) -> dict[str, Any]:
    """Returns a recipe of JSON values: `model`, `operation`, `request_id`, `software`, and what is set of the request.

    Args:
        request: As it was sent: concrete, with this picture's seed or that of the first of several.
        request_id: Of the call.
        provider: Whose options belong to it.
        seed: The picture's own, which makes it again; None when it has none.
        software: Name and version of this program.
    """
    recipe: dict[str, Any] = {
        "model": request.model,
        "operation": request.kind.value,
        "request_id": request_id,
        "software": software,
    }
    match request:
        case Generate():
            asked = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
        case Edit():
            edit = request.edit
            prompt = getattr(edit, "prompt", "")
            asked = {"edit": edit.field, "prompt": prompt, "negative_prompt": request.negative_prompt}
        case Upscale():
            asked = {"prompt": request.prompt, "method": request.method.value if request.method else ""}
        case _:
            asked = {}
    options = dict(request.options.provider_options.get(provider, {}))
    sources = [image.facts.sha256 for _, image in request.images() if image.facts]
    recipe |= {name: value for name, value in asked.items() if value}
    recipe |= {"seed": seed} if seed is not None else {}
    recipe |= {"options": options} if options else {}
    recipe |= {"sources": sources} if sources else {}
    return recipe
