"""Check: finds every mistake of a configuration at once, without a process, a folder or a connection."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from celeste_image.app import check_store, open_certificates, open_tools, open_uris
from celeste_image.config import Configuration, Problem, Settings, problems_in
from celeste_image.databases import check_database
from celeste_image.pipeline.safety.policy import SafetyPolicy
from celeste_image.providers.registry import Registry, offer_providers

__all__ = ["find_problems"]

Made = TypeVar("Made")

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+( \(|$)")
LINE = re.compile(r"(.+?):(\d+)")


def find_problems(
    configuration: Configuration, environment: Mapping[str, str], error: Exception | None = None
) -> list[Problem]:
    """Returns all mistakes of a configuration, with their places.

    Args:
        configuration: The settings of all sources.
        environment: The variables that secrets may refer to.
        error: Why the server can't be built; listed if nothing else is found.
    """
    found = [*configuration.problems, *configuration.located(_Parts(configuration.settings, environment).problems())]
    if error and not found:
        found = configuration.located(problems_in(error))
    return sorted(dict.fromkeys(found), key=_reading_order)


def _reading_order(problem: Problem) -> tuple[int, str, int]:
    """Sorts mistakes by their source: files from top to bottom, then variables, then flags."""
    if problem.place.startswith("--"):
        return 2, problem.place, 0
    if VARIABLE.match(problem.place):
        return 1, problem.place, 0
    line = LINE.match(problem.place)
    return 0, line[1] if line else problem.place, int(line[2]) if line else 0


class _Parts:
    """Tries to build the parts of a server, one by one."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings, self._environment = settings, environment
        self._found: list[Problem] = []

    def problems(self) -> list[Problem]:
        """Returns the mistakes that the parts find."""
        settings = self._settings
        tools = replace(open_tools(settings), environment=self._environment)
        self._try(lambda: open_certificates(settings))
        self._try(lambda: open_uris(settings))
        self._try(lambda: check_store(settings.store, self._environment), ("store",))
        self._try(lambda: check_database(settings.database, self._environment))
        providers, wrong = offer_providers(settings.providers, tools)
        self._found += wrong
        absent = {problem.path[1] for problem in wrong if len(problem.path) > 1} - providers.keys()
        registry = self._registry(Registry(providers), absent)
        if settings.safety.engine.partition("/")[0] not in absent:
            self._try(lambda: SafetyPolicy(settings.safety, registry, tools.pixels))
        return self._found

    def _registry(self, registry: Registry, absent: set[str]) -> Registry:
        """Returns the registry with the operator's catalog and choices, as far as they are right.

        Models of a provider whose table is wrong are not looked for: they would be missing for that reason alone.
        """
        settings, added = self._settings, frozenset[str]()

        def known(models: Iterable[str]) -> list[str]:
            return [model for model in models if model.partition("/")[0] not in absent and model not in added]

        if file := settings.catalog.file:
            from celeste_image.providers.catalog.overlay import ids_in, load_overlay  # late: few operators have one

            overlay = self._try(lambda: load_overlay(file))
            before = len(self._found)
            made = overlay and self._try(lambda: Registry(registry.providers, overlay=overlay))
            missing = tuple(f"{name}/" for name in absent)
            self._found[before:] = [each for each in self._found[before:] if not each.text.startswith(missing)]
            if made:
                registry = made
            elif (ids := ids_in(file)) is None:
                return registry
            else:
                added = ids
        self._try(
            lambda: registry.choose(
                defaults={kind: known(models) for kind, models in settings.defaults.items()},
                aliases={alias: known(models) for alias, models in settings.aliases.items()},
                allow_unknown=[name for name in settings.catalog.allow_unknown if name not in absent],
            )
        )
        return registry

    def _try(self, make: Callable[[], Made], table: tuple[str, ...] = ()) -> Made | None:
        """Returns what a function makes, or notes why it does not."""
        try:
            return make()
        except (ValueError, OSError) as error:
            self._found += problems_in(error, table)
            return None
