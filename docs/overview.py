"""The page docs/providers.md: every provider, operation and model in short."""

from docs.words import price, state, table
from tests.support.recording_evidence import known_by, offered, operations_of, vendors

from celeste_image.core.card import ModelCard
from celeste_image.providers.registry import discover

HEAD = """# Providers and models

Made by `make docs` from the catalog (`server/celeste_image/providers/catalog/` for vendors,
`providers/local/models/` for this machine) and from the recordings of vendors' SDKs that hold when they are played
(`tests/support/recorded_requests.py`); `make check` fails when it differs. `celeste models` shows what a running
server has.

## How each operation is known

The words are those of `ModelEvidence` in `model_service.proto`. `official client` means that our request equals one
recorded from the vendor's own SDK, and that we understand the recorded reply. `other client` means the same with
another client library. `specification` means that no client library was compared. `-` means that the provider does not
offer the operation. No live vendor was called. Each cell has the strongest evidence among the provider's models. The
page of a provider has the evidence per model.
"""
LOCAL = """## This machine

Provider `local`, no key, nothing to pay: [what each engine is and is not](local-engines.md).
"""
RULES = """## What is refused, adjusted or dropped

The same for all: before anything is sent or paid for, a request is fitted to the card of its model, and each field gets
a line in the result's fidelity report.

* A value outside of a range or list is refused with INVALID_FIELD, and so is an option that the provider does not know.
* A size within the bounds becomes the nearest legal one: ADJUSTED.
* What the model does not read is DROPPED; what was left open is DEFAULTED.
* `count` beyond what one call makes becomes several calls.
* `strictness: STRICT` (`--strict`) refuses whatever would be ADJUSTED or DROPPED.
* A retired model is refused with MODEL_RETIRED and its replacement.

An operator may change limits, prices and lifecycle, or add models: [configuration](configuration.md#catalog).
"""


def overview() -> str:
    """Returns the page."""
    lines = [HEAD]
    links = [f"[{vendor.title}](providers/{name}.md)" for name, vendor in vendors().items()]
    rows = [
        [operation, *(evidence.words if (evidence := known_by(name, operation)) else "-" for name in vendors())]
        for operation in offered()
    ]
    lines += table(["operation", *links], rows)
    lines += [RULES, LOCAL]
    lines += table(["model", "does", "state"], ([f"`{c.id}`", does(c), state(c)] for c in discover()["local"].cards))
    for name, vendor in vendors().items():
        lines += [f"## {vendor.title}", ""]
        if name not in discover():
            word = "deployments" if name == "azure_openai" else "models"
            lines += [f"By configuration alone, with its {word}: [its page](providers/{name}.md).", ""]
            continue
        key = vendor.key_variable
        lines += [f"Provider `{name}`, key in `{key}`. [Parameters, ranges, examples](providers/{name}.md).", ""]
        rows = [
            [f"`{card.id}`", does(card), card.evidence.words, "; ".join(map(price, card.prices)) or "-", state(card)]
            for card in vendor.cards
        ]
        lines += table(["model", "does", "evidence", "price", "state"], rows)
    return "\n".join(lines)


def _evidence(provider: str, operation: str) -> str:
    known = known_by(provider, operation)
    return known.words if known else "-"


def does(card: ModelCard) -> str:
    """Returns what a model does."""
    return ", ".join(operation for operation in operations_of(card) if operation != "previews")
