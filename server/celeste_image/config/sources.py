"""Config sources: reads the settings of the file, of the environment and of flags, and remembers where each is from.

The sources and their precedence are in `loading.py`.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from pydantic import BaseModel

from celeste_image.config.problems import ConfigurationInvalid, KeyPath, Problem, kind_at
from celeste_image.core.nearest import nearest

__all__ = [
    "FILE_NAMES",
    "FILE_VARIABLE",
    "PREFIX",
    "Flag",
    "Source",
    "environment_source",
    "file_source",
    "find_file",
    "flag_source",
    "parse_flag",
]

PREFIX = "CELESTE_"
FILE_VARIABLE = "CELESTE_CONFIG"
"""Names the configuration file."""
SET = "--set"
FILE_NAMES = ("celeste.toml", "celeste.yaml", "celeste.yml", "celeste.json")
"""Files that are looked for in the working folder."""


class Flag(NamedTuple):
    """A setting of the command line: the flag, the setting's key, and its value or the text of its value."""

    name: str
    path: KeyPath
    value: Any


@dataclass
class Source:
    """Settings from one source.

    Attributes:
        values: The settings by table and key.
        names: The name of the variable or flag by the key that it sets.
        problems: Mistakes that leave the rest of the source readable.
    """

    values: dict[str, Any] = field(default_factory=dict)
    names: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def has(self, path: KeyPath) -> bool:
        """Returns whether the source has a setting or a table."""
        value: Any = self.values
        for part in path:
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                return False
        return True

    def origin(self, path: KeyPath) -> str:
        """Returns the name of the variable or flag that sets a key, or the first key of a table."""
        prefixes = (path[:size] for size in range(len(path), 0, -1))
        if name := next((self.names[prefix] for prefix in prefixes if prefix in self.names), ""):
            return name
        return next((name for key, name in self.names.items() if key[: len(path)] == path), "")

    def place(self, path: KeyPath) -> str:
        """Returns where a key is set, with the key."""
        return f"{self.origin(path)} ({'.'.join(path)})"

    def set(self, path: KeyPath, value: Any) -> None:
        """Sets a value; it replaces what is not a table on its way."""
        table = self.values
        for part in path[:-1]:
            inner = table.get(part)
            table[part] = table = inner if isinstance(inner, dict) else {}
        table[path[-1]] = value


@dataclass
class FileSource(Source):
    """Settings from the configuration file."""

    document: Any = None

    def origin(self, path: KeyPath) -> str:
        """Returns the file and the line."""
        return str(self.document.place(path))

    def place(self, path: KeyPath) -> str:
        """Returns the file, the line and the key."""
        return f"{self.origin(path)}: {'.'.join(path)}"


def find_file(environment: Mapping[str, str]) -> Path | None:
    """Returns the configuration file: that of CELESTE_CONFIG, else the one in the working folder; None without one.

    Raises:
        ConfigurationInvalid: The variable names a file that is not there, or the folder has two files.
    """
    if named := environment.get(FILE_VARIABLE):
        return existing(named, FILE_VARIABLE)
    found = [name for name in FILE_NAMES if os.path.isfile(name)]
    if len(found) > 1:
        text = f"the working folder has {' and '.join(found)}; remove one, or name one by --config or {FILE_VARIABLE}"
        raise ConfigurationInvalid([Problem((), text)])
    return Path(found[0]) if found else None


def existing(file: str, name: str) -> Path:
    """Returns the path of a file that a variable or flag names. Raises ConfigurationInvalid if it is not there."""
    if not os.path.exists(file) or os.path.isdir(file):  # unlike Path's, they bear names that are too long
        raise ConfigurationInvalid([Problem((), f"there is no file {file}", name)])
    return Path(file)


def file_source(file: Path) -> Source:
    """Returns the settings of a file; if it can't be read, none and the reason."""
    from celeste_image.config.files import read_document  # late: a server without a file needs no reader

    try:
        document = read_document(file)
    except ConfigurationInvalid as error:
        return Source(problems=list(error.problems))
    return FileSource(_set_values(document.values), problems=document.problems, document=document)


def _set_values(table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a table without keys that are null: such a key is unset, as is a table of YAML with comments alone."""
    return {
        key: _set_values(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }


def environment_source(environment: Mapping[str, str], model: type[BaseModel]) -> Source:
    """Returns the settings of the variables `CELESTE_TABLE__KEY`; those without `__` are no settings."""
    source, tables = Source(), list(model.model_fields)
    for name, text in sorted(environment.items(), key=lambda item: (item[0].count("__"), item[0])):
        if not name.upper().startswith(PREFIX):
            continue
        table, *keys = name.upper().removeprefix(PREFIX).lower().split("__")
        if not keys:
            if table in tables and text.lstrip().startswith("{"):  # Kubernetes sets no such value
                why = f"a table is set by the variables of its keys, such as {name}__KEY"
                source.problems.append(Problem((), why, name))
        elif table not in tables:
            near = nearest(table, tables)
            meant = PREFIX + "__".join([near or "", *keys]).upper()
            said = f"did you mean {meant}?" if near else f"the tables are {', '.join(tables)}"
            source.problems.append(Problem((), f"there is no table {table!r}; {said}", name))
        else:
            _take(source, Flag(name, (table, *keys), text), model)
    return source


def flag_source(flags: Sequence[Flag], assignments: Sequence[str], model: type[BaseModel]) -> Source:
    """Returns the settings of flags, which replace those of `--set KEY=VALUE`; a later one replaces an earlier one."""
    source = Source()
    for text in assignments:
        try:
            _take(source, parse_flag(SET, text), model)
        except ConfigurationInvalid as error:
            source.problems += error.problems
    for flag in flags:
        _take(source, flag, model)
    return source


def parse_flag(name: str, text: str) -> Flag:
    """Returns what `KEY=VALUE` sets. The key is written as in TOML, so a part of it may have quotes.

    Raises:
        ConfigurationInvalid: The text has another form.
    """
    import tomllib

    key, equals, value = text.partition("=")
    path: KeyPath = ()
    try:
        inner: Any = tomllib.loads(f"{key} = 0") if equals and "\n" not in key else {}
    except tomllib.TOMLDecodeError:
        inner = {}
    while isinstance(inner, dict) and inner:
        ((part, inner),) = inner.items()
        path = (*path, part)
    if not path:
        raise ConfigurationInvalid([Problem((), "must be KEY=VALUE, such as log.level=debug", name)])
    return Flag(name, path, value)


def _take(source: Source, flag: Flag, model: type[BaseModel]) -> None:
    """Adds a setting to a source. Texts of lists and tables are JSON."""
    value = flag.value
    source.names[flag.path] = flag.name
    if isinstance(value, str):
        kind = get_origin(kind_at(model, flag.path))
        try:
            decoded = json.loads(value) if kind in (list, dict) or value.lstrip().startswith(("[", "{")) else value
        except (ValueError, RecursionError):
            decoded = value
        if kind in (list, dict) and not isinstance(decoded, kind):
            why = 'must be a list in JSON, such as ["a", "b"]' if kind is list else "must be a table in JSON"
            source.problems.append(Problem(flag.path, why, f"{flag.name} ({'.'.join(flag.path)})"))
            return
        value = decoded
    source.set(flag.path, value)
