"""local/patchmatch: erases and outpaints by copying pieces of what is there."""

from celeste_image.core.card import ChoiceRange, ImageRange, IntegerRange, ModelCard, Parameter, SizeRange
from celeste_image.core.edits import Erase, Outpaint, Polarity
from celeste_image.core.errors import OperationNotOffered
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.request import Edit, OperationKind
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import SOURCE
from celeste_image.providers.local.options import LocalOptions

__all__ = ["MODEL"]

CARD = ModelCard(
    id="local/patchmatch",
    title="PatchMatch",
    summary=(
        "Erases by filling from the surroundings, and grows a picture at its borders, by copying pieces of it. Good "
        "with texture and small things; large holes get copies of whole objects. It reads no prompt."
    ),
    parameters={
        OperationKind.EDIT: (
            SOURCE,
            Parameter("erase", ImageRange(IMAGE_TYPES, 40), "Erase", "A mask as large as the picture: what to remove."),
            Parameter(
                "erase.mask.polarity",
                ChoiceRange(tuple(Polarity), default=Polarity.WHITE),
                "Polarity",
                "Which values of the mask mean remove.",
                advanced=True,
            ),
            Parameter("erase.mask.feather", IntegerRange(0, 256, default=0), "Feather", "Soft border in pixels."),
            Parameter(
                "outpaint",
                SizeRange(minimum_side=1, maximum_side=16_384, maximum_megapixels=40),
                "Outpaint",
                "Pixels to add on each side; the range is that of the grown picture.",
            ),
            Parameter("seed", IntegerRange(0), "Seed", "The same seed gives the same picture; it counts modulo 2^32."),
        )
    },
    source="pypatchmatch 2.2.0 on PyPI, MIT",
    checked_on="2026-11-22",
    trained=False,
)


def task(request: Edit, options: LocalOptions) -> Task:
    """Returns the engine's task. Raises OperationNotOffered for other edits."""
    match request.edit:
        case Erase() as erase:
            mask = erase.mask
            how = {"polarity": mask.polarity.value, "feather": mask.feather, "pixel_lock": erase.pixel_lock}
            return {"erase": how, "seed": request.seed}, (request.image.data, mask.image.data)
        case Outpaint() as grow:
            sides = {"left": grow.left, "right": grow.right, "top": grow.top, "bottom": grow.bottom}
            return {"outpaint": sides, "seed": request.seed}, (request.image.data,)
        case other:
            raise OperationNotOffered(f"{request.model} can't {other.field}")


MODEL = LocalModel(CARD, "patchmatch", 3072 * MIB, task)
