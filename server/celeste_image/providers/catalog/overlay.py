"""Catalog overlay: an operator's file that adds models and changes limits, prices and lifecycles.

checked_on: 2026-11-28
source: our contract of November
models:
  - id: openai/gpt-image-2            # in the catalog: these values change
    max_count: 4
    parameters:                       # by path; `options.x` is the provider option x
      size: {maximum_side: 2048}
      options.moderation: null        # removed
    prices: [{unit: image, amount: "0.03"}]
  - id: openai/gpt-image-3            # new: a copy of another model
    like: openai/gpt-image-2
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from celeste_image.config import ConfigurationInvalid, Problem, problems_in
from celeste_image.config.files import Document, read_document
from celeste_image.core.card import ModelCard, ModelEvidence, ModelStage, Parameter, Price, RefusalCharge
from celeste_image.providers.catalog import contract_path

__all__ = ["Overlay", "ids_in", "load_overlay", "overlaid"]

MOST_CHARACTERS = 150
FACTS = ("title", "summary", "max_count", "previews", "wire_id", "stage", "replacement", "refusal_charge")
BOUNDS = (("minimum", "maximum"), ("minimum_side", "maximum_side"), ("minimum_megapixels", "maximum_megapixels"))


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OverlayPrice(_Section):
    """One price, as in the catalog."""

    unit: Annotated[str, StringConstraints(min_length=1)]
    amount: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "USD"
    per: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1
    when: str = ""
    source: str = ""
    checked_on: date | None = None


class OverlayParameter(BaseModel):
    """Changes of one parameter: the fields below, and fields of its range, named as in the catalog."""

    model_config = ConfigDict(extra="allow", frozen=True)

    title: str | None = None
    help: str | None = None
    required: bool | None = None
    advanced: bool | None = None


UNCHANGED = OverlayParameter()


def _with_a_short_name(model: str) -> str:
    if len(model.partition("/")[2]) > MOST_CHARACTERS:
        raise ValueError(f"has more than {MOST_CHARACTERS} characters after the provider's name")
    return model


class OverlayModel(_Section):
    """Changes of one model. Unset fields keep the values of the catalog, or of the model that a new one is `like`."""

    id: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.:/-]+$"), AfterValidator(_with_a_short_name)]
    like: str = ""
    title: str | None = None
    summary: str | None = None
    max_count: Annotated[int, Field(ge=1, le=16)] | None = None
    previews: bool | None = None
    wire_id: str | None = None
    stage: ModelStage | None = None
    ends_on: date | None = None
    replacement: str | None = None
    prices: tuple[OverlayPrice, ...] | None = None
    refusal_charge: RefusalCharge | None = None
    parameters: dict[str, OverlayParameter | None] = {}
    source: str | None = None
    checked_on: date | None = None


class Overlay(_Section):
    """The file. Its `source` and `checked_on` apply to entries without their own."""

    source: str = ""
    checked_on: date
    models: tuple[OverlayModel, ...]

    _document: Document | None = PrivateAttr(default=None)

    def problem(self, path: tuple[str, ...], text: str) -> Problem:
        """Returns a mistake at a key of the file."""
        return _problem(self._document, path, text)


def _problem(document: Document | None, path: tuple[str, ...], text: str) -> Problem:
    place = f"{document.place(path)}: " if document else ""
    return Problem(("catalog", "file"), text, place + ".".join(path))


def load_overlay(path: Path) -> Overlay:
    """Returns the overlay in an operator's file: YAML, or what its name ends with.

    Raises:
        ConfigurationInvalid: The file can't be read or is not a valid overlay.
    """
    try:
        document = read_document(path, ".yaml")
        if document.problems:
            raise ConfigurationInvalid(document.problems)
        overlay = Overlay.model_validate(document.values)
    except ValidationError as error:
        found = problems_in(error, model=Overlay)
        raise ConfigurationInvalid(_problem(document, each.path, each.text) for each in found) from error
    except ConfigurationInvalid as error:
        found = [Problem(("catalog", "file"), each.text, f"catalog.file: {each.place}") for each in error.problems]
        raise ConfigurationInvalid(found) from error
    overlay._document = document
    return overlay


def ids_in(path: Path) -> frozenset[str] | None:
    """Returns the ids in an overlay with mistakes; None if it can't be read."""
    try:
        entries = read_document(path, ".yaml").values.get("models")
    except ConfigurationInvalid:
        return None
    listed = entries if isinstance(entries, list) else []
    return frozenset(str(entry.get("id")) for entry in listed if isinstance(entry, dict))


def overlaid(
    overlay: Overlay, cards: Sequence[ModelCard], providers: Collection[str] | None = None
) -> tuple[ModelCard, ...]:
    """Returns the cards with an overlay applied: changed models keep their places, new ones are at the end.

    Args:
        overlay: The overlay.
        cards: The cards of the catalog.
        providers: Names of the providers; None means those of the cards.

    Raises:
        ConfigurationInvalid: Entries have the same id, or name unknown models, or values are not valid.
    """
    made = {card.id: card for card in cards}
    names = providers if providers is not None else {card.provider for card in cards}
    seen: set[str] = set()
    problems = []
    for index, entry in enumerate(overlay.models):
        try:
            if entry.id in seen:
                raise ValueError("has two entries")
            seen.add(entry.id)
            if (name := entry.id.partition("/")[0]) not in names:
                raise ValueError(f"there is no provider {name!r}; the providers are {', '.join(names)}")
            made[entry.id] = _card(overlay, entry, _base(entry, made))
        except ValueError as error:
            where = ("models", str(index))
            problems += [overlay.problem(where, f"{entry.id}: {found}") for found in problems_in(error)]
    for index, entry in enumerate(overlay.models):
        if entry.replacement and entry.replacement not in {*made, *seen}:
            text = f"{entry.id}: its replacement {entry.replacement!r} is not in the catalog"
            problems.append(overlay.problem(("models", str(index), "replacement"), text))
    if problems:
        raise ConfigurationInvalid(problems)
    return tuple(made.values())


def _base(entry: OverlayModel, made: Mapping[str, ModelCard]) -> ModelCard:
    """Returns the card that an entry changes, or copies for a new model."""
    known = made.get(entry.id)
    if known and entry.like:
        raise ValueError("is in the catalog, so `like` can't be set")
    if known:
        return known
    if not entry.like:
        raise ValueError("is not in the catalog; to add it, name a model that it is `like`")
    provider = entry.id.partition("/")[0]
    if not (base := made.get(entry.like)) or base.provider != provider:
        raise ValueError(f"`like` {entry.like!r} is not a model of {provider}")
    name = entry.id.partition("/")[2]
    return replace(
        base,
        id=entry.id,
        title=name,
        wire_id="",
        stage=ModelStage.ACTIVE,
        ends_on="",
        replacement="",
        prices=(),
        evidence=ModelEvidence.CONFIGURATION,
        like=base.like or base.id,
    )


def _card(overlay: Overlay, entry: OverlayModel, base: ModelCard) -> ModelCard:
    facts: dict[str, Any] = {name: value for name in FACTS if (value := getattr(entry, name)) is not None}
    day = entry.checked_on or overlay.checked_on
    facts |= {"checked_on": str(day), "source": entry.source or overlay.source or base.source}
    if entry.ends_on:
        facts["ends_on"] = str(entry.ends_on)
    if entry.prices is not None:
        facts["prices"] = tuple(
            Price(
                p.unit, str(p.amount), p.currency, p.per, p.when, p.source or facts["source"], str(p.checked_on or day)
            )
            for p in entry.prices
        )
    changes = {contract_path(base.provider, path): change for path, change in entry.parameters.items()}
    known = {parameter.path for parameters in base.parameters.values() for parameter in parameters}
    problems = []
    if unknown := changes.keys() - known:
        problems.append(Problem(("parameters",), f"the model does not have {', '.join(sorted(unknown))}"))

    def changed(parameters: Sequence[Parameter]) -> Iterator[Parameter]:
        for parameter in parameters:
            if (change := changes.get(parameter.path, UNCHANGED)) is not None:
                try:
                    yield _parameter(parameter, change)
                except ValueError as error:
                    problems.extend(problems_in(error, ("parameters", parameter.path)))

    facts["parameters"] = {kind: tuple(changed(parameters)) for kind, parameters in base.parameters.items()}
    if problems:
        raise ConfigurationInvalid(dict.fromkeys(problems))
    return replace(base, **facts)


def _parameter(known: Parameter, change: OverlayParameter) -> Parameter:
    """Returns a parameter with the changes applied. Raises ValueError."""
    more, limits = change.model_extra or {}, asdict(known.range)
    words = {name: value for name, value in change.model_dump(exclude_none=True).items() if name not in more}
    if unknown := more.keys() - limits.keys():
        raise ValueError(f"does not have {', '.join(sorted(unknown))}; it has {', '.join(limits)}")
    made = replace(known, range=TypeAdapter(type(known.range)).validate_python(limits | more), **words)
    for least, most in BOUNDS:
        low, high = getattr(made.range, least, None), getattr(made.range, most, None)
        if low is not None and high is not None and low > high:
            raise ValueError(f"{least} {low} is above {most} {high}")
    return made
