"""Operations that are forms of their own: a table says what of a request goes into which part of which form."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from celeste_image.core.card import ModelCard
from celeste_image.core.edits import Mask
from celeste_image.core.errors import InvalidRequest, Violation
from celeste_image.core.image import ImageInput
from celeste_image.core.media import media_type
from celeste_image.core.request import Edit, ImageRequest
from celeste_image.imaging.pixels import MaskForm
from celeste_image.providers.base import Options
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["Bounds", "Operation", "Part", "check", "named", "parts_of", "value_at"]

Part = tuple[str, tuple[str | None, bytes, str | None]]
"""A part of a form, as httpx takes it among `files`: its name, file name, content and media type. One without a file
name is a text, so a form of texts alone is multipart too."""


def named(*paths: str, **renamed: str) -> dict[str, str]:
    """Returns paths of a request by the names of the parts they go to: a path's last step, or the name given."""
    return {path.rpartition(".")[2]: path for path in paths} | renamed


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a picture must be to be taken; `maximum_ratio` is of the longer to the shorter side, 0 is any."""

    minimum_side: int
    maximum_side: int
    minimum_pixels: int
    maximum_pixels: int
    maximum_ratio: float = 0.0

    def problem(self, width: int, height: int) -> str:
        """Returns what is wrong with a size in pixels, empty when nothing is."""
        given = f"is {width:,} x {height:,}"
        if not (self.minimum_side <= min(width, height) and max(width, height) <= self.maximum_side):
            return f"must be {self.minimum_side:,} to {self.maximum_side:,} pixels a side, {given}"
        if not self.minimum_pixels <= width * height <= self.maximum_pixels:
            return f"must have {self.minimum_pixels:,} to {self.maximum_pixels:,} pixels, {given}"
        if self.maximum_ratio and max(width / height, height / width) > self.maximum_ratio:
            return f"must be at most {self.maximum_ratio:g} times as long as wide, {given}"
        return ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of an API.

    Attributes:
        path: Below the API's URL.
        files: Paths of the request's pictures and masks, by the names of their parts.
        texts: Paths of its other values, by the names of their parts; `options.x` is the provider's own option x.
        fixed: Parts that are always sent; a value of the request goes before.
        bounds: What the picture called `image` must be.
        mask: What it wants a mask to be.
        job: Whether the answer to the form is a job to be asked about.
    """

    path: str
    files: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    bounds: Bounds | None = None
    mask: MaskForm = "white"
    job: bool = False


def value_at(request: ImageRequest, path: str, options: Options) -> Any:
    """Returns what is at a path of the contract; None where nothing was asked for."""
    if path.startswith("options."):
        return getattr(options, path.removeprefix("options."))
    value: Any = request
    for step in path.split("."):
        value = value.edit if isinstance(value, Edit) and step == value.edit.field else getattr(value, step)
    # What can't be 0 is unset by it; numbers that can are None when unset.
    return None if value == "" or (value == 0 and path.startswith("outpaint.")) else value


def check(card: ModelCard, request: ImageRequest, operation: Operation, options: Options) -> None:
    """Raises InvalidRequest for what the contract allows and the operation does not take.

    That is: a field left out that it needs, a picture out of bounds.
    """
    paths = {*operation.files.values(), *operation.texts.values()}
    needed = [p.path for p in card.parameters[request.kind] if p.required and p.path in paths]
    missing = [path for path in needed if value_at(request, path, options) is None]
    problems = [Violation(path, f"is needed by {card.id}") for path in missing]
    facts = value_at(request, "image", options).facts if operation.bounds else None
    if facts and operation.bounds and (problem := operation.bounds.problem(facts.width, facts.height)):
        problems.append(Violation("image", f"{problem}, for {card.id}"))
    if problems:
        raise InvalidRequest.of(problems)


async def parts_of(
    vendor: Vendor,
    operation: Operation,
    request: ImageRequest,
    options: Options,
    *,
    reads: Collection[str],
    extra: Mapping[str, Any],
) -> list[Part]:
    """Returns the form of a request.

    Args:
        vendor: Whose API it is.
        operation: What it is the form of.
        request: Concrete, with its pictures loaded.
        options: The provider's own.
        reads: Media types that the API reads.
        extra: Further values by the names of their parts; None is left out.
    """
    values = {name: value_at(request, path, options) for name, path in operation.texts.items()}
    texts = {**operation.fixed, **{k: _text(v) for k, v in {**values, **extra}.items() if v is not None}}
    parts: list[Part] = [(name, (None, text.encode(), None)) for name, text in texts.items()]
    for name, path in operation.files.items():
        match value_at(request, path, options):
            case Mask() as mask:
                source = value_at(request, "image", options)
                data = await vendor.pixels.mask(source, mask, operation.mask)
            case ImageInput() as image:
                data = await vendor.sendable(image, reads)
            case _:
                continue
        kind = media_type(data[:16])
        parts.append((name, (f"{name}.{kind.removeprefix('image/')}", data, kind)))
    return parts


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
