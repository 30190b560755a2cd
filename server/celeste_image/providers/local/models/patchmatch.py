"""local/patchmatch: erases, inpaints and outpaints by copying pieces of the image."""

from celeste_image.core.card import ChoiceRange, IntegerRange, ModelCard, Parameter
from celeste_image.core.edits import Erase, Inpaint, Outpaint, Polarity
from celeste_image.core.errors import OperationNotOffered
from celeste_image.core.request import Edit, OperationKind
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import ANY_PROMPT, SOURCE
from celeste_image.providers.local.options import LocalOptions

__all__ = ["MODEL"]


def masked(edit: str) -> tuple[Parameter, ...]:
    """Returns the parameters of an edit with a mask."""
    polarity = ChoiceRange(tuple(Polarity), default=Polarity.WHITE)
    feather = f"{edit}.mask.feather", IntegerRange(0, 256, default=0), "Feather"
    return (
        Parameter(f"{edit}.mask.polarity", polarity, "Polarity", "Mask values that mark the area.", advanced=True),
        Parameter(*feather, "Width of the soft inner border, in pixels."),
    )


CARD = ModelCard(
    id="local/patchmatch",
    title="PatchMatch",
    summary=(
        "Fills the area under a mask and extends an image at its borders by copying pieces of the image; thin strokes "
        "are filled by Telea's method. Good for texture and small things; large areas get copies of whole objects. "
        "It invents nothing and ignores the prompt, also for inpainting."
    ),
    parameters={
        OperationKind.EDIT: (
            SOURCE,
            *masked("erase"),
            *masked("inpaint"),
            Parameter("seed", IntegerRange(0), "Seed", "The same seed gives the same image; used modulo 2^32."),
        )
    },
    edits=(Erase.field, Inpaint.field, Outpaint.field),
    source="pypatchmatch 2.2.0 (MIT) and opencv-python-headless 5.0 (Apache-2.0) on PyPI; no weights",
    checked_on="2026-11-28",
    trained=False,
    unread=dict.fromkeys(("inpaint.prompt", "outpaint.prompt"), f"it fills with what is around; {ANY_PROMPT}"),
)


def task(request: Edit, options: LocalOptions) -> Task:
    """Returns the engine's task. Raises OperationNotOffered for other edits."""
    match request.edit:
        case Erase(mask=mask) | Inpaint(mask=mask) as edit:
            how = {"field": edit.field, "polarity": mask.polarity.value, "feather": mask.feather}
            return {"fill": how, "seed": request.seed}, (request.image.data, mask.image.data)
        case Outpaint() as grow:
            sides = {"left": grow.left, "right": grow.right, "top": grow.top, "bottom": grow.bottom}
            return {"outpaint": sides, "seed": request.seed}, (request.image.data,)
        case other:
            raise OperationNotOffered(f"{request.model} does not support {other.field}")


MODEL = LocalModel(CARD, "patchmatch", 3072 * MIB, task, small_megapixels=0.5)
