"""YAML values: makes values of the nodes of a YAML file, by YAML 1.2, and notes the line of each key.

PyYAML by itself follows YAML 1.1, where `off` is false, `010` is 8 and `1:30` is 90. Editors follow YAML 1.2.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml

from celeste_image.config.problems import KeyPath

__all__ = ["LOADER", "values_of"]

MOST_NODES = 100_000
"""Most values of a file; aliases of aliases would fill the memory."""
PREFIX = "tag:yaml.org,2002:"


class LOADER(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # in C where it is installed
    """Composes nodes with the core schema of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # PyYAML's name; `add_implicit_resolver` fills it


for name, pattern, first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", None),
):
    LOADER.add_implicit_resolver(PREFIX + name, re.compile(f"(?:{pattern})$"), first or list("-+.0123456789"))


def values_of(node: yaml.Node | None, lines: dict[KeyPath, int], refuse: Callable[[KeyPath, int, str], None]) -> Any:
    """Returns the value of a document; an empty one is a table without keys.

    Args:
        node: The root of the document.
        lines: Gets the line of each key, from 1.
        refuse: Is told of each mistake: key, line, sentence.
    """
    open_nodes: set[int] = set()
    left = MOST_NODES

    def value(node: yaml.Node, path: KeyPath) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            if left == -1:
                refuse(path, node.start_mark.line + 1, f"is one value too many: a file has at most {MOST_NODES:,}")
            return None
        if id(node) in open_nodes:
            refuse(path, lines.get(path, node.start_mark.line + 1), "contains itself")
            return None
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, path, refuse)
        open_nodes.add(id(node))
        try:
            return table(node, path) if isinstance(node, yaml.MappingNode) else items(node, path)
        finally:
            open_nodes.remove(id(node))

    def items(node: yaml.Node, path: KeyPath) -> list[Any]:
        made = []
        for index, item in enumerate(node.value):
            inner = (*path, str(index))
            lines.setdefault(inner, item.start_mark.line + 1)
            made.append(value(item, inner))
        return made

    def table(node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                refuse(path, line, "has a key that is not text")
                continue
            inner = (*path, str(key.value))
            if key.value in made:
                refuse(inner, line, f"is set twice; first in line {lines[inner]}")
                continue
            lines[inner] = line
            made[key.value] = value(item, inner)
        return made

    return {} if node is None else value(node, ())


def _scalar(node: yaml.ScalarNode, path: KeyPath, refuse: Callable[[KeyPath, int, str], None]) -> Any:
    text = node.value
    try:
        match node.tag.removeprefix(PREFIX):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            case "str":
                return text
    except ValueError:
        refuse(path, node.start_mark.line + 1, "is not a number")
        return None
    refuse(path, node.start_mark.line + 1, f"has the tag {node.tag}, which is not allowed")
    return None
