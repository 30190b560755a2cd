"""Tables of commands: rows of texts, in columns on a screen, or as CSV."""

import csv
import io
from collections.abc import Sequence

from rich.cells import cell_len

from celeste_image.cli.terminal import say
from celeste_image.core.text import escaped

__all__ = ["NOTHING", "bar", "print_csv", "print_table"]

GAP = "  "
NOTHING = "-"
"""Stands for an empty cell in a table. In CSV the cell is empty."""

BAR = 20
"""Length of the longest bar in characters."""
WHOLE, PARTS = "\u2588", " \u258f\u258e\u258d\u258c\u258b\u258a\u2589"
"""A character of a bar, and the last one by its eighths."""


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[str] = frozenset()) -> None:
    """Prints rows in columns below their heads; columns whose heads are in `numbers` end at the right.

    No line is wrapped. Raises OutputLost.
    """
    table = [[escaped(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = []
        for head, cell, width in zip(heads, row, widths, strict=True):
            room = " " * (width - cell_len(cell))
            cells.append(room + cell if head in numbers else cell + room)
        say(GAP.join(cells).rstrip())


def print_csv(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows as CSV, with a line of heads. A cell that a spreadsheet would run gets an apostrophe.

    Raises:
        OutputLost: Standard output is broken.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([_safe("" if cell == NOTHING else cell) for cell in row])
    for line in text.getvalue().splitlines():
        say(line)


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def bar(amount: int, most: int, *, has_blocks: bool) -> str:
    """Returns a bar for an amount. An amount above 0 has a part of a character at least.

    Args:
        amount: The amount.
        most: The amount of the longest bar, above 0.
        has_blocks: Whether the bar may have the blocks of Unicode, to an eighth of a character. If not, it has number
            signs.
    """
    eighths = max(amount * BAR * 8 // most, int(amount > 0))
    return (WHOLE * (eighths // 8) + PARTS[eighths % 8]).rstrip() if has_blocks else "#" * -(-eighths // 8)
