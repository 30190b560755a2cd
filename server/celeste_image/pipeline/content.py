"""The content of a request: its texts, and the digests of its images."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from celeste_image.core.request import Edit, Generate, ImageRequest, PaintRequest, Upscale
from celeste_image.off_loop import sha256_of

__all__ = ["content_of", "texts_of"]


async def content_of(request: ImageRequest) -> dict[str, object]:
    """Returns what the log may have of a request if the operator wants its content.

    `prompts` has its texts by their paths. `inputs` has the names or digests of its images by their paths; of an image
    at a URI only that it is one.
    """
    prompts = dict(texts_of(request))
    if isinstance(request, PaintRequest) and request.negative_prompt:
        prompts["negative_prompt"] = request.negative_prompt
    inputs = {}
    for path, image in request.images():
        digest = image.sha256 or (await sha256_of(image.data) if image.data else "")
        inputs[path] = image.artifact or digest or "uri"
    return {"prompts": prompts, "inputs": inputs}


def texts_of(request: ImageRequest) -> Iterator[tuple[str, str]]:
    """Yields the texts of a request with their paths, except the negative prompt."""
    match request:
        case Generate() | Upscale():
            yield "prompt", request.prompt
        case Edit(edit=edit):
            for part in fields(edit):  # type: ignore[arg-type]  # every edit is a dataclass
                if isinstance(value := getattr(edit, part.name), str):
                    yield f"{edit.field}.{part.name}", value
    for name, options in request.options.provider_options.items():
        yield from _strings(f'options.provider_options["{name}"]', options)


def _strings(path: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case Mapping():
            for name, item in value.items():
                yield from _strings(f"{path}.{name}", item)
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _strings(f"{path}[{index}]", item)
