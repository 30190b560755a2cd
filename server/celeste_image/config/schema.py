"""JSON Schema of the configuration file, for editors."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from celeste_image.config.describe import descriptions
from celeste_image.config.sections import Settings

__all__ = ["schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Described(GenerateJsonSchema):
    """Gives each key the text below it in its class."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """Returns the schema of a table."""
        made = super().model_schema(schema)
        properties = made.get("properties", {})
        for name, text in descriptions(schema["cls"]).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return made


def schema(providers: Mapping[str, type[BaseModel]], kinds: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Returns the schema of the whole file.

    Args:
        providers: The tables of the providers by name.
        kinds: The tables of the kinds by name; a table of a kind may have any name.
    """
    made = Settings.model_json_schema(schema_generator=_Described)
    tables: dict[str, Any] = {}
    for name, model in {**providers, **kinds}.items():
        table = model.model_json_schema(schema_generator=_Described, ref_template=f"#/$defs/{name}.{{model}}")
        for inner, definition in table.pop("$defs", {}).items():
            made["$defs"][f"{name}.{inner}"] = definition
        if name in kinds:
            table["properties"] = {"kind": {"const": name}, **table["properties"]}
        made["$defs"][f"providers.{name}"] = table
        tables[name] = {"$ref": f"#/$defs/providers.{name}"}
    others = [{**tables[kind], "required": ["kind"]} for kind in kinds]
    made["properties"]["providers"] |= {"properties": tables, "additionalProperties": {"anyOf": others}}
    names = {"anyOf": [{"enum": [*tables]}, {"type": "string"}]}
    made["$defs"]["CatalogSettings"]["properties"]["allow_unknown"]["items"] = names
    return {"$schema": DIALECT, **made, "title": "Configuration of a Celeste server"}
