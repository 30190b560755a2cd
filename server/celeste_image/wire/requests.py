"""Converts requests between core values and protobuf."""

from dataclasses import fields
from typing import Any, assert_never

from google.protobuf import json_format, struct_pb2

from celeste_image.core.edits import EDITS, AnyEdit, Mask, Polarity
from celeste_image.core.errors import InvalidRequest
from celeste_image.core.image import ImageInput, ImageReference, Size
from celeste_image.core.request import (
    AnalysisKind,
    Analyze,
    CacheMode,
    Edit,
    Generate,
    ImageRequest,
    OutputMetadata,
    PaintRequest,
    RequestOptions,
    Routing,
    Upscale,
    UpscaleMode,
)
from celeste_image.v1 import analysis_pb2, image_pb2, operation_pb2
from celeste_image.wire.values import enum_number, enum_word, whole_numbers

__all__ = ["Request", "request_from_proto", "request_to_operation"]

Request = (
    operation_pb2.GenerateRequest
    | operation_pb2.EditRequest
    | operation_pb2.UpscaleRequest
    | operation_pb2.AnalyzeRequest
)


def request_from_proto(message: Request, unknown: tuple[str, ...] = ()) -> ImageRequest:
    """Returns the core request of a valid message; `unknown` are paths of unknown fields.

    Raises:
        InvalidRequest: Provider options hold NaN or infinity, which the rules of the contract cannot refuse.
    """
    options = _options(message.options, unknown)
    match message:
        case operation_pb2.GenerateRequest():
            return Generate(**_paint(message), options=options, prompt=message.prompt)
        case operation_pb2.EditRequest():
            return Edit(**_paint(message), options=options, image=_image(message.image), edit=_edit(message))
        case operation_pb2.UpscaleRequest():
            mode = enum_word(operation_pb2.UpscaleMode, message.mode) if message.mode else None
            return Upscale(
                model=message.model,
                options=options,
                image=_image(message.image),
                factor=message.factor,
                size=_size(message.size),
                mode=UpscaleMode(mode) if mode else None,
                prompt=message.prompt,
                creativity=message.creativity if message.HasField("creativity") else None,
                seed=message.seed if message.HasField("seed") else None,
                output_media_type=message.output_media_type,
                style=message.style,
            )
        case operation_pb2.AnalyzeRequest():
            kinds = tuple(AnalysisKind(enum_word(analysis_pb2.AnalysisKind, kind)) for kind in message.kinds)
            return Analyze(model=message.model, options=options, image=_image(message.image), kinds=kinds)
        case _:
            assert_never(message)


def request_to_operation(request: ImageRequest, request_id: str = "") -> operation_pb2.Operation:
    """Returns the operation message of a core request."""
    common: dict[str, Any] = {"request_id": request_id, "model": request.model}
    if request.options != RequestOptions():
        common["options"] = _options_proto(request.options)
    match request:
        case Generate():
            generate = operation_pb2.GenerateRequest(**common, **_paint_proto(request), prompt=request.prompt)
            _set_size(generate.size, request.size)
            return operation_pb2.Operation(generate=generate)
        case Edit():
            edit = operation_pb2.EditRequest(**common, **_paint_proto(request), image=_image_proto(request.image))
            _set_size(edit.size, request.size)
            _set_edit(edit, request.edit)
            return operation_pb2.Operation(edit=edit)
        case Upscale():
            upscale = operation_pb2.UpscaleRequest(
                **common,
                image=_image_proto(request.image),
                factor=request.factor,
                mode=enum_number(operation_pb2.UpscaleMode, request.mode or "unspecified"),
                prompt=request.prompt,
                creativity=request.creativity,
                seed=request.seed,
                output_media_type=request.output_media_type,
                style=request.style,
            )
            _set_size(upscale.size, request.size)
            return operation_pb2.Operation(upscale=upscale)
        case Analyze():
            kinds = [enum_number(analysis_pb2.AnalysisKind, kind) for kind in request.kinds]
            analyze = operation_pb2.AnalyzeRequest(**common, image=_image_proto(request.image), kinds=kinds)
            return operation_pb2.Operation(analyze=analyze)
        case _:
            raise TypeError(f"{request!r} is not a request")


def _paint(message: operation_pb2.GenerateRequest | operation_pb2.EditRequest) -> dict[str, Any]:
    """Returns the fields of a message that Generate and Edit share, without the options."""
    return {
        "model": message.model,
        "negative_prompt": message.negative_prompt,
        "size": _size(message.size),
        "count": message.count,
        "seed": message.seed if message.HasField("seed") else None,
        "output_media_type": message.output_media_type,
        "references": tuple(ImageReference(_image(one.image), one.role, one.name) for one in message.references),
        "quality": message.quality,
        "background": message.background,
        "output_quality": message.output_quality,
        "style": message.style,
        "rewrite_prompt": message.rewrite_prompt if message.HasField("rewrite_prompt") else None,
    }


def _paint_proto(request: PaintRequest) -> dict[str, Any]:
    """Returns the fields that GenerateRequest and EditRequest share, without id, model, options and size."""
    return {
        "negative_prompt": request.negative_prompt,
        "count": request.count,
        "seed": request.seed,
        "output_media_type": request.output_media_type,
        "references": [
            image_pb2.ImageReference(image=_image_proto(one.image), role=one.role, name=one.name)
            for one in request.references
        ],
        "quality": request.quality,
        "background": request.background,
        "output_quality": request.output_quality,
        "style": request.style,
        "rewrite_prompt": request.rewrite_prompt,
    }


def _options(message: operation_pb2.RequestOptions, unknown: tuple[str, ...]) -> RequestOptions:
    return RequestOptions(
        strict=message.strictness == operation_pb2.STRICTNESS_STRICT,
        provider_options={name: _provider_options(name, s) for name, s in message.provider_options.items()},
        inline_limit_bytes=message.inline_limit_bytes if message.HasField("inline_limit_bytes") else None,
        preview_count=message.preview_count,
        labels=dict(message.labels),
        cache_mode=CacheMode(enum_word(operation_pb2.CacheMode, message.cache_mode))
        if message.cache_mode
        else CacheMode.USE,
        routing=Routing(tuple(message.routing.fallback_models)),
        end_user=message.end_user,
        output_metadata=OutputMetadata(enum_word(operation_pb2.OutputMetadata, message.output_metadata))
        if message.output_metadata
        else None,
        embed_recipe=message.embed_recipe if message.HasField("embed_recipe") else None,
        unknown=unknown,
    )


def _provider_options(name: str, message: struct_pb2.Struct) -> dict[str, Any]:
    try:
        values: dict[str, Any] = whole_numbers(json_format.MessageToDict(message))
    except ValueError as error:
        path = f'options.provider_options["{name}"]'
        raise InvalidRequest.at(path, "must hold JSON values; NaN and infinity are not JSON") from error
    return values


def _options_proto(options: RequestOptions) -> operation_pb2.RequestOptions:
    message = operation_pb2.RequestOptions(
        strictness=operation_pb2.STRICTNESS_STRICT if options.strict else operation_pb2.STRICTNESS_UNSPECIFIED,
        preview_count=options.preview_count,
        labels=options.labels,
        end_user=options.end_user,
        output_metadata=enum_number(operation_pb2.OutputMetadata, options.output_metadata or "unspecified"),
        embed_recipe=options.embed_recipe,
    )
    if options.inline_limit_bytes is not None:
        message.inline_limit_bytes = options.inline_limit_bytes
    if options.cache_mode is not CacheMode.USE:
        message.cache_mode = enum_number(operation_pb2.CacheMode, options.cache_mode)
    if options.routing != Routing():
        message.routing.fallback_models.extend(options.routing.fallback_models)
    for name, values in options.provider_options.items():
        message.provider_options[name].update(dict(values))
    return message


def _size(message: image_pb2.Size) -> Size:
    return Size(message.width, message.height, message.aspect_ratio, message.megapixels)


def _set_size(message: image_pb2.Size, size: Size) -> None:
    if size:
        message.width, message.height = size.width, size.height
        message.aspect_ratio, message.megapixels = size.aspect_ratio, size.megapixels


def _image(message: image_pb2.ImageInput) -> ImageInput:
    return ImageInput(message.data, message.artifact, message.uri, message.sha256, message.media_type)


def _image_proto(image: ImageInput) -> image_pb2.ImageInput:
    return image_pb2.ImageInput(
        data=image.data, artifact=image.artifact, uri=image.uri, sha256=image.sha256, media_type=image.media_type
    )


def _mask(message: image_pb2.Mask) -> Mask:
    polarity = message.polarity or image_pb2.MASK_POLARITY_WHITE
    return Mask(_image(message.image), Polarity(enum_word(image_pb2.MaskPolarity, polarity)), message.feather)


def _edit(message: operation_pb2.EditRequest) -> AnyEdit:
    """Returns the edit. Its class has the same fields as the message."""
    kind = message.WhichOneof("kind")
    if kind is None:
        raise TypeError("no edit")
    part = getattr(message, kind)
    values = {}
    for known in fields(EDITS[kind]):  # type: ignore[arg-type]  # every edit is a dataclass
        value = getattr(part, known.name)
        if part.DESCRIPTOR.fields_by_name[known.name].has_presence and not part.HasField(known.name):
            continue  # the class has the default value
        match value:
            case image_pb2.Mask():
                value = _mask(value)
            case image_pb2.ImageInput():
                value = _image(value)
        values[known.name] = value
    return EDITS[kind](**values)


def _set_edit(message: operation_pb2.EditRequest, edit: AnyEdit) -> None:
    part = getattr(message, edit.field)
    part.SetInParent()
    for known in fields(edit):  # type: ignore[arg-type]
        match getattr(edit, known.name):
            case None:
                continue
            case Mask() as mask:
                getattr(part, known.name).CopyFrom(_mask_proto(mask))
            case ImageInput() as image:
                getattr(part, known.name).CopyFrom(_image_proto(image))
            case value:
                setattr(part, known.name, value)


def _mask_proto(mask: Mask) -> image_pb2.Mask:
    polarity = enum_number(image_pb2.MaskPolarity, mask.polarity)
    return image_pb2.Mask(image=_image_proto(mask.image), polarity=polarity, feather=mask.feather)
