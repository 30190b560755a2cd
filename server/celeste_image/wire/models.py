"""Models: parameters of cards to protobuf and back."""

from celeste_image.core.card import (
    BoolRange,
    ChoiceRange,
    ImageRange,
    IntegerRange,
    NumberRange,
    Parameter,
    ParameterRange,
    SizeRange,
    TextRange,
)
from celeste_image.core.request import OperationKind
from celeste_image.v1 import model_service_pb2 as pb
from celeste_image.v1 import operation_pb2

__all__ = ["KINDS", "parameter_from_proto", "parameter_to_proto"]

KINDS = {
    OperationKind.GENERATE: operation_pb2.OPERATION_KIND_GENERATE,
    OperationKind.EDIT: operation_pb2.OPERATION_KIND_EDIT,
    OperationKind.UPSCALE: operation_pb2.OPERATION_KIND_UPSCALE,
    OperationKind.ANALYZE: operation_pb2.OPERATION_KIND_ANALYZE,
}


def parameter_to_proto(kind: OperationKind, parameter: Parameter) -> pb.Parameter:
    """Returns the message for a parameter of an operation."""
    message = pb.Parameter(
        operation=KINDS[kind],
        path=parameter.path,
        title=parameter.title,
        help=parameter.help,
        required=parameter.required,
        advanced=parameter.advanced,
    )
    match parameter.range:
        case TextRange() as text:
            message.text.CopyFrom(pb.TextParameter(max_length=text.max_length, default_value=text.default))
        case IntegerRange() as i:
            message.integer.CopyFrom(
                pb.IntegerParameter(
                    minimum=i.minimum, maximum=i.maximum, multiple_of=i.multiple_of, default_value=i.default
                )
            )
        case NumberRange() as n:
            message.number.CopyFrom(pb.NumberParameter(minimum=n.minimum, maximum=n.maximum, default_value=n.default))
        case BoolRange() as b:
            message.bool.CopyFrom(pb.BoolParameter(default_value=b.default))
        case ChoiceRange() as c:
            message.choice.CopyFrom(pb.ChoiceParameter(values=c.values, default_value=c.default))
        case SizeRange() as s:
            message.size.CopyFrom(
                pb.SizeParameter(
                    minimum_side=s.minimum_side,
                    maximum_side=s.maximum_side,
                    multiple_of=s.multiple_of,
                    minimum_megapixels=s.minimum_megapixels,
                    maximum_megapixels=s.maximum_megapixels,
                    default_width=s.default_width,
                    default_height=s.default_height,
                    sizes=[f"{width}x{height}" for width, height in s.sizes],
                    ratios=s.ratios,
                )
            )
        case ImageRange() as image:
            message.image.CopyFrom(
                pb.ImageParameter(
                    media_types=image.media_types,
                    maximum_megapixels=image.maximum_megapixels,
                    maximum_count=image.maximum_count,
                )
            )
    return message


def parameter_from_proto(message: pb.Parameter) -> Parameter:
    """Returns a parameter; of a kind that is newer than this client, one of any text."""
    return Parameter(
        path=message.path,
        range=_range(message),
        title=message.title,
        help=message.help,
        required=message.required,
        advanced=message.advanced,
    )


def _range(message: pb.Parameter) -> ParameterRange:
    match message.WhichOneof("kind"):
        case "integer":
            i = message.integer
            return IntegerRange(
                i.minimum if i.HasField("minimum") else None,
                i.maximum if i.HasField("maximum") else None,
                i.multiple_of,
                i.default_value if i.HasField("default_value") else None,
            )
        case "number":
            n = message.number
            return NumberRange(
                n.minimum if n.HasField("minimum") else None,
                n.maximum if n.HasField("maximum") else None,
                n.default_value if n.HasField("default_value") else None,
            )
        case "bool":
            return BoolRange(message.bool.default_value)
        case "choice":
            return ChoiceRange(tuple(message.choice.values), message.choice.default_value)
        case "size":
            s = message.size
            sizes = (size.partition("x") for size in s.sizes)
            return SizeRange(
                minimum_side=s.minimum_side,
                maximum_side=s.maximum_side,
                maximum_megapixels=s.maximum_megapixels,
                multiple_of=s.multiple_of,
                default_width=s.default_width,
                default_height=s.default_height,
                sizes=tuple((int(width), int(height)) for width, _, height in sizes),
                ratios=tuple(s.ratios),
                minimum_megapixels=s.minimum_megapixels,
            )
        case "image":
            image = message.image
            return ImageRange(tuple(image.media_types), image.maximum_megapixels, image.maximum_count)
        case _:
            return TextRange(message.text.max_length, message.text.default_value)
