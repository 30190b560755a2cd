"""Edits of an image: one class per kind, and masks."""

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
    "nothing_marked",
]


class Polarity(StrEnum):
    """Mask values that mean "change here": white, black, or alpha 0."""

    WHITE = "white"
    BLACK = "black"
    TRANSPARENT = "transparent"


def nothing_marked(polarity: Polarity, feather: int, found: tuple[int, int]) -> str:
    """Returns what is wrong with a mask that marks nothing.

    `found` is the range of its values, 0 to 255: of its opacity for TRANSPARENT, else of its gray on black or white.
    """
    feathered = f", wider than its feather of {feather} pixels" if feather else ""
    values = "opacity values" if polarity is Polarity.TRANSPARENT else "values"
    rule = "240 to 255 change" if polarity is Polarity.WHITE else "0 to 15 change"
    low, high = found
    seen = f"{low}" if low == high else f"{low} to {high}"
    return f"must mark the area to change with {polarity.value} pixels{feathered}: its {values} are {seen}, and {rule}"


@dataclass(frozen=True, slots=True)
class Mask:
    """The area that an edit may change; `feather` is the width of the soft border in pixels."""

    image: ImageInput
    polarity: Polarity = Polarity.WHITE
    feather: int = 0


class AnyEdit:
    """An edit of one kind, with the fields of its message in `edit.proto`.

    `field` is the member of `EditRequest.kind`. None and "" mean the model's default.
    """

    __slots__ = ()
    field: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Erase(AnyEdit):
    """Removes the masked area. `pixel_lock` None or True keeps all other pixels bit for bit."""

    field = "erase"
    mask: Mask
    pixel_lock: bool | None = None


@dataclass(frozen=True, slots=True)
class Inpaint(AnyEdit):
    """Paints `prompt` under the mask. `pixel_lock` None or True keeps all other pixels bit for bit."""

    field = "inpaint"
    mask: Mask
    prompt: str
    pixel_lock: bool | None = None


@dataclass(frozen=True, slots=True)
class Outpaint(AnyEdit):
    """Adds pixels on each side and fills them. An empty `prompt` continues the image."""

    field = "outpaint"
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Instruct(AnyEdit):
    """Follows an instruction; `strength` is the allowed difference from the image, 0 to 1."""

    field = "instruct"
    prompt: str
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class RemoveBackground(AnyEdit):
    """Removes the background."""

    field = "remove_background"


@dataclass(frozen=True, slots=True)
class ReplaceBackground(AnyEdit):
    """Replaces the background by a prompt or an image."""

    field = "replace_background"
    prompt: str = ""
    background: ImageInput | None = None


@dataclass(frozen=True, slots=True)
class Restyle(AnyEdit):
    """Applies a style: by name, from an image, or by a prompt; `strength` is that of the style, 0 to 1."""

    field = "restyle"
    style: str = ""
    style_image: ImageInput | None = None
    prompt: str = ""
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Recolor(AnyEdit):
    """Gives the object `target` the color in `prompt`."""

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
    """Changes the light: by a prompt, by an image, or by a direction that the model knows.

    `strength` is that of the light, 0 to 1.
    """

    field = "relight"
    prompt: str = ""
    reference: ImageInput | None = None
    direction: str = ""
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Control(AnyEdit):
    """Makes a new image that keeps one aspect of this one: `sketch`, `structure` or `style`.

    `strength` says how closely the new image keeps the aspect, 0 to 1.
    """

    field = "control"
    control: str
    prompt: str
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Vary(AnyEdit):
    """Makes a similar image without a prompt."""

    field = "vary"


EDITS: Mapping[str, type[AnyEdit]] = {
    cls.field: cls
    for cls in (
        *(Erase, Inpaint, Outpaint, Instruct, RemoveBackground, ReplaceBackground),
        *(Restyle, Recolor, SearchReplace, Relight, Control, Vary),
    )
}
"""Edit classes by field."""
