"""Loading: puts the settings of all sources together, and finds every mistake in them at once.

Sources from lowest to highest precedence: defaults; the file that `--config` or `CELESTE_CONFIG` names, else the only
one of `celeste.toml`, `celeste.yaml`, `celeste.yml` and `celeste.json` in the working folder; environment variables
such as `CELESTE_STORE__URL`; flags. Tables are merged key by key; a list replaces a list. Unknown keys are refused.

A variable without `__` is no setting: Kubernetes sets `CELESTE_PORT`, `CELESTE_SERVICE_HOST` and others in every pod
when a Service has the name `celeste`, and `CELESTE_SERVER_PORT` when it has the name `celeste-server`.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from celeste_image.config.problems import ConfigurationInvalid, KeyPath, Problem, problems_in
from celeste_image.config.sections import Settings
from celeste_image.config.sources import (
    Flag,
    Source,
    environment_source,
    existing,
    file_source,
    find_file,
    flag_source,
)

__all__ = ["DEFAULT", "Configuration", "load"]

DEFAULT = "default"
"""The origin of a setting that no source has."""
MOST_TRIES = 10
"""Settings are validated again without the wrong ones, since these may hide others."""


@dataclass(frozen=True)
class Configuration:
    """The settings of all sources.

    Attributes:
        settings: The settings, with the default in the place of each wrong one.
        problems: The mistakes, with their places.
        file: The file, if there is one.
        sources: File, environment and flags: a later one takes precedence.
    """

    settings: Settings
    problems: tuple[Problem, ...]
    file: Path | None
    sources: tuple[Source, ...]

    def valid(self) -> Settings:
        """Returns the settings. Raises ConfigurationInvalid if there is a mistake."""
        if self.problems:
            raise ConfigurationInvalid(self.problems)
        return self.settings

    def origin(self, path: KeyPath) -> str:
        """Returns where a setting comes from: `FILE:LINE`, a variable, a flag, or `default`."""
        return next((source.origin(path) for source in reversed(self.sources) if source.has(path)), DEFAULT)

    def located(self, problems: Iterable[Problem]) -> list[Problem]:
        """Returns mistakes with the place of their setting, or of the table where a missing one would be."""
        return [self._located(problem) for problem in problems]

    def _located(self, problem: Problem) -> Problem:
        if problem.place:
            return problem
        for size in range(len(problem.path), 0, -1):
            for source in reversed(self.sources):
                if source.has(problem.path[:size]):
                    return replace(problem, place=source.place(problem.path))
        return problem


def load(
    flags: Sequence[Flag] = (),
    *,
    assignments: Sequence[str] = (),
    file: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Configuration:
    """Returns the settings of all sources, with all mistakes; it raises none of them.

    Args:
        flags: Settings of flags such as `--listen`.
        assignments: The texts `KEY=VALUE` of `--set`.
        file: The file that `--config` names; None means the usual one.
        environment: The variables; None means those of this process.
    """
    given = os.environ if environment is None else environment
    problems: list[Problem] = []
    path = None
    try:
        path = existing(file, "--config") if file else find_file(given)
    except ConfigurationInvalid as error:
        problems += error.problems
    of_file = file_source(path) if path else Source()
    sources = of_file, environment_source(given, Settings), flag_source(flags, assignments, Settings)
    values: dict[str, Any] = {}
    for source in sources:
        problems += source.problems
        _merge(values, source.values)
    settings, wrong = _validated(values)
    configuration = Configuration(settings, (), path, sources)
    return replace(configuration, problems=tuple(dict.fromkeys(problems + configuration.located(wrong))))


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Adds values to a table; tables inside are merged too."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(known := into.get(key), dict):
            _merge(known, value)
        else:
            into[key] = deepcopy(value)


def _validated(values: dict[str, Any]) -> tuple[Settings, list[Problem]]:
    """Returns the settings without the wrong ones, and what is wrong."""
    problems: list[Problem] = []
    for _ in range(MOST_TRIES):
        try:
            return Settings.model_validate(values), problems
        except ValidationError as error:
            problems += [found for found in problems_in(error, model=Settings) if found not in problems]
            wrong = error.errors(include_input=False, include_url=False, include_context=False)
            for path in {_set_path(values, tuple(map(str, each["loc"]))) for each in wrong}:
                _remove(values, path)
    return Settings(), problems


def _set_path(values: dict[str, Any], path: KeyPath) -> KeyPath:
    """Returns the part of an error's path that is a setting: not an item of a list, and no word of pydantic's."""
    size, inner = 0, values
    while size < len(path) and isinstance(inner, dict) and path[size] in inner:
        inner, size = inner[path[size]], size + 1
    return path[:size]


def _remove(values: dict[str, Any], path: KeyPath) -> None:
    """Removes a setting; with an empty path, which a check of several settings has, those that it is about."""
    if not path:
        values.pop("server", None)
        values.pop("images", None)
        return
    table = values
    for part in path[:-1]:
        table = table.get(part, {})
    table.pop(path[-1], None)
