"""Template: the commented file with all defaults that `celeste config init` writes."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from celeste_image.config.describe import descriptions, summary
from celeste_image.config.sections import Settings

__all__ = ["template"]

WIDTH = 110
HEAD = """
Configuration of a Celeste server; docs/configuration.md has ranges and examples. Lines with `#` show the defaults on
the machine where this file was written: remove the `# ` before a setting to change it. `celeste config check` finds
mistakes, `celeste config show` prints what is in force.
"""
EXAMPLES: Mapping[str, Any] = {
    "defaults": {"generate": ["local/compose"]},
    "aliases": {"draft": ["local/compose"]},
}
"""An example for each table of the operator's own names."""


def template(form: str, providers: Mapping[str, type[BaseModel]]) -> str:
    """Returns the text of a file in which every setting is a comment.

    Args:
        form: `toml` or `yaml`.
        providers: The tables of the providers by name.
    """
    write = _Toml() if form == "toml" else _Yaml()
    lines = [*_comment(HEAD.strip()), ""]
    texts = descriptions(Settings)
    for name, field in Settings.model_fields.items():
        if name == "providers":
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines += _table(write, (name,), field.annotation)
        else:
            lines += [*_comment(texts.get(name, "")), *write.example(name, EXAMPLES[name]), ""]
    lines += [*_comment(texts["providers"]), *write.group("providers")]
    for name, model in providers.items():
        lines += _table(write, ("providers", name), model)
    return "\n".join(lines).rstrip() + "\n"


def _comment(text: str, indent: str = "") -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text, WIDTH - len(indent))]


def _table(write: "_Toml | _Yaml", path: tuple[str, ...], model: type[BaseModel]) -> Iterator[str]:
    yield from _comment(summary(model), write.indent(path[:-1]))
    yield from write.header(path)
    texts, indent = descriptions(model), write.indent(path)
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner.append((name, field.annotation))
            continue
        yield from _comment(texts.get(name, ""), indent)
        if field.is_required() or (value := field.get_default(call_default_factory=True)) is None:
            yield f"{indent}# {name} is unset."
        else:
            yield f"{indent}# {write.setting(name, _plain(value))}"
    yield ""
    for name, table in inner:
        yield from _table(write, (*path, name), table)


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


class _Toml:
    def indent(self, path: tuple[str, ...]) -> str:
        return ""

    def header(self, path: tuple[str, ...]) -> list[str]:
        return [f"[{'.'.join(path)}]"]

    def group(self, name: str) -> list[str]:
        return [""]

    def setting(self, name: str, value: Any) -> str:
        return f"{name} = {_toml(value)}"

    def example(self, name: str, values: Mapping[str, Any]) -> list[str]:
        return [f"# [{name}]", *(f"# {self.setting(key, value)}" for key, value in values.items())]


class _Yaml:
    def indent(self, path: tuple[str, ...]) -> str:
        return "  " * len(path)

    def header(self, path: tuple[str, ...]) -> list[str]:
        return [f"{self.indent(path[:-1])}{path[-1]}:"]

    def group(self, name: str) -> list[str]:
        return [f"{name}:"]

    def setting(self, name: str, value: Any) -> str:
        return f"{name}: {json.dumps(value, ensure_ascii=False)}"

    def example(self, name: str, values: Mapping[str, Any]) -> list[str]:
        return [f"# {name}:", *(f"#   {self.setting(key, value)}" for key, value in values.items())]


def _toml(value: Any) -> str:
    """Returns a value as TOML: as JSON, but for tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
