"""APIs like OpenAI's image API: the same paths, fields, answers and streams.

A `Profile` holds the differences between APIs. A model's card holds the differences between models: only the fields on
the card are sent.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, urlencode

from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import ChoiceRange, ModelCard, SizeRange
from celeste_image.core.edits import Inpaint, Instruct, Outpaint, Vary
from celeste_image.core.errors import CelesteError, OperationNotOffered
from celeste_image.core.events import Event, Picture, Warned
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.media import media_type
from celeste_image.core.request import Edit, Generate, ImageRequest
from celeste_image.outbound.exchange import Reply
from celeste_image.providers.families.openai_errors import with_field
from celeste_image.providers.families.responses import answers_to, body_for
from celeste_image.providers.kit.answers import at
from celeste_image.providers.kit.failures import Failure
from celeste_image.providers.kit.images import Answer, Found
from celeste_image.providers.kit.results import answers_of, image_events, lost
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["LANGUAGE_MODELS", "OpenAILike", "Order", "Profile"]

FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
"""The API's word for each media type that it reads and makes."""
GO_ON = "Extend the picture beyond its edges: go on with what is there, in the same style, light and perspective."
SAME_SHAPE = 0.02
LANGUAGE_MODELS = "gpt-5"
"""Start of the names of language models that draw with the image tool of the Responses API."""
GENERATIONS_ONLY = {"moderation"}
"""Options that only the path for generations reads."""

SET_EVENTS = (".partial_succeeded", ".partial_failed")
"""Events of Seedream's streams, each with one finished image of a set, or why it is missing."""
Part = tuple[str, tuple[str, bytes, str]]


@dataclass(frozen=True, slots=True)
class Profile:
    """How one API differs from OpenAI's.

    Attributes:
        generate_path: Path for generations, below the base URL; `{model}` stands for the model's name.
        edit_path: Path for edits.
        vary_path: Path for variations, which have no prompt.
        query: Query parameters of every request, such as the API's version.
        size: Form of the size: `WxH` in `size`, `sides` in `width` and `height`, or `ratio` in `aspect_ratio`.
        names: The API's names for fields that differ from OpenAI's; a field with an empty name is not sent.
        end_user: The API's field for the id of the end user.
        response_format: Value of `response_format`, `url` or `b64_json`; empty means that it is not sent.
        most_previews: Most partial images of a stream.
        responses_path: Path of the Responses API, for language models; empty if the vendor lacks it.
    """

    generate_path: str = "/images/generations"
    edit_path: str = "/images/edits"
    vary_path: str = "/images/variations"
    query: Mapping[str, str] = field(default_factory=dict)
    size: Literal["WxH", "sides", "ratio"] = "WxH"
    names: Mapping[str, str] = field(default_factory=dict)
    end_user: str = "safety_identifier"
    response_format: str = ""
    most_previews: int = 3
    responses_path: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """A request in the API's form. An outpaint has the sizes of its canvas, `canvas`, and of its result, `keep`."""

    path: str
    prompt: str
    size: Size
    files: Sequence[Part] = ()
    canvas: tuple[int, int] | None = None
    keep: tuple[int, int] | None = None


class OpenAILike(Vendor):
    """An API of the family. A subclass sets its name, cards, options and, if it differs from OpenAI, its `profile`."""

    profile: Profile = Profile()

    async def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        """Sends one request and yields its images; the answer is a stream if previews are wanted."""
        card, call = candidate.card, candidate.call
        if not isinstance(request, Generate | Edit):
            raise OperationNotOffered(f"{card.id} can't {request.kind.value}")
        previews = 0
        if request.options.preview_count and card.previews:
            previews = min(request.options.preview_count, self.profile.most_previews) if request.count <= 1 else 0
            if previews < request.options.preview_count:
                text = f"at most {self.profile.most_previews} previews, and none if several images are made at once"
                yield Warned("options.preview_count", text)
        if isinstance(request, Edit) and isinstance(request.edit, Outpaint):
            # Before the request is sent: with `strict`, this warning ends it.
            yield Warned(
                "outpaint", "the model repaints the whole larger canvas, so the original image may change slightly"
            )
        dropped = self._not_read_by_edits(request, card)
        for name in dropped:
            path = f'options.provider_options["{self.name}"].{name}'
            yield Warned(path, "is not read with references, which use the API's path for edits")
        order = await self._order(request, card)
        fields = self._fields(request, order, card, previews)
        found = image_events(
            self,
            self._answers(order, card, fields, call),
            count=request.count,
            seed=request.seed if request.count <= 1 else None,
            deadline=call.deadline,
            asked=fields,
            previews=previews,
        )
        async with aclosing(found) as events:
            async for event in events:
                if isinstance(event, Picture):
                    async with aclosing(self._finished(request, order, event)) as finished:
                        async for each in finished:
                            yield each
                else:
                    yield event

    def failed(
        self, reply: Reply, failure: Failure, stage: str = "unknown", *, idempotent: bool = False
    ) -> CelesteError:
        """Returns the error for a failure, with the request's field that the API refused."""
        error = super().failed(reply, failure, stage, idempotent=idempotent)
        return with_field(error, failure.parameter, self.said(failure.text))

    async def _order(self, request: Generate | Edit, card: ModelCard) -> Order:
        """Returns the request in the API's form, with all pixel work done."""
        references = [reference.image for reference in request.references]
        if isinstance(request, Generate):
            files = [await self._file("image[]", image) for image in references]
            path = self.profile.edit_path if files else self.profile.generate_path
            return Order(path, request.prompt, request.size, files)
        facts = request.image.facts
        assert facts is not None
        size = request.size or _free_size(card, facts.width, facts.height)
        order = Order(self.profile.edit_path, "", size)
        match request.edit:
            case Instruct(prompt=prompt):
                images = [request.image, *references]
                files = [await self._file("image" if len(images) == 1 else "image[]", image) for image in images]
                return replace(order, prompt=prompt, files=files)
            case Inpaint(mask=mask, prompt=prompt):
                source = await self.sendable(request.image, ("image/png",))
                cut = await self.pixels.mask("inpaint.mask", mask, "alpha")
                return replace(order, prompt=prompt, files=_files(source, cut))
            case Vary():
                return replace(order, path=self.profile.vary_path, files=[await self._file("image", request.image)])
            case Outpaint() as grow:
                kept = (facts.width + grow.left + grow.right, facts.height + grow.top + grow.bottom)
                step = _step(card)
                canvas = (kept[0] + -kept[0] % step, kept[1] + -kept[1] % step)
                sides = (grow.left, canvas[0] - facts.width - grow.left, grow.top, canvas[1] - facts.height - grow.top)
                files = _files(*await self.pixels.padded(request.image, *sides, "alpha"))
                size, prompt = request.size or _free_size(card, *canvas), grow.prompt or GO_ON
                return replace(order, prompt=prompt, size=size, files=files, canvas=canvas, keep=kept)
            case other:
                raise OperationNotOffered(f"{card.id} can't {other.field}")

    async def _file(self, name: str, image: ImageInput) -> Part:
        """Returns an image as a part of a form, in a format that the API reads."""
        data = await self.sendable(image, FORMATS)
        kind = media_type(data[:16])
        return (name, (f"image.{FORMATS[kind]}", data, kind))

    def _fields(self, request: Generate | Edit, order: Order, card: ModelCard, previews: int) -> dict[str, Any]:
        """Returns the fields of the body by the API's names; unset fields are left to the API."""

        def reads(path: str) -> bool:
            return card.parameter(request.kind, path) is not None

        fields: dict[str, Any] = {
            "model": card.name_on_wire,
            "prompt": order.prompt,
            "negative_prompt": request.negative_prompt if reads("negative_prompt") else "",
            "n": request.count,
            "output_format": FORMATS.get(request.output_media_type, "") if reads("output_media_type") else "",
            "response_format": self.profile.response_format,
            "quality": request.quality if reads("quality") else "",
            "background": request.background if reads("background") else "",
            "output_compression": request.output_quality if reads("output_quality") else 0,
            "style": request.style if reads("style") else "",
            self.profile.end_user: request.options.end_user if reads("options.end_user") else "",
            "stream": previews > 0,
            "partial_images": previews,
            **self._size(order.size),
        }
        fields = {name: value for name, value in fields.items() if value}
        if request.seed is not None and reads("seed"):
            fields["seed"] = request.seed
        given = self.options(request.options.provider_options).model_dump(exclude_none=True)
        given = {name: value for name, value in given.items() if name not in self._not_read_by_edits(request, card)}
        base = f'options.provider_options["{self.name}"]'
        fields |= {name: value for name, value in given.items() if reads(f"{base}.{name}")}
        names = {name: self.profile.names.get(name, name) for name in fields}
        return {names[name]: value for name, value in fields.items() if names[name]}

    def _not_read_by_edits(self, request: Generate | Edit, card: ModelCard) -> set[str]:
        """Returns the given options that are not read because a Generate with references uses the path for edits."""
        given = request.options.provider_options.get(self.name, {})
        is_edit = isinstance(request, Generate) and bool(request.references)
        return GENERATIONS_ONLY & given.keys() if is_edit and not self._is_drawn_by_tool(card) else set()

    def _size(self, size: Size) -> dict[str, Any]:
        match self.profile.size:
            case "ratio":
                return {"aspect_ratio": size.aspect_ratio}
            case "sides":
                return {"width": size.width, "height": size.height}
            case "WxH":
                return {"size": f"{size.width}x{size.height}" if size.width else ""}

    async def _answers(
        self, order: Order, card: ModelCard, fields: Mapping[str, Any], call: Call
    ) -> AsyncGenerator[Answer, None]:
        """Sends the request; yields what its answer says. Raises ExchangeFailed and CelesteError."""
        is_drawn = self._is_drawn_by_tool(card)
        path = self.profile.responses_path if is_drawn else order.path
        url = self.url + path.format(model=quote(card.name_on_wire, safe=""))
        if self.profile.query:
            url += "?" + urlencode(self.profile.query)
        body: dict[str, Any] = {"json": fields}
        if is_drawn:
            store = getattr(self.settings, "store", False)
            body = {"json": body_for(fields, order.prompt, order.files, store=store)}
        elif order.files:
            body = {"data": {name: _text(value) for name, value in fields.items()}, "files": order.files}
        sent = self.http.request("POST", url, headers=self._headers(card), secrets=self.secrets, **body)
        async with self.http.stream(sent, deadline=call.deadline) as answer:
            if answer.head.status >= 300:
                raise self.error(await answer.whole())
            read = partial(self._read, answer.head)
            drawer = self._drawing_model(card, fields) if is_drawn else ""
            said = answers_to(self, answer, drawer) if is_drawn else answers_of(answer, read, _matters)
            async with aclosing(said) as answers:
                async for each in answers:
                    yield each

    def _model(self, card: ModelCard) -> str:
        """Returns the name of the vendor's model that a card is called like."""
        return card.called_like

    def _is_drawn_by_tool(self, card: ModelCard) -> bool:
        """Returns whether a model is a language model, which draws with the image tool of the Responses API."""
        return bool(self.profile.responses_path) and self._model(card).startswith(LANGUAGE_MODELS)

    def _drawing_model(self, card: ModelCard, fields: Mapping[str, Any]) -> str:
        """Returns the id of the model with which a language model draws; empty if it is unknown."""
        known = card.parameter(Generate.kind, f'options.provider_options["{self.name}"].image_model')
        default = known.range.default if known and isinstance(known.range, ChoiceRange) else ""
        model = fields.get("image_model", default)
        return f"{self.name}/{model}" if model else ""

    def _headers(self, card: ModelCard) -> Mapping[str, str]:
        """Returns the headers of a request, without the key."""
        return {}

    def _read(self, head: Reply, kind: str, value: Any) -> Answer:
        """Returns what the body says, or one event of a stream: a preview, an image, a whole answer or an error."""
        if kind.endswith(".partial_image"):
            preview = at(value, "b64_json") or at(value, "url")
            return Answer(preview=preview if isinstance(preview, str | bytes) else "")
        answer = self.answer_in(head, value)
        if kind.endswith(".partial_failed"):
            return replace(answer, found=(Found(error=answer.error),), error=None)
        if kind.endswith(".completed") and not answer.found and at(value, "usage", "generated_images") is None:
            error = answer.error or lost(self, "the answer has no image, though it says that one is finished")
            return replace(answer, found=(Found(),), error=error)
        return answer

    async def _finished(self, request: Generate | Edit, order: Order, picture: Picture) -> AsyncGenerator[Event, None]:
        """Yields the image; that of an outpaint is cropped to the requested size."""
        made = (picture.width, picture.height)
        if order.canvas and order.keep and not request.size:
            if not _alike(made, order.canvas):
                text = f"the model made {made[0]} x {made[1]} from a canvas of {order.canvas[0]} x {order.canvas[1]}"
                # The image is paid for: with `strict`, a warning about a field would discard it.
                yield Warned("" if request.options.strict else "outpaint", text)
            elif made != order.keep:
                kind = picture.media_type if picture.media_type in FORMATS else "image/png"
                data = await self.pixels.cropped(picture.data, order.canvas, *order.keep, kind)
                width, height = order.keep
                picture = replace(picture, data=data, media_type=kind, width=width, height=height, original_size=made)
        yield picture


def _free_size(card: ModelCard, width: int, height: int) -> Size:
    """Returns the size if an edit by the model can have it, else an empty size: the model then chooses."""
    size = card.parameter(Edit.kind, "size")
    if size is None or not isinstance(size.range, SizeRange) or size.range.ratios:
        return Size()
    bounds, step = size.range, _step(card)
    fits = (
        not (width % step or height % step)
        and bounds.minimum_side <= min(width, height)
        and max(width, height) <= bounds.maximum_side
        and bounds.minimum_megapixels * 1e6 <= width * height <= bounds.maximum_megapixels * 1e6
    )
    return Size(width, height) if ((width, height) in bounds.sizes if bounds.sizes else fits) else Size()


def _step(card: ModelCard) -> int:
    size = card.parameter(Edit.kind, "size")
    return max(1, size.range.multiple_of) if size and isinstance(size.range, SizeRange) else 1


def _files(image: bytes, mask: bytes) -> list[Part]:
    return [("image", ("image.png", image, "image/png")), ("mask", ("mask.png", mask, "image/png"))]


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] / one[1] / (other[0] / other[1]) - 1) < SAME_SHAPE


def _matters(event: str) -> bool:
    """Returns whether an event of a name may have an image or an error; its data is not read otherwise."""
    return event.endswith((".partial_image", ".completed", ".failed", "error", *SET_EVENTS))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
