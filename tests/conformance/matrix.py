"""The result matrix: cases by clients, printed and written into docs/clients/README.md by the run itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.cases import Case

__all__ = ["Column", "report", "write"]

PAGE = Path(__file__).parents[2] / "docs" / "clients" / "README.md"
BEGIN, END = "<!-- matrix: written by make test-clients -->", "<!-- end of matrix -->"


@dataclass
class Column:
    """The results of one client.

    Attributes:
        name: Name of the client.
        skipped: Why nothing ran: the toolchain that is missing. Empty if it ran.
        broken: Why the client did not build or its runner ended early. Empty if neither.
        results: What is wrong, by case. An empty list is a pass.
        impossible: Why the client can't make the call of a case, by case.
        pages: What is wrong with the programs of the client's page.
        programs: Number of these programs.
        build_seconds: Time of the build.
        run_seconds: Time of the cases.
    """

    name: str
    skipped: str = ""
    broken: str = ""
    results: dict[str, list[str]] = field(default_factory=dict)
    impossible: dict[str, str] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)
    programs: int = 0
    build_seconds: float = 0.0
    run_seconds: float = 0.0

    @property
    def failed(self) -> dict[str, list[str]]:
        return {name: lines for name, lines in self.results.items() if lines}

    @property
    def is_good(self) -> bool:
        """Whether nothing failed. A skip is not a failure, but no pass either: the report says so."""
        return not (self.broken or self.failed or self.pages)

    def line(self) -> str:
        """Returns one line about the client."""
        if self.skipped:
            return f"SKIPPED  {self.name}: {self.skipped}"
        if self.broken:
            return f"BROKEN   {self.name}: {self.broken}"
        passed = len(self.results) - len(self.failed)
        left = f", {len(self.impossible)} impossible" if self.impossible else ""
        counts = f"{passed} passed, {len(self.failed)} failed{left}, {self.programs} programs"
        times = f"build {self.build_seconds:.0f} s, cases {self.run_seconds:.0f} s"
        return f"{'ok      ' if self.is_good else 'FAILED  '} {self.name}: {counts}; {times}"


def report(columns: Sequence[Column]) -> str:
    """Returns what failed in detail, and a last line that counts clients and names those that were skipped."""
    lines = []
    for column in columns:
        for name, wrong in column.failed.items():
            lines += [f"FAILED   {column.name}: {name}", *(f"         {line}" for line in wrong)]
        lines += [f"FAILED   {line}" for line in column.pages]
    good = [column for column in columns if column.is_good and not column.skipped]
    skipped = [column.name for column in columns if column.skipped]
    lines.append(f"{len(good)} of {len(columns)} clients passed.")
    if skipped:
        lines.append(f"NOT TESTED, their toolchain is missing: {'; '.join(skipped)}")
    return "\n".join(lines)


def write(cases: Sequence[Case], columns: Sequence[Column]) -> None:
    """Writes the matrix into the page."""
    text = PAGE.read_text()
    head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{head}{BEGIN}\n\n{table(cases, columns)}\n{END}{tail}")


def table(cases: Sequence[Case], columns: Sequence[Column]) -> str:
    """Returns the matrix in Markdown."""
    rows = ["| case | " + " | ".join(column.name for column in columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    group = ""
    for case in cases:
        if case.group != group:
            group = case.group
            rows.append(f"| **{group}** |" + " |" * len(columns))
        rows.append(
            f"| {case.name.replace('_', ' ')} | " + " | ".join(_cell(column, case) for column in columns) + " |"
        )
    rows.append("| **programs of the language's page** | " + " | ".join(map(_page_cell, columns)) + " |")
    return "\n".join(rows) + "\n"


def _page_cell(column: Column) -> str:
    if column.skipped or column.programs == 0:
        return "skipped" if column.skipped else ""
    return "✗" if column.pages or column.broken else "✓"


def _cell(column: Column, case: Case) -> str:
    if column.skipped:
        return "skipped"
    if why := column.impossible.get(case.name):
        return why
    return "✗" if column.broken or column.results.get(case.name, ["missing"]) else "✓"
