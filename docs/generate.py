"""Writes docs/providers.md from the catalogue. Run by `make docs`; `--check` says whether it is up to date."""

import sys
from pathlib import Path

from celeste_image.core.card import ModelCard
from celeste_image.core.edits import EDITS
from celeste_image.core.request import OperationKind
from celeste_image.providers.discover import discover, discover_kinds

PAGE = Path(__file__).parent / "providers.md"
HEAD = """# Providers and models

Made from the catalogue by `make docs`: `server/celeste_image/providers/catalog/` for vendors,
`providers/local/models/` for this machine. `celeste models --json` shows the same of a running server, with every
parameter and its range.

*Evidence* says how a model's facts are known: `wire-proven` means that our requests equal those recorded from the
vendor's own SDK and that its recorded replies are understood; `second source` the same with another's client;
`from the specification` that nobody else's client was held against ours. None of them says that a live vendor was
asked: none was.
"""


def main() -> int:
    """Writes or checks the page."""
    text = page()
    if "--check" in sys.argv[1:]:
        if PAGE.read_text() == text:
            return 0
        print("docs/providers.md is not what the catalogue says; run: make docs", file=sys.stderr)
        return 1
    PAGE.write_text(text)
    return 0


def page() -> str:
    """Returns the page."""
    lines = [HEAD]
    for name, provider in discover().items():
        lines += [f"## {provider.title}", ""]
        variable = getattr(provider, "key_variable", "")
        lines += [f"Provider `{name}`, key in `{variable}`." if variable else f"Provider `{name}`, no key.", ""]
        lines += ["| model | does | evidence | price | state |", "| --- | --- | --- | --- | --- |"]
        lines += [row(card) for card in provider.cards]
        lines.append("")
    lines += ["## By configuration alone", ""]
    for kind in discover_kinds().values():
        first = (kind.__doc__ or "").strip().splitlines()[0]
        lines.append(f'* `kind = "{kind.name}"`: {first}')
    return "\n".join(lines) + "\n"


def row(card: ModelCard) -> str:
    """Returns a model's row."""
    prices = "; ".join(
        f"{price.amount} {price.currency} per {price.unit}{f' ({price.when})' if price.when else ''}"
        for price in card.prices
    )
    state = card.state.value
    if card.ends_on:
        state += f", ends {card.ends_on}"
    if card.replacement:
        state += f", then `{card.replacement}`"
    return f"| `{card.id}` | {does(card)} | {card.evidence or '-'} | {prices or '-'} | {state} |"


def does(card: ModelCard) -> str:
    """Returns what a model does, edits by their kinds."""
    words = []
    for kind, parameters in card.parameters.items():
        if kind is OperationKind.EDIT:
            words += [edit.replace("_", " ") for edit in EDITS if any(p.path == edit for p in parameters)]
        else:
            words.append(kind.value)
    return ", ".join(words)


if __name__ == "__main__":
    sys.exit(main())
