"""Multipart forms: a table of operations says which value of a request goes into which part of a form."""

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

__all__ = ["Bounds", "Operation", "Part", "check_request", "named", "parts_of", "value_at"]

Part = tuple[str, tuple[str | None, bytes, str | None]]
"""A part of a form, as httpx takes it in `files`: name, file name, content and media type. A text is a part without a
file name; so a form that has only texts is multipart too."""


def named(*paths: str, **renamed: str) -> dict[str, str]:
    """Returns a mapping of part names to paths of a request. The name is the path's last step, or the keyword's."""
    return {path.rpartition(".")[2]: path for path in paths} | renamed


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of an input image, in pixels. `maximum_ratio` is longer side by shorter side; 0 means no limit."""

    minimum_side: int
    maximum_side: int
    minimum_pixels: int
    maximum_pixels: int
    maximum_ratio: float = 0.0

    def problem(self, width: int, height: int) -> str:
        """Returns why a size in pixels is outside the limits; empty if it is within."""
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
        path: Path of the operation, below the API's URL.
        files: Paths of the request's images and masks, by part name.
        texts: Paths of the request's other values, by part name; `options.x` is the provider option x.
        fixed: Parts with default values; a value of the request replaces them.
        bounds: Limits of the request's `image`.
        mask: The form of a mask.
        job: Whether the answer is a job that is polled.
    """

    path: str
    files: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    bounds: Bounds | None = None
    mask: MaskForm = "white"
    job: bool = False


def value_at(request: ImageRequest, path: str, options: Options) -> Any:
    """Returns the value at a path of a request; None if it is unset."""
    if path.startswith("options."):
        return getattr(options, path.removeprefix("options."))
    value: Any = request
    for step in path.split("."):
        value = value.edit if isinstance(value, Edit) and step == value.edit.field else getattr(value, step)
    # An unset outpaint side is 0; other unset numbers are None.
    return None if value == "" or (value == 0 and path.startswith("outpaint.")) else value


def check_request(card: ModelCard, request: ImageRequest, operation: Operation, options: Options) -> None:
    """Checks a request against an operation, beyond the rules of the contract.

    Raises:
        InvalidRequest: A field that the card requires is missing, or the image is outside the operation's limits.
    """
    paths = {*operation.files.values(), *operation.texts.values()}
    needed = [p.path for p in card.parameters[request.kind] if p.required and p.path in paths]
    missing = [path for path in needed if value_at(request, path, options) is None]
    problems = [Violation(path, f"is required by {card.id}") for path in missing]
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
    """Returns the parts of the form for a request.

    Args:
        vendor: The vendor.
        operation: The operation.
        request: The request, made concrete, with its images loaded.
        options: The request's options for this provider.
        reads: Media types that the API reads; other images are converted.
        extra: Further values by part name; None is left out.
    """
    values = {name: value_at(request, path, options) for name, path in operation.texts.items()}
    texts = {**operation.fixed, **{k: _text(v) for k, v in {**values, **extra}.items() if v is not None}}
    parts: list[Part] = [(name, (None, text.encode(), None)) for name, text in texts.items()]
    for name, path in operation.files.items():
        match value_at(request, path, options):
            case Mask() as mask:
                data = await vendor.pixels.mask(path, mask, operation.mask)
            case ImageInput() as image:
                data = await vendor.sendable(image, reads)
            case _:
                continue
        kind = media_type(data[:16])
        parts.append((name, (f"{name}.{kind.removeprefix('image/')}", data, kind)))
    return parts


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
