"""The page about the log: its tables are what the code says."""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from celeste_image.config import LogSettings
from celeste_image.core.loggers import LOGGERS

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "server" / "celeste_image"
PAGE = (ROOT / "docs" / "logging.md").read_text()
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
MORE = {
    "rpc": {"fields", "trace_id"},
    "call": {"log_id", "source", "prompts", "inputs", "outputs"},
    "bug": {"request_id"},
    "engine": set(),
    "serving": {"metrics", "admin"},
}
"""Facts that the code adds by `**`, by event."""


class Line(NamedTuple):
    """A line of the log: `place` is where the code writes it."""

    event: str
    logger: str
    level: str
    facts: frozenset[str]
    place: str = ""


def test_the_table_has_each_event_with_its_logger_and_its_levels() -> None:
    rows = {(row.event, row.logger, row.level) for row in told()}
    lines = {(line.event, line.logger, line.level): line.place for line in written()}
    assert {line: place for line, place in lines.items() if line not in rows} == {}, "these are not on the page"
    assert rows - lines.keys() == set(), "these are on the page, but not in the code"


def test_each_event_has_the_facts_of_its_row() -> None:
    facts: dict[str, set[str]] = {}
    for line in written():
        facts.setdefault(line.event, set()).update(line.facts)
    assert {row.event: set(row.facts) for row in told()} == facts


def test_each_logger_is_known_and_has_a_row() -> None:
    assert {line.logger for line in written()} == {*LOGGERS}
    assert dict(re.findall(r"^\| `(celeste_image\.\w+)` \| ([^|]*) \|$", PAGE, re.MULTILINE)) == LOGGERS


def test_each_setting_is_on_the_page_of_settings() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text().partition("### `[log]`")[2].partition("\n### ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == sorted(LogSettings.model_fields)


def test_the_code_is_read() -> None:
    """A reader that finds nothing would agree with an empty page."""
    lines = {line.event: line for line in written()}
    assert len(lines) > 30
    assert lines["refused"].facts == {"calls", "since_start"}
    assert {line.level for line in written() if line.event == "sandbox"} == {"info", "warning"}


def told() -> Iterator[Line]:
    """Yields the lines of the page's table, one for each level."""
    row = re.compile(r"^\| `([^`]+)` \| (\w+) \| ([a-z, ]+) \|([^|]*)\| [^|]+ \|$", re.MULTILINE)
    table = PAGE.partition("\n## Events\n")[2]
    found = row.findall(table)
    assert len(found) == table.count("\n|") - 2, "each row has the form of a row"
    for event, logger, levels, facts in found:
        for level in levels.split(", "):
            yield Line(event, f"celeste_image.{logger}", level, frozenset(re.findall(r"`(\w+)`", facts)))


@cache
def written() -> tuple[Line, ...]:
    """Returns the lines that the code of the server writes."""
    sources = {path: text for path in SERVER.rglob("*.py") if "get_logger(" in (text := path.read_text())}
    return tuple(line for path, text in sources.items() for line in _lines_in(path.name, [*ast.walk(ast.parse(text))]))


def _lines_in(file: str, nodes: Sequence[ast.AST]) -> Iterator[Line]:
    """Yields the lines that a module writes. Fails if it uses a logger in a way that this does not see."""
    loggers, chosen = dict(_loggers(nodes)), dict(_chosen(nodes))
    used = 0
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute() as method):
                methods: tuple[ast.Attribute, ...] = (method,)
            case ast.Call(func=ast.Name(id=name)):
                methods = chosen.get(name, ())
            case _:
                continue
        for method in methods:
            if isinstance(method.value, ast.Name) and method.value.id in loggers:
                used += 1
                (event,) = (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))
                facts = {fact.arg for fact in node.keywords if fact.arg and fact.arg != "exc_info"}
                if any(fact.arg is None for fact in node.keywords):
                    facts |= MORE[event]
                level, logger = LEVELS[method.attr], loggers[method.value.id]
                yield Line(event, logger, level, frozenset(facts), f"{file}:{node.lineno}")
    mentions = [node for node in nodes if isinstance(node, ast.Name) and node.id in loggers]
    assert used == sum(isinstance(node.ctx, ast.Load) for node in mentions), file


def _loggers(nodes: Sequence[ast.AST]) -> Iterator[tuple[str, str]]:
    """Yields the variables of loggers, with the names of the loggers."""
    for node in nodes:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=variable)],
                value=ast.Call(func=ast.Attribute(attr="get_logger"), args=[ast.Constant(value=str(name))]),
            ):
                yield variable, name


def _chosen(nodes: Sequence[ast.AST]) -> Iterator[tuple[str, tuple[ast.Attribute, ...]]]:
    """Yields the variables of `say = log.warning if bad else log.info`, with both methods."""
    for node in nodes:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=variable)],
                value=ast.IfExp(body=ast.Attribute() as one, orelse=ast.Attribute() as other),
            ):
                yield variable, (one, other)
