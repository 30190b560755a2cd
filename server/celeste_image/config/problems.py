"""Problem: one mistake in the configuration, as a sentence with its place, without the value: it may be a secret."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from celeste_image.core.nearest import nearest

__all__ = ["ConfigurationInvalid", "KeyPath", "Problem", "kind_at", "problems_in"]

KeyPath = tuple[str, ...]
"""Tables and key of a setting: `("server", "listen")`. An item of a list is its index: `("models", "0", "id")`."""

SENTENCES = {
    "string_pattern_mismatch": "has characters, or a length, that are not allowed here",
    "missing": "is missing",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
}
"""What pydantic says in terms of Python, for an operator."""
ALIAS_SENTENCE = "must have 1 to 63 of a-z, 0-9, '.', '_' and '-', and begin with a letter or a digit"
KEYED = re.compile(r"([a-z_]+(?:\.[\w.-]+)+): (.+)", re.DOTALL)
"""A message that begins with the key of its setting."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        path: Key of the setting; empty for what has none, such as a file that can't be read.
        text: What is wrong.
        place: Where the setting comes from, with its key; empty if that is still to be found.
    """

    path: KeyPath
    text: str
    place: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place or ".".join(self.path), self.text) if part)


class ConfigurationInvalid(ValueError):
    """The configuration has mistakes: all that were found, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def problems_in(error: Exception, table: KeyPath = (), model: Any = None) -> list[Problem]:
    """Returns the mistakes that an error tells, without the values.

    Args:
        error: ConfigurationInvalid, pydantic's ValidationError, or another, whose text may begin with `KEY: `.
        table: Path of the table that was validated.
        model: What was validated, to find the nearest key.
    """
    if isinstance(error, ConfigurationInvalid):
        return list(error.problems)
    if not isinstance(error, ValidationError):
        if isinstance(error, OSError):
            return [Problem(table, f"{error.filename}: {error.strerror}" if error.filename else str(error))]
        keyed = KEYED.fullmatch(str(error))
        return [Problem(tuple(keyed[1].split(".")), keyed[2]) if keyed else Problem(table, str(error))]
    found = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        parts = tuple(str(part) for part in problem["loc"] if part != "[key]")
        kind, text = problem["type"], problem["msg"].removeprefix("Value error, ")
        said = SENTENCES.get(kind, text.replace("Input should be", "must be"))
        path = (*table, *parts)
        if kind == "extra_forbidden":
            said = _unknown(parts, model)
        elif path[:1] == ("aliases",) and kind == "string_pattern_mismatch":
            said = ALIAS_SENTENCE
        elif not path and (keyed := KEYED.fullmatch(text)):  # a check of several settings
            path, said = tuple(keyed[1].split(".")), keyed[2]
        found.append(Problem(path, said))
    return found


def kind_at(model: Any, path: Sequence[str]) -> Any:
    """Returns the type of the setting at a path below a model; None if it is not known."""
    for part in path:
        model = _inside(model, part)
    while get_origin(model) is Annotated:
        model = get_args(model)[0]
    return model


def _inside(kind: Any, part: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields[part].annotation if part in kind.model_fields else None
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _inside(arguments[0], part)
    if origin is dict:
        return arguments[1]
    if origin in (list, tuple):
        return arguments[0] if part.isdecimal() else None
    if origin in (Union, UnionType):
        return next((found for each in arguments if (found := _inside(each, part)) is not None), None)
    return None


def _unknown(path: KeyPath, model: Any) -> str:
    """Returns the sentence about a key that a model does not have."""
    keys = list(getattr(kind_at(model, path[:-1]), "model_fields", {}))
    if near := nearest(path[-1], keys):
        return f"there is no such key; did you mean {near!r}?"
    return "there is no such key" + (f"; the keys are {', '.join(keys)}" if keys else "")
