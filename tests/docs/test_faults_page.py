"""The page of faults: each row names a test that exists, and a file that exists."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
KINDS = {"V": 17, "E": 5, "I": 5, "C": 16, "A": 14, "P": 5}


def rows() -> dict[str, list[str]]:
    """Returns the cells of each row by its kind."""
    lines = (line.strip().strip("|").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| "))
    cells = [[cell.strip() for cell in line] for line in lines]
    return {row[0]: row for row in cells if re.fullmatch(r"[A-Z]\d+", row[0])}


@cache
def functions(path: Path) -> set[str]:
    """Returns the names of the functions that a file defines."""
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_kind_has_a_row() -> None:
    assert set(rows()) == {f"{letter}{number + 1}" for letter, count in KINDS.items() for number in range(count)}


def test_every_row_names_tests_and_files_that_exist() -> None:
    wrong = []
    for kind, row in rows().items():
        tests = re.findall(r"`(tests/[\w/.-]+)(?:::(\w+))?`", row[2])
        files = re.findall(r"`([\w/.-]+)`", row[3])
        if not (tests and files):
            wrong.append(f"{kind} names no test or no file")
        for path, name in tests:
            if not (ROOT / path).exists() or (name and name not in functions(ROOT / path)):
                wrong.append(f"{kind}: {path}::{name}")
        wrong += [f"{kind}: {path}" for path in files if not (ROOT / path).exists()]
    assert not wrong
