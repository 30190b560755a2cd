"""The part that both clients share: requests from arguments, transfers of bytes, errors of calls."""

import hashlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import grpc

from celeste_image.client.checks import checked_items, shown
from celeste_image.core.edits import AnyEdit
from celeste_image.core.errors import ArtifactDamaged, CelesteError, InternalError
from celeste_image.core.image import ImageInput, ImageReference, Size
from celeste_image.core.request import (
    AnalysisKind,
    Analyze,
    CacheMode,
    Edit,
    Generate,
    ImageRequest,
    RequestOptions,
    Routing,
    Upscale,
    UpscaleMode,
)
from celeste_image.core.result import ImageOutput
from celeste_image.v1 import artifact_service_pb2
from celeste_image.wire.status import error_from_trailers

__all__ = [
    "AnalyzeParameters",
    "EditParameters",
    "GenerateParameters",
    "ImageLike",
    "ReferenceLike",
    "SizeLike",
    "Tries",
    "UploadTries",
    "UpscaleParameters",
    "analyze_request",
    "check_digest",
    "data_or_name",
    "edit_request",
    "error_of",
    "generate_request",
    "image_input",
    "new_request_id",
    "reference_of",
    "request_id_of",
    "size_of",
    "too_large_inline",
    "upload_chunks",
    "uploaded",
    "upscale_request",
]

ImageLike = str | Path | bytes | bytearray | memoryview | ImageInput | ImageOutput
"""Path of a file, encoded bytes, name of an artifact (`artifacts/...`), or an image of an earlier result."""

ReferenceLike = ImageLike | ImageReference
"""An image, or an ImageReference with a role and a name."""

SizeLike = Size | tuple[int, int] | str
"""A Size, (width, height), "768x512", "16:9", or "12mp" for an area in megapixels."""

AREA = re.compile(r"\d+(?:\.\d+)?mp", re.IGNORECASE)

READ_TRIES = 5
"""Most tries of a transfer in a row without any progress."""

CHUNK_BYTES = 1 << 20
INLINE_BYTES = 3 << 20
"""Most bytes of images inside a request; larger ones are uploaded first. A server accepts 4 MiB by default."""

MOST_BYTES = 512 << 20
"""Longest file that is read as an image. A server takes 64 MiB by default."""
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:[^/]+/")

FIRST_PAUSE_SECONDS = 0.1
"""Pause before the second try of a transfer; each later pause is twice as long."""


def upload_chunks(name: str, data: bytes, offset: int) -> Iterator[artifact_service_pb2.WriteArtifactRequest]:
    """Yields the messages of an upload that begins at an offset."""
    yield artifact_service_pb2.WriteArtifactRequest(name=name, size_bytes=len(data))
    for start in range(offset, len(data), CHUNK_BYTES):
        chunk = artifact_service_pb2.ArtifactChunk(offset=start, data=data[start : start + CHUNK_BYTES])
        yield artifact_service_pb2.WriteArtifactRequest(chunk=chunk)


def too_large_inline(request: ImageRequest) -> dict[str, ImageInput]:
    """Returns the images of a request, by path, if together they exceed INLINE_BYTES and need an upload."""
    given = {path: image for path, image in request.images() if image.data}
    return given if sum(len(image.data) for image in given.values()) > INLINE_BYTES else {}


def uploaded(request: ImageRequest, names: Mapping[str, str]) -> ImageRequest:
    """Returns a request with names of artifacts in place of the images at these paths."""
    images = dict(request.images())
    for path, name in names.items():
        images[path] = replace(images[path], data=b"", artifact=name)
    return request.with_images(images)


def image_input(image: ImageLike) -> ImageInput:
    """Returns the input for any kind of image.

    Raises:
        OSError: The file is unreadable.
        ValueError: There are no bytes.
        TypeError: The image is of another type.
    """
    match image:
        case ImageInput():
            return image
        case ImageOutput():
            return ImageInput(artifact=image.artifact)
        case bytes() | bytearray() | memoryview():
            return ImageInput(data=_not_empty(bytes(image), "the image has no bytes"))
        case str() if image.startswith("artifacts/"):
            return ImageInput(artifact=image)
        case str() | os.PathLike():
            return ImageInput(data=_file(image))
        case _:
            kinds = "a path, bytes, the name of an artifact, an ImageInput or an ImageOutput"  # type: ignore[unreachable]
            raise TypeError(f"an image is {kinds}, not {shown(image)}")


def _file(path: str | os.PathLike[str]) -> bytes:
    """Returns the bytes of a file. Raises OSError, or ValueError for a path that no file can have, or a huge file."""
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ValueError(f"the path of an image is {'empty' if not text else 'without NUL'}: {shown(text)}")
    if isinstance(path, str) and URL.match(text) and not os.path.exists(text):
        how = "download it first; in Python, ImageInput(uri=...) names it to a server whose operator allows its host"
        raise ValueError(f"{shown(text)} is a URL, and an image is a file: {how}")
    with open(text, "rb") as file:
        data = file.read(MOST_BYTES + 1)  # /dev/zero has no end
    if len(data) > MOST_BYTES:
        raise ValueError(f"{text} has more than {MOST_BYTES >> 20} MiB, and is no image")
    return _not_empty(data, f"{text}: the file is empty")


def _not_empty(data: bytes, otherwise: str) -> bytes:
    if not data:
        raise ValueError(otherwise)
    return data


def reference_of(reference: ReferenceLike) -> ImageReference:
    """Returns the reference for any kind of image. Raises OSError for an unreadable file."""
    return reference if isinstance(reference, ImageReference) else ImageReference(image_input(reference))


def size_of(size: SizeLike | None) -> Size:
    """Returns the size for (width, height), "768x512", "16:9", "12mp" or a Size; None means the model's default.

    Raises:
        ValueError: The text has another form.
        TypeError: The size has another type.
    """
    match size:
        case None:
            return Size()
        case Size():
            return size
        case str() if ":" in size:
            return Size(aspect_ratio=size)
        case str() if AREA.fullmatch(size):
            return _above_zero(Size(megapixels=float(size[:-2])), size)
        case str():
            width, _, height = size.lower().partition("x")
            if not (width.isdecimal() and height.isdecimal()):
                raise ValueError(f"a size is like 768x512, 16:9 or 12mp, not {size!r}")
            return _above_zero(Size(int(width[:12]), int(height[:12])), size)
        case (width, height):
            return _above_zero(Size(width, height), size)
        case _:  # otherwise a value of a wrong type would silently mean the default
            raise TypeError(f"size is (width, height), '768x512', '16:9', '12mp' or a Size, not {size!r}")


def _above_zero(size: Size, given: SizeLike) -> Size:
    if not size:  # a size of 0 would silently mean the default
        raise ValueError(f"a size is above 0, not {given!r}")
    return size


class CommonParameters(TypedDict, total=False):
    """The arguments that all operations share. Each is a field of the request or of its `RequestOptions`.

    Attributes:
        request_id: UUID of the request, one per request; unset, the client makes one.
        model: Id of a model, or an alias; empty means the server's default.
        fallback_models: Models to try after `model`, in order.
        strict: Whether any difference from the request is an error.
        provider_options: Options of one provider, by the provider's name.
        inline_limit_bytes: Most bytes of images inside the response; None means the server's default.
        preview_count: Number of previews in a stream, 0 to 8.
        labels: Labels of your own, such as {"project": "spring"}, to add up usage and to clear cached results by; the
            provider never gets them.
        cache_mode: Use of the server's cache: "use" takes a cached result, "refresh" makes it again and replaces it,
            "bypass" neither reads nor writes it.
        end_user: Opaque id of the end user for the provider.
        output_metadata: Handling of the metadata in the images; None means the server's setting.
        embed_recipe: Whether the recipe is written into the images; None means the server's setting.
    """

    request_id: str
    model: str
    fallback_models: Sequence[str]
    strict: bool
    provider_options: Mapping[str, Mapping[str, Any]]
    inline_limit_bytes: int | None
    preview_count: int
    labels: Mapping[str, str]
    cache_mode: Literal["use", "refresh", "bypass"]
    end_user: str
    output_metadata: Literal["keep", "strip"] | None
    embed_recipe: bool | None


class PaintParameters(CommonParameters, total=False):
    """The arguments that `generate` and `edit` share; see `GenerateRequest` in `operation.proto`."""

    negative_prompt: str
    size: SizeLike | None
    count: int
    seed: int | None
    output_media_type: str
    references: Sequence[ReferenceLike]
    quality: str
    background: str
    output_quality: int
    style: str
    rewrite_prompt: bool | None


class GenerateParameters(PaintParameters, total=False):
    """The arguments of `generate` besides the prompt."""


class EditParameters(PaintParameters, total=False):
    """The arguments of `edit` besides the image and the edit."""


class UpscaleParameters(CommonParameters, total=False):
    """The arguments of `upscale` besides the image. Set exactly one of `factor` and `size`."""

    factor: float
    size: SizeLike | None
    mode: UpscaleMode | None
    prompt: str
    creativity: float | None
    seed: int | None
    output_media_type: str
    style: str


class AnalyzeParameters(CommonParameters, total=False):
    """The arguments of `analyze` besides the image. Without `kinds`, the model returns all its findings."""

    kinds: Sequence[AnalysisKind]


def generate_request(prompt: str, parameters: GenerateParameters) -> Generate:
    """Returns the request. Raises OSError for a file of a reference, and ValueError for an invalid size."""
    return Generate(**_paint(parameters), prompt=prompt)


def edit_request(image: ImageLike, edit: AnyEdit, parameters: EditParameters) -> Edit:
    """Returns the request. Raises OSError for a file, and ValueError for an invalid size."""
    return Edit(**_paint(parameters), image=image_input(image), edit=edit)


def upscale_request(image: ImageLike, parameters: UpscaleParameters) -> Upscale:
    """Returns the request. Raises OSError for a file, and ValueError for an invalid size."""
    return Upscale(
        **_common(parameters),
        image=image_input(image),
        factor=parameters.get("factor", 0.0),
        size=size_of(parameters.get("size")),
        mode=parameters.get("mode"),
        prompt=parameters.get("prompt", ""),
        creativity=parameters.get("creativity"),
        seed=parameters.get("seed"),
        output_media_type=parameters.get("output_media_type", ""),
        style=parameters.get("style", ""),
    )


def analyze_request(image: ImageLike, parameters: AnalyzeParameters) -> Analyze:
    """Returns the request. Raises OSError for a file."""
    kinds = checked_items(parameters.get("kinds", ()), "kinds")
    return Analyze(**_common(parameters), image=image_input(image), kinds=kinds)


def request_id_of(parameters: CommonParameters) -> str:
    """Returns the id of a request, a new one unless the caller gave one."""
    return parameters.get("request_id") or new_request_id()


def new_request_id() -> str:
    """Returns a new id for a request, a random UUID."""
    return str(uuid.uuid4())


def _paint(parameters: PaintParameters) -> Any:
    return {
        **_common(parameters),
        "negative_prompt": parameters.get("negative_prompt", ""),
        "size": size_of(parameters.get("size")),
        "count": parameters.get("count", 0),
        "seed": parameters.get("seed"),
        "output_media_type": parameters.get("output_media_type", ""),
        "references": tuple(
            reference_of(each) for each in checked_items(parameters.get("references", ()), "references")
        ),
        "quality": parameters.get("quality", ""),
        "background": parameters.get("background", ""),
        "output_quality": parameters.get("output_quality", 0),
        "style": parameters.get("style", ""),
        "rewrite_prompt": parameters.get("rewrite_prompt"),
    }


def _common(parameters: CommonParameters) -> Any:
    metadata: Any = parameters.get("output_metadata")
    cache_mode: Any = parameters.get("cache_mode", CacheMode.USE)
    options = RequestOptions(
        strict=parameters.get("strict", False),
        provider_options=parameters.get("provider_options") or {},
        inline_limit_bytes=parameters.get("inline_limit_bytes"),
        preview_count=parameters.get("preview_count", 0),
        labels=parameters.get("labels") or {},
        cache_mode=cache_mode,
        routing=Routing(checked_items(parameters.get("fallback_models", ()), "fallback_models")),
        end_user=parameters.get("end_user", ""),
        output_metadata=metadata,
        embed_recipe=parameters.get("embed_recipe"),
    )
    return {"model": parameters.get("model", ""), "options": options}


def error_of(error: grpc.RpcError, request_id: str = "") -> CelesteError:
    """Returns the error of a failed call; it has the id of the request even if the server sent no details."""
    call: Any = error
    failure = error_from_trailers(call.code(), call.details() or "", call.trailing_metadata())
    failure.request_id = failure.request_id or request_id
    return failure


class Tries:
    """Counts the tries of one transfer over unreliable connections; progress resets the count."""

    def __init__(self) -> None:
        self._failed = 0

    def reset(self) -> None:
        """Resets the count after progress."""
        self._failed = 0

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the pause before the next try in seconds. Raises CelesteError after the last try."""
        failure = error_of(error)
        self._failed += 1
        if not failure.retryable or self._failed >= READ_TRIES:
            raise failure from error
        return float(FIRST_PAUSE_SECONDS * 2 ** (self._failed - 1))


class UploadTries(Tries):
    """Counts the tries of an upload.

    Attributes:
        offset: Where the next try begins; None means that the server is asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.offset: int | None = None

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the pause before the next try in seconds. Raises CelesteError after the last try.

        Behind a load balancer, the server that gets the bytes may have fewer of them than the one that was asked; its
        error has their number. An error INTERNAL without details is gRPC's own: a write failed since the server had
        ended the call, whose outcome the next try learns.
        """
        failure = error_of(error)
        told = failure.metadata.get("committed_size_bytes", "")
        self.offset = int(told) if told.isdecimal() else None
        own = isinstance(failure, InternalError) and not failure.metadata
        if (self.offset is None and not own) or self._failed + 1 >= READ_TRIES:
            return super().pause_after(error)
        self._failed += 1
        return 0.0 if self.offset is not None else FIRST_PAUSE_SECONDS


def data_or_name(image: ImageOutput | str) -> bytes | str:
    """Returns the bytes of an image if its result has them, else the name of its artifact.

    Raises:
        TypeError: It is neither an image of a result nor a name.
    """
    if isinstance(image, ImageOutput):
        return image.data or image.artifact
    if isinstance(image, str):
        return image
    raise TypeError(f"an image is one of result.images, or the name of an artifact, not {shown(image)}")


def check_digest(name: str, digest: "hashlib._Hash") -> None:
    """Raises ArtifactDamaged if the bytes do not match the digest in their name."""
    if digest.hexdigest() != name.rpartition("-")[2]:
        raise ArtifactDamaged(f"the bytes of {name} do not match its digest", resource=name)
