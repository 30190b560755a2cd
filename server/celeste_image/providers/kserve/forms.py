"""Forms of tensors that are pictures: the protocol's words for them. Read by the provider and by its engine alike."""

from collections.abc import Mapping, Sequence
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
        black: The least value of each channel, in the order of `colors`.
        white: The most, the same.
        height: The only one there is, in pixels; 0 is any.
        width: The same.
    """

    name: str
    datatype: str
    layout: str
    colors: str = "RGB"
    black: Sequence[float] = (0.0, 0.0, 0.0)
    white: Sequence[float] = (1.0, 1.0, 1.0)
    height: int = 0
    width: int = 0

    @property
    def is_plain(self) -> bool:
        """Tells whether values are those of pixels as they are."""
        return self.datatype == "UINT8" and set(self.black) == {0} and set(self.white) == {255}

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> "Form":
        """Returns the form that a task of JSON values has."""
        return cls(**task)
