"""Model cards of an inference server, made from the tables in the operator's configuration."""

from collections.abc import Iterator

from celeste_image.core.card import (
    ChoiceRange,
    ImageRange,
    IntegerRange,
    ModelCard,
    ModelEvidence,
    NumberRange,
    Parameter,
    ParameterRange,
    SizeRange,
    TextRange,
)
from celeste_image.core.edits import RemoveBackground
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.core.request import AnalysisKind, OperationKind
from celeste_image.providers.kserve.settings import ClassifyModel, CutModel, GenerateModel, KServeModel, UpscaleModel

__all__ = ["card_of"]

OPTIONS: tuple[tuple[str, ParameterRange, str], ...] = (
    ("steps", IntegerRange(1, 1000), "Number of denoising steps."),
    ("guidance_scale", NumberRange(0, 100), "How closely the model follows the prompt."),
)


def card_of(provider: str, model: KServeModel) -> ModelCard:
    """Returns the card of a model in the configuration."""
    match model:
        case UpscaleModel():
            kind, parameters = OperationKind.UPSCALE, (*_upscale(),)
        case GenerateModel():
            kind, parameters = OperationKind.GENERATE, (*_generate(provider, model),)
        case CutModel():
            kind, parameters = OperationKind.EDIT, (*_cut(),)
        case ClassifyModel():
            kind, parameters = OperationKind.ANALYZE, (*_classify(),)
    return ModelCard(
        id=f"{provider}/{model.id}",
        title=model.title or model.id,
        summary=model.summary,
        parameters={kind: parameters},
        edits=(RemoveBackground.field,) if isinstance(model, CutModel) else (),
        license=model.license,
        max_count=0 if kind is OperationKind.ANALYZE else 1,
        previews=kind is OperationKind.UPSCALE,
        wire_id=model.on_server,
        evidence=ModelEvidence.CONFIGURATION,
    )


def _upscale() -> Iterator[Parameter]:
    yield Parameter("image", ImageRange(IMAGE_TYPES, 40), "Image", "The image to enlarge.", required=True)
    yield Parameter("factor", NumberRange(1, 16), "Factor", "Factor for width and height; set either factor or size.")
    yield Parameter("size", SizeRange(1, 16_384, 40), "Size", "In pixels; set either factor or size.")


def _cut() -> Iterator[Parameter]:
    pictures = ImageRange(IMAGE_TYPES, 40)
    yield Parameter("image", pictures, "Image", "The image whose background is removed.", required=True)


def _classify() -> Iterator[Parameter]:
    yield Parameter("image", ImageRange(IMAGE_TYPES, 40), "Image", "The image to analyze.", required=True)
    yield Parameter("kinds", ChoiceRange((AnalysisKind.CONTENT,)), "Kinds", "What to find: tags for the content.")


def _generate(provider: str, model: GenerateModel) -> Iterator[Parameter]:
    yield Parameter("prompt", TextRange(), "Prompt", "What the image shows.", required=True)
    if model.negative_prompt:
        yield Parameter("negative_prompt", TextRange(), "Negative prompt", "What the image must not show.")
    if model.sizes:
        sides = [side for size in model.sizes for side in size]
        width, height = model.sizes[0]
        most = max(across * down for across, down in model.sizes)
        bounds = SizeRange(min(sides), max(sides), most / 1e6, 0, width, height, model.sizes)
    else:
        side, step = model.maximum_side, model.multiple_of
        width, height = model.default_width, model.default_height
        bounds = SizeRange(min(64, step), side, side * side / 1e6, step, width, height)
    yield Parameter("size", bounds, "Size", "Width and height in pixels.")
    if model.seed:
        yield Parameter(
            "seed", IntegerRange(0), "Seed", "The same seed gives the same image, if the model is deterministic."
        )
    for name, bounds_of_option, help_ in OPTIONS:
        if getattr(model, name):
            title = name.replace("_", " ").capitalize()
            path = f'options.provider_options["{provider}"].{name}'
            yield Parameter(path, bounds_of_option, title, help_, advanced=True)
