"""Signatures: what a model's metadata says of its tensors, and what the configuration says instead."""

from collections.abc import Sequence
from dataclasses import dataclass

from celeste_image.core.errors import ProviderFailed
from celeste_image.providers.kserve.forms import ITEM_BYTES, LAYOUTS, Form
from celeste_image.providers.kserve.settings import PictureTensor

__all__ = ["Signature", "Tensor", "form_of", "layout_of"]

CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as metadata describes it; -1 in a shape is any."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and makes; empty where the server does not say."""

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    def input(self, name: str) -> Tensor | None:
        """Returns an input by its name."""
        return next((tensor for tensor in self.inputs if tensor.name == name), None)


def layout_of(shape: Sequence[int]) -> str:
    """Returns the layout that a shape has: by where its three channels are, else by its rank; "" when it has none."""
    fitting = [layout for layout in LAYOUTS if len(layout) == len(shape)]
    return next((layout for layout in fitting if shape[layout.index("C")] == CHANNELS), (fitting or [""])[0])


def form_of(wanted: PictureTensor, offered: Sequence[Tensor], field: str) -> Form:
    """Returns the form of a picture's tensor.

    What is not said comes from the tensor of that name, or from the only one there is that can be a picture, or is
    FP32 and NCHW.

    Args:
        wanted: What the configuration says.
        offered: What the metadata says: all inputs, or all outputs.
        field: The part of the model's table that could say more, for errors: `input` or `output`.

    Raises:
        ProviderFailed: Configuration and metadata do not go together, or say too little.
    """
    found = next((tensor for tensor in offered if tensor.name == wanted.name), None)
    if not wanted.name:
        possible = [tensor for tensor in offered if tensor.datatype in ITEM_BYTES and layout_of(tensor.shape)]
        possible = possible or list(offered)
        if len(possible) != 1:
            names = ", ".join(tensor.name for tensor in possible) or "nothing"
            raise ProviderFailed(f"the model's metadata has {names} for a picture: set {field}.name in its table")
        (found,) = possible
    elif offered and found is None:
        names = ", ".join(tensor.name for tensor in offered)
        raise ProviderFailed(f"the model has no {field} {wanted.name!r}; it has {names}")
    datatype = wanted.datatype or (found.datatype if found else "FP32")
    if datatype not in ITEM_BYTES and not (datatype == "BYTES" and field == "output"):
        raise ProviderFailed(f"the model's {field} is of {datatype}; a picture is of {', '.join(ITEM_BYTES)}")
    shape = found.shape if found else ()
    layout = wanted.layout or layout_of(shape) or LAYOUTS[0]
    channels = shape[layout.index("C")] if len(shape) == len(layout) else 0
    is_picture = channels == CHANNELS or (channels == -1 and CHANNELS not in shape)
    if datatype != "BYTES" and shape and not is_picture:
        raise ProviderFailed(f"the model's {field} has shape {list(shape)}, which is no {layout}")
    ends = wanted.ends or ((0.0,) * CHANNELS, (255.0 if datatype == "UINT8" else 1.0,) * CHANNELS)
    return Form(
        name=wanted.name or (found.name if found else ""),
        datatype=datatype,
        layout=layout,
        colors=wanted.colors,
        black=ends[0],
        white=ends[1],
        height=max(0, shape[layout.index("H")]) if is_picture else 0,
        width=max(0, shape[layout.index("W")]) if is_picture else 0,
    )
