"""Emulates Stability's REST API v2beta: each service takes a form, two are jobs."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image, ImageFilter

from celeste_image.core.card import ChoiceRange, IntegerRange, ModelCard, ModelStage, SizeRange, TextRange
from celeste_image.core.request import OperationKind
from celeste_image.emulate import painting
from celeste_image.emulate.base import Answer, Asked, FakeVendor, Refusal, Route
from celeste_image.emulate.jobs import FakeJobs
from celeste_image.emulate.ledger import Work
from celeste_image.emulate.values import Wrong, held, in_card, option
from celeste_image.emulate.work import opened, painted, ratio_size, seed_of
from celeste_image.providers.families.stable_image import OPERATIONS
from celeste_image.providers.vendors.stability import Stability

__all__ = ["FakeStability"]

NAMES = {
    400: "bad_request",
    401: "unauthorized",
    402: "payment_required",
    403: "forbidden",
    404: "not_found",
    413: "payload_too_large",
    422: "invalid_language",
    429: "rate_limit_exceeded",
}
REQUIRED: Mapping[str, Sequence[str]] = {
    "generate/core": ("prompt",),
    "generate/ultra": ("prompt",),
    "generate/sd3": ("prompt",),
    "edit/erase": ("image",),
    "edit/inpaint": ("image", "prompt"),
    "edit/outpaint": ("image",),
    "edit/search-and-replace": ("image", "prompt", "search_prompt"),
    "edit/search-and-recolor": ("image", "prompt", "select_prompt"),
    "edit/remove-background": ("image",),
    "edit/replace-background-and-relight": ("subject_image",),
    "control/sketch": ("image", "prompt"),
    "control/structure": ("image", "prompt"),
    "control/style": ("image", "prompt"),
    "control/style-transfer": ("init_image", "style_image"),
    "upscale/fast": ("image",),
    "upscale/conservative": ("image", "prompt"),
    "upscale/creative": ("image", "prompt"),
}
"""Required fields by service, from the vendor's OpenAPI as mirrored in tryAGI/StabilityAI, read on 2026-11-22."""
JOBS = ("edit/replace-background-and-relight", "upscale/creative")
SIDES = ("left", "right", "up", "down")
SOURCES = ("image", "subject_image", "init_image")
COMMON = {"output_format", "seed", "model", "mode", "negative_prompt", "style_preset", "strength"}
MODES = ChoiceRange(("text-to-image", "image-to-image"))
SEEDS = IntegerRange(0, 4_294_967_294)
MOST_BYTES = 10 << 20


class FakeStability(FakeVendor):
    """The image services of `api.stability.ai`."""

    provider = Stability
    name = "stability"
    path = ""
    moderation_status = 403

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._jobs = FakeJobs()
        self._reads = {path: {*COMMON} for path in REQUIRED}
        for operations in OPERATIONS.values():
            for operation in operations.values():
                self._reads[operation.path] |= {*operation.files, *operation.texts, *operation.fixed}

    def routes(self) -> Sequence[Route]:
        """Returns the routes of services, job results and balance."""
        return (
            *(Route("POST", f"/v2beta/stable-image/{path}", self.make) for path in REQUIRED),
            Route("GET", "/v2beta/results/{id}", self.result, "poll"),
            Route("GET", "/v1/user/balance", self.balance, "check"),
        )

    def table(self, url: str) -> dict[str, Any]:
        """Returns the table with short pauses between polls: the emulator's jobs are fast."""
        return super().table(f"{url}/v2beta") | {"poll_seconds": 0.1}

    def error(self, refusal: Refusal) -> Any:
        """Returns `{id, name, errors}`."""
        name = NAMES.get(refusal.status, "internal_error" if refusal.status >= 500 else "bad_request")
        name = "content_moderation" if refusal.kind == "moderation" else name
        return {"id": "0" * 32, "name": name, "errors": [f"{refusal.field}: {refusal.text}".removeprefix(": ")]}

    def wrong(self, wrong: Wrong) -> Refusal:
        """Returns Stability's refusal of a value."""
        refusal = super().wrong(wrong)
        return Refusal(400, "cannot be blank" if wrong.rule == "missing" else refusal.text, field=wrong.field)

    def behavior_for(self, asked: Asked) -> Any:
        """Returns the behavior of the job."""
        job = self._jobs.find(asked.params.get("id", ""))
        return job.behavior if job else None

    async def balance(self, asked: Asked) -> Answer:
        """Returns the balance in credits."""
        return Answer({"credits": 1000.0})

    async def make(self, asked: Asked) -> Answer:
        """Makes an image, at once or as a job."""
        service = asked.entry.path.partition("/stable-image/")[2]
        if asked.body.media_type != "multipart/form-data":
            raise Refusal(400, "content-type: must be multipart/form-data")
        if len(asked.body.data) > MOST_BYTES:
            raise Refusal(413, "the request is larger than 10MiB")
        accepted = asked.headers.get("accept", "*/*")
        if not any(kind in accepted for kind in ("image/*", "application/json", "*/*")):
            raise Refusal(400, "must be one of 'image/*', 'application/json'", field="accept")
        given = {name for name, value in asked.fields.items() if value} | asked.files.keys()
        for name in REQUIRED[service]:
            if name not in given:
                raise Wrong(name, "missing")
        asked.entry.ignored = sorted(given - self._reads[service])
        card = self._card(service, asked)
        (kind,) = card.operations[:1] if service.startswith(("generate", "upscale")) else (OperationKind.EDIT,)
        self._hold(service, asked, card, kind)
        seed = seed_of(asked.fields.get("seed"), str(asked.fields.get("prompt", "")))
        media_type = "image/" + str(asked.fields.get("output_format") or "png")
        picture = await self._painted(service, asked, card, seed)
        self.charge(asked, card, kind, Work([picture.size]))
        if asked.behavior.moderate == "output":
            picture = picture.filter(ImageFilter.GaussianBlur(24))
        data = b"no picture" * 20 if asked.behavior.image == "garbage" else painting.encoded(picture, media_type)
        if service in JOBS:
            job = self._jobs.submit(asked.behavior, data, seed, f"{len(self.ledger.entries):064x}")
            asked.entry.job = job.id
            return Answer({"id": job.id})
        return self._finished(asked, data, seed, "image", media_type)

    def _hold(self, service: str, asked: Asked, card: ModelCard, kind: OperationKind) -> None:
        """Holds the fields of a service against its card. Raises Wrong."""
        held("seed", asked.fields.get("seed") or "0", SEEDS, text=True)
        formats = in_card(card, kind, "output_media_type")
        values = formats.values if isinstance(formats, ChoiceRange) else tuple(painting.FORMATS)
        words = ChoiceRange(tuple(value.removeprefix("image/") for value in values))
        held("output_format", asked.fields.get("output_format") or "png", words)
        if service == "generate/sd3":
            mode = held("mode", asked.fields.get("mode") or "text-to-image", MODES)
            if mode == "image-to-image" and not (asked.files.get("image") and asked.fields.get("strength")):
                raise Wrong("image" if not asked.files.get("image") else "strength", "missing")
        for operation in OPERATIONS[card.name_on_wire].values():
            for name, path in operation.texts.items():
                value = asked.fields.get(name)
                if operation.path != service or not value:
                    continue
                of_card = option(card, path[8:]) if path.startswith("options.") else path.removesuffix(".aspect_ratio")
                known = in_card(card, kind, of_card)
                if isinstance(known, SizeRange):
                    known = ChoiceRange(known.ratios)
                held(name, value, known or TextRange(), text=True)

    async def result(self, asked: Asked) -> Answer:
        """Returns the state of a job, or its image."""
        job = self._jobs.find(asked.params["id"])
        asked.entry.job = asked.params["id"]
        if job is None:
            raise Refusal(404, "there is no such generation", "not_found", "id")
        if self._jobs.fraction(job) < 1:
            return Answer({"id": job.id, "status": "in-progress"}, status=202)
        return self._finished(replace(asked, behavior=job.behavior), job.data, job.seed, "result", "image/png")

    def _finished(self, asked: Asked, data: bytes, seed: int, field: str, media_type: str) -> Answer:
        reason = "CONTENT_FILTERED" if asked.behavior.moderate == "output" else "SUCCESS"
        if asked.headers.get("accept", "").startswith("image/"):
            headers = {"finish-reason": reason, "seed": str(seed)}
            return Answer(body=data, media_type=media_type, headers=headers)
        value = {field: base64.b64encode(data).decode("ascii"), "finish_reason": reason, "seed": seed}
        return Answer({} if asked.behavior.image == "fewer" else value)

    def _card(self, service: str, asked: Asked) -> ModelCard:
        model = str(asked.fields.get("model") or "sd3.5-large") if service == "generate/sd3" else ""
        if model:
            sd3 = [n for n, found in OPERATIONS.items() if any(o.path == service for o in found.values())]
            listed = [c.name_on_wire for c in self.cards if c.name_on_wire in sd3 and c.stage is not ModelStage.RETIRED]
            held("model", model, ChoiceRange(tuple(listed)))
        name = model or next(n for n, found in OPERATIONS.items() if any(o.path == service for o in found.values()))
        asked.entry.model = name
        return self.card(name)

    async def _painted(self, service: str, asked: Asked, card: ModelCard, seed: int) -> Image.Image:
        """Returns the image of a service. Raises Refusal."""
        fields = asked.fields
        words = " ".join(str(value) for name, value in fields.items() if name.endswith("prompt"))
        title, behavior = f"{card.id}, emulated", asked.behavior
        source = next((opened(asked.files[name][0], name) for name in SOURCES if name in asked.files), None)
        if source is None:
            width, height = ratio_size(str(fields.get("aspect_ratio") or "1:1"), 1.048576, 64)
            return await painted(asked, lambda: painting.generated(width, height, title, words, seed))
        operation = next(o for o in OPERATIONS[card.name_on_wire].values() if o.path == service and o.files)
        if operation.bounds and (problem := operation.bounds.problem(*source.size)):
            raise Refusal(400, problem, field="image")

        def paint() -> Image.Image:
            match service:
                case "edit/erase" | "edit/inpaint" if behavior.image != "mask-ignored":
                    return painting.filled(source, _mask(asked, source), seed)
                case "edit/outpaint":
                    left, right, top, bottom = _sides(fields)
                    return painting.grown(source, left, right, top, bottom, seed)
                case "edit/remove-background":
                    return painting.cut_out(source)
                case "edit/replace-background-and-relight":
                    return painting.replaced(source, words, seed)
                case "upscale/fast":
                    return painting.enlarged(source, 4)
                case "upscale/conservative" | "upscale/creative":
                    return painting.enlarged(source, (4_194_304 / (source.width * source.height)) ** 0.5)
                case _:
                    return painting.changed(source, title, words, seed)

        return await painted(asked, paint, source)


def _mask(asked: Asked, source: Image.Image) -> Image.Image:
    """Returns the mask, white where pixels change: the given one, else the image's transparency. Raises Refusal."""
    if files := asked.files.get("mask"):
        return opened(files[0], "mask").convert("L").resize(source.size)
    if source.mode != "RGBA":
        raise Refusal(400, "is needed, or an image with transparency", field="mask")
    return source.getchannel("A").point(lambda alpha: 255 - alpha)


def _sides(fields: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Returns the pixels to add at left, right, top and bottom. Raises Refusal."""
    try:
        left, right, up, down = (int(fields.get(name) or 0) for name in SIDES)
    except ValueError:
        raise Refusal(400, "must be whole numbers", field="left") from None
    if not any((left, right, up, down)) or not all(0 <= side <= 2000 for side in (left, right, up, down)):
        raise Refusal(400, "at least one of left, right, up, down must be 1 to 2000", field="left")
    return left, right, up, down
