"""The rules of each operation: generate, edit, upscale and analyze requests, made concrete for a model's card."""

from collections.abc import Callable
from dataclasses import fields, replace

from celeste_image.core.card import ImageRange, NumberRange, SizeRange, out_of_range
from celeste_image.core.edits import AnyEdit, Erase, Inpaint, Mask, Outpaint, Polarity
from celeste_image.core.image import ImageFacts, ImageInput, Size
from celeste_image.core.request import Analyze, Edit, Generate, ImageRequest, PaintRequest, Upscale
from celeste_image.pipeline.fidelity.report import ADJUSTED, DEFAULTED, DROPPED, HONORED, Report
from celeste_image.pipeline.fidelity.sizes import fit_size, sides, size_json

__all__ = ["fit_operation"]

SIDES = ("left", "right", "top", "bottom")
"""Fields of an outpaint that together are the edit, and so have no lines of their own."""

ANY_SIZE = SizeRange(minimum_side=1, maximum_side=16_384, maximum_megapixels=40)
"""The contract's bounds of any image, for cards without narrower ones."""


def fit_operation(request: ImageRequest, report: Report, draw: Callable[[], int]) -> ImageRequest:
    """Returns the concrete request: sizes in pixels, and a seed from `draw` if the model has one.

    A count of 0 stays, for every vendor makes one image by itself: nothing is sent that nobody asked for.

    The report gets the lines and the violations of the operation's fields.
    """
    match request:
        case Generate():
            return _generate(request, report, draw)
        case Edit():
            return _edit(request, report, draw)
        case Upscale():
            return _upscale(request, report, draw)
        case Analyze():
            return _analyze(request, report)
    raise TypeError(f"{request!r} is no request")


def _generate(request: Generate, report: Report, draw: Callable[[], int]) -> Generate:
    report.read("prompt", request.prompt)
    _read_paint_fields(request, report)
    seed, size = _seed(request.seed, report, draw), _size(request.size, report)
    return replace(request, seed=seed, size=size)


def _edit(request: Edit, report: Report, draw: Callable[[], int]) -> Edit:
    edit = request.edit
    report.add(edit.field, HONORED)
    _check_image("image", request.image, report)
    if isinstance(edit, Outpaint):
        _check_outpaint(request.image, edit, report)
    for part in fields(edit):  # type: ignore[arg-type]  # every edit is a dataclass
        path = f"{edit.field}.{part.name}"
        match getattr(edit, part.name):
            case Mask() as mask:
                _check_mask(path, request.image, mask, report)
            case ImageInput():
                report.read(path, None)
            case value if part.name not in (*SIDES, "pixel_lock"):
                report.read_all(**{path: value})
    _read_paint_fields(request, report)
    size = _size(request.size, report) if request.size else request.size
    seed = _seed(request.seed, report, draw)
    return replace(request, edit=_with_lock(edit, report), seed=seed, size=size)


def _upscale(request: Upscale, report: Report, draw: Callable[[], int]) -> Upscale:
    _check_image("image", request.image, report)
    report.read_all(
        mode=request.mode,
        prompt=request.prompt,
        creativity=request.creativity,
        output_media_type=request.output_media_type,
        style=request.style,
    )
    return replace(request, size=_upscaled_size(request, report), seed=_seed(request.seed, report, draw))


def _analyze(request: Analyze, report: Report) -> Analyze:
    known = report.range_of("kinds")
    for index, kind in enumerate(request.kinds):
        if known and (text := out_of_range(known, kind.value)):
            report.violate(f"kinds[{index}]", f"{text} for {report.card.id}")
        report.add(f"kinds[{index}]", HONORED, asked=kind.value)
    return request


def _read_paint_fields(request: PaintRequest, report: Report) -> None:
    """Adds the lines of the fields that Generate and Edit share, and checks the references."""
    for index, reference in enumerate(request.references):
        _check_image(f"references[{index}].image", reference.image, report)
    report.read_all(
        references=len(request.references) or None,
        negative_prompt=request.negative_prompt,
        output_media_type=request.output_media_type,
        quality=request.quality,
        background=request.background,
        output_quality=request.output_quality or None,
        style=request.style,
        rewrite_prompt=request.rewrite_prompt,
    )
    for index, reference in enumerate(request.references):
        for part in ("role", "name"):
            if value := getattr(reference, part):
                report.read(f"references[{index}].{part}", value)
    if request.count:
        report.add("count", HONORED, asked=request.count)


def _seed(asked: int | None, report: Report, draw: Callable[[], int]) -> int | None:
    """Returns the seed to send; None if the model takes none."""
    if asked is not None:
        # As JSON, an integer above 2^53 is a string, which keeps all digits.
        return asked if report.read("seed", asked if asked <= 1 << 53 else str(asked)) else None
    if report.range_of("seed") is None:
        return None
    seed = draw()
    report.add("seed", DEFAULTED, sent=seed)
    return seed


def _size(asked: Size, report: Report) -> Size:
    """Returns the size to send; empty if the model chooses the size."""
    bounds = report.range_of("size")
    if not isinstance(bounds, SizeRange):
        if asked:
            report.add("size", DROPPED, asked=size_json(asked), message=f"{report.card.id} chooses the size")
        return Size()
    fitted = fit_size(asked, bounds)
    if fitted.size.width and not fitted.size.aspect_ratio:
        _check_size(fitted.size, bounds, report)
    outcome = DEFAULTED if not asked else ADJUSTED if fitted.message else HONORED
    report.add("size", outcome, size_json(asked) or None, fitted.sent, fitted.message)
    return fitted.size


def _check_size(size: Size, bounds: SizeRange, report: Report) -> None:
    for side in ("width", "height"):
        if not bounds.minimum_side <= getattr(size, side) <= bounds.maximum_side:
            allowed = f"{bounds.minimum_side:,} to {bounds.maximum_side:,} pixels for {report.card.id}"
            report.violate(f"size.{side}", f"must be {allowed}, is {getattr(size, side):,}")
    area = size.width * size.height
    if area > bounds.maximum_megapixels * 1e6:
        report.violate("size", f"must be at most {bounds.maximum_megapixels:g} megapixels, is {area / 1e6:.1f}")
    if area < bounds.minimum_megapixels * 1e6:
        report.violate("size", f"must be at least {bounds.minimum_megapixels:g} megapixels, is {area / 1e6:.2f}")


def _upscaled_size(request: Upscale, report: Report) -> Size:
    """Returns the size of the result; empty if the model chooses the size."""
    source = _facts(request.image)
    factor, target, model = report.range_of("factor"), report.range_of("size"), report.card.id
    if request.factor:
        size = Size(round(source.width * request.factor), round(source.height * request.factor))
    elif request.size.width:
        size = request.size
    else:
        size = Size(*sides(request.size.megapixels * 1e6, source.width / source.height))
    if size.width < source.width or size.height < source.height:
        given = f"{source.width} x {source.height}"
        text = f"must be no smaller than the image, which is {given}, is {size.width} x {size.height}"
        report.violate("size", text)
    message, adjusted = "", ADJUSTED
    if isinstance(target, SizeRange):
        _check_size(size, target, report)
    elif isinstance(factor, NumberRange) and factor.minimum:
        only = factor.minimum
        fixed = Size(round(source.width * only), round(source.height * only))
        size, message = fixed, "" if fixed == size else f"{model} enlarges {only:g} times"
    else:
        # The contract requires a factor or a size, and the model has neither. Nobody could ask such a model with
        # `strict` if this were a difference: the size is the model's, and the result has the measured one.
        size, message, adjusted = Size(), f"{model} chooses the size", DEFAULTED
    if request.factor:
        report.add("factor", adjusted if message else HONORED, asked=request.factor, message=message)
    outcome = DEFAULTED if not request.size else adjusted if message else HONORED
    report.add("size", outcome, size_json(request.size) or None, size_json(size) or None, message or "from the factor")
    return size


def _check_image(path: str, image: ImageInput, report: Report) -> None:
    """Checks the type and area of an image by the card."""
    bounds = report.range_of(path.partition("[")[0])
    if not isinstance(bounds, ImageRange):
        return
    facts, most, model = _facts(image), bounds.maximum_megapixels, report.card.id
    if facts.media_type not in bounds.media_types:
        report.violate(path, f"must be one of {', '.join(bounds.media_types)} for {model}, is {facts.media_type}")
    if (area := facts.width * facts.height / 1e6) > most:
        report.violate(path, f"must be at most {most:g} megapixels for {model}, is {area:.1f}")


def _check_mask(path: str, image: ImageInput, mask: Mask, report: Report) -> None:
    """Checks a mask's size by its image, and adds the lines of the mask's fields."""
    source, found = _facts(image), _facts(mask.image)
    if (source.width, source.height) != (found.width, found.height):
        text = f"must be as large as the image, {source.width} x {source.height}, is {found.width} x {found.height}"
        report.violate(f"{path}.image", text)
    if mask.polarity is not Polarity.WHITE:
        report.read(f"{path}.polarity", mask.polarity.value)
    if mask.feather:
        report.read(f"{path}.feather", mask.feather)


def _check_outpaint(image: ImageInput, edit: Outpaint, report: Report) -> None:
    """Checks the added sides and the size of the canvas, by the card, else by ANY_SIZE."""
    for side in SIDES:
        known = report.range_of(f"{edit.field}.{side}")
        if known and (text := out_of_range(known, getattr(edit, side))):
            report.violate(f"{edit.field}.{side}", f"{text} for {report.card.id}")
    source = _facts(image)
    width, height = source.width + edit.left + edit.right, source.height + edit.top + edit.bottom
    bounds = report.card.outpaint or ANY_SIZE
    if max(width, height) > bounds.maximum_side or width * height > bounds.maximum_megapixels * 1e6:
        most = f"{bounds.maximum_side:,} pixels a side and {bounds.maximum_megapixels:g} megapixels"
        report.violate(edit.field, f"must make at most {most}, makes {width:,} x {height:,}")


def _with_lock(edit: AnyEdit, report: Report) -> AnyEdit:
    """Returns an edit with its pixel lock on or off. A model without the parameter keeps to masks by itself."""
    if not isinstance(edit, Erase | Inpaint):
        return edit
    path, lock = f"{edit.field}.pixel_lock", edit.pixel_lock
    if report.range_of(path):
        report.add(path, DEFAULTED if lock is None else HONORED, asked=lock, sent=lock is not False)
    elif lock:
        report.add(path, HONORED, asked=True)
    elif lock is False:
        report.read(path, False)
    return replace(edit, pixel_lock=lock is not False)


def _facts(image: ImageInput) -> ImageFacts:
    if image.facts is None:
        raise TypeError("the load step must come before the fit step")
    return image.facts
