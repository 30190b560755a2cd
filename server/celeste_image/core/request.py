"""The four operations as plain values, the same through every door: gRPC, command line, another Python program.

They know nothing of providers and of protobuf. Constant ranges are checked once, by the rules in the `.proto` files,
before a request becomes one of these; what depends on a model is checked against its card, in `pipeline/fit.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, ClassVar, Self

__all__ = [
    "ANONYMOUS",
    "EDITS",
    "AnalysisKind",
    "Analyze",
    "AnyEdit",
    "Call",
    "Control",
    "Edit",
    "Erase",
    "Generate",
    "ImageFacts",
    "ImageInput",
    "ImageRequest",
    "Inpaint",
    "Instruct",
    "Mask",
    "OperationKind",
    "Outpaint",
    "Polarity",
    "Recolor",
    "Relight",
    "RemoveBackground",
    "ReplaceBackground",
    "RequestOptions",
    "Restyle",
    "SearchReplace",
    "Size",
    "Upscale",
    "UpscaleMethod",
]


ANONYMOUS = "anonymous"
"""The caller of a server without authentication."""


class OperationKind(StrEnum):
    """What can be asked for."""

    GENERATE = "generate"
    EDIT = "edit"
    UPSCALE = "upscale"
    ANALYZE = "analyze"


class AnalysisKind(StrEnum):
    """What an analysis can look for."""

    METADATA = "metadata"


class UpscaleMethod(StrEnum):
    """How a picture is made larger: at once, keeping to what is there, or inventing detail."""

    FAST = "fast"
    CONSERVATIVE = "conservative"
    CREATIVE = "creative"


class Polarity(StrEnum):
    """Which values of a mask mean "change here": white, black, or alpha 0."""

    WHITE = "white"
    BLACK = "black"
    TRANSPARENT = "transparent"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a limited worker process found out about encoded bytes by decoding them.

    `width` and `height` are pixels after the EXIF orientation is applied, `orientation` is what it was: 1, upright or
    none, to 8; `sha256` is 64 hex digits; `mode` is Pillow's word for how pixels are stored.
    """

    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    mode: str
    has_alpha: bool
    orientation: int = 1


@dataclass(frozen=True, slots=True)
class ImageInput:
    """A picture given to an operation: its bytes, the name of an artifact, or where to fetch it.

    `sha256` and `media_type` are what the bytes must have; empty is not checked.

    Below the pipeline's load step `data` and `facts` are always set.
    """

    data: bytes = field(default=b"", repr=False)
    artifact: str = ""
    uri: str = ""
    sha256: str = ""
    media_type: str = ""
    facts: ImageFacts | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """The size wanted, in pixels, as a ratio, or as an area; zero and "" are unset, all unset is the default."""

    width: int = 0
    height: int = 0
    aspect_ratio: str = ""
    megapixels: float = 0.0

    def __bool__(self) -> bool:
        """Tells whether anything is set."""
        return bool(self.width or self.aspect_ratio or self.megapixels)


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What all operations have in common.

    Attributes:
        strict: Refuse what can't be done to the letter, instead of doing the nearest.
        provider_options: What only one provider knows, by the provider's name.
        inline_limit_bytes: Bytes of images to send inside the response; None is the server's default.
        preview_count: Previews wanted, 0 to 8.
        unknown: Paths of fields that this server does not know, from a newer client.
    """

    strict: bool = False
    provider_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inline_limit_bytes: int | None = None
    preview_count: int = 0
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What all operations begin with; `model` is `provider/model`, or empty for the server's default."""

    kind: ClassVar[OperationKind]

    model: str = ""
    options: RequestOptions = field(default_factory=RequestOptions)

    def images(self) -> Iterator[tuple[str, ImageInput]]:
        """Yields the pictures in it with the paths of their fields."""
        return iter(())

    def with_images(self, images: Mapping[str, ImageInput]) -> Self:
        """Returns it with other pictures, by the paths that `images` yields."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate(ImageRequest):
    """Makes pictures from words. `count` is 1 to 16, or 0 for one; `seed` None means the server draws one."""

    kind = OperationKind.GENERATE

    prompt: str
    negative_prompt: str = ""
    size: Size = Size()
    count: int = 0
    seed: int | None = None
    output_media_type: str = ""


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
    """Removes what is under the mask; `pixel_lock` puts the rest back from the source, bit for bit."""

    field = "erase"
    mask: Mask
    pixel_lock: bool = True


@dataclass(frozen=True, slots=True)
class Inpaint(AnyEdit):
    """Paints `prompt` under the mask; `pixel_lock` puts the rest back from the source, bit for bit."""

    field = "inpaint"
    mask: Mask
    prompt: str
    pixel_lock: bool = True


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
    """Finds `search` and puts `prompt` there."""

    field = "search_replace"
    search: str
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


EDITS: Mapping[str, type[AnyEdit]] = {
    cls.field: cls
    for cls in (
        *(Erase, Inpaint, Outpaint, Instruct, RemoveBackground, ReplaceBackground),
        *(Restyle, Recolor, SearchReplace, Relight, Control),
    )
}
"""Every kind of edit by its field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(ImageRequest):
    """Changes a picture."""

    kind = OperationKind.EDIT

    image: ImageInput
    edit: AnyEdit
    references: tuple[ImageInput, ...] = ()
    negative_prompt: str = ""
    size: Size = Size()
    count: int = 0
    seed: int | None = None
    output_media_type: str = ""

    def images(self) -> Iterator[tuple[str, ImageInput]]:
        """Yields the source, the references, then the pictures of the edit itself, its mask among them."""
        yield "image", self.image
        for index, reference in enumerate(self.references):
            yield f"references[{index}]", reference
        for part in fields(self.edit):  # type: ignore[arg-type]  # every edit is a dataclass
            match getattr(self.edit, part.name):
                case Mask(image=image):
                    yield f"{self.edit.field}.{part.name}.image", image
                case ImageInput() as image:
                    yield f"{self.edit.field}.{part.name}", image

    def with_images(self, images: Mapping[str, ImageInput]) -> Self:
        """Returns it with other pictures."""
        parts: dict[str, Any] = {}
        for part in fields(self.edit):  # type: ignore[arg-type]
            path = f"{self.edit.field}.{part.name}"
            match getattr(self.edit, part.name):
                case Mask() as mask:
                    parts[part.name] = replace(mask, image=images[f"{path}.image"])
                case ImageInput():
                    parts[part.name] = images[path]
        edit: AnyEdit = replace(self.edit, **parts)  # type: ignore[type-var]
        references = tuple(images[f"references[{index}]"] for index in range(len(self.references)))
        return replace(self, image=images["image"], references=references, edit=edit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upscale(ImageRequest):
    """Makes a picture larger, by `factor` (1 to 16, 0 is unset) or to `size`; None is the model's default."""

    kind = OperationKind.UPSCALE

    image: ImageInput
    factor: float = 0.0
    size: Size = Size()
    method: UpscaleMethod | None = None
    prompt: str = ""
    creativity: float | None = None
    seed: int | None = None
    output_media_type: str = ""

    def images(self) -> Iterator[tuple[str, ImageInput]]:
        """Yields the source."""
        yield "image", self.image

    def with_images(self, images: Mapping[str, ImageInput]) -> Self:
        """Returns it with another source."""
        return replace(self, image=images["image"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyze(ImageRequest):
    """Finds out about a picture; no `kinds` means all that the model can."""

    kind = OperationKind.ANALYZE

    image: ImageInput
    kinds: tuple[AnalysisKind, ...] = ()

    def images(self) -> Iterator[tuple[str, ImageInput]]:
        """Yields the picture."""
        yield "image", self.image

    def with_images(self, images: Mapping[str, ImageInput]) -> Self:
        """Returns it with another picture."""
        return replace(self, image=images["image"])


@dataclass(frozen=True, slots=True)
class Call:
    """What is true of one call, not of what it asks for.

    Attributes:
        request_id: Names the call in events, results and logs.
        caller: Whose call it is, and so whose artifacts; everybody is ANONYMOUS while nobody authenticates.
        deadline: When the caller stops waiting, by `time.monotonic()`; None is never.
        ticket: The provider's own name for a job that an earlier attempt submitted; with one, nothing is submitted.
    """

    request_id: str
    caller: str = ANONYMOUS
    deadline: float | None = None
    ticket: str | None = None
