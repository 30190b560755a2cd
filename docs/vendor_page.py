"""The pages docs/providers/NAME.md: set-up, examples, models, parameters and prices of one provider."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from docs.examples import examples
from docs.words import state, table, unit_of
from tests.support.recording_evidence import RANKS, known_by, operations_of

from celeste_image.cli.words import accepts
from celeste_image.core.card import ModelCard, ModelStage, Parameter, RefusalCharge
from celeste_image.core.request import OperationKind
from celeste_image.providers.catalog import load_notes
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.providers.registry import discover
from celeste_image.providers.vendors.compatible import CompatibleModel, CompatibleOptions

REFUSALS = {
    RefusalCharge.CHARGED: "A request that its safety system refuses has to be paid.",
    RefusalCharge.FREE: "A request that its safety system refuses is free.",
    RefusalCharge.UNKNOWN: "Whether a request that its safety system refuses has to be paid is not known.",
}
LINKS = """This page has the set-up, examples, models, parameters and prices of one provider; `make docs` writes it.
[All providers](../providers.md) explains the words for evidence, and the rules for refused and adjusted requests. See
also [settings](../configuration.md) and the [emulator](../emulators.md).
"""
EXAMPLES = """## Examples

Each example runs as shown, against the vendor or its emulator (`celeste emulate {name} --write celeste.toml`); a test
runs them all. They read three files: `photo.jpg`, a photograph; `mask.png`, of the same size, white where the
photograph may change; and `style.jpg`. They use the server at `CELESTE_ADDRESS`, or start their own.
"""


def vendor_page(vendor: Vendor) -> str:
    """Returns the text of a provider's page."""
    lines = [f"# {vendor.title}", "", LINKS, *_set_up(vendor)]
    lines += [EXAMPLES.format(name=vendor.name), *examples(vendor)]
    if vendor.name in discover():
        lines += [*_models(vendor), *_parameters(vendor), *_prices(vendor.cards), *_notes(vendor.name)]
    elif vendor.name == "azure_openai":
        lines += [*_models(vendor, "These are the deployments of the emulator, one for each model that OpenAI offers.")]
        lines += ["Parameters are those of [OpenAI's models](openai.md#parameters). Microsoft sets its own prices.", ""]
        lines += _notes("openai")
    else:
        lines += _model_settings()
    return "\n".join(lines).rstrip() + "\n"


def _set_up(vendor: Vendor) -> list[str]:
    lines = ["## Set up", ""]
    if vendor.name in discover():
        lines += [
            f"Put the key into `{vendor.key_variable}`, or into `key` or `key_file` of `[providers.{vendor.name}]`. It",
            f"has the form `{vendor.key_form}`. The API is at `{vendor.base_url}`; `base_url` sets another address.",
        ]
    else:
        text = (sys.modules[type(vendor).__module__].__doc__ or "").strip()
        words, _, example = text.partition("\n\n")
        lines += [" ".join(words.split()), "", "```toml", example, "```", ""]
        if vendor.key_variable:
            lines += [f"The key comes from `{vendor.key_variable}`, or from `key` or `key_file` of the table."]
        else:
            lines += ["If the server needs a key, set `key` or `key_file` in the table."]
    return [*lines, ""]


def _models(vendor: Vendor, words: str = "") -> list[str]:
    rows = [
        [f"`{card.id}`", card.summary, str(card.max_count), "yes" if card.previews else "no", state(card)]
        for card in vendor.cards
    ]
    lines = ["## Models", "", *([words, ""] if words else [])]
    if source := next((card.source for card in vendor.cards if card.source), ""):
        lines += [f"Checked on {vendor.cards[0].checked_on}; source: {source}.", ""]
    lines += table(["model", "what it is", "images per call", "previews", "state"], rows)
    lines += ["Evidence for each operation:", ""]
    return lines + table(
        ["model", *(rank.words for rank in RANKS)], ([f"`{card.id}`", *_known(vendor, card)] for card in vendor.cards)
    )


def _known(vendor: Vendor, card: ModelCard) -> list[str]:
    """Returns a model's operations, joined per rank of evidence, in the order of RANKS."""
    known = {operation: known_by(vendor.name, operation, card.id) for operation in operations_of(card)}
    return [", ".join(name for name, evidence in known.items() if evidence is rank) or "-" for rank in RANKS]


def _parameters(vendor: Vendor) -> list[str]:
    """Returns a table per operation and set of parameters, each for all models that share the set."""
    lines = ["## Parameters", ""]
    edits = [[f"`{card.id}`", ", ".join(f"`{edit}`" for edit in card.edits)] for card in vendor.cards if card.edits]
    if edits:
        lines += ["Edits of each model:", "", *table(["model", "edits"], edits)]
    groups: dict[tuple[OperationKind, Sequence[Parameter]], list[ModelCard]] = {}
    for card in vendor.cards:
        if card.stage is not ModelStage.RETIRED:
            for kind, parameters in card.parameters.items():
                groups.setdefault((kind, tuple(parameters)), []).append(card)
    for kind in OperationKind:
        for (one, parameters), cards in groups.items():
            if one is kind:
                models = ", ".join(f"`{card.id.partition('/')[2]}`" for card in cards)
                rows = [
                    [f"`{p.path}`{'*' * p.required}", accepts(p.range), p.help] for p in sorted(parameters, key=_rank)
                ]
                lines += [
                    f"### {kind.value.capitalize()}: {models}",
                    "",
                    *table(["field", "accepts", "what it does"], rows),
                ]
    return [*lines, "\\* required", ""]


def _rank(parameter: Parameter) -> int:
    return 2 if parameter.path.startswith("options.") else 1 if parameter.advanced else 0


def _prices(cards: Sequence[ModelCard]) -> list[str]:
    rows = [
        [
            f"`{card.id}`",
            p.amount,
            p.currency,
            unit_of(p),
            p.when or "always",
            p.source,
            p.checked_on,
        ]
        for card in cards
        for p in card.prices
    ]
    lines = ["## Prices", "", *table(["model", "amount", "currency", "per", "when", "source", "checked on"], rows)]
    return [*lines, f"{REFUSALS[cards[0].refusal_charge]} See [costs](../costs.md).", ""]


def _notes(name: str) -> list[str]:
    return ["## Differences from other providers", "", *(f"* {note}" for note in load_notes(name)), ""]


def _model_settings() -> list[str]:
    """Returns the table of keys that a model of a `compatible` provider may have in the configuration."""
    rows = []
    for name, known in CompatibleModel.model_json_schema()["properties"].items():
        default = f"`{json.dumps(known['default'])}`" if "default" in known else "required"
        rows.append([f"`{name}`", _type(known), default, known.get("description", "-")])
    lines = ["## Keys of an entry in `models`", "", "A parameter that the entry does not name is not sent.", ""]
    lines += table(["key", "type", "default", "meaning"], rows)
    options = ", ".join(f"`{name}`" for name in CompatibleOptions.model_fields)
    return [*lines, f"The options are {options}. `outpaint` is ADJUSTED: the server paints the larger canvas anew."]


def _type(known: Mapping[str, Any]) -> str:
    """Returns the type of a value in words, from its JSON schema."""
    if choices := known.get("enum"):
        return ", ".join(f"`{choice}`" for choice in choices)
    if known["type"] == "array":
        return f"list of {_type(known['items'])}"
    words = str(known["type"])
    return f"{words}, {known['minimum']} to {known['maximum']}" if "maximum" in known else words
