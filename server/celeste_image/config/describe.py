"""Descriptions of settings: from the docstrings of the tables; and all settings one by one."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from celeste_image.config.problems import KeyPath

__all__ = ["descriptions", "leaves", "summary"]


@cache
def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """Returns what the fields of a model mean, by name: the text below each, or its `description`."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, BaseModel) or cls is BaseModel:
            continue
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        except (OSError, TypeError, SyntaxError):  # a plug-in without its source
            continue
        for node, after in pairwise(getattr(tree, "body", ())):
            match node, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
    given = {name: field.description for name, field in model.model_fields.items() if field.description}
    return {name: " ".join(text.split()) for name, text in (found | given).items() if name in model.model_fields}


def summary(model: type[BaseModel]) -> str:
    """Returns the first paragraph of a model's docstring."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].split())


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yields each setting with its key. A list is one setting, and so is an empty table."""
    match value:
        case BaseModel():
            for name in type(value).model_fields:
                yield from leaves(getattr(value, name), (*path, name))
        case dict() if value:
            for name, item in value.items():
                yield from leaves(item, (*path, str(name.value if isinstance(name, Enum) else name)))
        case _:
            yield path, value
