"""Finds the providers: those beside this file, then those of other packages by entry point; and their kinds."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

import celeste_image.providers as here
from celeste_image.providers.base import Provider

__all__ = ["ENTRY_POINT_GROUP", "discover", "discover_kinds"]

ENTRY_POINT_GROUP = "celeste_image.providers"
FIRST = "local"


def discover() -> dict[str, type[Provider]]:
    """Returns every provider's class by its name, this machine's engines first: they cost nothing.

    A request that names no model gets the first that is ready, so a key in the environment changes no default.

    Raises:
        ValueError: Two have the same name: a plug-in must not shadow another provider.
    """
    found: dict[str, type[Provider]] = {}
    for provider in (*_built_in(), *(point.load() for point in entry_points(group=ENTRY_POINT_GROUP))):
        if provider.name in found:
            raise ValueError(f"two providers are called {provider.name}: {found[provider.name]} and {provider}")
        found[provider.name] = provider
    return dict(sorted(found.items(), key=lambda item: item[0] != FIRST))


def discover_kinds() -> dict[str, type[Provider]]:
    """Returns the kinds of providers by their names.

    A kind is an API that many places have, such as OpenAI's: its class makes a provider of each table of the
    configuration that says `kind = "NAME"` or is called as the kind is, with the models of that table.
    """
    return {kind.name: kind for kind in _offered("KIND")}


def _built_in() -> Iterator[type[Provider]]:
    yield from _offered("PROVIDER")


def _offered(word: str) -> Iterator[Any]:
    for module in pkgutil.iter_modules(here.__path__, here.__name__ + "."):
        # A provider of several files keeps its class in `provider`, so that its engines need not import it.
        name = f"{module.name}.provider" if module.ispkg else module.name
        if find_spec(name) and (provider := getattr(import_module(name), word, None)):
            yield provider
