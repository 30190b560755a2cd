"""What both clients share: requests from arguments, checks of what came back."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import grpc

from celeste_image.core.edits import AnyEdit
from celeste_image.core.errors import ArtifactDamaged, CelesteError
from celeste_image.core.image import ImageInput, ImageReference, Size
from celeste_image.core.request import (
    AnalysisKind,
    Analyze,
    Edit,
    Generate,
    ImageRequest,
    OutputMetadata,
    RequestOptions,
    Routing,
    Upscale,
    UpscaleMethod,
)
from celeste_image.core.result import ImageOutput
from celeste_image.v1 import artifact_service_pb2
from celeste_image.wire.status import error_from_trailers

__all__ = [
    "CHANNEL_OPTIONS",
    "MEDIA_SUFFIXES",
    "AnalyzeParameters",
    "EditParameters",
    "GenerateParameters",
    "ImageLike",
    "ReferenceLike",
    "SizeLike",
    "Tries",
    "UpscaleParameters",
    "analyze_request",
    "check_digest",
    "edit_request",
    "error_of",
    "generate_request",
    "image_input",
    "options_of",
    "path_for",
    "reference_of",
    "size_of",
    "too_large_inline",
    "upload_chunks",
    "uploaded",
    "upscale_request",
]

ImageLike = str | Path | bytes | ImageInput | ImageOutput
"""A file's path, encoded bytes, the name of an artifact (`artifacts/...`), or an earlier result's image."""

ReferenceLike = ImageLike | ImageReference
"""An image, or an ImageReference that also says its role and its name."""

SizeLike = Size | tuple[int, int] | str
"""A Size, (width, height), "768x512", "16:9" or "12mp", which is an area in megapixels."""

AREA = re.compile(r"\d+(?:\.\d+)?mp", re.IGNORECASE)

READ_TRIES = 5
"""Connections that may drop in a row, without a byte between them, before a read is given up."""

CHUNK_BYTES = 1 << 20
INLINE_BYTES = 3 << 20
"""Pictures of more bytes than that go ahead of a request, which then names them: a server takes 4 MiB by default."""

FIRST_PAUSE_SECONDS = 0.1
"""Before the second try of a read; each later pause is twice the one before."""

CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 10_000),
)
"""Nothing about message sizes: every response fits gRPC's default."""

MEDIA_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/avif": ".avif"}


def upload_chunks(name: str, data: bytes, offset: int) -> Iterator[artifact_service_pb2.WriteArtifactRequest]:
    """Yields the messages that upload bytes from an offset."""
    yield artifact_service_pb2.WriteArtifactRequest(name=name, size_bytes=len(data))
    for start in range(offset, len(data), CHUNK_BYTES):
        chunk = artifact_service_pb2.ArtifactChunk(offset=start, data=data[start : start + CHUNK_BYTES])
        yield artifact_service_pb2.WriteArtifactRequest(chunk=chunk)


def too_large_inline(request: ImageRequest) -> dict[str, ImageInput]:
    """Returns the pictures, by path, that go ahead of a request because all together would not fit into it."""
    given = {path: image for path, image in request.images() if image.data}
    return given if sum(len(image.data) for image in given.values()) > INLINE_BYTES else {}


def uploaded(request: ImageRequest, names: Mapping[str, str]) -> ImageRequest:
    """Returns a request with names in place of the pictures at these paths."""
    images = dict(request.images())
    for path, name in names.items():
        images[path] = replace(images[path], data=b"", artifact=name)
    return request.with_images(images)


def image_input(image: ImageLike) -> ImageInput:
    """Returns the input for any kind of picture. Raises OSError when a file can't be read."""
    match image:
        case ImageInput():
            return image
        case ImageOutput():
            return ImageInput(artifact=image.artifact)
        case bytes():
            return ImageInput(data=image)
        case str() if image.startswith("artifacts/"):
            return ImageInput(artifact=image)
        case _:
            return ImageInput(data=Path(image).read_bytes())


def reference_of(reference: ReferenceLike) -> ImageReference:
    """Returns a reference for any kind of image. Raises OSError when a file can't be read."""
    return reference if isinstance(reference, ImageReference) else ImageReference(image_input(reference))


def size_of(size: SizeLike | None) -> Size:
    """Returns a size from (width, height), "768x512", "16:9", "12mp" or a Size; None is the model's default.

    Raises:
        ValueError: The text is none of these.
    """
    match size:
        case None:
            return Size()
        case Size():
            return size
        case str() if ":" in size:
            return Size(aspect_ratio=size)
        case str() if AREA.fullmatch(size):
            return Size(megapixels=float(size[:-2]))
        case str():
            width, _, height = size.lower().partition("x")
            if not (width.isdecimal() and height.isdecimal()):
                raise ValueError(f"a size is like 768x512, 16:9 or 12mp, not {size!r}")
            return Size(int(width), int(height))
        case (width, height):
            return Size(width, height)


class LabelParameters(TypedDict, total=False):
    """What images say of themselves: metadata that they come with and their recipe; None is the server's setting."""

    output_metadata: Literal["keep", "strip"] | None
    embed_recipe: bool | None


class CommonParameters(LabelParameters, total=False):
    """What all operations have.

    `model` is an id or an alias, `fallback_models` are those to try after it, in order; `strict` refuses what can't be
    done to the letter; `provider_options` are what only one provider knows, by its name.
    """

    model: str
    fallback_models: Sequence[str]
    strict: bool
    provider_options: dict[str, dict[str, Any]]


class GenerateParameters(CommonParameters, total=False):
    """What `generate` takes besides the prompt; see `GenerateRequest` in `operation.proto`."""

    negative_prompt: str
    size: SizeLike
    count: int
    seed: int | None


class UpscaleParameters(CommonParameters, total=False):
    """What `upscale` takes besides the picture: exactly one of `factor` and `size`."""

    factor: float
    size: SizeLike
    method: UpscaleMethod | None
    prompt: str
    creativity: float | None
    seed: int | None
    output_media_type: str


class EditParameters(CommonParameters, total=False):
    """What `edit` takes besides the picture and the edit."""

    references: Sequence[ReferenceLike]
    negative_prompt: str
    size: SizeLike
    count: int
    seed: int | None
    output_media_type: str


class AnalyzeParameters(CommonParameters, total=False):
    """What `analyze` takes besides the picture; no `kinds` means all that the model can find."""

    kinds: Sequence[AnalysisKind]


def generate_request(prompt: str, parameters: GenerateParameters) -> Generate:
    """Returns the request. Raises ValueError for a size that is none."""
    return Generate(
        **_common(parameters),
        prompt=prompt,
        negative_prompt=parameters.get("negative_prompt", ""),
        size=size_of(parameters.get("size")),
        count=parameters.get("count", 0),
        seed=parameters.get("seed"),
    )


def upscale_request(image: ImageLike, parameters: UpscaleParameters) -> Upscale:
    """Returns the request. Raises OSError for a file, ValueError for a size that is none."""
    return Upscale(
        **_common(parameters),
        image=image_input(image),
        factor=parameters.get("factor", 0.0),
        size=size_of(parameters.get("size")),
        method=parameters.get("method"),
        prompt=parameters.get("prompt", ""),
        creativity=parameters.get("creativity"),
        seed=parameters.get("seed"),
        output_media_type=parameters.get("output_media_type", ""),
    )


def edit_request(image: ImageLike, edit: AnyEdit, parameters: EditParameters) -> Edit:
    """Returns the request. Raises OSError for a file, ValueError for a size that is none."""
    return Edit(
        **_common(parameters),
        image=image_input(image),
        edit=edit,
        references=tuple(reference_of(each) for each in parameters.get("references", ())),
        negative_prompt=parameters.get("negative_prompt", ""),
        size=size_of(parameters.get("size")),
        count=parameters.get("count", 0),
        seed=parameters.get("seed"),
        output_media_type=parameters.get("output_media_type", ""),
    )


def analyze_request(image: ImageLike, parameters: AnalyzeParameters) -> Analyze:
    """Returns the request. Raises OSError for a file."""
    return Analyze(**_common(parameters), image=image_input(image), kinds=tuple(parameters.get("kinds", ())))


def _common(parameters: CommonParameters) -> Any:
    kept = parameters.get("output_metadata")
    given = options_of(
        parameters.get("strict", False),
        parameters.get("provider_options"),
        fallback_models=parameters.get("fallback_models", ()),
    )
    options = replace(
        given,
        output_metadata=OutputMetadata(kept) if kept else None,
        embed_recipe=parameters.get("embed_recipe"),
    )
    return {"model": parameters.get("model", ""), "options": options}


def options_of(
    strict: bool,
    provider_options: dict[str, dict[str, Any]] | None,
    previews: int = 0,
    fallback_models: Sequence[str] = (),
) -> RequestOptions:
    """Returns the options that calls have as arguments."""
    return RequestOptions(
        strict=strict,
        provider_options=provider_options or {},
        preview_count=previews,
        routing=Routing(tuple(fallback_models)),
    )


def error_of(error: grpc.RpcError) -> CelesteError:
    """Returns the core's error for a failed call."""
    call: Any = error
    return error_from_trailers(call.code(), call.details() or "", call.trailing_metadata())


class Tries:
    """Tries of one transfer over connections that drop; bytes that arrive make the count begin anew."""

    def __init__(self) -> None:
        self._failed = 0

    def reset(self) -> None:
        """Takes note that it goes on."""
        self._failed = 0

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the seconds to wait before the next try. Raises CelesteError when there is none."""
        failure = error_of(error)
        self._failed += 1
        if not failure.retryable or self._failed >= READ_TRIES:
            raise failure from error
        return float(FIRST_PAUSE_SECONDS * 2 ** (self._failed - 1))


def check_digest(name: str, digest: "hashlib._Hash") -> None:
    """Raises ArtifactDamaged when bytes read do not have the digest in their name."""
    if digest.hexdigest() != name.rpartition("-")[2]:
        raise ArtifactDamaged(f"what was read of {name} does not have its digest", resource=name)


def path_for(image: ImageOutput, path: str | Path) -> Path:
    """Returns where to save an image.

    Raises:
        ValueError: The path's suffix says another format than the image has.
    """
    path = Path(path)
    suffix = MEDIA_SUFFIXES.get(image.media_type, "")
    if not path.suffix:
        return path.with_suffix(suffix)
    said = ".jpg" if path.suffix.lower() == ".jpeg" else path.suffix.lower()
    if suffix and said in MEDIA_SUFFIXES.values() and said != suffix:
        raise ValueError(f"{path}: the image is {image.media_type}; save it as {path.with_suffix(suffix)}")
    return path
