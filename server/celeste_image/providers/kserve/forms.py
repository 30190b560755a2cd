"""Forms of tensors that are pictures: the protocol's words for them. Read by the provider and by its engine alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ITEM_BYTES", "LAYOUTS", "Form"]

LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC")
ITEM_BYTES: Mapping[str, int] = {"FP32": 4, "FP16": 2, "UINT8": 1}


@dataclass(frozen=True, slots=True)
class Form:
    """How pixels are written into a tensor.

    Attributes:
        name: The tensor's name.
        datatype: One of ITEM_BYTES, or BYTES for an encoded picture.
        layout: One of LAYOUTS; N is a batch of one.
        colors: RGB or BGR.
        black: The value of a channel at its least.
        white: The value of a channel at its most.
        height: The only one there is, in pixels; 0 is any.
        width: The same.
    """

    name: str
    datatype: str
    layout: str
    colors: str = "RGB"
    black: float = 0.0
    white: float = 1.0
    height: int = 0
    width: int = 0

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> "Form":
        """Returns the form that a task of JSON values has."""
        return cls(**task)
