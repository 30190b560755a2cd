"""Google's request formats: `generateContent` of Gemini and Vertex, and the newer interactions.

Gemini and Vertex differ only in URL and key. `streamGenerateContent` is not used, because an image arrives complete in
one chunk. `google_answers.py` reads the answers. Source: the types of google-genai 3.4.0 and its recordings,
2026-11-22.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Wishes", "body_of", "image_part", "image_size_for", "interaction_of"]

SIDES: Mapping[str, int] = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
"""Side of a square image, in pixels, by the API's name of the size."""


def image_part(data: bytes, media_type: str) -> dict[str, Any]:
    """Returns the part of a request that holds an image."""
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode("ascii")}}


def image_size_for(width: int, height: int, offered: Sequence[str]) -> str:
    """Returns the size name, such as `2K`, with the area closest to `width` times `height`, by the ratio of areas.

    Args:
        width: In pixels, above 0.
        height: In pixels, above 0.
        offered: The model's size names, at least one; each is a key of SIDES.
    """
    area = width * height
    return min(offered, key=lambda word: max(area / SIDES[word] ** 2, SIDES[word] ** 2 / area))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a request asks of the model beside its parts; empty or None leaves a value to the model.

    Attributes:
        aspect_ratio: Ratio of the image, such as `16:9`.
        image_size: The API's name of the size, such as `2K`.
        seed: Seed, from 0 to 2**31 - 1.
        candidate_count: Number of answers; each is billed. Interactions have only one.
        safety_settings: Thresholds by category, both in the form of `generateContent`, such as
            `HARM_CATEGORY_HARASSMENT` and `BLOCK_ONLY_HIGH`.
        thinking_level: How long the model thinks, such as `low`.
        thinking_budget: Most tokens of its thoughts; interactions have no such field.
        store: Whether Google may keep an interaction so that it can be fetched later. `generateContent` keeps none.
    """

    aspect_ratio: str = ""
    image_size: str = ""
    seed: int | None = None
    candidate_count: int | None = None
    safety_settings: Mapping[str, str] = field(default_factory=dict)
    thinking_level: str = ""
    thinking_budget: int | None = None
    store: bool = False


def body_of(parts: Sequence[Mapping[str, Any]], wishes: Wishes) -> dict[str, Any]:
    """Returns the body of a `generateContent` request."""
    thinking = {"thinkingLevel": wishes.thinking_level.upper(), "thinkingBudget": wishes.thinking_budget}
    shape = {"aspectRatio": wishes.aspect_ratio, "imageSize": wishes.image_size}
    config = {
        "responseModalities": ["TEXT", "IMAGE"],
        "seed": wishes.seed,
        "candidateCount": wishes.candidate_count,
        "thinkingConfig": _set(thinking) or None,
        "imageConfig": _set(shape) or None,
    }
    body = {"contents": [{"role": "user", "parts": list(parts)}], "generationConfig": _set(config)}
    if wishes.safety_settings:
        listed = [{"category": name, "threshold": value} for name, value in wishes.safety_settings.items()]
        body["safetySettings"] = listed
    return body


def interaction_of(model: str, parts: Sequence[Mapping[str, Any]], wishes: Wishes) -> dict[str, Any]:
    """Returns the body of an interaction for one image.

    `mime_type` is left out: the API makes JPEG and refuses to be asked for another type.
    """
    content = [
        {"type": "text", "text": part["text"]}
        if "text" in part
        else {"type": "image", "mime_type": part["inlineData"]["mimeType"], "data": part["inlineData"]["data"]}
        for part in parts
    ]
    words_alone = len(content) == 1 and "text" in content[0]
    form = {"type": "image", "aspect_ratio": wishes.aspect_ratio, "image_size": wishes.image_size}
    config = {"seed": wishes.seed, "thinking_level": wishes.thinking_level.lower()}
    body: dict[str, Any] = {
        "model": model,
        "input": content[0]["text"] if words_alone else content,
        "response_format": _set(form),
        "store": wishes.store,
    }
    if config := _set(config):
        body["generation_config"] = config
    if wishes.safety_settings:
        body["safety_settings"] = [
            {"type": name.removeprefix("HARM_CATEGORY_").lower(), "threshold": value.lower()}
            for name, value in wishes.safety_settings.items()
        ]
    return body


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that are set."""
    return {name: value for name, value in values.items() if value is not None and value != ""}
