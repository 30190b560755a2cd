"""`owed`: every error after an image was made says whether it has to be paid, and no image is made and paid again."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.support.fake_provider import PAINTER, REQUEST, Fake, collect_until_error, picture, routed, saved

from celeste_image.core.card import ModelCard, ModelEvidence, Price
from celeste_image.core.errors import (
    CelesteError,
    DeadlineExceeded,
    EngineLost,
    ProviderRateLimited,
    ProviderUnavailable,
    StorageFull,
    StorageUnavailable,
)
from celeste_image.core.events import Event, Progress
from celeste_image.pipeline.attempts import may_try_another
from celeste_image.pipeline.per_image import per_image
from celeste_image.pipeline.retry import RetryPolicy, retrying
from celeste_image.pipeline.save import saving
from celeste_image.pipeline.split import splitting

PAID = replace(PAINTER, prices=(Price("image", "0.04"),), evidence=ModelEvidence.OFFICIAL_CLIENT)
OURS = replace(PAINTER, evidence=ModelEvidence.RUN)
UNPRICED = replace(PAINTER, evidence=ModelEvidence.CONFIGURATION)
BY_CARD = pytest.mark.parametrize(
    ("card", "owed"), [(PAID, "true"), (OURS, "false"), (UNPRICED, "unknown")], ids=["paid", "ours", "unpriced"]
)


@BY_CARD
@pytest.mark.parametrize("error", [StorageFull, StorageUnavailable])
async def test_an_image_that_can_not_be_stored(card: ModelCard, owed: str, error: type[CelesteError]) -> None:
    class Broken:
        async def check_room(self) -> None:
            """There was room when the work began."""

        async def put(self, *arguments: object, **facts: object) -> None:
            raise error("no")

    _, raised = await collect_until_error(routed(saving(Fake(picture()), Broken()), [card]))  # type: ignore[arg-type]
    assert isinstance(raised, error) and raised.metadata["owed"] == owed


@BY_CARD
async def test_an_image_that_a_step_loses(card: ModelCard, owed: str) -> None:
    async def lose(_: Any) -> Any:
        raise EngineLost("gone")
        yield

    def run(request: Any, candidate: Any) -> Any:
        return per_image(Fake(picture())(request, candidate), lose, candidate.card)

    _, raised = await collect_until_error(routed(run, [card]))
    assert isinstance(raised, EngineLost) and raised.metadata["owed"] == owed
    assert may_try_another(raised) == (owed == "false"), "work of this machine costs nothing"


async def test_what_is_known_is_not_overwritten() -> None:
    async def lose(_: Any) -> Any:
        raise EngineLost("gone", metadata={"owed": "false"})
        yield

    _, raised = await collect_until_error(
        routed(lambda request, candidate: per_image(Fake(picture())(request, candidate), lose, candidate.card), [PAID])
    )
    assert isinstance(raised, EngineLost) and raised.metadata["owed"] == "false"


@pytest.mark.parametrize("made", [True, False])
async def test_a_deadline_between_two_images(made: bool) -> None:
    def late(_: Any) -> Event | Exception:
        return saved() if made and len(fake.asked) == 1 else DeadlineExceeded("late")

    fake = Fake(late)
    card = replace(PAID, max_count=1)
    _, raised = await collect_until_error(routed(splitting(fake), [card]), replace(REQUEST, count=2))
    assert isinstance(raised, DeadlineExceeded)
    assert raised.metadata.get("owed") == ("true" if made else None)


@pytest.mark.parametrize("error", [ProviderRateLimited, ProviderUnavailable])
@pytest.mark.parametrize(
    ("owed", "tries"), [({}, 3), ({"owed": "false"}, 3), ({"owed": "true"}, 1), ({"owed": "unknown"}, 1)]
)
async def test_what_may_be_owed_is_not_made_again(error: type[CelesteError], owed: dict[str, str], tries: int) -> None:
    async def no_pause(_: float) -> None:
        """Time passes at once."""

    fake = Fake(error("busy", metadata=owed))
    policy = RetryPolicy(tries={"PROVIDER_RATE_LIMITED": 3, "PROVIDER_UNAVAILABLE": 3})
    await collect_until_error(routed(retrying(fake, policy, sleep=no_pause), [PAID]))
    assert len(fake.asked) == tries


@pytest.mark.parametrize(("card", "owed"), [(PAID, "unknown"), (OURS, "false"), (UNPRICED, "unknown")])
async def test_calls_that_are_stopped_may_have_made_an_image(card: ModelCard, owed: str) -> None:
    """Nothing was saved, but a call beside the late one was at work."""

    async def late(request: Any, candidate: Any) -> Any:
        if request.seed == 1:
            raise DeadlineExceeded("late")
        yield Progress(0.5)
        await asyncio.Event().wait()

    run = routed(splitting(late, lambda _: 2), [card])
    _, raised = await collect_until_error(run, replace(REQUEST, count=2, seed=0))
    assert isinstance(raised, DeadlineExceeded) and raised.metadata["owed"] == owed
