"""Emulates the FLUX API of Black Forest Labs: jobs, and images behind URLs that expire."""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from PIL import Image

from celeste_image.core.card import (
    BoolRange,
    ChoiceRange,
    IntegerRange,
    ModelCard,
    NumberRange,
    ParameterRange,
    SizeRange,
    TextRange,
)
from celeste_image.core.request import OperationKind
from celeste_image.emulate import painting
from celeste_image.emulate.base import Answer, Asked, FakeVendor, Refusal, Route
from celeste_image.emulate.jobs import FakeJob, FakeJobs
from celeste_image.emulate.ledger import Work
from celeste_image.emulate.values import Wrong, held, in_card, one_of, option, present
from celeste_image.emulate.webhooks import Webhooks
from celeste_image.emulate.work import decoded, opened, painted, ratio_size, seed_of
from celeste_image.providers.vendors.bfl import LEAST_SIDE, LEAST_SIDE_2, Bfl

__all__ = ["FakeBfl"]

CREDIT = 100
"""Credits per US dollar."""
VALID_SECONDS = 600
SEEDS = IntegerRange(0, (1 << 32) - 1)
INPUTS = ("input_image", *(f"input_image_{n}" for n in range(2, 9)))
MOST_OUTPAINT = IntegerRange(0, 2048)
FIELDS: Mapping[str, ParameterRange | str] = {
    "prompt": TextRange(),
    "seed": SEEDS,
    "width": "size",
    "height": "size",
    "aspect_ratio": "size",
    "output_format": ChoiceRange(("jpeg", "png")),
    "safety_tolerance": "options.safety_tolerance",
    "prompt_upsampling": BoolRange(),
    "raw": BoolRange(),
    "steps": "options.steps",
    "guidance": "options.guidance",
    "image_prompt": TextRange(),
    "image_prompt_strength": NumberRange(0, 1),
    **dict.fromkeys(("top", "bottom", "left", "right"), MOST_OUTPAINT),
    **dict.fromkeys((*INPUTS, "image", "mask", "finetune_id", "webhook_url", "webhook_secret"), TextRange()),
    "finetune_strength": NumberRange(0, 2),
}
"""The fields of the API by their range, or by the path of the card's parameter that has it. The API ignores unknown
fields, and those of other models; the ledger names them."""
REQUIRED = (("fill", "image"), ("expand", "image"))
"""Models by a part of their name, and the fields that they need; others need a prompt."""
SIDES = ("left", "right", "top", "bottom")


class FakeBfl(FakeVendor):
    """`api.bfl.ai`."""

    provider = Bfl
    name = "bfl"

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._jobs = FakeJobs()
        self._webhooks = Webhooks(self.ledger, self.name)

    def routes(self) -> Sequence[Route]:
        """Returns the routes of models, jobs, images and balance."""
        return (
            Route("GET", "/v1/get_result", self.result, "poll"),
            Route("GET", "/v1/credits", self.credits, "check"),
            Route("GET", "/delivery/{id}", self.deliver, "fetch", keyless=True),
            Route("POST", "/v1/{model}", self.submit),
        )

    def table(self, url: str) -> dict[str, Any]:
        """Returns the table with short pauses between polls: the emulator's jobs are fast."""
        return super().table(url) | {"poll_seconds": 0.1}

    def error(self, refusal: Refusal) -> Any:
        """Returns `{"detail": ...}`; for an invalid field, `detail` is a list."""
        if refusal.status != 422:
            return {"detail": refusal.text}
        where = ["body", refusal.field] if refusal.field else ["body"]
        return {"detail": [{"loc": where, "msg": refusal.text, "type": refusal.kind or "value_error"}]}

    def unknown(self, method: str, path: str) -> Refusal:
        """Returns the refusal of a path."""
        return Refusal(404, "Not Found", "no_path")

    def wrong_method(self, method: str, path: str) -> Refusal:
        """Returns the refusal of a method."""
        return Refusal(405, "Method Not Allowed", "no_method")

    def wrong(self, wrong: Wrong) -> Refusal:
        """Returns the refusal of a value, as pydantic words it."""
        match wrong.rule:
            case "missing":
                kind, text = "missing", "Field required"
            case "type":
                kind, text = (
                    f"{wrong.allowed.split()[-1]}_type",
                    f"Input should be {wrong.allowed.replace('an ', 'a valid ')}",
                )
            case "choice":
                kind, text = "enum", f"Input should be {one_of(wrong.allowed)}"
            case "minimum":
                kind, text = "greater_than_equal", f"Input should be greater than or equal to {wrong.allowed}"
            case "maximum":
                kind, text = "less_than_equal", f"Input should be less than or equal to {wrong.allowed}"
            case "step":
                kind, text = "multiple_of", f"Input should be a multiple of {wrong.allowed}"
            case _:
                kind, text = "value_error", super().wrong(wrong).text
        return Refusal(422, text, kind, wrong.field)

    def card(self, model: str) -> ModelCard:
        """Returns a model's card. Raises Refusal."""
        try:
            return super().card(model)
        except Refusal as error:
            raise self.unknown("POST", model) from error

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
        fields = present(asked.fields)
        card = self.card(asked.params["model"])
        asked.entry.model = card.name_on_wire
        needs = next(((name, *more) for name, *more in REQUIRED if name in card.name_on_wire), ("", "prompt"))[1:]
        for name in needs:
            if not fields.get(name):
                raise Wrong(name, "missing")
        kind = OperationKind.EDIT if any(name in fields for name in (*INPUTS, "image")) else OperationKind.GENERATE
        # Kontext makes an image from a prompt too, with the parameters of its edits.
        known = kind if kind in card.operations else card.operations[0]
        asked.entry.ignored = self._hold(fields, card, known)
        if url := fields.get("webhook_url"):
            self._webhooks.check(url)
        words, form = str(fields.get("prompt") or ""), str(fields.get("output_format") or "jpeg")
        seed = seed_of(fields.get("seed"), words)
        made = await self._painted(asked, card, kind, self._size(card, known, fields), words, seed)
        data = painting.encoded(made, f"image/{form}")
        megapixels = made.width * made.height / 1e6
        inputs = [_picture(fields, name).size for name in ("image", *INPUTS) if name in fields]
        self.charge(asked, card, kind, Work([made.size], inputs))
        data = b"no picture" * 20 if asked.behavior.image == "garbage" else data
        job = self._jobs.submit(asked.behavior, data, seed)
        taken = self._taken(asked, job, megapixels)
        if url:
            secret = str(fields.get("webhook_secret") or "")
            self._webhooks.call(url, secret, lambda: self._state(asked, job), after=asked.behavior.latency)
            return Answer({**taken.value, "status": "Pending", "webhook_url": url})
        return taken

    def _hold(self, fields: Mapping[str, Any], card: ModelCard, kind: OperationKind) -> list[str]:
        """Returns the fields that the model does not have. Raises Wrong for a value out of range."""
        ignored = []
        for name, value in fields.items():
            known = FIELDS.get(name)
            if isinstance(known, str):
                path = option(card, known[8:]) if known.startswith("options.") else known
                known = in_card(card, kind, path)
            if isinstance(known, SizeRange):
                if (name == "aspect_ratio") != bool(known.ratios):
                    known = None
                elif known.ratios:
                    known = ChoiceRange(known.ratios)
                else:
                    known = IntegerRange(known.minimum_side, known.maximum_side, known.multiple_of)
            if known is None:
                ignored.append(name)
            else:
                held(name, value, known)
        return sorted(ignored)

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
        return Answer(self._state(asked, job))

    def _state(self, asked: Asked, job: FakeJob) -> dict[str, Any]:
        """Returns the state of a job, in the API's format."""
        id_ = job.id
        about: dict[str, Any] = {"id": id_, "result": None, "progress": None, "details": None, "preview": None}
        if job.behavior.moderate:
            word = "Request Moderated" if job.behavior.moderate == "prompt" else "Content Moderated"
            return about | {"status": word, "details": {"Moderation Reasons": ["emulated"]}}
        if (fraction := self._jobs.fraction(job)) < 1:
            look = {"sample": self._url(asked, job, "look")} if fraction > 0.3 else None
            return about | {"status": "Pending", "progress": int(fraction * 1000) / 1000, "preview": look}
        now = time.time()
        result = {"sample": self._url(asked, job, "sample"), "seed": job.seed, "start_time": now, "end_time": now}
        result |= {"prompt": "", "duration": job.ends - job.began}
        return about | {"status": "Ready", "result": {} if job.behavior.image == "fewer" else result}

    def _url(self, asked: Asked, job: FakeJob, what: str) -> str:
        """Returns a signed URL with its expiry."""
        if job.behavior.result == "private":
            return f"http://169.254.169.254/delivery/{job.id}"
        ends = 0 if job.behavior.result == "expired" else int(time.time()) + VALID_SECONDS
        return f"{asked.base}/delivery/{job.id}?" + urlencode({"se": ends, "what": what, "sig": "emulated"})

    async def deliver(self, asked: Asked) -> Answer:
        """Returns an image while its URL is valid."""
        job = self._jobs.find(asked.params["id"])
        ends = asked.query.get("se", "")
        if job is None or not (ends.isascii() and ends.isdigit()) or int(ends) < time.time():
            raise Refusal(403, "Server failed to authenticate the request: the signature has expired")
        asked.entry.job = job.id
        data = job.data
        if asked.query.get("what") == "look":
            small = painting.opened(data)
            small.thumbnail((256, 256))
            data = painting.encoded(small, "image/jpeg")
        return Answer(body=data, media_type="image/png" if data.startswith(b"\x89PNG") else "image/jpeg")

    async def _painted(
        self,
        asked: Asked,
        card: ModelCard,
        kind: OperationKind,
        size: tuple[int, int] | None,
        words: str,
        seed: int,
    ) -> Image.Image:
        """Returns the image of a job. Raises Refusal."""
        fields, title = present(asked.fields), f"{card.id}, emulated"
        if kind is OperationKind.GENERATE:
            width, height = size or (1024, 768)
            return await painted(asked, lambda: painting.generated(width, height, title, words, seed))
        for name in INPUTS[1:]:
            if name in fields:
                _picture(fields, name)
        source_field = next(name for name in ("image", *INPUTS) if name in fields)
        source = _picture(fields, source_field)
        least = LEAST_SIDE_2 if card.name_on_wire.startswith("flux-2") else LEAST_SIDE
        if min(source.size) < least:
            raise Refusal(422, f"Image dimensions must be at least {least}x{least}", field=source_field)
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
        bounds = in_card(card, kind, "size")
        if not isinstance(bounds, SizeRange):
            return None
        if bounds.ratios:
            ratio = fields.get("aspect_ratio")
            return ratio_size(ratio, 4.2 if bounds.default_width > 2000 else 1.05, 16) if ratio else None
        width, height = (fields.get(name) or 0 for name in ("width", "height"))
        if not (width or height):
            return None
        size = width or bounds.default_width or height, height or bounds.default_height or width
        if size[0] * size[1] > bounds.maximum_megapixels * 1e6:
            raise Refusal(422, f"width x height must be at most {bounds.maximum_megapixels} megapixels", field="width")
        return size


def _picture(fields: Mapping[str, Any], name: str) -> Image.Image:
    """Returns an image from base64 or a data URI. Raises Refusal, also for URLs: an emulator fetches nothing."""
    text = str(fields.get(name, ""))
    if text[:4].lower() == "http":
        raise Refusal(422, "Failed to download the image: an emulator fetches nothing", field=name)
    try:
        data = decoded(text)
    except ValueError:
        raise Refusal(422, "Invalid base64-encoded image", field=name) from None
    return opened(data, name, 422)
