"""Config sources: reads settings from environment variables and from the TOML file, and says where one comes from.

The sources and their precedence are in `config.py`.
"""

import json
import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_origin

from pydantic_settings import EnvSettingsSource, SettingsError, TomlConfigSettingsSource

from celeste_image.core.nearest import nearest
from celeste_image.core.textfile import read_text

__all__ = ["PREFIX", "Environment", "File", "check_variables", "configuration_file", "place"]

PREFIX = "CELESTE_"
FILE_VARIABLE = "CELESTE_CONFIG"
"""Names the configuration file."""


def place(path: tuple[str, ...]) -> str:
    """Returns where a setting comes from: `VARIABLE (a.b)`, `FILE: a.b`, or `a.b` for an argument."""
    dotted = ".".join(path)
    lower = tuple(part.lower() for part in path)
    for name in os.environ:
        parts = tuple(name.upper().removeprefix(PREFIX).lower().split("__"))
        if name.upper().startswith(PREFIX) and len(parts) > 1 and parts == lower[: len(parts)]:
            return f"{name} ({dotted})"
    file = configuration_file()
    try:
        value: Any = tomllib.loads(read_text(file)) if file.is_file() else {}
    except (OSError, ValueError):
        return dotted
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return dotted
    return f"{file}: {dotted}"


def configuration_file() -> Path:
    """Returns the path of the configuration file, whether there is one or not."""
    return Path(os.environ.get(FILE_VARIABLE) or "celeste.toml")


def check_variables(tables: Collection[str]) -> None:
    """Raises ValueError for a variable of a table that does not exist, and for one that names a missing file."""
    for name in os.environ:
        table, *keys = name.upper().removeprefix(PREFIX).lower().split("__")
        if name.upper().startswith(PREFIX) and keys and table not in tables:
            near = nearest(table, tables)
            meant = PREFIX + "__".join([near or "", *keys]).upper()
            said = f"did you mean {meant}?" if near else f"the tables are {', '.join(tables)}"
            raise ValueError(f"{name}: there is no table {table!r}; {said}")
    file = configuration_file()
    if os.environ.get(FILE_VARIABLE) and not os.path.isfile(file):  # unlike Path's, bears names that are too long
        raise ValueError(f"{FILE_VARIABLE}: there is no file {file}")


class Environment(EnvSettingsSource):
    """Variables with `__`."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = super()._load_env_vars()
        for table in self.settings_cls.model_fields:
            name = f"{PREFIX}{table}".upper()
            if (found.get(name.lower()) or "").lstrip().startswith("{"):  # Kubernetes sets no such value
                raise ValueError(f"{name}: a table is set by the variables of its keys, such as {name}__KEY")
        return {name: value for name, value in found.items() if "__" in name}

    def __call__(self) -> dict[str, Any]:
        """Returns the values. Raises ValueError for a list or a table that is not JSON."""
        try:
            return super().__call__()
        except SettingsError as error:
            odd = sorted(name.upper() for name, value in self.env_vars.items() if not self._is_json(name, value or ""))
            raise ValueError(f'{", ".join(odd)}: lists and tables are JSON, such as ["a", "b"]') from error

    def _is_json(self, name: str, value: str) -> bool:
        """Returns False for a list or a table that is not JSON."""
        kind: Any = self.settings_cls
        for part in name.upper().removeprefix(PREFIX).lower().split("__"):
            fields = getattr(kind, "model_fields", {})
            kind = fields[part].annotation if part in fields else None
        if get_origin(kind) not in (list, dict):
            return True
        try:
            return isinstance(json.loads(value), get_origin(kind))
        except ValueError:
            return False


class File(TomlConfigSettingsSource):
    """The configuration file, whose errors name it."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        try:
            return tomllib.loads(read_text(file_path))
        except OSError as error:
            raise ValueError(f"{file_path}: can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ValueError(f"{file_path}: line {line} is not UTF-8 text") from error
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{file_path}: is not TOML: {error}") from error
        except RecursionError:
            raise ValueError(f"{file_path}: has too many levels of lists or tables") from None
