"""Reload: takes over changed settings while the server runs, where that is safe. The others need a restart."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from celeste_image.app import App, open_tools
from celeste_image.check import find_problems
from celeste_image.config import Configuration, ConfigurationInvalid, Settings
from celeste_image.config.describe import leaves
from celeste_image.config.problems import KeyPath
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.providers.registry import offer_providers
from celeste_image.telemetry.instruments import CONFIG_RELOADS
from celeste_image.telemetry.logs import change_logs

__all__ = ["LIVE", "Reloader"]

log = structlog.get_logger("celeste_image.reload")

LIVE = re.compile(
    r"log\.(level|format|levels(\..+)?)|defaults\..+|aliases\..+|catalog\.allow_unknown|providers\.[^.]+\.key(_file)?"
    r"|callers\..+|server\.(budget_bytes|stream_budget_bytes|budget_wait_seconds|drain_seconds)"
)
"""Settings that a reload takes over; keys of vendors only."""


class Reloader:
    """Reads the configuration again when it is asked to.

    Args:
        app: The app of the running server.
        read: Reads the configuration, in another thread.
        environment: The variables that secrets may refer to: those that the server was started with.

    Attributes:
        settings: The settings that were read last and are valid. Those that need a restart have no effect yet.
    """

    def __init__(self, app: App, read: Callable[[], Configuration], environment: Mapping[str, str]) -> None:
        self._app, self._read, self._environment = app, read, environment
        self.settings = app.settings
        self._in_force = dict(leaves(app.settings))
        self._turn = asyncio.Lock()

    async def reload(self) -> bool:
        """Takes over what changed. A configuration with a mistake changes nothing, and the log has all its mistakes.

        Returns:
            Whether the configuration was taken over.
        """
        async with self._turn:
            configuration, problems = await asyncio.to_thread(self._look)
            new = configuration.settings
            values = dict(leaves(new))
            changed = _changed(self._in_force, values)
            waiting = self._waiting(changed, new)
            applied = changed - waiting
            if not problems:
                try:
                    self._apply(new, applied)
                except ConfigurationInvalid as error:  # such as an alias for a model of a catalog that needs a restart
                    problems = configuration.located(error.problems)
            if problems:
                for problem in problems:
                    log.error("configuration refused", problem=str(problem))
                CONFIG_RELOADS.add(1, "refused")
                return False
            for path in applied:
                self._in_force.pop(path, None)
            self._in_force |= {path: values[path] for path in applied if path in values}
            self.settings = new
            CONFIG_RELOADS.add(1, "applied")
            log.info("configuration reloaded", applied=_names(applied), needs_restart=_names(waiting))
            return True

    def _look(self) -> tuple[Configuration, Sequence[object]]:
        """Returns the configuration as it is now, and its mistakes."""
        configuration = self._read()
        try:
            return configuration, find_problems(configuration, self._environment)
        except Exception as error:  # a plug-in's, for instance
            log.exception("configuration not checked")
            return configuration, [type(error).__name__]

    def _waiting(self, changed: set[KeyPath], new: Settings) -> set[KeyPath]:
        """Returns the changes that need a restart.

        A provider with such a change keeps its key too: a new key must not be sent to the old address. A server that
        knows its callers does not forget them all: a file without `[callers]` would open it to everyone.
        """
        opens = new.callers.are_known != self._app.callers.are_known
        waiting = {path for path in changed if not LIVE.fullmatch(".".join(path)) or (opens and path[0] == "callers")}
        providers: Mapping[str, object] = self._app.registry.providers
        tables = {path[:2] for path in waiting if path[0] == "providers"}
        tables |= {
            path[:2] for path in changed if path[0] == "providers" and not isinstance(providers.get(path[1]), Vendor)
        }
        return waiting | {path for path in changed if path[:2] in tables}

    def _apply(self, new: Settings, applied: set[KeyPath]) -> None:
        """Takes changes over. Raises ConfigurationInvalid, before any, for choices that the models do not allow."""
        tables = {path[0] for path in applied}
        if tables & {"defaults", "aliases", "catalog"}:
            self._app.registry.choose(
                defaults=new.defaults, aliases=new.aliases, allow_unknown=new.catalog.allow_unknown
            )
        if "log" in tables:
            change_logs(new.log.level, new.log.format, new.log.levels)
        if "server" in tables:
            server = new.server
            self._app.budget.change_limit(server.budget_bytes, server.budget_wait_seconds)
            self._app.chunks.change_limit(server.stream_budget_bytes, server.budget_wait_seconds)
        if "callers" in tables:
            self._app.callers.change(new.callers)
        if names := {path[1] for path in applied if path[0] == "providers"}:
            self._take_keys(new, names)

    def _take_keys(self, new: Settings, names: set[str]) -> None:
        tools = replace(open_tools(new), environment=self._environment)
        offered, _ = offer_providers(new.providers, tools)
        for name in names:
            running: object = self._app.registry.providers.get(name)
            changed: object = offered.get(name)
            if isinstance(running, Vendor) and isinstance(changed, Vendor):
                running.take_key(changed)


def _changed(before: Mapping[KeyPath, Any], after: Mapping[KeyPath, Any]) -> set[KeyPath]:
    """Returns the keys with different values, or that one side lacks. An empty table is no value."""
    nothing = object()
    return {
        path
        for path in before.keys() | after.keys()
        if before.get(path, nothing) != after.get(path, nothing) and {} not in (before.get(path), after.get(path))
    }


def _names(paths: set[KeyPath]) -> list[str]:
    return sorted(".".join(path) for path in paths)
