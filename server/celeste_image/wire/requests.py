"""Core requests to messages of `celeste.image.v1` and back."""

from typing import Any, assert_never

from google.protobuf import json_format, struct_pb2

from celeste_image.core.errors import InvalidRequest
from celeste_image.core.request import (
    AnalysisKind,
    Analyze,
    Edit,
    Erase,
    Generate,
    ImageInput,
    ImageRequest,
    Inpaint,
    Mask,
    Outpaint,
    Polarity,
    RequestOptions,
    Size,
    Upscale,
)
from celeste_image.v1 import analysis_pb2, edit_pb2, image_pb2, operation_pb2
from celeste_image.wire.values import enum_number, enum_word, whole_numbers

__all__ = ["Request", "request_from_proto", "request_to_operation"]

Request = (
    operation_pb2.GenerateRequest
    | operation_pb2.EditRequest
    | operation_pb2.UpscaleRequest
    | operation_pb2.AnalyzeRequest
)


def request_from_proto(message: Request, unknown: tuple[str, ...] = ()) -> ImageRequest:
    """Returns the core request of a message that the rules found good; `unknown` are paths of unknown fields.

    Raises:
        InvalidRequest: Provider options hold what JSON can't: the contract's rules have no word for it.
    """
    options = _options(message.options, unknown)
    match message:
        case operation_pb2.GenerateRequest():
            return Generate(
                model=message.model,
                options=options,
                prompt=message.prompt,
                negative_prompt=message.negative_prompt,
                size=_size(message.size),
                count=message.count,
                seed=message.seed if message.HasField("seed") else None,
            )
        case operation_pb2.EditRequest():
            seed = message.seed if message.HasField("seed") else None
            return Edit(
                model=message.model,
                options=options,
                image=_image(message.image),
                edit=_edit(message),
                seed=seed,
            )
        case operation_pb2.UpscaleRequest():
            return Upscale(
                model=message.model,
                options=options,
                image=_image(message.image),
                factor=message.factor,
                size=_size(message.size),
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
            generate = operation_pb2.GenerateRequest(
                **common, prompt=request.prompt, negative_prompt=request.negative_prompt, count=request.count
            )
            if request.seed is not None:
                generate.seed = request.seed
            _set_size(generate.size, request.size)
            return operation_pb2.Operation(generate=generate)
        case Edit():
            edit = operation_pb2.EditRequest(**common, image=_image_proto(request.image))
            if request.seed is not None:
                edit.seed = request.seed
            _set_edit(edit, request.edit)
            return operation_pb2.Operation(edit=edit)
        case Upscale():
            upscale = operation_pb2.UpscaleRequest(**common, image=_image_proto(request.image), factor=request.factor)
            _set_size(upscale.size, request.size)
            return operation_pb2.Operation(upscale=upscale)
        case Analyze():
            kinds = [enum_number(analysis_pb2.AnalysisKind, kind) for kind in request.kinds]
            analyze = operation_pb2.AnalyzeRequest(**common, image=_image_proto(request.image), kinds=kinds)
            return operation_pb2.Operation(analyze=analyze)
        case _:
            raise TypeError(f"{request!r} is no request")


def _options(message: operation_pb2.RequestOptions, unknown: tuple[str, ...]) -> RequestOptions:
    return RequestOptions(
        strict=message.strictness == operation_pb2.STRICTNESS_STRICT,
        provider_options={name: _provider_options(name, s) for name, s in message.provider_options.items()},
        inline_limit_bytes=message.inline_limit_bytes if message.HasField("inline_limit_bytes") else None,
        preview_count=message.preview_count,
        unknown=unknown,
    )


def _provider_options(name: str, message: struct_pb2.Struct) -> dict[str, Any]:
    try:
        values: dict[str, Any] = whole_numbers(json_format.MessageToDict(message))
    except ValueError as error:
        path = f'options.provider_options["{name}"]'
        raise InvalidRequest.at(path, "must hold JSON values; NaN and infinity are none") from error
    return values


def _options_proto(options: RequestOptions) -> operation_pb2.RequestOptions:
    message = operation_pb2.RequestOptions(
        strictness=operation_pb2.STRICTNESS_STRICT if options.strict else operation_pb2.STRICTNESS_UNSPECIFIED,
        preview_count=options.preview_count,
    )
    if options.inline_limit_bytes is not None:
        message.inline_limit_bytes = options.inline_limit_bytes
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


def _edit(message: operation_pb2.EditRequest) -> Erase | Inpaint | Outpaint:
    match message.WhichOneof("edit"):
        case "erase":
            erase = message.erase
            return Erase(_mask(erase.mask), erase.pixel_lock if erase.HasField("pixel_lock") else True)
        case "inpaint":
            inpaint = message.inpaint
            lock = inpaint.pixel_lock if inpaint.HasField("pixel_lock") else True
            return Inpaint(_mask(inpaint.mask), inpaint.prompt, lock)
        case "outpaint":
            out = message.outpaint
            return Outpaint(out.left, out.right, out.top, out.bottom, out.prompt)
        case other:
            raise TypeError(f"{other!r} is no edit")


def _set_edit(message: operation_pb2.EditRequest, edit: Erase | Inpaint | Outpaint) -> None:
    match edit:
        case Erase():
            message.erase.CopyFrom(edit_pb2.EraseEdit(mask=_mask_proto(edit.mask), pixel_lock=edit.pixel_lock))
        case Inpaint():
            mask = _mask_proto(edit.mask)
            message.inpaint.CopyFrom(edit_pb2.InpaintEdit(mask=mask, prompt=edit.prompt, pixel_lock=edit.pixel_lock))
        case Outpaint():
            message.outpaint.CopyFrom(
                edit_pb2.OutpaintEdit(
                    left=edit.left, right=edit.right, top=edit.top, bottom=edit.bottom, prompt=edit.prompt
                )
            )


def _mask_proto(mask: Mask) -> image_pb2.Mask:
    polarity = enum_number(image_pb2.MaskPolarity, mask.polarity)
    return image_pb2.Mask(image=_image_proto(mask.image), polarity=polarity, feather=mask.feather)
