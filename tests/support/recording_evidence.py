"""Evidence for each operation of each provider: the recordings that our requests equal.

An operation is `generate`, an edit by its name, `control (style)`, `upscale (fast)`, `previews`, `errors` or
`key check`.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.recorded_requests import CASES, check_recording
from tests.support.recordings import Recording

from celeste_image.core.card import ChoiceRange, ModelCard, ModelEvidence
from celeste_image.core.edits import EDITS, Control
from celeste_image.core.request import Edit, ImageRequest, OperationKind, Upscale
from celeste_image.emulate import EMULATED
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.providers.registry import build_providers

__all__ = [
    "RANKS",
    "SPECIFIED",
    "Proof",
    "best",
    "cards",
    "known_by",
    "offered",
    "operations_of",
    "proofs",
    "run_recordings",
    "vendors",
]

SPECIFIED = ModelEvidence.SPECIFICATION
RANKS = (ModelEvidence.OFFICIAL_CLIENT, ModelEvidence.OTHER_CLIENT, SPECIFIED)
ORDER = (
    *(kind.value for kind in OperationKind if kind is OperationKind.GENERATE),
    "previews",
    *(name.replace("_", " ") for name in EDITS),
    OperationKind.UPSCALE.value,
    "key check",
    "errors",
)
"""The order of operations in tables; `control (style)` sorts as `control`."""


@dataclass(frozen=True)
class Proof:
    """An operation that a recording proves; `model` is empty for `errors` and `key check`."""

    recording: str
    provider: str
    model: str
    operation: str
    evidence: ModelEvidence


@cache
def vendors() -> Mapping[str, Vendor]:
    """Returns every vendor by name, configured for its emulator: those with configured models have models there."""
    tables: dict[str, Any] = {name: cls(None).table("http://127.0.0.1:1") for name, cls in EMULATED.items()}  # type: ignore[arg-type]
    made = build_providers(tables)
    return {name: vendor for name in EMULATED if isinstance(vendor := made[name], Vendor)}


@cache
def cards() -> Mapping[str, ModelCard]:
    """Returns every card of the vendors by its id."""
    return {card.id: card for vendor in vendors().values() for card in vendor.cards}


@cache
def proofs() -> Sequence[Proof]:
    """Returns the proofs of all recordings that pass, replayed once."""
    held = [name for name, problem in run_recordings().items() if not problem]
    return [proof for name in held for proof in proofs_of(name, cards())]


def offered() -> Sequence[str]:
    """Returns every operation that a vendor offers, in the order of the tables."""
    found = {operation for card in cards().values() for operation in operations_of(card)}
    return sorted(found | {"key check", "errors"}, key=lambda name: (ORDER.index(name.partition(" (")[0]), name))


def known_by(provider: str, operation: str, model: str = "") -> ModelEvidence | None:
    """Returns how an operation of a provider, or of one of its models, is known; None where it is not offered."""
    vendor = vendors()[provider]
    chosen = [card for card in vendor.cards if model in ("", card.id)]
    match operation:
        case "key check" if not vendor.key_path:
            return None
        case "key check" | "errors":
            pass
        case _ if not any(operation in operations_of(card) for card in chosen):
            return None
    return best(
        proof
        for proof in proofs()
        if (proof.provider, proof.operation) == (provider, operation) and model in ("", proof.model)
    )


def best(proofs: Iterable[Proof]) -> ModelEvidence:
    """Returns the strongest evidence of the proofs; SPECIFIED without any proof."""
    return min((proof.evidence for proof in proofs), key=RANKS.index, default=SPECIFIED)


def operations_of(card: ModelCard) -> Sequence[str]:
    """Returns the operations that a card offers, in the order of the contract."""
    found: list[str] = []
    for kind in card.operations:
        match kind:
            case OperationKind.EDIT:
                for name in EDITS:
                    if name in card.edits:
                        found += _by(card, kind, name.replace("_", " "), "control.control" if name == "control" else "")
            case OperationKind.UPSCALE:
                found += _by(card, kind, kind.value, "mode")
            case _:
                found.append(kind.value)
    return found + ["previews"] * card.previews


def proofs_of(name: str, cards: Mapping[str, ModelCard]) -> Iterator[Proof]:
    """Yields the proofs of a recording that passes; `cards` are the cards of the catalog by id."""
    case = CASES[name]
    provider = case.place.vendor.name
    evidence = ModelEvidence.OFFICIAL_CLIENT if Recording.load(name).official else ModelEvidence.OTHER_CLIENT
    if case.request is None:
        yield Proof(name, provider, "", "key check", evidence)
    elif case.fails:
        yield Proof(name, provider, "", "errors", evidence)
    else:
        model = case.place.deployed(case.request.model)
        yield Proof(name, provider, model, _operation(case.request, cards.get(model)), evidence)
        if case.request.options.preview_count:
            yield Proof(name, provider, model, "previews", evidence)


@cache
def run_recordings() -> Mapping[str, str]:
    """Replays every recording that has a case. Returns the problem of each; empty for a recording that passes."""

    async def problem(name: str) -> str:
        try:
            await check_recording(name)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    async def all_of_them() -> Mapping[str, str]:
        return {name: await problem(name) for name in CASES}

    return asyncio.run(all_of_them())


def _operation(request: ImageRequest, card: ModelCard | None) -> str:
    match request:
        case Edit(edit=Control() as control):
            return f"control ({control.control})"
        case Edit():
            return request.edit.field.replace("_", " ")
        case Upscale():
            assert card
            (operation,) = _by(card, OperationKind.UPSCALE, request.kind.value, "mode")
            return operation
        case _:
            return request.kind.value


def _by(card: ModelCard, kind: OperationKind, name: str, path: str) -> Sequence[str]:
    """Returns an operation once for each choice of the parameter at `path`, or unchanged without choices."""
    known = card.parameter(kind, path)
    if known and isinstance(known.range, ChoiceRange) and known.range.values:
        return [f"{name} ({value})" for value in known.range.values]
    return [name]
