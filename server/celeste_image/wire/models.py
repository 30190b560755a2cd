"""Converts model cards, parameters and prices between core values and protobuf."""

from collections.abc import Collection
from decimal import Decimal

from celeste_image.core.card import (
    BoolRange,
    ChoiceRange,
    ImageRange,
    IntegerRange,
    ModelCard,
    NumberRange,
    Parameter,
    ParameterRange,
    Price,
    RefusalCharge,
    SizeRange,
    TextRange,
)
from celeste_image.core.request import OperationKind
from celeste_image.v1 import model_service_pb2 as pb
from celeste_image.v1 import money_pb2, operation_pb2
from celeste_image.wire.values import enum_number

__all__ = ["KINDS", "model_to_proto", "parameter_from_proto", "parameter_to_proto"]

KINDS = {
    OperationKind.GENERATE: operation_pb2.OPERATION_KIND_GENERATE,
    OperationKind.EDIT: operation_pb2.OPERATION_KIND_EDIT,
    OperationKind.UPSCALE: operation_pb2.OPERATION_KIND_UPSCALE,
    OperationKind.ANALYZE: operation_pb2.OPERATION_KIND_ANALYZE,
}

REFUSAL_CHARGES = {
    RefusalCharge.UNKNOWN: pb.REFUSAL_CHARGE_UNSPECIFIED,
    RefusalCharge.CHARGED: pb.REFUSAL_CHARGE_CHARGED,
    RefusalCharge.FREE: pb.REFUSAL_CHARGE_FREE,
}


def model_to_proto(
    card: ModelCard, state: pb.ModelState.ValueType, default_for: Collection[OperationKind], *, full: bool
) -> pb.Model:
    """Returns the message of a model.

    Args:
        card: Facts about the model.
        state: Whether the model is usable now.
        default_for: Operations for which the model is the server's default.
        full: Whether the message has parameters and prices.
    """
    model = pb.Model(
        id=card.id,
        provider=card.provider,
        display_name=card.title,
        summary=card.summary,
        operations=[KINDS[kind] for kind in card.operations],
        edits=card.edits,
        state=state,
        default_for=[KINDS[kind] for kind in card.operations if kind in default_for],
        license=card.license,
        source=card.source,
        checked_on=card.checked_on,
        max_count=card.max_count,
        sends_previews=card.previews,
        lifecycle=pb.ModelLifecycle(
            stage=enum_number(pb.ModelStage, card.stage.value), ends_on=card.ends_on, replacement=card.replacement
        ),
        evidence=enum_number(pb.ModelEvidence, card.evidence.value),
        refusal_charge=REFUSAL_CHARGES[card.refusal_charge],
    )
    if full:
        for kind in card.operations:
            model.parameters.extend(parameter_to_proto(kind, parameter) for parameter in card.parameters[kind])
        model.prices.extend(_price(price) for price in card.prices)
    return model


def _price(price: Price) -> pb.PriceRule:
    nanos = int(Decimal(price.amount) * 1_000_000_000)
    return pb.PriceRule(
        unit=price.unit,
        price=money_pb2.Money(currency_code=price.currency, nanos=nanos),
        per=price.per,
        condition=price.when,
        source=price.source,
        checked_on=price.checked_on,
    )


def parameter_to_proto(kind: OperationKind, parameter: Parameter) -> pb.Parameter:
    """Returns the message of a parameter of an operation."""
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
            message.boolean.CopyFrom(pb.BooleanParameter(default_value=b.default))
        case ChoiceRange() as c:
            message.choice.CopyFrom(
                pb.ChoiceParameter(
                    values=c.values,
                    default_value=c.default,
                    allow_other=c.allow_other,
                    maximum_count=c.maximum_count,
                )
            )
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
    """Returns the parameter of a message. A kind that this version does not know becomes text."""
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
        case "boolean":
            boolean = message.boolean
            return BoolRange(boolean.default_value if boolean.HasField("default_value") else None)
        case "choice":
            c = message.choice
            return ChoiceRange(tuple(c.values), c.default_value, c.allow_other, c.maximum_count)
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
