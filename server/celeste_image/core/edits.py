"""Edits: what can be changed in a picture, one class per kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from celeste_image.core.image import ImageInput

__all__ = [
    "EDITS",
    "AnyEdit",
    "Control",
    "Erase",
    "Inpaint",
    "Instruct",
    "Mask",
    "Outpaint",
    "Polarity",
    "Recolor",
    "Relight",
    "RemoveBackground",
    "ReplaceBackground",
    "Restyle",
    "SearchReplace",
    "Vary",
]


class Polarity(StrEnum):
    """Which values of a mask mean "change here": white, black, or alpha 0."""

    WHITE = "white"
    BLACK = "black"
    TRANSPARENT = "transparent"


@dataclass(frozen=True, slots=True)
class Mask:
    """Where an edit may change a picture; `feather` is a soft border in pixels."""

    image: ImageInput
    polarity: Polarity = Polarity.WHITE
    feather: int = 0


class AnyEdit:
    """What an edit changes, one class each: exactly the fields of its message in `edit.proto`.

    `field` is the name of the member of `EditRequest.edit`. An optional number is None where the model's default is
    wanted.
    """

    __slots__ = ()
    field: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Erase(AnyEdit):
    """Removes what is under the mask; `pixel_lock`, on unless it is False, keeps the rest bit for bit."""

    field = "erase"
    mask: Mask
    pixel_lock: bool | None = None


@dataclass(frozen=True, slots=True)
class Inpaint(AnyEdit):
    """Paints `prompt` under the mask; `pixel_lock`, on unless it is False, keeps the rest bit for bit."""

    field = "inpaint"
    mask: Mask
    prompt: str
    pixel_lock: bool | None = None


@dataclass(frozen=True, slots=True)
class Outpaint(AnyEdit):
    """Adds pixels on the sides named and fills them; an empty `prompt` goes on with what is there."""

    field = "outpaint"
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Instruct(AnyEdit):
    """Changes what words say; `strength` is how far from the picture, 0 to 1."""

    field = "instruct"
    prompt: str
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class RemoveBackground(AnyEdit):
    """Takes the background away."""

    field = "remove_background"


@dataclass(frozen=True, slots=True)
class ReplaceBackground(AnyEdit):
    """Puts another background there, by words or by a picture."""

    field = "replace_background"
    prompt: str = ""
    background: ImageInput | None = None


@dataclass(frozen=True, slots=True)
class Restyle(AnyEdit):
    """Transfers a style: one that the model knows, that of a picture, or what words say."""

    field = "restyle"
    style: str = ""
    style_image: ImageInput | None = None
    prompt: str = ""
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Recolor(AnyEdit):
    """Gives `target` the color that `prompt` says."""

    field = "recolor"
    target: str
    prompt: str


@dataclass(frozen=True, slots=True)
class SearchReplace(AnyEdit):
    """Finds the object that `target` describes and replaces it by `prompt`."""

    field = "search_replace"
    target: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Relight(AnyEdit):
    """Lights the picture anew, by words, by a picture, or from a direction that the model knows."""

    field = "relight"
    prompt: str = ""
    reference: ImageInput | None = None
    direction: str = ""
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Control(AnyEdit):
    """Makes a new picture that keeps an aspect of this one: `sketch`, `structure`, `style` ..."""

    field = "control"
    control: str
    prompt: str
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Vary(AnyEdit):
    """Makes another picture like it, without words."""

    field = "vary"


EDITS: Mapping[str, type[AnyEdit]] = {
    cls.field: cls
    for cls in (
        *(Erase, Inpaint, Outpaint, Instruct, RemoveBackground, ReplaceBackground),
        *(Restyle, Recolor, SearchReplace, Relight, Control, Vary),
    )
}
"""Every kind of edit by its field."""
