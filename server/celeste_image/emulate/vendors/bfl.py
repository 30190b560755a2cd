"""Emulates the FLUX API of Black Forest Labs: jobs, and images behind URLs that expire."""

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from PIL import Image

from celeste_image.core.card import ModelCard, SizeRange
from celeste_image.core.request import OperationKind
from celeste_image.emulate import painting
from celeste_image.emulate.base import Answer, Asked, FakeVendor, Refusal, Route
from celeste_image.emulate.jobs import FakeJob, FakeJobs
from celeste_image.emulate.work import opened, painted, ratio_size, seed_of
from celeste_image.providers.vendors.bfl import Bfl

__all__ = ["FakeBfl"]

CREDIT = 100
"""Credits per US dollar."""
VALID_SECONDS = 600
KNOWN = frozenset(
    {
        *("prompt", "seed", "width", "height", "aspect_ratio", "output_format", "safety_tolerance", "raw", "steps"),
        *("prompt_upsampling", "guidance", "image", "mask", "webhook_url", "webhook_secret", "image_prompt"),
        *("input_image", *(f"input_image_{n}" for n in range(2, 9)), "top", "bottom", "left", "right"),
        *("image_prompt_strength", "finetune_id", "finetune_strength"),
    }
)
SIDES = ("left", "right", "top", "bottom")


class FakeBfl(FakeVendor):
    """`api.bfl.ai`."""

    provider = Bfl
    name = "bfl"

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._jobs = FakeJobs()

    def routes(self) -> Sequence[Route]:
        """Returns the routes of models, jobs, images and balance."""
        return (
            Route("GET", "/v1/get_result", self.result, "poll"),
            Route("GET", "/v1/credits", self.credits, "check"),
            Route("GET", "/delivery/{id}", self.deliver, "fetch"),
            Route("POST", "/v1/{model}", self.submit),
        )

    def table(self, url: str) -> dict[str, Any]:
        """Returns the table with short pauses between polls: the emulator's jobs are fast."""
        return super().table(url) | {"poll_seconds": 0.1}

    def error(self, refusal: Refusal) -> Any:
        """Returns `{"detail": ...}`; for an invalid field, `detail` is a list."""
        if refusal.status != 422:
            return {"detail": refusal.text}
        return {"detail": [{"loc": ["body", refusal.field], "msg": refusal.text, "type": "value_error"}]}

    def behavior_for(self, asked: Asked) -> Any:
        """Returns the behavior of the job."""
        job = self._jobs.find(asked.query.get("id", "") or asked.params.get("id", ""))
        return job.behavior if job else None

    async def credits(self, asked: Asked) -> Answer:
        """Returns the balance in credits."""
        return Answer({"credits": 1000.0})

    async def blocked(self, asked: Asked) -> Answer:
        """Accepts the job, which ends as refused."""
        return self._taken(asked, self._jobs.submit(asked.behavior, b"", 0), 0.0)

    async def submit(self, asked: Asked) -> Answer:
        """Accepts a job."""
        fields = asked.fields
        card = self.card(asked.params["model"])
        asked.entry.model, asked.entry.ignored = card.name_on_wire, sorted(fields.keys() - KNOWN)
        kind = (
            OperationKind.EDIT if any(name in fields for name in ("input_image", "image")) else OperationKind.GENERATE
        )
        if kind not in card.operations:
            needed = "input_image" if kind is OperationKind.GENERATE else "prompt"
            raise Refusal(422, "Field required", field=needed)
        words = str(fields.get("prompt") or "")
        if not words and "prompt" in _required(card, kind):
            raise Refusal(422, "Field required", field="prompt")
        form = str(fields.get("output_format") or "jpeg")
        if form not in ("png", "jpeg"):
            raise Refusal(422, "Input should be 'jpeg' or 'png'", field="output_format")
        seed = seed_of(fields.get("seed"), words)
        made = await self._painted(asked, card, kind, words, seed)
        data = painting.encoded(made, f"image/{form}")
        megapixels = made.width * made.height / 1e6
        self.charge(asked, card, kind, 1, megapixels)
        data = b"no picture" * 20 if asked.behavior.image == "garbage" else data
        return self._taken(asked, self._jobs.submit(asked.behavior, data, seed), megapixels)

    def _taken(self, asked: Asked, job: FakeJob, megapixels: float) -> Answer:
        asked.entry.job = job.id
        url = f"{asked.base}/v1/get_result?id={job.id}"
        cost = float(asked.entry.charged * CREDIT)
        return Answer({"id": job.id, "polling_url": url, "cost": cost, "input_mp": 0.0, "output_mp": megapixels})

    async def result(self, asked: Asked) -> Answer:
        """Returns the state of a job."""
        id_ = asked.entry.job = asked.query.get("id", "")
        job = self._jobs.find(id_)
        if job is None:
            return Answer({"id": id_, "status": "Task not found", "result": None, "progress": None})
        about = {"id": id_, "result": None, "progress": None, "details": None, "preview": None}
        if job.behavior.moderate:
            word = "Request Moderated" if job.behavior.moderate == "prompt" else "Content Moderated"
            return Answer(about | {"status": word, "details": {"Moderation Reasons": ["emulated"]}})
        if (fraction := self._jobs.fraction(job)) < 1:
            look = {"sample": self._url(asked, job, "look")} if fraction > 0.3 else None
            return Answer(about | {"status": "Pending", "progress": int(fraction * 1000) / 1000, "preview": look})
        now = time.time()
        result = {"sample": self._url(asked, job, "sample"), "seed": job.seed, "start_time": now, "end_time": now}
        result |= {"prompt": "", "duration": job.ends - job.began}
        return Answer(about | {"status": "Ready", "result": {} if job.behavior.image == "fewer" else result})

    def _url(self, asked: Asked, job: FakeJob, what: str) -> str:
        """Returns a signed URL with its expiry."""
        if job.behavior.result == "private":
            return f"http://169.254.169.254/delivery/{job.id}"
        ends = 0 if job.behavior.result == "expired" else int(time.time()) + VALID_SECONDS
        return f"{asked.base}/delivery/{job.id}?" + urlencode({"se": ends, "what": what, "sig": "emulated"})

    async def deliver(self, asked: Asked) -> Answer:
        """Returns an image while its URL is valid."""
        job = self._jobs.find(asked.params["id"])
        if job is None or int(asked.query.get("se", 0)) < time.time():
            raise Refusal(403, "Server failed to authenticate the request: the signature has expired")
        asked.entry.job = job.id
        data = job.data
        if asked.query.get("what") == "look":
            small = painting.opened(data)
            small.thumbnail((256, 256))
            data = painting.encoded(small, "image/jpeg")
        return Answer(body=data, media_type="image/png" if data.startswith(b"\x89PNG") else "image/jpeg")

    async def _painted(self, asked: Asked, card: ModelCard, kind: OperationKind, words: str, seed: int) -> Image.Image:
        """Returns the image of a job. Raises Refusal."""
        fields, title = asked.fields, f"{card.id}, emulated"
        size = self._size(card, kind, fields)
        if kind is OperationKind.GENERATE:
            width, height = size or (1024, 768)
            return await painted(asked, lambda: painting.generated(width, height, title, words, seed))
        source = _picture(fields, "input_image" if "input_image" in fields else "image")
        mask = _picture(fields, "mask").convert("L") if "mask" in fields else None
        if mask and mask.size != source.size:
            raise Refusal(422, "the mask must be as large as the image", field="mask")

        def paint() -> Image.Image:
            if "outpaint" in card.edits:
                left, right, top, bottom = (int(fields.get(side) or 0) for side in SIDES)
                return painting.grown(source, left, right, top, bottom, seed)
            if mask and asked.behavior.image != "mask-ignored":
                return painting.filled(source, mask, seed)
            made = painting.changed(source, title, words, seed)
            return made.resize(size) if size else made

        return await painted(asked, paint, source)

    def _size(self, card: ModelCard, kind: OperationKind, fields: Mapping[str, Any]) -> tuple[int, int] | None:
        """Returns the requested size; None without one. Raises Refusal."""
        known = card.parameter(kind, "size")
        if known is None or not isinstance(known.range, SizeRange):
            return None
        bounds = known.range
        if ratio := fields.get("aspect_ratio"):
            if ratio not in bounds.ratios:
                raise Refusal(422, f"must be one of {', '.join(bounds.ratios)}", field="aspect_ratio")
            return ratio_size(ratio, 4.2 if bounds.default_width > 2000 else 1.05, 16)
        for name in ("width", "height"):
            side = fields.get(name)
            if side is not None and not (
                bounds.minimum_side <= int(side) <= bounds.maximum_side and int(side) % max(1, bounds.multiple_of) == 0
            ):
                raise Refusal(422, f"Input should be a multiple of {bounds.multiple_of}", field=name)
        return (int(fields["width"]), int(fields["height"])) if fields.get("width") and fields.get("height") else None


def _required(card: ModelCard, kind: OperationKind) -> set[str]:
    return {p.path.rpartition(".")[2] for p in card.parameters[kind] if p.required}


def _picture(fields: Mapping[str, Any], name: str) -> Image.Image:
    """Returns an image from base64 or a data URI. Raises Refusal."""
    try:
        data = base64.b64decode(str(fields.get(name, "")).rpartition(",")[2], validate=True)
    except ValueError:
        raise Refusal(422, "Invalid base64-encoded image", field=name) from None
    return opened(data, name)
