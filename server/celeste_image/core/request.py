"""Requests of the four operations as plain values: Generate, Edit, Upscale and Analyze.

The values are the same for gRPC, the command line and Python programs. The rules in the `.proto` files check constant
ranges before a request becomes a value. `pipeline/fidelity/fit.py` checks the limits of each model by its card.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, ClassVar, Self

from celeste_image.core.edits import AnyEdit, Mask
from celeste_image.core.image import DEFAULT_SIZE, ImageInput, ImageReference, Size

__all__ = [
    "AnalysisKind",
    "Analyze",
    "CacheMode",
    "Edit",
    "Generate",
    "ImageRequest",
    "OperationKind",
    "OutputMetadata",
    "PaintRequest",
    "RequestOptions",
    "Routing",
    "Upscale",
    "UpscaleMode",
]


class OperationKind(StrEnum):
    """The four operations."""

    GENERATE = "generate"
    EDIT = "edit"
    UPSCALE = "upscale"
    ANALYZE = "analyze"


class AnalysisKind(StrEnum):
    """Kinds of findings of an analysis."""

    METADATA = "metadata"
    CONTENT = "content"
    QUALITY = "quality"
    SAFETY = "safety"


class OutputMetadata(StrEnum):
    """Handling of the metadata in a new image: keep it, or strip all that the pixels do not need."""

    KEEP = "keep"
    STRIP = "strip"


class CacheMode(StrEnum):
    """Use of the cache of results: take a cached result, make it again and replace it, or neither read nor write it."""

    USE = "use"
    REFRESH = "refresh"
    BYPASS = "bypass"


class UpscaleMode(StrEnum):
    """Way to enlarge an image: fast, faithful to the source, or with invented detail."""

    FAST = "fast"
    CONSERVATIVE = "conservative"
    CREATIVE = "creative"


@dataclass(frozen=True, slots=True)
class Routing:
    """Models to try after the model of a request: `fallback_models`, ids or aliases, in this order."""

    fallback_models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Options that all operations share.

    Attributes:
        strict: Whether any difference from the request is an error.
        provider_options: Options of one provider, by the provider's name.
        inline_limit_bytes: Most image bytes inside the response; None means the server's default.
        preview_count: Number of previews, 0 to 8.
        labels: The caller's own labels, to add up usage and to clear cached results by. No provider gets them.
        cache_mode: Use of the cache of results.
        routing: Models to try after the model of the request.
        end_user: Opaque id of the end user, for the provider's abuse detection; empty tells the provider nothing.
        output_metadata: Handling of the metadata in the images; None means the server's setting.
        embed_recipe: Whether the recipe is written into the images; None means the server's setting.
        unknown: Paths of fields that this server does not know, sent by a newer client.
    """

    strict: bool = False
    provider_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inline_limit_bytes: int | None = None
    preview_count: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    cache_mode: CacheMode = CacheMode.USE
    routing: Routing = Routing()
    end_user: str = ""
    output_metadata: OutputMetadata | None = None
    embed_recipe: bool | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """The fields of every request; `model` is `provider/model`, an alias, or empty for the server's default."""

    kind: ClassVar[OperationKind]

    model: str = ""
    options: RequestOptions = field(default_factory=RequestOptions)

    def images(self) -> Iterator[tuple[str, ImageInput]]:
        """Yields the images of the request with the paths of their fields."""
        return iter(())

    def with_images(self, images: Mapping[str, ImageInput]) -> Self:
        """Returns the request with other images, by the paths that `images` yields."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintRequest(ImageRequest):
    """The fields that Generate and Edit share; zero, "" and None mean the model's default.

    Attributes:
        negative_prompt: Content to avoid.
        size: Size of the images.
        count: Number of images, 1 to 16; 0 means one.
        seed: Seed of the first image; None means that the server draws one.
        output_media_type: Media type of the images.
        references: Images that guide the result.
        quality: Effort of the model, a word that the model knows.
        background: `transparent`, `opaque`, or another word that the model knows.
        output_quality: Quality of a lossy encoding, 1 to 100.
        style: Name of a style that the model knows.
        rewrite_prompt: Whether the model may rewrite the prompt first.
    """

    negative_prompt: str = ""
    size: Size = DEFAULT_SIZE
    count: int = 0
    seed: int | None = None
    output_media_type: str = ""
    references: tuple[ImageReference, ...] = ()
    quality: str = ""
    background: str = ""
    output_quality: int = 0
    style: str = ""
    rewrite_prompt: bool | None = None

    def images(self) -> Iterator[tuple[str, ImageInput]]:
        """Yields the references with the paths of their images."""
        for index, reference in enumerate(self.references):
            yield f"references[{index}].image", reference.image

    def with_images(self, images: Mapping[str, ImageInput]) -> Self:
        """Returns the request with other images in its references."""
        references = tuple(
            replace(reference, image=images[f"references[{index}].image"])
            for index, reference in enumerate(self.references)
        )
        return replace(self, references=references)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate(PaintRequest):
    """Generates images from words."""

    kind = OperationKind.GENERATE

    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(PaintRequest):
    """Edits an image."""

    kind = OperationKind.EDIT

    image: ImageInput
    edit: AnyEdit

    def images(self) -> Iterator[tuple[str, ImageInput]]:
        """Yields the source, the references, then the images of the edit itself, its mask among them."""
        yield "image", self.image
        yield from PaintRequest.images(self)
        for part in fields(self.edit):  # type: ignore[arg-type]  # every edit is a dataclass
            match getattr(self.edit, part.name):
                case Mask(image=image):
                    yield f"{self.edit.field}.{part.name}.image", image
                case ImageInput() as image:
                    yield f"{self.edit.field}.{part.name}", image

    def with_images(self, images: Mapping[str, ImageInput]) -> Self:
        """Returns the request with other images."""
        parts: dict[str, Any] = {}
        for part in fields(self.edit):  # type: ignore[arg-type]
            path = f"{self.edit.field}.{part.name}"
            match getattr(self.edit, part.name):
                case Mask() as mask:
                    parts[part.name] = replace(mask, image=images[f"{path}.image"])
                case ImageInput():
                    parts[part.name] = images[path]
        edit: AnyEdit = replace(self.edit, **parts)  # type: ignore[type-var]
        return replace(PaintRequest.with_images(self, images), image=images["image"], edit=edit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upscale(ImageRequest):
    """Enlarges an image by `factor` (1 to 16, 0 is unset) or to `size`; None means the model's default."""

    kind = OperationKind.UPSCALE

    image: ImageInput
    factor: float = 0.0
    size: Size = DEFAULT_SIZE
    mode: UpscaleMode | None = None
    prompt: str = ""
    creativity: float | None = None
    seed: int | None = None
    output_media_type: str = ""
    style: str = ""

    def images(self) -> Iterator[tuple[str, ImageInput]]:
        """Yields the source."""
        yield "image", self.image

    def with_images(self, images: Mapping[str, ImageInput]) -> Self:
        """Returns the request with another source."""
        return replace(self, image=images["image"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyze(ImageRequest):
    """Analyzes an image; empty `kinds` means all kinds that the model knows."""

    kind = OperationKind.ANALYZE

    image: ImageInput
    kinds: tuple[AnalysisKind, ...] = ()

    def images(self) -> Iterator[tuple[str, ImageInput]]:
        """Yields the image."""
        yield "image", self.image

    def with_images(self, images: Mapping[str, ImageInput]) -> Self:
        """Returns the request with another image."""
        return replace(self, image=images["image"])
