"""fitting: a request becomes concrete for its model, and nothing changes without a line that says so.

Every parameter asked for ends HONORED, ADJUSTED or DROPPED, every one that was left open DEFAULTED; with `strict` a
line that is neither is an error before any work is done.
"""

import re
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import fields, replace
from typing import Any

from pydantic import ValidationError

from celeste_image.core.call import Candidate
from celeste_image.core.card import (
    ImageRange,
    ModelCard,
    NumberRange,
    SizeRange,
    TextRange,
    out_of_range,
)
from celeste_image.core.edits import AnyEdit, Erase, Inpaint, Mask, Outpaint, Polarity
from celeste_image.core.errors import InvalidRequest, OperationNotOffered, UnknownField, Violation
from celeste_image.core.events import CandidateRun, Event, Fidelity, Measured, Saved, Warned
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.request import Analyze, Edit, Generate, ImageRequest, PaintRequest, Upscale
from celeste_image.core.result import ImageOutput
from celeste_image.pipeline.fidelity.measure import MEASURED, measure
from celeste_image.pipeline.fidelity.sizes import fit_size, sides, size_json
from celeste_image.pipeline.metadata import AS_MADE, MetadataDefaults
from celeste_image.providers.base import Provider

__all__ = ["fitting"]

HONORED, ADJUSTED, DROPPED, DEFAULTED = (
    FidelityOutcome.HONORED,
    FidelityOutcome.ADJUSTED,
    FidelityOutcome.DROPPED,
    FidelityOutcome.DEFAULTED,
)

SIDES = ("left", "right", "top", "bottom")
"""Of an outpaint: together they are the edit."""

ANY_SIZE = SizeRange(minimum_side=1, maximum_side=16_384, maximum_megapixels=40)
"""What the contract allows of any picture; for cards that say nothing narrower."""


def draw_seed() -> int:
    """Returns a seed of 32 bits: every engine and every JSON number can hold it."""
    return secrets.randbits(32)


def fitting(
    run: CandidateRun, provider: Provider, draw: Callable[[], int] = draw_seed, labels: MetadataDefaults = AS_MADE
) -> CandidateRun:
    """Fits each request to its model's card, and holds what came out against it; `labels` is the server's choice."""

    async def fitted(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        fit = Fit(candidate.card, request, draw, labels)
        concrete = fit.request(provider)
        if fit.unknown:
            yield Warned("model", fit.unknown)
        for line in fit.lines:
            if line.path not in MEASURED:
                yield Fidelity(line)
        images: list[ImageOutput] = []
        found: list[Measured] = []
        async with aclosing(run(concrete, candidate)) as events:
            async for event in events:
                if isinstance(event, Saved):
                    images.append(event.image)
                elif isinstance(event, Measured):
                    found.append(event)
                    continue
                elif isinstance(event, Warned) and (adjusted := fit.warned(event)):
                    # A line that waits for the result is told with it; until then a warning has to do.
                    yield event if adjusted.path in MEASURED else Fidelity(adjusted)
                    continue
                yield event
        for line in measure(fit.lines, images, found):
            yield Fidelity(line)

    return fitted


class Fit:
    """One request on its way to one model: collects lines and violations, all of them, before it fails."""

    def __init__(
        self, card: ModelCard, request: ImageRequest, draw: Callable[[], int], labels: MetadataDefaults
    ) -> None:
        self._card = card
        self._asked = request
        self._draw = draw
        self.unknown = f"{card.id} is not in the catalog; taken to be like {card.like}" if card.is_stranger else ""
        self._labels = labels
        self.lines: list[FidelityLine] = []
        self.violations: list[Violation] = []

    def request(self, provider: Provider) -> ImageRequest:
        """Returns the concrete request.

        Raises:
            InvalidRequest: The model can't take it, or `strict` was asked for and it can't be done to the letter.
            OperationNotOffered: The model edits, but not in the way asked for.
            UnknownField: `strict` was asked for and there are fields that this server does not know.
        """
        asked = self._asked
        if self.unknown:
            self._line("model", HONORED, asked=asked.model, sent=self._card.name_on_wire, note=self.unknown)
        for path in asked.options.unknown:
            self._line(path, DROPPED, note="this server does not know the field")
        match asked:
            case Generate():
                fitted: ImageRequest = self._generate(asked)
            case Upscale():
                fitted = self._upscale(asked)
            case Edit():
                self._refuse_other_edits(asked, provider)
                fitted = self._edit(asked)
            case Analyze():
                fitted = self._analyze(asked)
            case _:
                raise TypeError(f"{asked!r} is no request")
        self._options(provider)
        fitted, lines = self._labels.concrete(fitted)
        self.lines += lines
        if self.violations:
            raise InvalidRequest.of(self.violations)
        if asked.options.strict:
            self._refuse_differences()
        return fitted

    def warned(self, event: Warned) -> FidelityLine | None:
        """Returns the line about a field that the model turned out to read only in part, None if it is about none.

        Raises:
            InvalidRequest: `strict` was asked for.
        """
        for place, line in enumerate(self.lines):
            if line.path == event.path and line.outcome in (HONORED, ADJUSTED, DEFAULTED):
                if self._asked.options.strict:
                    raise InvalidRequest.at(event.path, event.text)
                self.lines[place] = adjusted = replace(line, outcome=ADJUSTED, note=event.text)
                return adjusted
        return None

    def _refuse_differences(self) -> None:
        different = [line for line in self.lines if line.outcome not in (HONORED, DEFAULTED)]
        if different:
            error = (
                UnknownField if all(line.path in self._asked.options.unknown for line in different) else InvalidRequest
            )
            raise error.of(
                [
                    Violation(line.path, line.note or "can't be done to the letter", line.outcome.value.upper())
                    for line in different
                ]
            )

    def _line(self, path: str, outcome: FidelityOutcome, asked: Any = None, sent: Any = None, note: str = "") -> None:
        self.lines.append(FidelityLine(path, outcome, asked=asked, sent=sent, note=note))

    def _wrong(self, path: str, text: str) -> None:
        self.violations.append(Violation(path, text))

    def _reads(self, path: str, asked: Any) -> bool:
        """Tells whether the model reads a field, and takes a line for it either way."""
        known = self._card.parameter(self._asked.kind, re.sub(r"\[\d+\]", "", path))
        if known is None:
            self._line(path, DROPPED, asked=asked, note=f"{self._card.id} does not read it")
            return False
        if text := out_of_range(known.range, asked):
            self._wrong(path, f"{text} for {self._card.id}")
        self._line(path, HONORED, asked=None if isinstance(known.range, TextRange | ImageRange) else asked)
        return True

    def _reads_all(self, **given: Any) -> None:
        """Takes a line for each field that is set."""
        for path, value in given.items():
            if value is False or value not in (None, "", 0):
                self._reads(path, value)

    def _paint(self, asked: PaintRequest) -> None:
        """Takes the lines of the fields that Generate and Edit share, and checks the references."""
        for index, reference in enumerate(asked.references):
            self._check_picture(f"references[{index}].image", reference.image)
        self._reads_all(
            references=len(asked.references),
            negative_prompt=asked.negative_prompt,
            output_media_type=asked.output_media_type,
            quality=asked.quality,
            background=asked.background,
            output_quality=asked.output_quality,
            style=asked.style,
            rewrite_prompt=asked.rewrite_prompt,
        )
        for index, reference in enumerate(asked.references):
            for part in ("role", "name"):
                if value := getattr(reference, part):
                    self._reads(f"references[{index}].{part}", value)
        if asked.count:
            self._line("count", HONORED, asked=asked.count)

    def _generate(self, asked: Generate) -> Generate:
        self._reads("prompt", asked.prompt)
        self._paint(asked)
        return replace(asked, count=asked.count or 1, seed=self._seed(asked.seed), size=self._size(asked.size))

    def _seed(self, asked: int | None) -> int | None:
        if asked is not None:
            return asked if self._reads("seed", json_integer(asked)) else None
        if self._card.parameter(self._asked.kind, "seed") is None:
            return None
        seed = self._draw()
        self._line("seed", DEFAULTED, sent=seed)
        return seed

    def _size(self, asked: Size) -> Size:
        known = self._card.parameter(self._asked.kind, "size")
        if known is None or not isinstance(known.range, SizeRange):
            if asked:
                self._line("size", DROPPED, asked=size_json(asked), note=f"{self._card.id} has sizes of its own")
            return Size()
        fitted = fit_size(asked, known.range)
        if fitted.size.width and not fitted.size.aspect_ratio:
            self._check_size(fitted.size, known.range)
        outcome = DEFAULTED if not asked else ADJUSTED if fitted.note else HONORED
        self._line("size", outcome, size_json(asked) or None, fitted.sent, fitted.note)
        return fitted.size

    def _check_size(self, size: Size, bounds: SizeRange) -> None:
        for side in ("width", "height"):
            if not bounds.minimum_side <= getattr(size, side) <= bounds.maximum_side:
                allowed = f"{bounds.minimum_side:,} to {bounds.maximum_side:,} pixels for {self._card.id}"
                self._wrong(f"size.{side}", f"must be {allowed}, is {getattr(size, side):,}")
        area = size.width * size.height
        if area > bounds.maximum_megapixels * 1e6:
            self._wrong("size", f"must be at most {bounds.maximum_megapixels:g} megapixels, is {area / 1e6:.1f}")
        if area < bounds.minimum_megapixels * 1e6:
            self._wrong("size", f"must be at least {bounds.minimum_megapixels:g} megapixels, is {area / 1e6:.2f}")

    def _check_picture(self, path: str, image: ImageInput) -> None:
        """Checks a picture's type and area, where the card says something of them."""
        known = self._card.parameter(self._asked.kind, path.partition("[")[0])
        if known is None or not isinstance(known.range, ImageRange):
            return
        facts, most = facts_of(image), known.range.maximum_megapixels
        if facts.media_type not in known.range.media_types:
            allowed = ", ".join(known.range.media_types)
            self._wrong(path, f"must be one of {allowed} for {self._card.id}, is {facts.media_type}")
        if (area := facts.width * facts.height / 1e6) > most:
            self._wrong(path, f"must be at most {most:g} megapixels for {self._card.id}, is {area:.1f}")

    def _upscale(self, asked: Upscale) -> Upscale:
        self._check_picture("image", asked.image)
        self._reads_all(
            method=asked.method,
            prompt=asked.prompt,
            creativity=asked.creativity,
            output_media_type=asked.output_media_type,
            style=asked.style,
        )
        return replace(asked, size=self._upscaled(asked), seed=self._seed(asked.seed))

    def _upscaled(self, asked: Upscale) -> Size:
        """Returns the size of the result; empty when the model chooses it."""
        source = facts_of(asked.image)
        factor = self._card.parameter(asked.kind, "factor")
        target = self._card.parameter(asked.kind, "size")
        if asked.factor:
            size = Size(round(source.width * asked.factor), round(source.height * asked.factor))
        elif asked.size.width:
            size = asked.size
        else:
            size = Size(*sides(asked.size.megapixels * 1e6, source.width / source.height))
        if size.width < source.width or size.height < source.height:
            given = f"{source.width} x {source.height}"
            text = f"must be no smaller than the picture, which is {given}, is {size.width} x {size.height}"
            self._wrong("size", text)
        note = ""
        if target is not None and isinstance(target.range, SizeRange):
            self._check_size(size, target.range)
        elif factor is not None and isinstance(factor.range, NumberRange) and factor.range.minimum:
            only = factor.range.minimum
            fixed = Size(round(source.width * only), round(source.height * only))
            size, note = fixed, "" if fixed == size else f"{self._card.id} enlarges {only:g} times"
        else:
            size, note = Size(), f"{self._card.id} chooses the size"
        if asked.factor:
            self._line("factor", ADJUSTED if note else HONORED, asked=asked.factor, note=note)
        outcome = DEFAULTED if not asked.size else ADJUSTED if note else HONORED
        self._line("size", outcome, size_json(asked.size) or None, size_json(size) or None, note or "from the factor")
        return size

    def _refuse_other_edits(self, asked: Edit, provider: Provider) -> None:
        """Raises OperationNotOffered for a kind of edit that the model has no parameter for.

        The edit is what was asked for as a whole: without it there is nothing left to do, so no line can stand for it.
        """
        kind = asked.edit.field
        if kind not in self._card.edits:
            models = [card.id for card in provider.cards if kind in card.edits]
            others = f"these can: {', '.join(models)}" if models else f"no model of {provider.name} can"
            raise OperationNotOffered(f"{self._card.id} can't {kind}; {others}", metadata={"models": ",".join(models)})

    def _edit(self, asked: Edit) -> Edit:
        edit = asked.edit
        self._line(edit.field, HONORED)
        self._check_picture("image", asked.image)
        if isinstance(edit, Outpaint):
            self._check_outpaint(asked.image, edit)
        for part in fields(edit):  # type: ignore[arg-type]  # every edit is a dataclass
            path = f"{edit.field}.{part.name}"
            match getattr(edit, part.name):
                case Mask() as mask:
                    self._mask(path, asked.image, mask)
                case ImageInput():
                    self._reads(path, None)
                case value if part.name not in (*SIDES, "pixel_lock"):
                    self._reads_all(**{path: value})
        self._paint(asked)
        size = self._size(asked.size) if asked.size else asked.size
        return replace(asked, edit=self._locked(edit), count=asked.count or 1, seed=self._seed(asked.seed), size=size)

    def _locked(self, edit: AnyEdit) -> AnyEdit:
        """Returns an edit with its pixel lock on or off; a model that does not know it keeps to masks by itself."""
        if not isinstance(edit, Erase | Inpaint):
            return edit
        path, lock = f"{edit.field}.pixel_lock", edit.pixel_lock
        if self._card.parameter(self._asked.kind, path):
            self._line(path, DEFAULTED if lock is None else HONORED, asked=lock, sent=lock is not False)
        elif lock:
            self._line(path, HONORED, asked=True)
        elif lock is False:
            self._reads(path, False)
        return replace(edit, pixel_lock=lock is not False)

    def _mask(self, path: str, image: ImageInput, mask: Mask) -> None:
        """Checks a mask against its picture, and takes a line for each part of it that was asked for."""
        source, found = facts_of(image), facts_of(mask.image)
        if (source.width, source.height) != (found.width, found.height):
            text = f"must be as large as the image, {source.width} x {source.height}, is {found.width} x {found.height}"
            self._wrong(f"{path}.image", text)
        if mask.polarity is not Polarity.WHITE:
            self._reads(f"{path}.polarity", mask.polarity.value)
        if mask.feather:
            self._reads(f"{path}.feather", mask.feather)

    def _check_outpaint(self, image: ImageInput, edit: Outpaint) -> None:
        """Checks the sides added and the size of the grown picture, by the card, else by the limits of all pictures."""
        for side in SIDES:
            known = self._card.parameter(self._asked.kind, f"{edit.field}.{side}")
            if known and (text := out_of_range(known.range, getattr(edit, side))):
                self._wrong(f"{edit.field}.{side}", f"{text} for {self._card.id}")
        source = facts_of(image)
        width, height = source.width + edit.left + edit.right, source.height + edit.top + edit.bottom
        bounds = self._card.outpaint or ANY_SIZE
        if max(width, height) > bounds.maximum_side or width * height > bounds.maximum_megapixels * 1e6:
            most = f"{bounds.maximum_side:,} pixels a side and {bounds.maximum_megapixels:g} megapixels"
            self._wrong(edit.field, f"must make at most {most}, makes {width:,} x {height:,}")

    def _analyze(self, asked: Analyze) -> Analyze:
        known = self._card.parameter(asked.kind, "kinds")
        for index, kind in enumerate(asked.kinds):
            if known and (text := out_of_range(known.range, kind.value)):
                self._wrong(f"kinds[{index}]", f"{text} for {self._card.id}")
            self._line(f"kinds[{index}]", HONORED, asked=kind.value)
        return asked

    def _options(self, provider: Provider) -> None:
        """Checks the options for this provider, and what all models have."""
        options = self._asked.options
        if options.preview_count:
            outcome, note = (HONORED, "") if self._card.previews else (DROPPED, f"{self._card.id} has no previews")
            self._line("options.preview_count", outcome, options.preview_count, note=note)
        if options.end_user:
            self._reads("options.end_user", options.end_user)
        given = options.provider_options.get(provider.name, {})
        base = f'options.provider_options["{provider.name}"]'
        try:
            provider.Options.model_validate(given)
        except ValidationError as error:
            for problem in error.errors(include_input=False, include_url=False, include_context=False):
                path = ".".join([base, *(str(part) for part in problem["loc"])])
                if problem["type"] == "extra_forbidden":
                    allowed = ", ".join(sorted(provider.Options.model_fields)) or "none"
                    self._wrong(path, f"is not an option of {provider.name}; they are: {allowed}")
                else:
                    self._wrong(path, problem["msg"][:1].lower() + problem["msg"][1:])
            return
        for name, value in given.items():
            self._reads(f"{base}.{name}", value)


def facts_of(image: ImageInput) -> Any:
    """Returns a loaded picture's facts."""
    if image.facts is None:
        raise TypeError("a picture came past the load step")
    return image.facts


def json_integer(value: int) -> int | str:
    """Returns an integer as a JSON value that keeps all its digits: a string above 2^53."""
    return value if abs(value) <= 1 << 53 else str(value)
