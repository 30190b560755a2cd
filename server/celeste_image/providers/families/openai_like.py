"""The OpenAI-like family: APIs that make and edit pictures by OpenAI's paths, fields, answers and streams.

What differs from API to API is in a `Profile`, what differs from model to model on its card: a field that the card does
not have is not sent.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote, urlencode

from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import ModelCard, SizeRange
from celeste_image.core.edits import Inpaint, Instruct, Outpaint, Vary
from celeste_image.core.errors import CelesteError, OperationNotOffered, ProviderFailed
from celeste_image.core.events import Event, Picture, Warned
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.media import media_type
from celeste_image.core.request import Edit, Generate, ImageRequest
from celeste_image.outbound.exchange import ExchangeFailed, Reply, Stage
from celeste_image.providers.families.openai_errors import openai_error
from celeste_image.providers.kit.answers import at, error_for_failure
from celeste_image.providers.kit.results import picture_at_once, preview_of
from celeste_image.providers.kit.sse import server_sent_events
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["OpenAILike", "Order", "Profile"]

FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
"""Media types that are taken and made, by the API's word for them."""
MOST_PICTURES = 16
"""Of one answer, as many as a request may ask for: each beyond costs a transfer, whoever asked for it."""
GO_ON = "Extend the picture beyond its edges: go on with what is there, in the same style, light and perspective."
SAME_SHAPE = 0.02
GENERATIONS_ONLY = {"moderation"}
"""Options that the path for generations alone reads."""

Part = tuple[str, tuple[str, bytes, str]]


@dataclass(frozen=True, slots=True)
class Profile:
    """How one API differs from OpenAI's.

    Attributes:
        generate_path: Where pictures are made, after the base URL; `{model}` is the model's name.
        edit_path: Where they are changed.
        vary_path: Where others like one are made, which takes no words.
        query: Of every request, such as the API's version.
        size: Written as `WxH` in `size`, as `width` and `height`, or as a ratio in `aspect_ratio`.
        names: Its names for fields that it calls otherwise; with an empty name a field is not sent.
        end_user: Its name for the id of the end user.
        response_format: What to ask for in `response_format`, `url` or `b64_json`; empty means not to.
        most_previews: Partial images that a stream may have.
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


@dataclass(frozen=True, slots=True)
class Order:
    """A request in the API's own form. `canvas` is the size of an outpaint's canvas, `keep` what is kept of it."""

    path: str
    prompt: str
    size: Size
    files: Sequence[Part] = ()
    canvas: tuple[int, int] | None = None
    keep: tuple[int, int] | None = None


class OpenAILike(Vendor):
    """An API of the family. A subclass says its name, its cards, its options and, where it has one, its `profile`."""

    profile: Profile = Profile()

    async def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        """Sends one request; pictures come in the answer, as a stream when previews are wanted."""
        card, call = candidate.card, candidate.call
        if not isinstance(request, Generate | Edit):
            raise OperationNotOffered(f"{card.id} can't {request.kind.value}")
        previews = 0
        if request.options.preview_count and card.previews:
            previews = min(request.options.preview_count, self.profile.most_previews) if request.count <= 1 else 0
            if previews < request.options.preview_count:
                text = f"there are at most {self.profile.most_previews} previews, and none of several images at once"
                yield Warned("options.preview_count", text)
        if isinstance(request, Edit) and isinstance(request.edit, Outpaint):
            # Said before anything is sent: with `strict` it ends here.
            yield Warned("outpaint", "the model paints a larger canvas anew; the picture on it may change a little")
        dropped = self._not_read_by_edits(request)
        for name in dropped:
            path = f'options.provider_options["{self.name}"].{name}'
            yield Warned(path, "is not read with references: they go to the API's path for edits")
        order = await self._order(request, card)
        made = 0
        async with aclosing(self._answers(request, order, card, previews, call)) as answers:
            async for is_final, item in answers:
                value = at(item, "b64_json") or at(item, "url")
                value = value if isinstance(value, str) and value else "?"
                if not is_final:
                    # Without it the picture may still come, and is what is paid for.
                    if preview := await preview_of(self, value, call.deadline):
                        yield preview
                elif made < MOST_PICTURES:
                    seed = request.seed if request.count <= 1 else None
                    picture = await picture_at_once(self, value, made, seed, call.deadline)
                    revised = at(item, "revised_prompt")
                    picture = replace(picture, revised_prompt=revised if isinstance(revised, str) else "")
                    async with aclosing(self._finished(request, order, picture)) as events:
                        async for event in events:
                            yield event
                    made += 1
        if not made:
            raise ProviderFailed(f"{self.name}: the answer has no picture", metadata={"provider": self.name})

    def error(self, reply: Reply, *, idempotent: bool = False) -> CelesteError:
        """Returns the error for an answer of another status."""
        return openai_error(self.name, reply, self.said)

    async def _order(self, request: Generate | Edit, card: ModelCard) -> Order:
        """Returns what to send; whatever has to be done to pixels is done here."""
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
                cut = await self.pixels.mask(request.image, mask, "alpha")
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
        """Returns a picture as a part of a form, in a format that the API takes."""
        data = await self.sendable(image, FORMATS)
        kind = media_type(data[:16])
        return (name, (f"image.{FORMATS[kind]}", data, kind))

    def _fields(self, request: Generate | Edit, order: Order, card: ModelCard, previews: int) -> dict[str, Any]:
        """Returns the fields of the body under the API's names; what was not asked for is left to the API."""

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
        given = {name: value for name, value in given.items() if name not in self._not_read_by_edits(request)}
        base = f'options.provider_options["{self.name}"]'
        fields |= {name: value for name, value in given.items() if reads(f"{base}.{name}")}
        names = {name: self.profile.names.get(name, name) for name in fields}
        return {names[name]: value for name, value in fields.items() if names[name]}

    def _not_read_by_edits(self, request: Generate | Edit) -> set[str]:
        """Returns the options that the references of a Generate rule out: these go to the API's path for edits."""
        given = request.options.provider_options.get(self.name, {})
        is_edit = isinstance(request, Generate) and bool(request.references)
        return GENERATIONS_ONLY & given.keys() if is_edit else set()

    def _size(self, size: Size) -> dict[str, Any]:
        match self.profile.size:
            case "ratio":
                return {"aspect_ratio": size.aspect_ratio}
            case "sides":
                return {"width": size.width, "height": size.height}
            case "WxH":
                return {"size": f"{size.width}x{size.height}" if size.width else ""}

    async def _answers(
        self, request: Generate | Edit, order: Order, card: ModelCard, previews: int, call: Call
    ) -> AsyncGenerator[tuple[bool, Any], None]:
        """Sends it and yields whether a picture is final, and what the answer says of it."""
        fields = self._fields(request, order, card, previews)
        url = self.url + order.path.format(model=quote(card.name_on_wire, safe=""))
        if self.profile.query:
            url += "?" + urlencode(self.profile.query)
        body: dict[str, Any] = {"json": fields}
        if order.files:
            body = {"data": {name: _text(value) for name, value in fields.items()}, "files": order.files}
        finals = 0
        try:
            sent = self.http.request("POST", url, secrets=self.secrets, **body)
            async with self.http.stream(sent, deadline=call.deadline) as answer:
                if answer.head.media_type != "text/event-stream" or answer.head.status >= 300:
                    reply = await answer.whole()
                    if reply.status >= 300:
                        raise self.error(reply)
                    items = at(reply.json(), "data")
                    for item in items if isinstance(items, list) else ():
                        yield True, item
                    return
                async with aclosing(server_sent_events(answer.pieces)) as events:
                    async for event in events:
                        value = {} if event.data == b"[DONE]" else Reply(200, {}, event.data).json()
                        kind = at(value, "type") or event.event
                        if kind == "error" or at(value, "error"):
                            raise openai_error(
                                self.name, replace(answer.head, body=event.data), self.said, streamed=True
                            )
                        finals += (is_final := str(kind).endswith(".completed"))
                        if is_final or str(kind).endswith(".partial_image"):
                            yield is_final, value
                if not finals:
                    raise ExchangeFailed("the stream ended before the picture came", Stage.ANSWERED, 200)
        except ExchangeFailed as error:
            raise error_for_failure(self.name, error) from error

    async def _finished(self, request: Generate | Edit, order: Order, picture: Picture) -> AsyncGenerator[Event, None]:
        """Yields the picture as it was asked for: cut to what an outpaint keeps."""
        made = (picture.width, picture.height)
        if order.canvas and order.keep and not request.size:
            if not _alike(made, order.canvas):
                text = f"the model made {made[0]} x {made[1]} of a canvas of {order.canvas[0]} x {order.canvas[1]}"
                # It is paid for: with `strict` a warning about a field would throw it away.
                yield Warned("" if request.options.strict else "outpaint", text)
            elif made != order.keep:
                kind = picture.media_type if picture.media_type in FORMATS else "image/png"
                data = await self.pixels.cropped(picture.data, order.canvas, *order.keep, kind)
                width, height = order.keep
                picture = replace(picture, data=data, media_type=kind, width=width, height=height)
        yield picture


def _free_size(card: ModelCard, width: int, height: int) -> Size:
    """Returns a size if an edit by the model can have it, else none: then the model chooses."""
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


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
