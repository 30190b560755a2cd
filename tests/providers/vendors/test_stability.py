"""Stability: forms equal those of two independent clients, jobs are polled, and each answer has its outcome."""

import asyncio
import base64
from contextlib import aclosing
from dataclasses import replace
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import httpx
import pytest
from tests.support import pictures
from tests.support.clocks import Clock
from tests.support.recorded_requests import CASES
from tests.support.recordings import KEY, fixture
from tests.support.transport import Body, FakeTransport, answer
from tests.support.vendors import (
    BASE,
    CALL,
    candidate,
    error_of,
    events_of,
    fixture_image,
    loaded,
    vendor,
)

from celeste_image.core.edits import (
    AnyEdit,
    Control,
    Erase,
    Instruct,
    Mask,
    Outpaint,
    Polarity,
    Recolor,
    Relight,
    RemoveBackground,
    ReplaceBackground,
    Restyle,
)
from celeste_image.core.errors import (
    CelesteError,
    DeadlineExceeded,
    InvalidRequest,
    OutcomeUnknown,
    ProviderBilling,
    ProviderCredentials,
    ProviderFailed,
    ProviderRateLimited,
    ProviderUnavailable,
    SafetyBlocked,
)
from celeste_image.core.events import Fidelity, Picture, Submitted
from celeste_image.core.image import ImageInput, Size
from celeste_image.core.request import (
    Edit,
    Generate,
    ImageRequest,
    RequestOptions,
    Upscale,
    UpscaleMode,
)
from celeste_image.providers.families.stable_image import OPERATIONS
from celeste_image.providers.kit.multipart import Bounds
from celeste_image.providers.vendors.stability import Stability

IMAGE, IMAGE2, MASK = fixture_image("IMAGE"), fixture_image("IMAGE2"), Mask(fixture_image("MASK_WHITE"))
RESULT = fixture("RESULT")
SMALL = loaded(pictures.plain(256, 256))


def options(strict: bool = False, **values: Any) -> RequestOptions:
    return RequestOptions(strict=strict, provider_options={"stability": values} if values else {})


def edit(model: str, change: AnyEdit, image: ImageInput = IMAGE, **more: Any) -> Edit:
    return Edit(model=f"stability/{model}", image=image, edit=change, **more)


def upscale(model: str, image: ImageInput = IMAGE, **more: Any) -> Upscale:
    return Upscale(model=f"stability/{model}", image=image, factor=4.0, **more)


CREATIVE = CASES["stability/upscale_creative_async"].request
GENERATE = CASES["stability/generate_core"].request
JOB = "a" * 64


def done(field: str = "image", data: bytes = RESULT, **more: Any) -> httpx.Response:
    return answer({field: base64.b64encode(data).decode(), "finish_reason": "SUCCESS", "seed": 42} | more)


def running() -> httpx.Response:
    return answer({"id": JOB, "status": "in-progress"}, 202)


def failing(status: int, name: str, text: str = "It said so.", **headers: str) -> httpx.Response:
    return answer({"id": "x", "name": name, "errors": [text]}, status, **headers)


def stability(*answers: Any, key: str = KEY) -> tuple[Stability, FakeTransport, Clock]:
    transport, time = FakeTransport(*answers), Clock(1000.0)
    clocks = {"clock": time, "sleep": time.sleep, "jitter": lambda seconds: seconds}
    made = vendor(Stability, transport, "/v2beta", key, **clocks)
    return made, transport, time


def parts(request: httpx.Request) -> dict[str, bytes]:
    head = b"content-type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    found = BytesParser(policy=HTTP).parsebytes(head + request.content)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)  # type: ignore[misc]
        for part in found.iter_parts()
    }


def texts(request: httpx.Request) -> dict[str, str]:
    """Returns the text parts of a form."""
    return {name: data.decode() for name, data in parts(request).items() if not data.startswith(b"\x89PNG")}


async def test_a_form_without_files_is_multipart_and_wants_json() -> None:
    made, transport, _ = stability(done())
    await events_of(made, GENERATE)
    (request,) = transport.requests
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert request.headers["accept"] == "application/json"
    assert b"filename" not in request.content
    assert b"content-type" not in request.content.lower()


FORMS: list[tuple[ImageRequest, str, dict[str, str], set[str]]] = [
    (
        Generate(model="stability/sd3.5-medium", prompt="a", options=options(cfg_scale=4.5)),
        "generate/sd3",
        {"prompt": "a", "model": "sd3.5-medium", "cfg_scale": "4.5", "output_format": "png"},
        set(),
    ),
    (
        Generate(model="stability/ultra", prompt="a", output_media_type="image/webp"),
        "generate/ultra",
        {"prompt": "a", "output_format": "webp"},
        set(),
    ),
    (
        edit("sd3.5-large-turbo", Instruct("a", 0.0), negative_prompt="b"),
        "generate/sd3",
        {
            **{"prompt": "a", "model": "sd3.5-large-turbo", "mode": "image-to-image", "strength": "0.0"},
            **{"negative_prompt": "b", "output_format": "png"},
        },
        {"image"},
    ),
    (edit("ultra", Instruct("a")), "generate/ultra", {"prompt": "a", "strength": "0.5"}, {"image"}),
    (
        edit("erase", Erase(MASK, pixel_lock=False), seed=3, options=options(grow_mask=0)),
        "edit/erase",
        {"grow_mask": "0", "seed": "3"},
        {"image", "mask"},
    ),
    (
        edit("outpaint", Outpaint(top=10, bottom=20), options=options(creativity=0.0)),
        "edit/outpaint",
        {"up": "10", "down": "20", "creativity": "0.0"},
        {"image"},
    ),
    (
        edit("search-and-recolor", Recolor("the car", "yellow")),
        "edit/search-and-recolor",
        {"prompt": "yellow", "select_prompt": "the car"},
        {"image"},
    ),
    (
        edit("control-sketch", Control("sketch", "a castle", 0.7)),
        "control/sketch",
        {"prompt": "a castle", "control_strength": "0.7"},
        {"image"},
    ),
    (edit("control-structure", Control("structure", "a")), "control/structure", {"prompt": "a"}, {"image"}),
    (
        edit("control-style", Control("style", "a", 0.2), size=Size(900, 1600, "9:16")),
        "control/style",
        {"prompt": "a", "fidelity": "0.2", "aspect_ratio": "9:16"},
        {"image"},
    ),
    (
        edit(
            "style-transfer", Restyle(style_image=IMAGE2, prompt="a", strength=0.4), options=options(change_strength=1)
        ),
        "control/style-transfer",
        {"prompt": "a", "style_strength": "0.4", "change_strength": "1.0"},
        {"init_image", "style_image"},
    ),
    (
        upscale("upscale-conservative", prompt="a flower", creativity=0.35, mode=UpscaleMode.CONSERVATIVE),
        "upscale/conservative",
        {"prompt": "a flower", "creativity": "0.35"},
        {"image"},
    ),
    (
        edit("replace-background-and-relight", ReplaceBackground("a wood", IMAGE2)),
        "edit/replace-background-and-relight",
        {"background_prompt": "a wood"},
        {"subject_image", "background_reference"},
    ),
    (
        edit("replace-background-and-relight", Relight("dusk", IMAGE2, "left", 0.9)),
        "edit/replace-background-and-relight",
        {
            **{"background_prompt": "dusk", "light_source_direction": "left", "light_source_strength": "0.9"},
            "keep_original_background": "true",
        },
        {"subject_image", "light_reference"},
    ),
]


@pytest.mark.parametrize(
    ("request_", "path", "fields", "files"),
    FORMS,
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:30],
)
async def test_forms(request_: ImageRequest, path: str, fields: dict[str, str], files: set[str]) -> None:
    job = path == "edit/replace-background-and-relight"
    made, transport, _ = stability(*([answer({"id": JOB}), done("result")] if job else [done()]))
    assert any(isinstance(event, Picture) for event in await events_of(made, request_))
    request = transport.requests[0]
    assert str(request.url) == f"{BASE}/v2beta/stable-image/{path}"
    assert texts(request) == {"output_format": "png"} | fields
    assert parts(request).keys() - texts(request).keys() == files


def test_a_service_has_a_card_that_says_what_it_sends() -> None:
    assert {card.name_on_wire for card in Stability.cards} == OPERATIONS.keys()
    for card in Stability.cards:
        read = {parameter.path for parameters in card.parameters.values() for parameter in parameters}
        for kind, operation in OPERATIONS[card.name_on_wire].items():
            assert kind in card.operations or kind in card.edits
            for path in (*operation.files.values(), *operation.texts.values()):
                name = path.replace("options.", 'options.provider_options["stability"].')
                known = {name, name.removesuffix(".aspect_ratio"), name.removesuffix(".mask")}
                assert known & (read | set(card.edits)), (card.id, path)


async def test_masks_become_white() -> None:
    made, transport, _ = stability(done())
    await events_of(made, edit("erase", Erase(Mask(fixture_image("MASK_BLACK"), Polarity.BLACK))))
    white = pictures.opened(parts(transport.requests[0])["mask"])
    assert white.tobytes() == pictures.opened(fixture("MASK_WHITE")).tobytes()


async def test_pictures_that_it_does_not_read_are_sent_as_png() -> None:
    made, transport, _ = stability(done())
    image = pictures.opened(pictures.plain(80, 64))
    await events_of(made, edit("remove-background", RemoveBackground(), loaded(pictures.encoded(image, "AVIF"))))
    sent = parts(transport.requests[0])["image"]
    assert sent.startswith(b"\x89PNG")
    assert pictures.opened(sent).size == (80, 64)


@pytest.mark.parametrize(
    ("bounds", "size", "problem"),
    [
        (Bounds(64, 16_383, 4_096, 9_437_184), (64, 64), ""),
        (Bounds(64, 16_383, 4_096, 9_437_184), (3072, 3072), ""),
        (Bounds(64, 16_383, 4_096, 9_437_184), (63, 100), "must be 64 to 16,383 pixels a side, is 63 x 100"),
        (Bounds(64, 16_383, 4_096, 9_437_184), (3072, 3073), "must have 4,096 to 9,437,184 pixels, is 3,072 x 3,073"),
        (Bounds(64, 16_383, 4_096, 9_437_184, 2.5), (250, 100), ""),
        (Bounds(64, 16_383, 4_096, 9_437_184, 2.5), (100, 251), "must be at most 2.5 times"),
        (Bounds(32, 1_536, 1_024, 1_048_576), (1_537, 64), "must be 32 to 1,536 pixels a side"),
    ],
)
def test_bounds(bounds: Bounds, size: tuple[int, int], problem: str) -> None:
    found = bounds.problem(*size)
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (edit("outpaint", Outpaint(left=9), loaded(pictures.plain(300, 100))), "image"),
        (edit("remove-background", RemoveBackground(), loaded(pictures.plain(60, 100))), "image"),
        (upscale("upscale-fast", loaded(pictures.plain(1600, 100))), "image"),
        (upscale("upscale-conservative"), "prompt"),
        (edit("style-transfer", Restyle(prompt="woodcut")), "restyle.style_image"),
        (edit("replace-background-and-relight", Relight(direction="left")), "relight.prompt"),
    ],
    ids=str,
)
async def test_what_it_does_not_take_is_refused_before_it_is_sent(request_: ImageRequest, field: str) -> None:
    made, transport, _ = stability()
    error = await error_of(made, request_)
    assert isinstance(error, InvalidRequest)
    assert [violation.field for violation in error.violations] == [field]
    assert not transport.requests


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (edit("outpaint", Outpaint(left=2001)), "outpaint.left"),
        (edit("control-sketch", Control("style", "a")), "control.control"),
        (edit("replace-background-and-relight", Relight("a", direction="behind")), "relight.direction"),
        (upscale("upscale-fast", mode=UpscaleMode.CREATIVE), "mode"),
        (
            replace(GENERATE, style="baroque"),
            "style",
        ),
    ],
    ids=str,
)
async def test_cards_bound_the_rest(request_: ImageRequest, field: str) -> None:
    made, transport, _ = stability()
    error = await error_of(made, request_, fit=True)
    assert isinstance(error, InvalidRequest)
    assert [violation.field for violation in error.violations] == [field]
    assert not transport.requests


async def test_sizes_are_adjusted_or_refused() -> None:
    made, transport, _ = stability(done())
    request = Generate(model="stability/core", prompt="a fox", size=Size(1600, 1200))
    events = await events_of(made, request, fit=True)
    assert texts(transport.requests[0])["aspect_ratio"] == "5:4"
    (line,) = [event.line for event in events if isinstance(event, Fidelity) and event.line.path == "size"]
    assert line.outcome == "adjusted"
    assert isinstance(await error_of(made, replace(request, options=options(strict=True)), fit=True), InvalidRequest)
    assert len(transport.requests) == 1


async def test_seeds_of_the_server_are_made_to_fit() -> None:
    made, transport, _ = stability(done(seed=0))
    (picture,) = await events_of(made, replace(GENERATE, seed=(1 << 32) - 1))  # type: ignore[call-arg]
    assert texts(transport.requests[0])["seed"] == "0"
    assert isinstance(picture, Picture)
    assert picture.seed is None


async def test_a_blurred_result_is_a_refusal() -> None:
    made, _, _ = stability(done(finish_reason="CONTENT_FILTERED"))
    error = await error_of(made, GENERATE)
    assert isinstance(error, SafetyBlocked)
    assert error.metadata == {"provider": "stability", "stage": "output", "owed": "true"}


@pytest.mark.parametrize(
    "value",
    [
        {"finish_reason": "ERROR"},
        {"image": ""},
        {"image": 7},
        {"image": "no base64"},
        {"image": base64.b64encode(b"no picture").decode()},
        [],
    ],
)
async def test_an_answer_without_a_picture(value: Any) -> None:
    made, _, _ = stability(answer(value))
    assert type(await error_of(made, GENERATE)) is ProviderFailed


@pytest.mark.parametrize(
    ("response", "error", "after"),
    [
        (failing(400, "bad_request"), InvalidRequest, None),
        (failing(401, "unauthorized"), ProviderCredentials, None),
        (failing(402, "payment_required"), ProviderBilling, None),
        (failing(403, "content_moderation"), SafetyBlocked, None),
        (failing(403, "forbidden"), ProviderCredentials, None),
        (failing(413, "payload_too_large"), InvalidRequest, None),
        (failing(422, "invalid_language"), InvalidRequest, None),
        (failing(422, "public_figure"), SafetyBlocked, None),
        (failing(429, "rate_limit_exceeded"), ProviderRateLimited, 60),
        (failing(429, "rate_limit_exceeded", retry_after="7"), ProviderRateLimited, 7),
        (failing(500, "internal_error"), OutcomeUnknown, None),
        (failing(503, "busy", retry_after="2"), ProviderUnavailable, 2),
    ],
)
async def test_errors(response: httpx.Response, error: type[CelesteError], after: float | None) -> None:
    made, _, _ = stability(response)
    found = await error_of(made, GENERATE)
    assert type(found) is error
    assert found.message == "stability: It said so."
    assert found.retry_after == after


async def test_answers_that_are_none() -> None:
    made, _, _ = stability(httpx.Response(200, content=b"<html>"))
    assert isinstance(await error_of(made, GENERATE), OutcomeUnknown)
    made, _, _ = stability(httpx.ReadError("gone"))
    assert isinstance(await error_of(made, GENERATE), OutcomeUnknown)
    made, _, _ = stability(httpx.ConnectError("no way"))
    assert isinstance(await error_of(made, GENERATE), ProviderUnavailable)


async def test_no_key_is_told() -> None:
    made, transport, _ = stability(failing(401, "unauthorized", f"the key {KEY} is not valid"))
    assert (await error_of(made, GENERATE)).message == "stability: the key [key] is not valid"
    (request,) = transport.requests
    assert [name for name, value in request.headers.items() if KEY in value] == ["authorization"]
    made, transport, _ = stability(key="")
    assert isinstance(await error_of(made, GENERATE), ProviderCredentials)
    assert not transport.requests


async def test_with_a_ticket_it_submits_nothing() -> None:
    made, transport, time = stability(running(), done("result"))
    (picture,) = await events_of(made, CREATIVE, replace(CALL, ticket=JOB))
    assert isinstance(picture, Picture)
    assert [(request.method, request.url.path) for request in transport.requests] == [
        ("GET", f"/v2beta/results/{JOB}")
    ] * 2
    assert all(request.headers["accept"] == "application/json" for request in transport.requests)
    assert time.pauses == [10.0], "it may be over already"


async def test_lost_polls_are_repeated() -> None:
    lost = [httpx.ReadError("gone"), failing(500, "internal_error"), failing(429, "rate_limit_exceeded")]
    made, transport, time = stability(answer({"id": JOB}), *lost, done("result"))
    *_, picture = await events_of(made, CREATIVE)
    assert isinstance(picture, Picture)
    assert [request.method for request in transport.requests] == ["POST", "GET", "GET", "GET", "GET"]
    assert time.pauses == [10.0, 10.0, 10.0, 60.0]


async def test_a_job_that_can_no_longer_be_asked_for_is_not_sent_again() -> None:
    made, transport, time = stability(answer({"id": JOB}), *[failing(503, "busy") for _ in range(200)])
    error = await error_of(made, CREATIVE)
    assert type(error) is OutcomeUnknown
    assert not error.retryable
    assert error.metadata == {"provider": "stability", "owed": "true", "final": "false"}
    assert [request.method for request in transport.requests].count("POST") == 1
    assert min(time.pauses) >= 10.0
    assert time.now < 1900


@pytest.mark.parametrize(
    ("response", "error", "metadata"),
    [
        (failing(404, "not_found"), OutcomeUnknown, {"owed": "true", "final": "true"}),
        (failing(400, "bad_request"), OutcomeUnknown, {"owed": "true", "final": "true"}),
        (failing(401, "unauthorized"), ProviderCredentials, {"owed": "true"}),
        (failing(403, "content_moderation"), SafetyBlocked, {"owed": "unknown", "stage": "unknown"}),
        (
            done("result", finish_reason="CONTENT_FILTERED"),
            SafetyBlocked,
            {"owed": "true", "stage": "output"},
        ),
        (done("result", data=b"no picture"), ProviderFailed, {"owed": "true"}),
    ],
)
async def test_jobs_that_end_badly(
    response: httpx.Response, error: type[CelesteError], metadata: dict[str, str]
) -> None:
    made, transport, time = stability(answer({"id": JOB}), running(), *[response] * 8)
    found = await error_of(made, CREATIVE)
    assert type(found) is error
    assert metadata.items() <= found.metadata.items()
    assert not found.retryable
    assert time.now <= 1100, "told within two minutes"
    if error is SafetyBlocked:
        assert len(transport.requests) == 3, "at once"


async def test_a_job_that_is_not_known_yet_is_asked_for_again() -> None:
    made, transport, time = stability(answer({"id": JOB}), failing(404, "not_found"), running(), done("result"))
    *_, picture = await events_of(made, CREATIVE)
    assert isinstance(picture, Picture)
    assert [request.method for request in transport.requests] == ["POST", "GET", "GET", "GET"]
    assert time.pauses == [10.0, 10.0, 10.0]


async def test_a_job_that_takes_too_long_is_given_up() -> None:
    made, transport, time = stability(answer({"id": JOB}), *[running() for _ in range(200)])
    error = await error_of(made, CREATIVE)
    assert type(error) is OutcomeUnknown
    assert error.metadata["final"] == "false"
    assert time.now < 1900
    made, transport, time = stability(answer({"id": JOB}), running(), running())
    error = await error_of(made, CREATIVE, replace(CALL, deadline=1025.0))
    assert type(error) is DeadlineExceeded
    assert error.metadata == {"provider": "stability", "owed": "true"}
    assert len(transport.requests) == 3
    assert time.now == 1020.0


@pytest.mark.parametrize("ticket", ["../v1/user/balance", "", "a" * 200, "a b", "a?b"])
async def test_a_ticket_is_an_id_and_nothing_else(ticket: str) -> None:
    made, transport, _ = stability()
    assert isinstance(await error_of(made, CREATIVE, replace(CALL, ticket=ticket)), OutcomeUnknown)
    assert not transport.requests
    made, transport, _ = stability(answer({"id": ticket}))
    assert isinstance(await error_of(made, CREATIVE), OutcomeUnknown)
    assert len(transport.requests) == 1


async def test_closing_early_closes_the_connection() -> None:
    body = Body(b"{", hangs=True)
    transport = FakeTransport(httpx.Response(200, headers={"content-type": "application/json"}, stream=body))
    made = vendor(Stability, transport, "/v2beta")
    task = asyncio.create_task(events_of(made, GENERATE))
    await body.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert body.closed


async def test_closing_early_leaves_a_job() -> None:
    transport, time = FakeTransport(answer({"id": JOB}), running(), running()), Clock(1000.0)
    asleep, seen = asyncio.Event(), []

    async def sleep(seconds: float) -> None:
        await time.sleep(seconds)
        if len(time.pauses) == 2:
            asleep.set()
            await asyncio.Event().wait()

    async def run() -> None:
        async with aclosing(made.run(CREATIVE, candidate(made, CREATIVE))) as events:
            async for event in events:
                seen.append(event)

    made = vendor(Stability, transport, "/v2beta", clock=time, sleep=sleep)
    task = asyncio.create_task(run())
    await asleep.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [Submitted(JOB, "stability")]
    assert [request.method for request in transport.requests] == ["POST", "GET"], "there is no call that cancels it"
    await made.close()


async def test_options_of_another_service_are_dropped_and_not_sent() -> None:
    made, transport, _ = stability(done())
    events = await events_of(made, replace(GENERATE, options=options(cfg_scale=3)), fit=True)
    assert "cfg_scale" not in texts(transport.requests[0])
    dropped = [event.line.path for event in events if isinstance(event, Fidelity) and event.line.outcome == "dropped"]
    assert dropped == ['options.provider_options["stability"].cfg_scale']


async def test_the_fast_upscaler_has_one_factor() -> None:
    made, _, _ = stability(done(data=pictures.plain(1024, 1024)))
    request = replace(upscale("upscale-fast", SMALL), factor=2.0)
    events = await events_of(made, request, fit=True)
    (line,) = [event.line for event in events if isinstance(event, Fidelity) and event.line.path == "factor"]
    assert line.outcome == "adjusted"
    assert isinstance(await error_of(made, replace(request, options=options(strict=True)), fit=True), InvalidRequest)
