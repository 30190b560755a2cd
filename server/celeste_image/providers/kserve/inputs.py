"""Tensor inputs for texts and numbers of a request: one tensor of one element each."""

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from celeste_image.core.errors import InvalidRequest, ProviderFailed
from celeste_image.providers.kserve.client import Contents
from celeste_image.providers.kserve.signature import Signature

__all__ = ["inputs_of"]

NUMBERS = {
    **{"BOOL": "<?", "INT8": "<b", "INT16": "<h", "INT32": "<i", "INT64": "<q"},
    **{"UINT8": "<B", "UINT16": "<H", "UINT32": "<I", "UINT64": "<Q", "FP16": "<e", "FP32": "<f", "FP64": "<d"},
}
WRAPPED = {"INT32": 1 << 31, "UINT32": 1 << 32, "INT64": 1 << 63, "UINT64": 1 << 64}
"""Seeds are taken modulo these, because the server draws larger seeds than some types can hold."""


def inputs_of(
    values: Mapping[str, Any], signature: Signature, paths: Mapping[str, str] = MappingProxyType({})
) -> list[Contents]:
    """Returns a tensor for each value, with the type and shape of the signature's input of that name.

    Without a signature the shape is [1], and the type is BYTES for a text, INT64 for an integer, FP32 for another
    number and BOOL for a boolean.

    Args:
        values: The values by tensor name.
        signature: The model's inputs.
        paths: Fields of the request that the values come from, by tensor name; constants have none.

    Raises:
        ProviderFailed: The model does not have an input of that name, the input does not hold exactly one value, or a
            constant does not fit into the input's type.
        InvalidRequest: A value of the request does not fit into the input's type.
    """
    return [_input(name, value, signature, paths.get(name, "")) for name, value in values.items()]


def _input(name: str, value: Any, signature: Signature, path: str) -> Contents:
    known = signature.input(name)
    if known is None and signature.inputs:
        names = ", ".join(tensor.name for tensor in signature.inputs)
        raise ProviderFailed(f"the model has no input {name!r}; it has {names}")
    datatype = known.datatype if known else _datatype(value)
    shape = [1 if side < 0 else side for side in known.shape] if known else [1]
    if any(side != 1 for side in shape):
        raise ProviderFailed(
            f"the model's input {name!r} has shape {list(known.shape) if known else shape}, not one value"
        )
    if datatype == "BYTES":
        text = str(value).encode()
        return Contents(name, datatype, shape, len(text).to_bytes(4, "little") + text)
    if datatype not in NUMBERS or isinstance(value, str):
        raise ProviderFailed(f"the model's input {name!r} is of {datatype}, which can't hold {type(value).__name__}")
    number = value % WRAPPED[datatype] if path == "seed" and datatype in WRAPPED else value
    try:
        data = struct.pack(NUMBERS[datatype], number if datatype.startswith(("FP", "BOOL")) else int(number))
    except (struct.error, OverflowError) as error:
        if path:
            wrong = f"must fit into the model's input {name!r} of {datatype}, is {value}"
            raise InvalidRequest.at(path, wrong) from error
        raise ProviderFailed(f"{value} does not fit into the model's input {name!r} of {datatype}") from error
    return Contents(name, datatype, shape, data)


def _datatype(value: Any) -> str:
    match value:
        case bool():
            return "BOOL"
        case int():
            return "INT64"
        case float():
            return "FP32"
        case _:
            return "BYTES"
