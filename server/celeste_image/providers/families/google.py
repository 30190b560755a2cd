"""Google's request and answer formats: `generateContent` of Gemini and Vertex, and the newer interactions.

Gemini and Vertex differ only in URL and key. `streamGenerateContent` is not used, because an image arrives complete in
one chunk. Source: the types of google-genai 3.4.0 and its recordings, 2026-11-22.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celeste_image.core.errors import CelesteError, ProviderCredentials, ProviderFailed, SafetyBlocked
from celeste_image.outbound.exchange import Reply
from celeste_image.providers.kit.answers import at, duration_seconds, error_for_status, value_in

__all__ = [
    "body_of",
    "error_of",
    "image_part",
    "image_size_for",
    "interaction_of",
    "picture_in",
    "picture_in_interaction",
]

REFUSED = frozenset(
    {
        *("SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
    }
)
"""Finish reasons of a safety system. Any other reason but STOP means that the image was not made, as NO_IMAGE does."""

Said = Callable[[Any], str]
"""Cleans a vendor's text for people: `Vendor.said`."""

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


def body_of(
    parts: Sequence[Mapping[str, Any]], *, aspect_ratio: str = "", image_size: str = "", seed: int | None = None
) -> dict[str, Any]:
    """Returns the body of a `generateContent` request for one image; empty or None leaves a value to the model."""
    config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
    if seed is not None:
        config["seed"] = seed
    shape = {"aspectRatio": aspect_ratio, "imageSize": image_size}
    if image_config := {name: value for name, value in shape.items() if value}:
        config["imageConfig"] = image_config
    return {"contents": [{"role": "user", "parts": list(parts)}], "generationConfig": config}


def interaction_of(
    model: str,
    parts: Sequence[Mapping[str, Any]],
    *,
    aspect_ratio: str = "",
    image_size: str = "",
    seed: int | None = None,
) -> dict[str, Any]:
    """Returns the body of an interaction for one image; empty or None leaves a value to the model."""
    content = [
        {"type": "text", "text": part["text"]}
        if "text" in part
        else {"type": "image", "mime_type": part["inlineData"]["mimeType"], "data": part["inlineData"]["data"]}
        for part in parts
    ]
    words_alone = len(content) == 1 and "text" in content[0]
    form = {"type": "image", "mime_type": "image/png", "aspect_ratio": aspect_ratio, "image_size": image_size}
    body = {
        "model": model,
        "input": content[0]["text"] if words_alone else content,
        "response_format": {name: value for name, value in form.items() if value},
    }
    return body if seed is None else body | {"generation_config": {"seed": seed}}


def picture_in_interaction(provider: str, answer: Any, said: Said) -> bytes:
    """Returns the data of the first image in the answer to an interaction.

    Raises:
        ProviderFailed: The answer has no image; the message has the status and the model's text. The API's types have
            no value for a refusal by a safety system, so a refusal looks like any other failure.
    """
    steps, outputs = at(answer, "steps"), at(answer, "outputs")
    content = [item for step in steps for item in at(step, "content") or ()] if isinstance(steps, list) else []
    content += outputs if isinstance(outputs, list) else []
    for item in content:
        if at(item, "type") == "image" and isinstance(data := at(item, "data"), str):
            return _decoded(provider, data)
    words = " ".join(text for item in content if isinstance(text := at(item, "text"), str))
    status = said(at(answer, "status"))
    why = "the model made no image" if status in ("", "completed") else f"the model made no image ({status})"
    raise ProviderFailed(f"{provider}: {_joined(why, said(words))}", metadata={"provider": provider})


def picture_in(provider: str, answer: Any, said: Said) -> bytes:
    """Returns the data of the first image in an answer of status 200 that is not a draft from the model's thoughts.

    Raises:
        SafetyBlocked: A safety system refused the prompt or the image.
        ProviderFailed: The answer has no image; the message has the reason and the model's text.
    """
    metadata = {"provider": provider}
    if blocked := said(at(answer, "promptFeedback", "blockReason")):
        why = _joined(f"the prompt was refused ({blocked})", said(at(answer, "promptFeedback", "blockReasonMessage")))
        raise SafetyBlocked(f"{provider}: {why}", metadata=metadata | {"stage": "prompt"})
    candidate = at(answer, "candidates", 0)
    reason, message = said(at(candidate, "finishReason")), said(at(candidate, "finishMessage"))
    if reason in REFUSED:
        why = _joined(f"the image was refused ({reason})", message)
        raise SafetyBlocked(f"{provider}: {why}", metadata=metadata | {"stage": "output"})
    parts = at(candidate, "content", "parts")
    parts = [part for part in parts if not at(part, "thought")] if isinstance(parts, list) else []
    for part in parts:
        if isinstance(data := at(part, "inlineData", "data"), str):
            return _decoded(provider, data)
    words = [word for part in parts if isinstance(word := at(part, "text"), str)]
    why = "the model made no image" if reason in ("", "STOP") else f"the model made no image ({reason})"
    raise ProviderFailed(f"{provider}: {_joined(why, message or said(' '.join(words)))}", metadata=metadata)


def error_of(provider: str, reply: Reply, said: Said) -> CelesteError:
    """Returns the error for an answer of another status than 200, a `google.rpc.Status` in JSON."""
    error = at(value_in(reply), "error")
    text = said(at(error, "message"))
    details = at(error, "details")
    details = details if isinstance(details, list) else []
    if any(at(detail, "reason") == "API_KEY_INVALID" for detail in details):
        # The status is 400, which elsewhere means an invalid request.
        metadata = {"provider": provider, "status": str(reply.status)}
        return ProviderCredentials(f"{provider}: {text or 'the key is not valid'}", metadata=metadata)
    delays = [duration_seconds(at(detail, "retryDelay")) for detail in details]
    return error_for_status(
        provider,
        reply,
        text,
        # "The free tier is not available in your country, please enable billing", at the status of a bad request.
        billing=reply.status == 400 and at(error, "status") == "FAILED_PRECONDITION",
        after=next((delay for delay in delays if delay is not None), None),
    )


def _decoded(provider: str, data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        text = f"{provider}: the image is not base64"
        raise ProviderFailed(text, metadata={"provider": provider}) from None


def _joined(text: str, more: str) -> str:
    return f"{text}: {more}" if more else text
