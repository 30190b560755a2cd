"""SecretText: a field of the settings that takes text and keeps it as a Secret."""

from typing import Annotated, Any

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

from celeste_image.core.secret import Secret

__all__ = ["SecretText"]


def _secret(value: Any) -> Secret:
    if not isinstance(value, str | Secret):
        raise ValueError("must be text")
    return Secret(value) if isinstance(value, str) else value


SecretText = Annotated[
    Secret,
    GetPydanticSchema(
        lambda _, __: core_schema.no_info_plain_validator_function(
            _secret,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
            json_schema_input_schema=core_schema.str_schema(),
        )
    ),
]
"""A field that takes text and keeps it as a Secret, which dumps of the model do not show. See `references.py`."""
