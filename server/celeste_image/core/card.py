"""Model cards: operations, parameters and prices of each model, as data. Forms, checks and `ListModels` read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from celeste_image.core.request import OperationKind

__all__ = [
    "BoolRange",
    "ChoiceRange",
    "ImageRange",
    "IntegerRange",
    "ModelCard",
    "ModelEvidence",
    "ModelStage",
    "NumberRange",
    "Parameter",
    "ParameterRange",
    "Price",
    "RefusalCharge",
    "SizeRange",
    "TextRange",
    "out_of_range",
]


class ModelEvidence(StrEnum):
    """Origin of the facts about a model; see `ModelEvidence` in `model_service.proto`.

    UNSPECIFIED belongs to models that no catalog describes and the operator allows. PUBLISHER belongs to models of this
    machine whose weights the authors of Celeste have not run.
    """

    UNSPECIFIED = "unspecified"
    RUN = "run"
    OFFICIAL_CLIENT = "official_client"
    OTHER_CLIENT = "other_client"
    SPECIFICATION = "specification"
    CONFIGURATION = "configuration"
    PUBLISHER = "publisher"

    @property
    def words(self) -> str:
        """The origin in words for people: `official client`."""
        return self.value.replace("_", " ")


class ModelStage(StrEnum):
    """Stage in the life of a model; see `ModelStage` in `model_service.proto`."""

    PREVIEW = "preview"
    ACTIVE = "active"
    ENDING = "ending"
    RETIRED = "retired"


class RefusalCharge(StrEnum):
    """Whether a refused request has to be paid; see `RefusalCharge` in `model_service.proto`."""

    UNKNOWN = "unknown"
    CHARGED = "charged"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class TextRange:
    """Text of at most `max_length` characters; 0 means only the limit of the contract."""

    max_length: int = 0
    default: str = ""


@dataclass(frozen=True, slots=True)
class IntegerRange:
    """Whole numbers; a bound of None means no limit. `default` None: the value is drawn, or depends on the input."""

    minimum: int | None = None
    maximum: int | None = None
    multiple_of: int = 0
    default: int | None = None


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Numbers; a bound of None means no limit."""

    minimum: float | None = None
    maximum: float | None = None
    default: float | None = None


@dataclass(frozen=True, slots=True)
class BoolRange:
    """True or false; `default` None means that the model decides."""

    default: bool | None = None


@dataclass(frozen=True, slots=True)
class ChoiceRange:
    """One or more words of a list.

    Attributes:
        values: The words.
        default: The default; empty means that the model decides.
        allow_other: Whether the model accepts words outside `values`.
        maximum_count: Most words in one request; 0 means one.
    """

    values: tuple[str, ...] = ()
    default: str = ""
    allow_other: bool = False
    maximum_count: int = 0


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Sizes in pixels. A default of 0 means that the size depends on the input.

    Attributes:
        sizes: The only sizes, as (width, height); empty means any size within the bounds.
        ratios: The only ratios of width to height, as `16:9`, for models that take ratios and choose the pixels
            themselves; empty means any ratio.
        minimum_megapixels: Smallest area, for models that refuse small images of any shape.
    """

    minimum_side: int
    maximum_side: int
    maximum_megapixels: float
    multiple_of: int = 0
    default_width: int = 0
    default_height: int = 0
    sizes: tuple[tuple[int, int], ...] = ()
    ratios: tuple[str, ...] = ()
    minimum_megapixels: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageRange:
    """Images of these media types, up to an area in millions of pixels and a number of images."""

    media_types: tuple[str, ...]
    maximum_megapixels: float
    maximum_count: int = 1


ParameterRange = TextRange | IntegerRange | NumberRange | BoolRange | ChoiceRange | SizeRange | ImageRange


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field that a model reads, with enough facts to draw a form and to check a value.

    `path` is the field's path in the operation's request; provider options are
    `options.provider_options["<provider>"].<name>`.
    """

    path: str
    range: ParameterRange
    title: str
    help: str
    required: bool = False
    advanced: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """A price under a condition.

    Attributes:
        unit: Unit that the provider counts: `image`, `megapixel`, `output_image_token`, `credit`.
        amount: Price of `per` units, a decimal number as text, with at most nine decimals.
        currency: ISO 4217 code.
        per: Number of units that the price is for.
        when: Conditions in the words of `price_rules.py`, for people and for costs; empty means always.
        source: Origin of the price.
        checked_on: Day on which the price was checked, ISO 8601.
    """

    unit: str
    amount: str
    currency: str = "USD"
    per: int = 1
    when: str = ""
    source: str = ""
    checked_on: str = ""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Facts about one model: operations, parameters, prices and origin.

    Attributes:
        id: `provider/model`; the model's part may hold more slashes.
        title: Name for people.
        summary: Strengths and limits, in a sentence.
        parameters: Fields that the model reads, per operation that it offers.
        edits: Edits that the model offers, by their fields in `EditRequest.kind`.
        outpaint: Sizes of the image that an outpaint makes; None means any size.
        license: SPDX expression of the model's weights or art; empty without weights or art.
        source: Origin of the weights or art.
        checked_on: Day on which these facts were checked, ISO 8601.
        max_count: Most images in one call; the pipeline splits larger counts. 0 for a model that makes no images.
        previews: Whether the model sends previews.
        pull: Command that downloads the weights; empty if the model needs none.
        wire_id: The provider's own name of the model; empty means the id without the provider.
        stage: Stage in the model's life.
        ends_on: Day on which the model ends, ISO 8601; empty if unknown.
        replacement: Id of the model to use instead; empty if unknown.
        evidence: Origin of these facts.
        trained: Whether the model was trained on data; False for plain algorithms. Recipes of images repeat it.
        prices: Prices, each with its condition, source and day.
        refusal_charge: Whether the provider charges a request that its safety system refuses.
        like: Id of the catalog's model that this card was copied from; empty for models of the catalog.
        safety_categories: Categories that the model scores in a SAFETY analysis; empty if it scores none.
        unread: What to say, beside that the model does not read it, of a field that people expect it to read, by path.
    """

    id: str
    title: str
    summary: str
    parameters: Mapping[OperationKind, Sequence[Parameter]]
    edits: tuple[str, ...] = ()
    outpaint: SizeRange | None = None
    license: str = ""
    source: str = ""
    checked_on: str = ""
    max_count: int = 1
    previews: bool = False
    pull: str = ""
    wire_id: str = ""
    stage: ModelStage = ModelStage.ACTIVE
    ends_on: str = ""
    replacement: str = ""
    evidence: ModelEvidence = ModelEvidence.RUN
    trained: bool = True
    prices: tuple[Price, ...] = ()
    refusal_charge: RefusalCharge = RefusalCharge.UNKNOWN
    like: str = ""
    safety_categories: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """The provider's name: the id up to its first slash."""
        return self.id.partition("/")[0]

    @property
    def name_on_wire(self) -> str:
        """The provider's own name of the model."""
        return self.wire_id or self.id.partition("/")[2]

    @property
    def called_like(self) -> str:
        """Name of the model whose form of call this one shares: `like`, or its own name."""
        return (self.like or self.id).partition("/")[2]

    @property
    def is_stranger(self) -> bool:
        """Whether the model is unknown, both to the catalog and to the operator."""
        return self.evidence is ModelEvidence.UNSPECIFIED

    @property
    def is_paid(self) -> bool | None:
        """Whether its images cost money: False for engines of this machine, None if the card has no price."""
        is_ours = self.evidence in (ModelEvidence.RUN, ModelEvidence.PUBLISHER)
        return True if self.prices else False if is_ours else None

    @property
    def owed(self) -> str:
        """Metadata `owed` of an error after an image was made: `true`, `false` or `unknown`."""
        return {True: "true", False: "false", None: "unknown"}[self.is_paid]

    @property
    def operations(self) -> tuple[OperationKind, ...]:
        """The operations that the model offers."""
        return tuple(self.parameters)

    def parameter(self, operation: OperationKind, path: str) -> Parameter | None:
        """Returns the model's parameter at `path`; None if the model does not read the field."""
        return next((p for p in self.parameters.get(operation, ()) if p.path == path), None)


def out_of_range(known: ParameterRange, value: Any) -> str:
    """Returns why a value is out of range, as the end of a sentence; empty if it is in range."""
    match known:
        case TextRange(max_length=most) if isinstance(value, str) and 0 < most < len(value):
            return f"must have at most {most:,} characters"
        case ChoiceRange(values=values, allow_other=False) if values and isinstance(value, str) and value not in values:
            return f"must be one of {', '.join(values)}"
        case IntegerRange() | NumberRange() if isinstance(value, int | float) and not isinstance(value, bool):
            if known.minimum is not None and value < known.minimum:
                return f"must be at least {known.minimum:g}, is {value:g}"
            if known.maximum is not None and value > known.maximum:
                return f"must be at most {known.maximum:g}, is {value:g}"
        case ImageRange(maximum_count=most) if isinstance(value, int) and value > most:
            return f"must be at most {most} images, is {value}"
    return ""
