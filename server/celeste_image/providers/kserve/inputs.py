"""Inputs that are no pictures: a request's words and numbers as tensors of one element."""

import struct
from collections.abc import Mapping
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
"""Seeds count modulo this, so that any of ours is one of the model's."""


def inputs_of(values: Mapping[str, Any], signature: Signature, seed: str = "") -> list[Contents]:
    """Returns a tensor for each value, of the type and shape that the signature has for its name.

    Without a signature, text is BYTES, whole numbers are INT64, others FP32 and yes or no is BOOL, in the shape [1].

    Args:
        values: By the tensors' names.
        signature: What the model says that it takes.
        seed: Which of them is a seed.

    Raises:
        ProviderFailed: The model has no such input, or one that does not hold one value.
        InvalidRequest: A value does not fit into the input's type.
    """
    return [_input(name, value, signature, is_seed=name == seed) for name, value in values.items()]


def _input(name: str, value: Any, signature: Signature, *, is_seed: bool) -> Contents:
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
    number = value % WRAPPED[datatype] if is_seed and datatype in WRAPPED else value
    try:
        data = struct.pack(NUMBERS[datatype], number if datatype.startswith(("FP", "BOOL")) else int(number))
    except (struct.error, OverflowError) as error:
        raise InvalidRequest(f"{value} does not fit into the model's input {name!r} of {datatype}") from error
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
