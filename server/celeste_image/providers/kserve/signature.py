"""Model signature: inputs and outputs from the server's metadata, combined with the operator's configuration."""

from collections.abc import Sequence
from dataclasses import dataclass

from celeste_image.core.errors import ProviderFailed
from celeste_image.providers.kserve.forms import ITEM_BYTES, LAYOUTS, Form
from celeste_image.providers.kserve.settings import PictureTensor

__all__ = ["Signature", "Tensor", "form_of", "layout_of"]

CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor in the metadata; -1 in a shape means any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a model; empty if the server has no metadata."""

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    def input(self, name: str) -> Tensor | None:
        """Returns the input of a name; None if the model does not have it."""
        return next((tensor for tensor in self.inputs if tensor.name == name), None)


def layout_of(shape: Sequence[int]) -> str:
    """Returns the layout of a shape, by the position of its three channels, else by its rank; empty if none fits."""
    fitting = [layout for layout in LAYOUTS if len(layout) == len(shape)]
    return next((layout for layout in fitting if shape[layout.index("C")] == CHANNELS), (fitting or [""])[0])


def form_of(wanted: PictureTensor, offered: Sequence[Tensor], field: str) -> Form:
    """Returns the form of a tensor that holds an image.

    Values that the configuration leaves out come from the metadata: from the tensor of that name, or from the only
    tensor that can hold an image. Otherwise they are FP32 and NCHW.

    Args:
        wanted: The tensor in the configuration.
        offered: All inputs or all outputs in the metadata.
        field: The part of the model's table to set, for errors: `input` or `output`.

    Raises:
        ProviderFailed: Configuration and metadata contradict each other, or are not enough to choose a tensor.
    """
    found = next((tensor for tensor in offered if tensor.name == wanted.name), None)
    if not wanted.name:
        possible = [tensor for tensor in offered if tensor.datatype in ITEM_BYTES and layout_of(tensor.shape)]
        possible = possible or list(offered)
        if len(possible) != 1:
            names = ", ".join(tensor.name for tensor in possible) or "no tensor"
            raise ProviderFailed(f"the model's metadata has {names} for an image: set {field}.name in its table")
        (found,) = possible
    elif offered and found is None:
        names = ", ".join(tensor.name for tensor in offered)
        raise ProviderFailed(f"the model has no {field} {wanted.name!r}; it has {names}")
    datatype = wanted.datatype or (found.datatype if found else "FP32")
    if datatype not in ITEM_BYTES and not (datatype == "BYTES" and field == "output"):
        raise ProviderFailed(f"the model's {field} is of {datatype}; an image is of {', '.join(ITEM_BYTES)}")
    shape = found.shape if found else ()
    layout = wanted.layout or layout_of(shape) or LAYOUTS[0]
    channels = shape[layout.index("C")] if len(shape) == len(layout) else 0
    is_picture = channels == CHANNELS or (channels == -1 and CHANNELS not in shape)
    if datatype != "BYTES" and shape and not is_picture:
        raise ProviderFailed(f"the model's {field} has shape {list(shape)}, which is not {layout}")
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
