"""Model catalog: parameters, limits and prices of each provider's models, in one dated YAML file per provider.

title: Black Forest Labs
checked_on: 2026-11-22
source: https://docs.bfl.ai
notes: [...]                    # sentences for the provider's page
refusal_charge: free            # or: charged; left out if the provider does not say. A model may differ.
prices: [{unit: credit, amount: "0.01", source: ...}]    # prices of all models, after their own
parameters:                     # defined once, listed by name below
  prompt: {path: prompt, text: {max_length: 10000}, title: Prompt, help: What to show., required: true}
models:
  - id: flux-pro-1.1
    title: FLUX 1.1 pro
    summary: ...
    evidence: official_client   # or: other_client, specification
    max_count: 1
    previews: true
    stage: active               # or: preview, ending, retired; with ends_on and replacement
    generate: [prompt, size]    # parameters per operation, by name
    edit: [image, inpaint]      # edits stand among the parameters, by their field in `EditRequest.kind`
    outpaint: {maximum_side: 8192, ...}    # sizes of the image that an outpaint makes
    # `when` has conditions in the words of `core/price_rules.py`: quality high, size 1024x1024
    prices: [{unit: image, amount: "0.04", when: generate, source: docs.bfl.ai/pricing}]
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from celeste_image.core.card import (
    BoolRange,
    ChoiceRange,
    ImageRange,
    IntegerRange,
    ModelCard,
    ModelEvidence,
    ModelStage,
    NumberRange,
    Parameter,
    ParameterRange,
    Price,
    RefusalCharge,
    SizeRange,
    TextRange,
)
from celeste_image.core.edits import EDITS
from celeste_image.core.price_rules import conditions_in
from celeste_image.core.request import OperationKind, RequestOptions

__all__ = ["cards_from", "contract_path", "load_cards", "load_catalog", "load_notes", "load_title"]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Each start of a server reads the catalog: 9 ms with the loader in C, 76 ms in Python (2026-11-22)."""
KEYS = {"title", "checked_on", "source", "notes", "refusal_charge", "prices", "parameters", "models"}
OPTIONAL = {"source", "notes", "refusal_charge", "prices", "parameters"}
SHARED = {each.name for each in fields(RequestOptions)}
"""Options of the contract, which all providers share."""
RATIO = re.compile(r"[1-9]\d*:[1-9]\d*")

RANGES: Mapping[str, type[ParameterRange]] = {
    "text": TextRange,
    "integer": IntegerRange,
    "number": NumberRange,
    "bool": BoolRange,
    "choice": ChoiceRange,
    "size": SizeRange,
    "image": ImageRange,
}


def load_cards(provider: str) -> tuple[ModelCard, ...]:
    """Returns the model cards in a provider's file. Raises ValueError if the file is not a valid catalog."""
    return cards_from(provider, load_catalog(provider))


def load_title(provider: str) -> str:
    """Returns a provider's name for people."""
    return str(load_catalog(provider)["title"])


def load_notes(provider: str) -> Sequence[str]:
    """Returns the notes for a provider's page, one or more sentences each."""
    notes: Sequence[str] = load_catalog(provider).get("notes", ())
    return notes


def cards_from(provider: str, catalog: Mapping[str, Any]) -> tuple[ModelCard, ...]:
    """Returns the model cards of a catalog, as loaded from YAML.

    Raises:
        ValueError: A key is unknown or missing, a value has the wrong type, two models have the same id, or a parameter
            does not have exactly one range. The message names the place.
    """
    if unknown := catalog.keys() - KEYS:
        raise ValueError(f"{provider}: unknown keys {', '.join(sorted(unknown))}")
    if missing := KEYS - catalog.keys() - OPTIONAL:
        raise ValueError(f"{provider}: {', '.join(sorted(missing))} is missing")
    parameters = {
        name: _parameter(f"{provider}: parameters.{name}", provider, values)
        for name, values in catalog.get("parameters", {}).items()
    }
    cards = tuple(_card(provider, catalog, parameters, values) for values in catalog["models"])
    ids = [card.id for card in cards]
    if twice := {model for model in ids if ids.count(model) > 1}:
        raise ValueError(f"{provider}: two models have the id {', '.join(sorted(twice))}")
    return cards


@lru_cache
def load_catalog(provider: str) -> Mapping[str, Any]:
    """Returns a provider's file as loaded. The value is cached, so callers must not change it."""
    text = (files(__package__) / f"{provider}.yaml").read_text()
    loaded: Mapping[str, Any] = yaml.load(text, Loader=LOADER)  # noqa: S506  # a safe loader
    return loaded


def _parameter(where: str, provider: str, values: Mapping[str, Any]) -> Parameter:
    found = [name for name in RANGES if name in values]
    if len(found) != 1:
        raise ValueError(f"{where}: needs exactly one of {', '.join(RANGES)}")
    (kind,) = found
    given = dict(values[kind] or {})
    for name, value in given.items():
        if isinstance(value, list):  # dataclasses hold tuples
            given[name] = tuple(tuple(item) if isinstance(item, list) else item for item in value)
    for ratio in given.get("ratios", ()):
        # YAML reads 16:9 without quotes as a number to base 60.
        if not (isinstance(ratio, str) and RATIO.fullmatch(ratio)):
            raise ValueError(f"{where}: {ratio!r} is not a ratio; is it in quotes?")
    if "path" not in values:
        raise ValueError(f"{where}: 'path' is missing")
    path = contract_path(provider, values["path"])
    rest = {name: value for name, value in values.items() if name not in (kind, "path")}
    try:
        return Parameter(path=path, range=RANGES[kind](**given), **rest)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def contract_path(provider: str, path: str) -> str:
    """Returns a path of the contract: `options.x` is short for the provider option x, unless the contract has x."""
    option = path.removeprefix("options.")
    return path if option == path or option in SHARED else f'options.provider_options["{provider}"].{option}'


def _card(
    provider: str, catalog: Mapping[str, Any], parameters: Mapping[str, Parameter], values: Mapping[str, Any]
) -> ModelCard:
    where = f"{provider}: models.{values.get('id')}"
    operations = {kind: values[kind.value] for kind in OperationKind if kind.value in values}
    edits = tuple(name for name in operations.get(OperationKind.EDIT, ()) if name in EDITS)
    known = {f.name for f in fields(ModelCard)} - {"parameters", "edits"}
    rest = {name: value for name, value in values.items() if name not in {kind.value for kind in operations}}
    if unknown := rest.keys() - known:
        raise ValueError(f"{where}: unknown keys {', '.join(sorted(unknown))}")
    try:
        facts = {
            "source": catalog.get("source", ""),
            "checked_on": str(catalog["checked_on"]),
            **rest,
            "id": f"{provider}/{rest['id']}",
            "stage": ModelStage(rest.get("stage", "active")),
            "evidence": ModelEvidence(rest.get("evidence", ModelEvidence.SPECIFICATION)),
            "ends_on": str(rest.get("ends_on", "")),
            "prices": _prices(where, catalog, [*rest.get("prices", ()), *catalog.get("prices", ())]),
            "refusal_charge": RefusalCharge(rest.get("refusal_charge", catalog.get("refusal_charge", "unknown"))),
            "parameters": {
                kind: tuple(parameters[name] for name in names if name not in edits)
                for kind, names in operations.items()
            },
            "edits": edits,
            "outpaint": SizeRange(**rest["outpaint"]) if "outpaint" in rest else None,
        }
        if replacement := rest.get("replacement"):
            facts["replacement"] = f"{provider}/{replacement}"
        return ModelCard(**facts)
    except KeyError as error:
        raise ValueError(f"{where}: {error} is missing") from error
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def _prices(where: str, catalog: Mapping[str, Any], prices: Sequence[Mapping[str, Any]]) -> tuple[Price, ...]:
    made = []
    for values in prices:
        price = Price(**{**values, "checked_on": str(values.get("checked_on", catalog["checked_on"]))})
        try:
            # A text, because 0.1 in YAML is a binary fraction.
            sound = isinstance(price.amount, str) and 0 <= Decimal(price.amount) < Decimal("Infinity")
        except InvalidOperation:
            sound = False
        if not sound:
            raise ValueError(f"{where}: the amount {price.amount!r} is not a decimal number in quotes")
        if not conditions_in(price.when).readable:
            raise ValueError(f"{where}: nobody can compute a price when {price.when!r}; see core/price_rules.py")
        made.append(price)
    return tuple(made)
