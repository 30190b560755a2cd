"""Form: datatype, layout and value range of a tensor that holds an image. The provider and its engine share it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ITEM_BYTES", "LAYOUTS", "Form"]

LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC")
ITEM_BYTES: Mapping[str, int] = {"FP32": 4, "FP16": 2, "UINT8": 1}


@dataclass(frozen=True, slots=True)
class Form:
    """How a tensor holds the pixels of an image.

    Attributes:
        name: The tensor's name.
        datatype: One of ITEM_BYTES, or BYTES for an encoded image.
        layout: One of LAYOUTS; N is a batch of one image.
        colors: RGB or BGR.
        black: Lowest value of each channel, in the order of `colors`.
        white: Highest value of each channel, in the order of `colors`.
        height: Height in pixels that the tensor must have; 0 means any.
        width: Width in pixels that the tensor must have; 0 means any.
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
        """Returns whether the tensor holds pixel values unchanged: UINT8 from 0 to 255."""
        return self.datatype == "UINT8" and set(self.black) == {0} and set(self.white) == {255}

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> "Form":
        """Returns the form in a task, which has JSON values only."""
        return cls(**task)
