"""Black Forest Labs: requests equal its SDK's recordings, and each possible answer has its outcome."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.support.clocks import Clock
from tests.support.recorded_requests import play
from tests.support.recordings import KEY, fixture
from tests.support.transport import FakeTransport, answer, raw
from tests.support.vendors import MeasuredPixels, candidate, run_error, run_events

from celeste_image.core.call import Call
from celeste_image.core.card import ModelStage
from celeste_image.core.edits import (
    AnyEdit,
    Inpaint,
    Instruct,
    Mask,
    Outpaint,
    Polarity,
)
from celeste_image.core.errors import (
    CelesteError,
    DeadlineExceeded,
    InvalidRequest,
    OperationNotOffered,
    OutcomeUnknown,
    ProviderBilling,
    ProviderCredentials,
    ProviderFailed,
    ProviderRateLimited,
    SafetyBlocked,
)
from celeste_image.core.events import Event, Picture, Preview, Submitted
from celeste_image.core.image import ImageFacts, ImageInput, ImageReference, Size
from celeste_image.core.request import Edit, Generate, ImageRequest, RequestOptions
from celeste_image.core.secret import Secret
from celeste_image.imaging.pixels import Pixels
from celeste_image.pipeline.fidelity.fit import fitting
from celeste_image.pipeline.retry import retrying
from celeste_image.pipeline.route import check_able
from celeste_image.providers.base import Tools
from celeste_image.providers.kit.vendor import VendorSettings
from celeste_image.providers.registry import Registry
from celeste_image.providers.vendors.bfl import Bfl

CALL = Call("a-call")
PROMPT = "a red bicycle leaning on a white wall"
BASE = "https://api.bfl.ai"
POLL = f"{BASE}/v1/get_result?id=task-1"
TAKEN = answer({"id": "task-1", "polling_url": POLL})
DONE = answer({"id": "task-1", "status": "Ready", "result": {"sample": "https://delivery-eu1.bfl.ai/a.png?sig=x"}})
PNG = raw(b"PNG", **{"content-type": "image/png"})


def loaded(name: str) -> ImageInput:
    data = fixture(name)
    return ImageInput(data, facts=ImageFacts("image/png", 256, 256, len(data), "0" * 64, "RGB", False))


def options(**values: Any) -> RequestOptions:
    return RequestOptions(provider_options={"bfl": values})


def edited(model: str, edit: AnyEdit, **fields: Any) -> Edit:
    return Edit(**{"model": f"bfl/{model}", "image": loaded("IMAGE"), "edit": edit} | fields)


def generated(model: str = "flux-pro-1.1", **fields: Any) -> Generate:
    return Generate(**{"model": f"bfl/{model}", "prompt": PROMPT, "seed": 42} | fields)


def world(transport: httpx.AsyncBaseTransport, pictures: Pixels | None = None, **table: Any) -> tuple[Bfl, Clock]:
    clock = Clock()
    tools = Tools(pictures or MeasuredPixels(), transport, {}, clock, clock.sleep)
    return Bfl(VendorSettings(**{"key": Secret(KEY)} | table), tools), clock


async def run(vendor: Bfl, request: ImageRequest, call: Call = CALL) -> list[Event]:
    return await run_events(lambda tried: vendor.run(request, tried), candidate(vendor, request, call))


@pytest.fixture
async def real() -> AsyncIterator[Pixels]:
    made = Pixels("bfl")
    yield made
    await made.close()


async def sent(request: ImageRequest, pictures: Pixels | None = None) -> tuple[str, dict[str, Any]]:
    """Returns the path and body of the submit for a request that was made concrete by the model's card."""
    script = FakeTransport(TAKEN, DONE, PNG)
    vendor, _ = world(script, pictures)
    await run_events(
        lambda tried: fitting(vendor.run, vendor.Options, draw=lambda: 7)(request, tried), candidate(vendor, request)
    )
    submit = script.requests[0]
    return submit.url.path, json.loads(submit.content)


@pytest.mark.parametrize(
    ("model", "size", "fields"),
    [
        ("flux-pro-1.1", Size(), {"width": 1024, "height": 768}),
        ("flux-pro-1.1", Size(1000, 500), {"width": 992, "height": 512}),
        ("flux-2-pro", Size(aspect_ratio="16:9", megapixels=4), {"width": 2672, "height": 1504}),
        ("flux-2-klein-4b", Size(65, 70), {"width": 64, "height": 64}),
        ("flux-pro-1.1-ultra", Size(), {}),
        ("flux-pro-1.1-ultra", Size(aspect_ratio="21:9"), {"aspect_ratio": "21:9"}),
        ("flux-pro-1.1-ultra", Size(1600, 900), {"aspect_ratio": "16:9"}),
    ],
)
async def test_sizes_are_as_the_model_takes_them(model: str, size: Size, fields: dict[str, Any]) -> None:
    path, body = await sent(generated(model, size=size))
    assert path == f"/v1/{model}"
    assert body == {"prompt": PROMPT, "seed": 42, "output_format": "png"} | fields


@pytest.mark.parametrize("model", ["flux-kontext-pro", "flux-kontext-max"])
async def test_kontext_generates_with_images_and_without(model: str) -> None:
    path, body = await sent(generated(model, size=Size(aspect_ratio="16:9")))
    assert path == f"/v1/{model}"
    assert body == {"prompt": PROMPT, "seed": 42, "output_format": "png", "aspect_ratio": "16:9"}
    _, body = await sent(generated(model, references=(ImageReference(loaded("IMAGE")),)))
    assert base64.b64decode(body["input_image"]) == fixture("IMAGE")


@pytest.mark.parametrize("model", ["flux-pro-1.1", "flux-pro-1.1-ultra", "flux-dev"])
async def test_older_models_take_one_image_as_a_prompt(model: str) -> None:
    given = options(image_prompt_strength=0.4)
    _, body = await sent(generated(model, references=(ImageReference(loaded("IMAGE")),), options=given))
    assert base64.b64decode(body["image_prompt"]) == fixture("IMAGE")
    assert body.get("image_prompt_strength") == (0.4 if model == "flux-pro-1.1-ultra" else None)
    assert "input_image" not in body


async def test_the_open_model_has_steps_and_guidance() -> None:
    _, body = await sent(generated("flux-dev", options=options(steps=12, guidance=2.5)))
    assert (body["steps"], body["guidance"], body["width"]) == (12, 2.5, 1024)


def small(side: int) -> ImageInput:
    image = loaded("IMAGE")
    assert image.facts
    return replace(image, facts=replace(image.facts, width=side, height=400))


@pytest.mark.parametrize(
    ("request_", "paths"),
    [
        (edited("flux-kontext-pro", Instruct(PROMPT), image=small(255)), ["image"]),
        (edited("flux-pro-1.0-expand", Outpaint(left=9), image=small(255)), ["image"]),
        (edited("flux-pro-1.0-fill", Inpaint(Mask(small(255)), PROMPT), image=small(255)), ["image"]),
        (generated("flux-dev", references=(ImageReference(small(255)),)), ["references[0].image"]),
        (edited("flux-2-pro", Instruct(PROMPT), image=small(63)), ["image"]),
        (edited("flux-2-pro", Instruct(PROMPT), references=(ImageReference(small(63)),)), ["references[0].image"]),
        (edited("flux-2-pro", Instruct(PROMPT), image=small(64)), []),
        (edited("flux-kontext-pro", Instruct(PROMPT), image=small(256)), []),
    ],
    ids=str,
)
async def test_an_image_that_is_too_small_is_refused_before_it_is_paid(request_: Edit, paths: list[str]) -> None:
    if not paths:
        assert await sent(request_)
        return
    script = FakeTransport()
    vendor, _ = world(script)
    _, error = await run_error(lambda tried: vendor.run(request_, tried), candidate(vendor, request_))
    assert isinstance(error, InvalidRequest)
    assert [violation.field for violation in error.violations] == paths
    assert not script.requests


@pytest.mark.parametrize(
    ("host", "is_fetched"),
    [
        ("bfldeliverysc.blob.core.windows.net", True),
        ("bfldeliveryscus.blob.core.windows.net", True),
        ("bfldeliveryprod.blob.core.windows.net", True),
        ("bfldeliveryprodeu4.blob.core.windows.net", True),
        ("bfldeliveryprodus2.blob.core.windows.net", True),
        ("delivery-eu1.bfl.ai", True),
        ("delivery.us1.bfl.ai", True),
        ("bfldeliverysc.blob.core.windows.net.evil.test", False),
        ("notbfldeliverysc.blob.core.windows.net", False),
        ("anybody.blob.core.windows.net", False),
    ],
)
async def test_results_are_fetched_from_its_older_hosts_too(host: str, is_fetched: bool) -> None:
    done = answer({"id": "task-1", "status": "Ready", "result": {"sample": f"https://{host}/a.png?sig=x"}})
    script = FakeTransport(TAKEN, *([done, PNG] if is_fetched else [done] * 8))
    vendor, _ = world(script)
    if is_fetched:
        assert any(isinstance(event, Picture) for event in await run(vendor, generated()))
        return
    _, error = await run_error(lambda tried: vendor.run(generated(), tried), candidate(vendor, generated()))
    assert f'adds "{host}" to providers.bfl.result_hosts' in error.message
    assert error.metadata["owed"] == "true"


async def test_only_options_that_the_model_reads_are_sent() -> None:
    given = options(raw=True, steps=20, guidance=3.0, safety_tolerance=0)
    _, ultra = await sent(generated("flux-pro-1.1-ultra", options=given))
    assert (ultra["raw"], ultra["safety_tolerance"]) == (True, 0) and not {"steps", "guidance"} & ultra.keys()
    _, flex = await sent(generated("flux-2-flex", options=given))
    assert (flex["steps"], flex["guidance"]) == (20, 3.0) and "raw" not in flex


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (
            generated("flux-2-pro", options=options(safety_tolerance=6)),
            'options.provider_options["bfl"].safety_tolerance',
        ),
        (generated("flux-2-flex", options=options(guidance=50)), 'options.provider_options["bfl"].guidance'),
        (generated(size=Size(1472, 1024)), "size.width"),
        (edited("flux-pro-1.0-expand", Outpaint(left=2049)), "outpaint.left"),
        (edited("flux-kontext-pro", Instruct(PROMPT), references=(ImageReference(loaded("IMAGE")),) * 4), "references"),
        (edited("flux-2-max", Instruct(PROMPT), references=(ImageReference(loaded("IMAGE")),) * 8), "references"),
    ],
)
async def test_what_the_model_does_not_take_is_refused_before_it_costs(request_: ImageRequest, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await sent(request_)
    assert field in [violation.field for violation in caught.value.violations]


async def test_pictures_are_numbered() -> None:
    _, body = await sent(edited("flux-2-flex", Instruct(PROMPT), references=(ImageReference(loaded("IMAGE2")),) * 7))
    assert [name for name in body if "image" in name] == ["input_image", *(f"input_image_{n}" for n in range(2, 9))]
    assert body["input_image"] != body["input_image_2"] == body["input_image_8"]
    assert "width" not in body, "as large as the picture"


async def test_images_guide_a_generation_from_number_one() -> None:
    references = (ImageReference(loaded("IMAGE")), ImageReference(loaded("IMAGE2")))
    _, body = await sent(Generate(model="bfl/flux-2-pro", prompt=PROMPT, references=references))
    assert [name for name in body if "image" in name] == ["input_image", "input_image_2"]


@pytest.mark.parametrize("rewrite", [True, False, None])
async def test_rewriting_the_prompt_is_left_to_the_api_unless_it_is_asked_for(rewrite: bool | None) -> None:
    _, body = await sent(Generate(model="bfl/flux-pro-1.1", prompt=PROMPT, rewrite_prompt=rewrite))
    assert body.get("prompt_upsampling") is rewrite


async def test_an_outpaint_names_all_sides() -> None:
    path, body = await sent(edited("flux-pro-1.0-expand", Outpaint(left=64, top=32)))
    assert path == "/v1/flux-pro-1.0-expand"
    assert {side: body[side] for side in ("left", "right", "top", "bottom")} == {
        "left": 64,
        "right": 0,
        "top": 32,
        "bottom": 0,
    }
    assert body["seed"] == 7


async def test_metadata_of_photographs_stays_here(real: Pixels) -> None:
    image = loaded("IMAGE")
    data = image.data + b"Exif\0\0 56.1N"
    marked = ImageInput(data, facts=ImageFacts("image/png", 256, 256, len(data), "0" * 64, "RGB", False))
    _, body = await sent(Edit(model="bfl/flux-2-pro", image=marked, edit=Instruct(PROMPT)), real_with_facts(real))
    assert b"Exif" not in base64.b64decode(body["input_image"])


def real_with_facts(real: Pixels) -> Pixels:
    """Returns a `Pixels` with real conversions and scripted measurements."""
    mixed = MeasuredPixels()
    mixed.png = real.png  # type: ignore[method-assign]
    mixed.mask = real.mask  # type: ignore[method-assign]
    return mixed


async def test_types_that_it_does_not_read_are_converted(real: Pixels) -> None:
    avif = ImageInput(fixture("IMAGE"), facts=ImageFacts("image/avif", 256, 256, 569, "0" * 64, "RGB", False))
    _, body = await sent(Edit(model="bfl/flux-2-pro", image=avif, edit=Instruct(PROMPT)), real_with_facts(real))
    assert base64.b64decode(body["input_image"]).startswith(b"\x89PNG")


# Masks


@pytest.mark.parametrize(
    ("name", "polarity"),
    [("MASK_WHITE", Polarity.WHITE), ("MASK_BLACK", Polarity.BLACK), ("MASK_ALPHA", Polarity.TRANSPARENT)],
)
async def test_a_mask_of_any_polarity_is_sent_white(name: str, polarity: Polarity) -> None:
    edit = Inpaint(Mask(loaded(name), polarity), PROMPT, False)
    played = await play("bfl/inpaint_fill", edited("flux-pro-1.0-fill", edit, output_media_type="image/jpeg"))
    assert played.error is None


# Answers


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (answer({"detail": "Insufficient credits"}, 402), ProviderBilling),
        (answer({"detail": "Not authenticated"}, 403), ProviderCredentials),
        (answer({"detail": [{"loc": ["body", "width"], "msg": "Input should be <= 1440"}]}, 422), InvalidRequest),
        (answer({"detail": "slow down"}, 429, retry_after="3"), ProviderRateLimited),
        (answer({"detail": "oops"}, 500), OutcomeUnknown),
    ],
)
async def test_submits_that_are_refused(step: httpx.Response, error: type[CelesteError]) -> None:
    vendor, _ = world(FakeTransport(step))
    _, raised = await run_error(lambda tried: vendor.run(generated(), tried), candidate(vendor, generated()))
    assert type(raised) is error
    if error is InvalidRequest:
        assert "Input should be <= 1440" in str(raised)
    if error is ProviderRateLimited:
        assert raised.retry_after == 3


@pytest.mark.parametrize(
    ("reply", "error", "stage"),
    [
        ({"status": "Request Moderated", "details": {"Moderation Reasons": ["x"]}}, SafetyBlocked, "prompt"),
        ({"status": "Content Moderated"}, SafetyBlocked, "output"),
        ({"status": "Error", "error": "no"}, ProviderFailed, None),
        ({"status": "Task not found"}, OutcomeUnknown, None),
    ],
)
async def test_jobs_that_end_badly(reply: dict[str, Any], error: type[CelesteError], stage: str | None) -> None:
    vendor, _ = world(FakeTransport(TAKEN, answer(reply), repeat=True))
    events, raised = await run_error(lambda tried: vendor.run(generated(), tried), candidate(vendor, generated()))
    assert (events, type(raised), raised.metadata.get("stage")) == ([Submitted(POLL, "bfl")], error, stage)
    assert not raised.retryable


async def test_a_job_in_a_region_is_asked_for_there_and_fetched_from_there() -> None:
    regional = "https://api.us1.bfl.ai/v1/get_result?id=task-1&x=%2F"
    script = FakeTransport(answer({"id": "task-1", "polling_url": regional}), DONE, PNG)
    vendor, _ = world(script)
    await run(vendor, generated())
    assert str(script.requests[1].url) == regional and script.requests[1].headers["x-key"] == KEY
    assert script.requests[2].url.host == "delivery-eu1.bfl.ai" and "x-key" not in script.requests[2].headers


async def test_without_a_polling_url_the_id_is_asked_for() -> None:
    script = FakeTransport(answer({"id": "task-1"}), DONE, PNG)
    vendor, _ = world(script)
    assert (await run(vendor, generated()))[0] == Submitted("task-1", "bfl")
    assert str(script.requests[1].url) == POLL


async def test_a_base_url_of_the_operators_is_asked_and_may_hold_results() -> None:
    base = "http://127.0.0.1:9000"
    script = FakeTransport(
        answer({"id": "task-1", "polling_url": f"{base}/v1/get_result?id=task-1"}),
        answer({"status": "Ready", "result": {"sample": f"{base}/files/out.png"}}),
        PNG,
    )
    vendor, _ = world(script, base_url=f"{base}/", allow_private=True)
    await run(vendor, generated())
    assert [request.url.port for request in script.requests] == [9000] * 3


async def test_a_ticket_resumes_and_builds_no_body() -> None:
    script = FakeTransport(DONE, PNG)
    vendor, _ = world(script)
    broken = edited("flux-pro-1.0-fill", Inpaint(Mask(ImageInput()), PROMPT, False))
    (picture,) = await run(vendor, broken, Call("a-call", ticket=POLL))
    assert isinstance(picture, Picture)
    assert [request.method for request in script.requests] == ["GET", "GET"]


async def test_the_deadline_says_that_the_job_is_owed() -> None:
    vendor, clock = world(FakeTransport(TAKEN, answer({"status": "Pending"}), repeat=True))
    call = Call("a-call", deadline=clock.now + 5)
    _, raised = await run_error(lambda tried: vendor.run(generated(), tried), candidate(vendor, generated(), call))
    assert type(raised) is DeadlineExceeded and raised.metadata["owed"] == "true"


async def test_previews_come_when_they_are_wanted() -> None:
    look = answer({"status": "Pending", "preview": {"sample": "https://delivery-eu1.bfl.ai/preview.png"}})
    vendor, _ = world(FakeTransport(TAKEN, look, PNG, DONE, PNG))
    events = await run(vendor, generated(options=RequestOptions(preview_count=1)))
    assert [type(event) for event in events] == [Submitted, Preview, Picture]


async def test_a_rate_limit_is_waited_for_and_a_lost_poll_buys_nothing() -> None:
    lost = httpx.ReadTimeout("slow")
    script = FakeTransport(answer({}, 429, retry_after="2"), TAKEN, lost, answer({}, 500), DONE, PNG)
    vendor, clock = world(script)
    road = retrying(fitting(vendor.run, vendor.Options), sleep=clock.sleep, clock=clock, jitter=lambda most: 0.0)
    events = await run_events(lambda tried: road(generated(), tried), candidate(vendor, generated()))
    assert [event for event in events if isinstance(event, Picture)]
    assert [request.method for request in script.requests].count("POST") == 2, "the first was refused"


async def test_what_no_model_of_it_does_is_not_offered() -> None:
    vendor, _ = world(FakeTransport(TAKEN))
    request, registry = edited("flux-2-pro", Outpaint(left=1)), Registry({"bfl": vendor})
    with pytest.raises(OperationNotOffered, match="these can: bfl/flux-"):
        check_able(registry.find(request.model), request, registry)


async def test_without_a_key_it_is_not_ready_and_says_where_to_put_it() -> None:
    script = FakeTransport(TAKEN)
    vendor, _ = world(script, key=None)
    assert not any(vendor.ready(card) for card in vendor.cards)
    _, raised = await run_error(lambda tried: vendor.run(generated(), tried), candidate(vendor, generated()))
    assert type(raised) is ProviderCredentials and "BFL_API_KEY" in str(raised)
    assert script.requests == []


def test_its_cards() -> None:
    vendor, _ = world(FakeTransport(TAKEN))
    assert len(vendor.cards) == 12
    assert all(vendor.ready(card) and card.stage is ModelStage.ACTIVE for card in vendor.cards)
