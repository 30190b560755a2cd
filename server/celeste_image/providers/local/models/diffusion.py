"""Local diffusion models, run by OpenVINO GenAI: local/sd-turbo, and all models in the models folder."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from celeste_image.core.card import (
    BoolRange,
    ChoiceRange,
    IntegerRange,
    ModelCard,
    ModelEvidence,
    NumberRange,
    Parameter,
    SizeRange,
    TextRange,
)
from celeste_image.core.edits import Inpaint, Instruct, Polarity
from celeste_image.core.errors import OperationNotOffered, WeightsMissing
from celeste_image.core.request import Edit, Generate, OperationKind
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import SOURCE
from celeste_image.providers.local.options import LocalOptions
from celeste_image.providers.local.weights import installed
from celeste_image.providers.local.weights.installed import KNOWN, WeightsLock, not_ready

__all__ = ["SD_TURBO", "DiffusionModel", "describe", "found"]

ENGINE = "diffusion"
CLASSES = {
    "StableDiffusionPipeline": (20, 7.5),
    "LatentConsistencyModelPipeline": (4, 8.0),
    "StableDiffusionXLPipeline": (20, 5.0),
    "StableDiffusion3Pipeline": (28, 7.0),
    "FluxPipeline": (28, 3.5),
}
"""GenAI's pipelines with default steps and guidance, from their papers and diffusers' defaults."""
EDITING = ("StableDiffusionPipeline", "LatentConsistencyModelPipeline", "StableDiffusionXLPipeline")
"""The pipelines that also edit images; for the others this is unknown."""
TURBO = (2, 1.0)
"""Default steps and guidance of distilled models. Their configuration does not show this, but their names have
`turbo`."""
BASE_BYTES = 6144 * MIB
"""Address space of a process in bytes, beside four times its weights, which OpenVINO may map, widen and repack.

A tiny model takes 1.8 GiB of address space, most of it unused; a U-Net of 3.4 GB took 4.2 GB of memory (2026-11).
"""


@dataclass(frozen=True, slots=True)
class DiffusionModel(LocalModel):
    """A model with a lock file instead of a table in `models.toml`; `name` is its id without `local/`."""

    name: str = ""

    @property
    def weights_id(self) -> str:
        """Empty: the model has no table in `models.toml`."""
        return ""

    def ready(self) -> bool:
        """Returns whether all its files and the extra `diffusion` are on this machine."""
        try:
            lock = installed.read_lock(self.name)
        except WeightsMissing:
            return False
        return lock is not None and installed.complete(lock) and find_spec("openvino_genai") is not None

    def weights(self) -> tuple[Path, ...]:
        """Returns the model's folder."""
        return (installed.folder(self.name),)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts from a model's configuration.

    Attributes:
        multiple_of: Sides of an image are multiples of this, in pixels.
        side: The side in pixels that the model was trained for.
        steps: Default number of steps.
        guidance: Default guidance.
        negative: Whether the model reads negative prompts.
        edits: Whether the model edits images.
    """

    multiple_of: int
    side: int
    steps: int
    guidance: float
    negative: bool
    edits: bool


def describe(lock: WeightsLock, folder: Path) -> DiffusionModel:
    """Returns the model for a lock and a folder.

    Raises:
        WeightsMissing: The engine cannot run the model, or its configuration cannot be read.
    """
    try:
        facts = _facts(lock, folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise not_ready(lock.name, f"its configuration can't be read ({type(error).__name__}: {error})") from error
    known = SD_TURBO if lock.name == SD_TURBO.name and lock.repo == KNOWN[lock.name] else None
    source = f"{lock.repo} at {lock.revision[:12]}" if lock.repo else "a folder of the operator"
    card = _card(
        lock.name,
        title=known.card.title if known else lock.name,
        summary=known.card.summary if known else "A diffusion model added by the operator, run by OpenVINO on the CPU.",
        license=known.card.license if known else lock.license,
        source=source,
        facts=facts,
    )
    return _model(lock.name, card, facts, BASE_BYTES + 4 * lock.size_bytes)


def found() -> tuple[DiffusionModel, ...]:
    """Returns the diffusion models in the models folder: SD-Turbo first, then by name."""
    models = []
    for lock in installed.locks():
        if installed.complete(lock):
            try:
                models.append(describe(lock, installed.folder(lock.name)))
            except WeightsMissing:
                continue  # the folder was changed after its installation, which checked this
    return tuple(sorted(models, key=lambda model: model.name != SD_TURBO.name))


def _facts(lock: WeightsLock, folder: Path) -> Facts:
    def read(path: str) -> dict[str, Any]:
        return dict(json.loads((folder / path).read_text("utf-8")))

    kind = str(read("model_index.json")["_class_name"])
    if kind not in CLASSES:
        text = f"the engine does not support the pipeline {kind}; it supports {', '.join(CLASSES)}"
        raise not_ready(lock.name, text)
    scale = 2 ** (len(read("vae_decoder/config.json")["block_out_channels"]) - 1)
    if (folder / "unet").is_dir():
        unet = read("unet/config.json")
        size, cells = unet["sample_size"], 2 ** (len(unet["down_block_types"]) - 1)
        distilled = unet.get("time_cond_proj_dim") is not None
    else:
        size, cells, distilled = read("transformer/config.json").get("sample_size", 128), 2, False
    steps, guidance = TURBO if "turbo" in f"{lock.name} {lock.repo}".lower() else CLASSES[kind]
    return Facts(
        multiple_of=scale * cells,
        side=int(size[0] if isinstance(size, list) else size) * scale,
        steps=steps,
        guidance=guidance,
        negative=not distilled and kind != "FluxPipeline",
        edits=kind in EDITING and (folder / "vae_encoder").is_dir(),
    )


def _card(name: str, *, title: str, summary: str, license: str, source: str, facts: Facts) -> ModelCard:
    most = max(4 * facts.side * facts.side / 1e6, 0.1)
    sizes = SizeRange(
        facts.multiple_of,
        4 * facts.side,
        most,
        multiple_of=facts.multiple_of,
        default_width=facts.side,
        default_height=facts.side,
    )
    shared = [
        Parameter("seed", IntegerRange(0), "Seed", "The same seed gives the same image here; used modulo 2^32."),
        Parameter("count", IntegerRange(1, 16, default=1), "Count", "Number of images; each takes one call."),
        Parameter(
            'options.provider_options["local"].steps',
            IntegerRange(1, 150, default=facts.steps),
            "Steps",
            "Number of denoising steps; each takes the same time.",
            advanced=True,
        ),
        Parameter(
            'options.provider_options["local"].guidance',
            NumberRange(0, 30, default=facts.guidance),
            "Guidance",
            "How strongly the image follows the prompt; above 1 each step takes twice the time.",
            advanced=True,
        ),
    ]
    if facts.negative:
        help = "What not to show; used only with guidance above 1."
        shared.append(Parameter("negative_prompt", TextRange(2000), "Negative prompt", help))
    prompt = TextRange(2000)
    parameters = {
        OperationKind.GENERATE: (
            Parameter("prompt", prompt, "Prompt", "What to show; about 75 tokens are read.", required=True),
            Parameter("size", sizes, "Size", f"Sides are multiples of {facts.multiple_of} pixels."),
            *shared,
        )
    }
    if facts.edits:
        strength = NumberRange(0.05, 1, default=0.6)
        parameters[OperationKind.EDIT] = (
            SOURCE,
            Parameter("instruct.prompt", prompt, "Prompt", "What the image shall show."),
            Parameter("instruct.strength", strength, "Strength", "How much to change; 1 keeps nothing of the image."),
            Parameter("inpaint.prompt", prompt, "Prompt", "What to paint under the mask."),
            Parameter(
                "inpaint.mask.polarity",
                ChoiceRange(tuple(Polarity), default=Polarity.WHITE),
                "Polarity",
                "Mask values that mark the area.",
                advanced=True,
            ),
            Parameter(
                "inpaint.mask.feather",
                IntegerRange(0, 256, default=0),
                "Feather",
                "Soft border in pixels.",
            ),
            Parameter("inpaint.pixel_lock", BoolRange(default=True), "Pixel lock", "Keeps pixels outside of the mask."),
            *shared,
        )
    return ModelCard(
        id=f"local/{name}",
        title=title,
        summary=summary,
        parameters=parameters,
        edits=(Instruct.field, Inpaint.field) if facts.edits else (),
        license=license,
        source=source,
        checked_on="2026-11-28",
        previews=True,
        pull=f"celeste models pull local/{name}",
        evidence=ModelEvidence.PUBLISHER,
    )


def _model(name: str, card: ModelCard, facts: Facts, memory_bytes: int) -> DiffusionModel:
    def task(request: Generate | Edit, options: LocalOptions) -> Task:
        fields: dict[str, Any] = {
            "model_dir": str(installed.folder(name)),
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "steps": options.steps or facts.steps,
            "guidance": facts.guidance if options.guidance is None else options.guidance,
            "edits": facts.edits,
        }
        if isinstance(request, Generate):
            size = {"width": request.size.width, "height": request.size.height}
            return fields | {"generate": size, "prompt": request.prompt}, ()
        fields |= {"multiple_of": facts.multiple_of, "most_pixels": 4 * facts.side * facts.side}
        match request.edit:
            case Instruct() as edit:
                strength = 0.6 if edit.strength is None else edit.strength
                return fields | {"instruct": {"strength": strength}, "prompt": edit.prompt}, (request.image.data,)
            case Inpaint() as edit:
                how = {"polarity": edit.mask.polarity.value, "feather": edit.mask.feather}
                pictures = request.image.data, edit.mask.image.data
                return fields | {"inpaint": how, "prompt": edit.prompt}, pictures
            case other:
                raise OperationNotOffered(f"{request.model} does not support {other.field}")

    return DiffusionModel(card, ENGINE, memory_bytes, task, processes=1, small_megapixels=0, name=name)


FACTS = Facts(multiple_of=64, side=512, steps=TURBO[0], guidance=TURBO[1], negative=True, edits=True)
SD_TURBO = _model(
    "sd-turbo",
    _card(
        "sd-turbo",
        title="SD-Turbo",
        summary=(
            "Stable Diffusion 2.1, distilled by Stability AI to need 1 to 4 steps; run by OpenVINO on the CPU. An "
            "image takes minutes. Its weights come from a model hub and were not run by us."
        ),
        license="LicenseRef-Stability-AI-Community",
        source=f"{KNOWN['sd-turbo']} on the model hub, converted from stabilityai/sd-turbo",
        facts=FACTS,
    ),
    FACTS,
    BASE_BYTES + 14 * 1024 * MIB,
)
"""SD-Turbo before it is pulled, with the facts of Stable Diffusion 2.1 base."""
