"""Recordings of vendors' SDKs: our requests equal them, and the catalog claims no more evidence than they give."""

import base64
import json
from dataclasses import replace

import pytest
from tests.support.recorded_requests import CASES, LEFT_OUT, check_recording, play
from tests.support.recording_evidence import SPECIFIED, best, cards, operations_of, proofs_of
from tests.support.recordings import Recording, all_recordings, fixture
from tests.support.transport import FakeTransport, answer
from tests.support.vendors import BASE, PROMPT, events_of, vendor

from celeste_image.core.card import ModelCard, ModelEvidence
from celeste_image.core.events import Billed, Picture, Progress, Submitted
from celeste_image.core.money import quantities
from celeste_image.core.request import Generate
from celeste_image.providers.vendors.openai import OpenAI

PROOFS = [proof for name in CASES for proof in proofs_of(name, cards())]


def test_every_recording_has_a_case_or_a_reason() -> None:
    assert set(all_recordings()) == CASES.keys() | LEFT_OUT.keys()
    assert not CASES.keys() & LEFT_OUT.keys()


@pytest.mark.parametrize("name", CASES)
async def test_our_request_is_the_recorded_one_and_its_answer_is_understood(name: str) -> None:
    await check_recording(name)


@pytest.mark.parametrize("name", CASES)
async def test_another_key_does_not_pass_for_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.recordings.KEY", "sk-another-canary-0123456789")
    with pytest.raises(AssertionError):
        await check_recording(name)


@pytest.mark.parametrize("name", [name for name in CASES if PROMPT in json.dumps(Recording.load(name).exchanges)])
async def test_another_body_does_not_pass_for_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording.load(name)
    recording.exchanges = json.loads(json.dumps(recording.exchanges).replace(PROMPT, "a blue bicycle"))
    monkeypatch.setattr(Recording, "load", lambda _: recording)
    with pytest.raises(AssertionError):
        await check_recording(name)


def test_what_is_proven_is_offered() -> None:
    offered = {(card.id, operation) for card in cards().values() for operation in operations_of(card)}
    assert {(proof.model, proof.operation) for proof in PROOFS if proof.model in cards()} <= offered


@pytest.mark.parametrize("card", cards().values(), ids=lambda card: card.id)
def test_the_catalog_states_the_evidence_that_there_is(card: ModelCard) -> None:
    if card.provider == "compatible":
        assert card.evidence is ModelEvidence.CONFIGURATION
    else:
        assert card.evidence == best(proof for proof in PROOFS if proof.model == card.id)


def test_nothing_proves_what_was_not_recorded() -> None:
    assert best([]) == SPECIFIED


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("bfl/")])
async def test_jobs_are_polled_as_recorded(name: str) -> None:
    played = await play(name)
    submitted, progress, billed, *_ = played.events
    assert billed == Billed(quantities({"credit": 4.0}))
    assert submitted == Submitted(f"{BASE}/v1/get_result?id=task-1", "bfl")
    assert progress == Progress(0.4, "running")
    assert played.playing.fetched == 1


async def test_stability_is_polled_no_faster_than_it_allows() -> None:
    played = await play("stability/upscale_creative_async")
    assert played.events[0] == Submitted("a" * 64, "stability")
    assert played.pauses == [10.0, 10.0]


@pytest.mark.parametrize(
    ("name", "seed"),
    [("bfl/generate_poll", 42), ("stability/generate_ultra", 42), ("gemini/generate", 7), ("openai/generate", None)],
)
async def test_the_seed_is_the_vendors_or_else_the_one_sent(name: str, seed: int | None) -> None:
    (picture,) = [event for event in (await play(name)).events if isinstance(event, Picture)]
    assert picture.seed == seed


@pytest.mark.parametrize(("name", "seconds"), [("openai/error_429", 2), ("gemini/error_429", 8)])
async def test_an_answer_says_when_to_come_back(name: str, seconds: float) -> None:
    played = await play(name)
    assert played.error and played.error.retry_after == seconds


async def test_an_interaction_is_asked_for_no_type_and_is_not_kept() -> None:
    played = await play("gemini/interactions")
    body = json.loads(played.playing.requests[0].content)
    assert "mime_type" not in json.dumps(body)
    assert body["store"] is False


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.adds])
async def test_what_the_server_adds_is_compared_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.recorded_requests.DRAWN", 7)
    with pytest.raises(AssertionError):
        await check_recording(name)


async def test_one_image_that_nobody_counted_is_asked_for_without_a_number() -> None:
    request = Generate(model="openai/gpt-image-2", prompt=PROMPT)
    transport = FakeTransport(
        answer({"data": [{"b64_json": base64.b64encode(fixture("RESULT")).decode()}]}), repeat=True
    )
    made = vendor(OpenAI, transport, "/v1")
    await events_of(made, request, fit=True)
    assert "n" not in json.loads(transport.requests[0].content)
    await events_of(made, replace(request, count=1), fit=True)
    assert json.loads(transport.requests[1].content)["n"] == 1
