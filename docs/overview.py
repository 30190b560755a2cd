"""The page docs/providers.md: a summary of every provider, operation and model."""

from docs.words import price, state, table
from tests.support.recording_evidence import known_by, offered, operations_of, vendors

from celeste_image.core.card import ModelCard
from celeste_image.providers.registry import discover

HEAD = """# Providers and models

This page lists the models of every provider: what they do, what they cost, and how well each operation is proven.
`celeste models` lists the models of a running server.

`make docs` writes this page from the catalog (`server/celeste_image/providers/catalog/` for vendors,
`providers/local/models/` for local models) and from the recordings of vendors' SDKs that still hold when replayed
(`tests/support/recorded_requests.py`). `make check` fails if the page is stale.

## Evidence for each operation

The words are those of `ModelEvidence` in `model_service.proto`. `official client` means that our request equals one
recorded from the vendor's own SDK, and that we understand the recorded reply. `other client` means the same with
another client library. `specification` means that no client library was compared. `-` means that the provider does not
offer the operation. No live vendor was called. Each cell has the strongest evidence among the provider's models. The
page of a provider has the evidence per model.
"""
LOCAL = """## This machine

Provider `local` needs no key and is free: [what each engine can and can't do](local-engines.md).
"""
RULES = """## What is refused, adjusted or dropped

These rules hold for every provider. Before anything is sent or paid for, a request is fitted to the card of its model.
Each field gets a line in the fidelity report of the result.

* A value outside its range or list is refused with INVALID_FIELD. So is an option that the provider does not know.
* A size within the bounds becomes the nearest legal size: ADJUSTED.
* A field that the model does not read is DROPPED; an unset field is DEFAULTED.
* A `count` above the model's images per call becomes several calls.
* `strictness: STRICT` (`--strict`) refuses a request that would have an ADJUSTED or DROPPED line.
* A retired model is refused with MODEL_RETIRED; the error names its replacement.

An operator may change limits, prices and lifecycles, or add models: [configuration](configuration.md#catalog). How the
cost of an operation follows from the prices: [costs](costs.md).
"""


def overview() -> str:
    """Returns the text of the page."""
    lines = [HEAD]
    links = [f"[{vendor.title}](providers/{name}.md)" for name, vendor in vendors().items()]
    rows = [[operation, *(_evidence(name, operation) for name in vendors())] for operation in offered()]
    lines += table(["operation", *links], rows)
    lines += [RULES, LOCAL]
    lines += table(["model", "does", "state"], ([f"`{c.id}`", does(c), state(c)] for c in discover()["local"].cards))
    for name, vendor in vendors().items():
        lines += [f"## {vendor.title}", ""]
        if name not in discover():
            word = "deployments" if name == "azure_openai" else "models"
            lines += [f"Its {word} come from the configuration: [its page](providers/{name}.md).", ""]
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
    """Returns the operations of a model, previews excepted, joined by commas."""
    return ", ".join(operation for operation in operations_of(card) if operation != "previews")
