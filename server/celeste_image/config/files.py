"""Configuration files: reads TOML, YAML and JSON, and finds the line of each key."""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from celeste_image.config.problems import ConfigurationInvalid, KeyPath, Problem
from celeste_image.core.textfile import read_text

__all__ = ["FORMATS", "Document", "read_document"]

Lines = dict[KeyPath, int]
CLOSES = re.compile(r"""[\]}]|\"{3}|'{3}""")
"""What the last line of a TOML statement with several lines has."""


@dataclass
class Document:
    """What a configuration file says.

    Attributes:
        file: The file.
        values: The settings by table and key.
        problems: Mistakes that leave the rest of the file readable, such as a key that is set twice.
    """

    file: Path
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    find_lines: Callable[[], Lines] = dict

    @cached_property
    def lines(self) -> Lines:
        """The line of each key, from 1. It is found when it is asked for, since only messages need it."""
        return self.find_lines()

    def place(self, path: KeyPath) -> str:
        """Returns `FILE:LINE` of a setting or, if it is not there, of the table that it would be in."""
        line = next((self.lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in self.lines), None)
        return f"{self.file}:{line}" if line else str(self.file)


def read_document(file: Path, other: str = "") -> Document:
    """Returns what a file says, by the format that its name ends with.

    Args:
        file: The file.
        other: Ending whose format a file with another ending has; empty means that its name is refused.

    Raises:
        ConfigurationInvalid: The file can't be read, or its name or its text has no known format.
    """
    if (read := FORMATS.get(file.suffix.lower()) or FORMATS.get(other)) is None:
        raise _refused(file, None, f"must have a name that ends with {', '.join(FORMATS)}")
    try:
        return read(file, read_text(file))
    except OSError as error:
        raise _refused(file, None, f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _refused(file, error.object[: error.start].count(b"\n") + 1, "is not UTF-8 text") from None
    except RecursionError:
        raise _refused(file, None, "has too many levels of lists or tables") from None


def _refused(file: Path, line: int | None, text: str) -> ConfigurationInvalid:
    return ConfigurationInvalid([Problem((), text, f"{file}:{line}" if line else str(file))])


# TOML


def _read_toml(file: Path, text: str) -> Document:
    try:
        return Document(file, tomllib.loads(text), find_lines=lambda: _toml_lines(text))
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        line = int(at[1]) if at else text.count("\n") + (not text.endswith("\n"))  # "at end of document"
        raise _refused(file, line, f"is not TOML: {error}") from None


def _toml_lines(text: str) -> Lines:
    """Returns the lines of a valid file.

    A statement ends with the first line up to which tomllib can read it: inside brackets and quotes it can't. Values
    inside a list or an inline table have the line of their statement.
    """
    lines: Lines = {}
    table: KeyPath = ()
    sizes: dict[KeyPath, int] = {}  # number of tables by the path of their array
    for number, statement in _toml_statements(text):
        values = tomllib.loads(statement)
        if not statement.lstrip().startswith("["):
            for path in _paths(values):
                lines.setdefault((*table, *path), number)
            continue
        table, inner = (), values
        while inner:  # one key at each level
            (part, inner), *_ = inner.items()
            table = (*table, part)
            if isinstance(inner, list):
                sizes[table] = sizes.get(table, 0) + 1
                inner = inner[0]
            if table in sizes:
                table = (*table, str(sizes[table] - 1))
        for size in range(1, len(table) + 1):
            lines.setdefault(table[:size], number)
    return lines


def _toml_statements(text: str) -> Iterator[tuple[int, str]]:
    """Yields each statement of a valid file with the number of its first line."""
    first, held = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        if not held and (not line.strip() or line.lstrip().startswith("#")):
            continue
        if not held:
            first = number
        elif not CLOSES.search(line):
            held += line + "\n"
            continue
        held += line + "\n"
        try:
            tomllib.loads(held)
        except tomllib.TOMLDecodeError:
            continue
        yield first, held
        held = ""


def _paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yields the path of each value inside a value."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, str(key)))


# YAML


def _read_yaml(file: Path, text: str) -> Document:
    import yaml  # late: most servers have no such file

    from celeste_image.config.yaml_values import LOADER, values_of

    lines: Lines = {}
    problems: list[Problem] = []

    def refuse(path: KeyPath, line: int, why: str) -> None:
        key = ".".join(path)
        problems.append(Problem(path, why, f"{file}:{line}" + (f": {key}" if key else "")))

    try:
        values = values_of(yaml.compose(text, Loader=LOADER), lines, refuse)
    except yaml.MarkedYAMLError as error:  # its own text quotes the line, which may have a secret
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        why = str(error.problem or error.context).removeprefix("but ")
        raise _refused(file, line, f"is not YAML: {why}") from None
    except yaml.YAMLError as error:
        raise _refused(file, None, f"is not YAML: {getattr(error, 'reason', 'it has odd characters')}") from None
    if not isinstance(values, dict):
        raise _refused(file, 1, "must be a table of settings")
    return Document(file, values, problems, lambda: lines)


# JSON


def _read_json(file: Path, text: str) -> Document:
    import json

    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise _refused(file, error.lineno, f"is not JSON: {error.msg}") from None
    if not isinstance(values, dict):
        raise _refused(file, 1, "must be a table of settings")
    scan = _JsonScan(text)
    problems = [Problem(path, "is set twice", f"{file}:{line}: {'.'.join(path)}") for path, line in scan.twice]
    return Document(file, values, problems, lambda: scan.lines)


class _JsonScan:
    """Finds the lines of the keys of a valid JSON text. The standard library decodes each scalar."""

    def __init__(self, text: str) -> None:
        import json

        self._text, self._decode = text, json.JSONDecoder().raw_decode
        self.lines: Lines = {}
        self.twice: list[tuple[KeyPath, int]] = []
        self._value(self._blank(0), ())

    def _blank(self, at: int) -> int:
        while self._text[at : at + 1] in (" ", "\t", "\n", "\r"):
            at += 1
        return at

    def _value(self, at: int, path: KeyPath) -> int:
        """Notes the keys inside the value that begins at a character, and returns where the value ends."""
        opened = self._text[at]
        if opened not in "{[":
            return self._decode(self._text, at)[1]
        at, index = self._blank(at + 1), 0
        while self._text[at] not in "}]":
            key, begins = str(index), at
            if opened == "{":
                key, at = self._decode(self._text, at)
                at = self._blank(self._blank(at) + 1)  # the colon
            inner = (*path, key)
            line = self._text.count("\n", 0, begins) + 1
            if inner in self.lines:
                self.twice.append((inner, line))
            self.lines[inner] = line
            at, index = self._blank(self._value(at, inner)), index + 1
            if self._text[at] == ",":
                at = self._blank(at + 1)
        return at + 1


FORMATS: dict[str, Callable[[Path, str], Document]] = {
    ".toml": _read_toml,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_json,
}
"""Readers by the end of the file's name."""
