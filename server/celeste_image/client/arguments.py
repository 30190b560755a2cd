"""Unknown keyword arguments of client methods: a TypeError that names the nearest known argument, or all of them."""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from celeste_image.core.nearest import nearest

__all__ = ["known_arguments", "refuse_unknown_arguments"]

C = TypeVar("C", bound=type)

SIMILAR = 0.5
"""How alike two names are, 0 to 1 by difflib, for one to be taken for the other: sise and size are 0.75."""


def refuse_unknown_arguments(cls: C) -> C:
    """Makes each public method of a class raise TypeError for a keyword argument that it does not know.

    Python itself accepts any name where a method has `**parameters: Unpack[...]`, and names no alternative elsewhere.
    """
    for name, method in list(vars(cls).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(cls, name, _checked(method))
    return cls


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    known: frozenset[str] | None = None

    def check(arguments: dict[str, Any]) -> None:
        nonlocal known
        if known is None:
            known = known_arguments(method)
        for name in arguments.keys() - known:
            near = nearest(name, known, SIMILAR)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(sorted(known)) or 'none'}"
            raise TypeError(f"{method.__name__}() has no argument {name!r}; {hint}")

    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def awaited(*positional: Any, **arguments: Any) -> Any:
            check(arguments)
            return await method(*positional, **arguments)

        return awaited

    @functools.wraps(method)
    def called(*positional: Any, **arguments: Any) -> Any:
        check(arguments)
        return method(*positional, **arguments)

    return called


def known_arguments(method: Callable[..., Any]) -> frozenset[str]:
    """Returns the names of a method's arguments, with those of the TypedDict behind `**parameters`."""
    names: set[str] = set()
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            (unpacked,) = typing.get_args(typing.get_type_hints(method)[name])
            names |= typing.get_type_hints(unpacked).keys()
        elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            names.add(name)
    return frozenset(names - {"self"})
