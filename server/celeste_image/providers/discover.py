"""Finds the providers: those beside this file, then those of other packages by entry point."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

import celeste_image.providers as here
from celeste_image.providers.base import Provider

__all__ = ["ENTRY_POINT_GROUP", "discover"]

ENTRY_POINT_GROUP = "celeste_image.providers"


def discover() -> dict[str, type[Provider]]:
    """Returns every provider's class by its name.

    Raises:
        ValueError: Two have the same name: a plug-in must not shadow another provider.
    """
    found: dict[str, type[Provider]] = {}
    for provider in (*_built_in(), *(point.load() for point in entry_points(group=ENTRY_POINT_GROUP))):
        if provider.name in found:
            raise ValueError(f"two providers are called {provider.name}: {found[provider.name]} and {provider}")
        found[provider.name] = provider
    return found


def _built_in() -> Iterator[type[Provider]]:
    for module in pkgutil.iter_modules(here.__path__, here.__name__ + "."):
        # A provider of several files keeps its class in `provider`, so that its engines need not import it.
        name = f"{module.name}.provider" if module.ispkg else module.name
        if find_spec(name) and (provider := getattr(import_module(name), "PROVIDER", None)):
            yield provider
