"""The recipe of an image: its model, prompt and settings, and the texts that write them into the image's file."""

import html
import json
from dataclasses import dataclass, fields
from typing import Any, Final

from celeste_image.core.card import ModelCard
from celeste_image.core.request import Edit, Generate, ImageRequest, OperationKind, PaintRequest, Upscale

__all__ = ["RECIPE_PROPERTY", "RecipeTexts", "description", "packet", "parameters", "recipe_of", "source_type"]

RECIPE_PROPERTY: Final = "celeste:Recipe"
"""Name of the XMP property that holds the recipe as JSON, with its usual prefix."""
SOURCE_TYPES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@dataclass(frozen=True, slots=True)
class RecipeTexts:
    """The texts that write a recipe into an image's file.

    Attributes:
        packet: A whole XMP packet.
        description: The packet's `rdf:Description`, for a file that already has a packet.
        parameters: The recipe in AUTOMATIC1111's format, which many programs read.
    """

    packet: str
    description: str
    parameters: str

    @classmethod
    def of(cls, recipe: dict[str, Any], kind: str) -> "RecipeTexts":
        """Returns the texts of a recipe; `kind` is the digital source type."""
        described = description(recipe, kind)
        return cls(packet(described), described, parameters(recipe))


def recipe_of(
    request: ImageRequest, request_id: str, *, software: str, seed: int | None, width: int, height: int
) -> dict[str, Any]:
    """Returns a recipe as JSON values: `software`, `model`, `operation`, `request_id`, `size` and the request's values.

    Args:
        request: The concrete request, as the model got it.
        request_id: Id of the call.
        software: Name and version of this program.
        seed: Seed that makes the image again; None if the image has no seed.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
    """
    asked: dict[str, Any]
    match request:
        case Generate():
            asked = {"prompt": request.prompt, "negative_prompt": request.negative_prompt, **_look(request)}
        case Edit(edit=edit):
            given = {part.name: getattr(edit, part.name) for part in fields(edit)}  # type: ignore[arg-type]
            words = {name: value for name, value in given.items() if isinstance(value, str | int | float) and value}
            prompt = words.pop("prompt", "")
            asked = {
                "edit": {"kind": edit.field, **words},
                "prompt": prompt,
                "negative_prompt": request.negative_prompt,
                **_look(request),
            }
        case Upscale():
            mode = request.mode.value if request.mode else ""
            asked = {
                "prompt": request.prompt,
                "mode": mode,
                "creativity": request.creativity,
                "style": request.style,
            }
        case _:
            asked = {}
    options = dict(request.options.provider_options.get(request.model.partition("/")[0], {}))
    asked |= {
        "steps": options.get("steps"),
        "options": options,
        "sources": [image.facts.sha256 for _, image in request.images() if image.facts],
    }
    facts = {
        "software": software,
        "model": request.model,
        "operation": request.kind.value,
        "request_id": request_id,
        "size": f"{width}x{height}",
    }
    return (
        facts
        | {name: value for name, value in asked.items() if value not in (None, "", {}, [])}
        | ({} if seed is None else {"seed": seed})
    )


def _look(request: PaintRequest) -> dict[str, Any]:
    """Returns the fields that change the look of an image."""
    names = ("quality", "background", "style", "rewrite_prompt")
    return {name: getattr(request, name) for name in names}


def source_type(card: ModelCard, kind: OperationKind) -> str:
    """Returns the IPTC digital source type of a model's image, by operation; from cv.iptc.org, checked 2026-11-28."""
    match kind:
        case OperationKind.GENERATE:
            return "trainedAlgorithmicMedia" if card.trained else "algorithmicMedia"
        case OperationKind.EDIT if card.trained:
            return "compositeWithTrainedAlgorithmicMedia"
        case _:
            return "algorithmicallyEnhanced"


def parameters(recipe: dict[str, Any]) -> str:
    """Returns a recipe in AUTOMATIC1111's format, which many programs read."""
    lines = [recipe["prompt"]] if "prompt" in recipe else []
    if negative := recipe.get("negative_prompt"):
        lines.append(f"Negative prompt: {negative}")
    names = {"Steps": "steps", "Seed": "seed", "Size": "size", "Model": "model", "Version": "software"}
    pairs = [f"{name}: {recipe[key]}" for name, key in names.items() if key in recipe]
    return "\n".join([*lines, ", ".join([*pairs, f"Request: {recipe['request_id']}"])])


def description(recipe: dict[str, Any], kind: str) -> str:
    """Returns a recipe and a digital source type as an `rdf:Description` that declares its own namespaces."""
    text = json.dumps(recipe, ensure_ascii=False, separators=(",", ":"))
    for odd in ("\ufffe", "\uffff"):  # XML forbids these two characters, and JSON does not escape them
        text = text.replace(odd, f"\\u{ord(odd):04x}")
    return (
        '<rdf:Description rdf:about="" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        ' xmlns:celeste="urn:celeste-image:recipe#">'
        f"<xmp:CreatorTool>{html.escape(recipe['software'])}</xmp:CreatorTool>"
        f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPES}{kind}</Iptc4xmpExt:DigitalSourceType>"
        f"<{RECIPE_PROPERTY}>{html.escape(text, quote=False)}</{RECIPE_PROPERTY}>"
        "</rdf:Description>"
    )


def packet(described: str) -> str:
    """Returns a whole XMP packet with a description; ISO 16684-1, section 7.3.2."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'{described}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
