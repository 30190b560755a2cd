"""Black Forest Labs: the FLUX models, as jobs that are submitted and polled. Input images are sent as plain base64."""

import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Any

from pydantic import Field

from celeste_image.core.call import Candidate
from celeste_image.core.card import ModelCard
from celeste_image.core.edits import Inpaint, Instruct, Outpaint
from celeste_image.core.errors import InvalidRequest, OperationNotOffered, Violation
from celeste_image.core.events import Event
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.request import Edit, Generate, ImageRequest
from celeste_image.providers.catalog import load_cards, load_title
from celeste_image.providers.kit import Options, Polling, RemoteJobs, State, Tools, Vendor, VendorSettings

__all__ = ["PROVIDER", "Bfl", "BflOptions"]

PNG, JPEG = "image/png", "image/jpeg"
READS = (PNG, JPEG, "image/webp")

# https://docs.bfl.ai/api_integration/errors, 2026-11-22. Jobs can't be cancelled.
POLLING = Polling(
    states={
        "Pending": State.RUNNING,
        "Ready": State.READY,
        "Request Moderated": State.MODERATED,
        "Content Moderated": State.MODERATED,
        "Error": State.FAILED,
        "Task not found": State.MISSING,
    },
    stages={"Request Moderated": "prompt", "Content Moderated": "output"},
    poll_url=("polling_url",),
    poll="/v1/get_result?id={id}",
    results=(("result", "sample"),),
    reasons=(("details", "Moderation Reasons"), ("details", "moderation_reasons"), ("details", "reasons")),
    seed=("result", "seed"),
    cost={"credit": ("cost",)},  # one credit is 0.01 USD
    previews=(("preview",), ("preview", "sample")),
    headers={"accept": "application/json", "content-type": "application/json"},  # as its SDK does
)


DELIVERIES = (
    *("", "sc", "scus", "dev", "eu", "us", "weu", "eus", "wus", "prod", "prodeu", "produs"),
    *(f"prod{region}{number}" for region in ("eu", "us") for number in range(1, 10)),
)
"""Places of the older hosts of results, accounts of Azure's storage: `bfldeliverysc` until 2025, `bfldeliveryscus` and
`bfldeliveryprodeu4` since. The others follow their pattern. All further accounts of that storage belong to others."""


IMAGE_PROMPTS = ("flux-pro-1.1", "flux-pro-1.1-ultra", "flux-dev")
"""Models that take one image, as `image_prompt`. All others take `input_image`, `input_image_2` and so on."""
LEAST_SIDE, LEAST_SIDE_2 = 256, 64
"""Shortest side of an input image in pixels, and that of FLUX.2."""


class BflOptions(Options):
    """`options.provider_options["bfl"]`; unset options keep the API's defaults."""

    safety_tolerance: Annotated[int, Field(ge=0, le=6)] | None = None
    raw: bool | None = None
    steps: Annotated[int, Field(ge=1, le=50)] | None = None
    guidance: Annotated[float, Field(ge=1.5, le=100)] | None = None
    image_prompt_strength: Annotated[float, Field(ge=0, le=1)] | None = None


class Bfl(Vendor):
    """The FLUX API."""

    name = "bfl"
    title = load_title("bfl")
    cards = load_cards("bfl")
    Options = BflOptions
    base_url = "https://api.bfl.ai"
    key_variable = "BFL_API_KEY"
    key_form = r"[\w-]{20,}"
    key_header = "x-key"
    key_prefix = ""
    key_path = "v1/credits"
    model_form = r"flux-[\w.-]{1,95}"  # a model's name is part of the path, so the pattern must not match other paths
    # A job is polled in its region, such as `api.us1.bfl.ai`; its image is at `delivery-us1.bfl.ai`.
    own_hosts = ("*.bfl.ai",)
    result_hosts = ("*.bfl.ai", *(f"bfldelivery{place}.blob.core.windows.net" for place in DELIVERIES))
    texts = (("detail",), ("detail", 0, "msg"), ("details", "error"), ("error",))

    def __init__(self, settings: VendorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self.remote_jobs = RemoteJobs(self, POLLING)

    async def run(self, request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        """Makes one image."""
        card = candidate.card
        body: dict[str, Any] = {} if candidate.ticket else await self._body(request, card)
        previews = request.options.preview_count
        path, seed = f"/v1/{card.name_on_wire}", body.get("seed")
        job = self.remote_jobs.run(path, candidate, previews=previews, seed=seed, json=body)
        async with aclosing(job) as events:
            async for event in events:
                yield event

    async def _body(self, request: ImageRequest, card: ModelCard) -> dict[str, Any]:
        """Returns the body of a submit, with the options that are on the model's card."""
        if not isinstance(request, Generate | Edit):
            raise OperationNotOffered(f"{card.id} can't {request.kind.value}")
        jpeg = request.output_media_type == JPEG
        check_sides(request, card)
        body: dict[str, Any] = {"seed": request.seed, "output_format": "jpeg" if jpeg else "png"}
        match request:
            case Generate():
                body |= {"prompt": request.prompt, **await self._inputs(request, card)}
            case Edit(edit=Instruct() as edit):
                body |= {"prompt": edit.prompt, **await self._inputs(request, card)}
            case Edit(edit=Inpaint() as edit):
                mask = await self.pixels.mask("inpaint.mask", edit.mask, "white")
                body |= {"prompt": edit.prompt, "image": await self._encoded(request.image), "mask": encoded(mask)}
            case Edit(edit=Outpaint() as edit):
                sides = {"left": edit.left, "right": edit.right, "top": edit.top, "bottom": edit.bottom}
                body |= {"prompt": edit.prompt, "image": await self._encoded(request.image), **sides}
            case Edit():
                raise OperationNotOffered(f"{card.id} can't {request.edit.field}")
        body |= sized(request.size)
        if card.parameter(request.kind, "rewrite_prompt"):
            body["prompt_upsampling"] = request.rewrite_prompt
        for name, value in self.options(request.options.provider_options).model_dump(exclude_none=True).items():
            if card.parameter(request.kind, f'options.provider_options["bfl"].{name}'):
                body[name] = value
        return {name: value for name, value in body.items() if value is not None}

    async def _inputs(self, request: Generate | Edit, card: ModelCard) -> Mapping[str, str]:
        """Returns the images by their fields: `image_prompt`, or `input_image`, `input_image_2` and so on."""
        images = [reference.image for reference in request.references]
        if isinstance(request, Edit):
            images.insert(0, request.image)
        if card.called_like in IMAGE_PROMPTS:
            return {"image_prompt": await self._encoded(images[0])} if images else {}
        return {f"input_image_{n}" if n > 1 else "input_image": await self._encoded(i) for n, i in enumerate(images, 1)}

    async def _encoded(self, image: ImageInput) -> str:
        return encoded(await self.sendable(image, READS))


PROVIDER = Bfl


def check_sides(request: Generate | Edit, card: ModelCard) -> None:
    """Checks that no image of a request is too small. Raises InvalidRequest, with every one that is."""
    least = LEAST_SIDE_2 if card.called_like.startswith("flux-2-") else LEAST_SIDE
    small = [
        Violation(path, f"must have at least {least} pixels a side for {card.id}, is {facts.width} x {facts.height}")
        for path, image in request.images()
        if "mask" not in path  # a mask is as large as the image
        if (facts := image.facts) and min(facts.width, facts.height) < least
    ]
    if small:
        raise InvalidRequest.of(small)


def sized(size: Size) -> Mapping[str, Any]:
    """Returns the fields for a size: an aspect ratio or pixels; none if the size is unset."""
    if size.aspect_ratio:
        return {"aspect_ratio": size.aspect_ratio}
    return {"width": size.width, "height": size.height} if size.width else {}


def encoded(data: bytes) -> str:
    """Returns bytes as base64."""
    return base64.b64encode(data).decode("ascii")
