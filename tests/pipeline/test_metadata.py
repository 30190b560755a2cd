"""labeling: what vendors wrote into a picture stays, goes, or gets the recipe beside it; what can't be is told."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image
from tests.support import pictures
from tests.support.fake_provider import CALL, PLAIN, REQUEST, Fake, FakeProvider, collect, fitted, routed, saved

from celeste_image.core.events import Event, Fidelity, Picture, Preview
from celeste_image.core.request import OutputMetadata, RequestOptions
from celeste_image.imaging.limits import ImageLimits
from celeste_image.imaging.pixels import Pixels
from celeste_image.pipeline.metadata import MetadataDefaults, writing_metadata

pytestmark = pytest.mark.asyncio(loop_scope="module")

VENDORS = pictures.encoded(Image.new("RGB", (8, 8)), "JPEG", comment="made by a vendor")
AVIF = pictures.encoded(Image.new("RGB", (8, 8)), "AVIF")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def work() -> AsyncIterator[Pixels]:
    work = Pixels("pipeline")
    yield work
    await work.close()


def picture(data: bytes, media_type: str = "image/jpeg", index: int = 0) -> Picture:
    return Picture(data, media_type, 8, 8, index, seed=5)


async def made(
    work: Pixels,
    *events: Event,
    labels: MetadataDefaults = MetadataDefaults(),  # noqa: B008
    **options: Any,
) -> list[Event]:
    provider = FakeProvider()
    run = fitted(writing_metadata(Fake(*events), work, "Celeste 1"), provider, metadata=labels)
    return await collect(run, replace(REQUEST, model=PLAIN.id, options=RequestOptions(**options)), CALL)


def pictures_of(events: list[Event]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, Picture)]


async def test_nothing_changes_unless_somebody_says_so(work: Pixels) -> None:
    first, look = picture(VENDORS), Preview(b"look", "image/jpeg", 8, 8)
    assert [e for e in await made(work, look, first) if not isinstance(e, Fidelity)] == [look, first]
    kept = await made(work, first, output_metadata=OutputMetadata.KEEP, embed_recipe=False)
    assert pictures_of(kept) == [VENDORS]


async def test_a_vendors_words_are_stripped_and_the_recipe_is_written(work: Pixels) -> None:
    (bare,) = pictures_of(await made(work, picture(VENDORS), output_metadata=OutputMetadata.STRIP))
    assert b"made by a vendor" not in bare and b"celeste:Recipe" not in bare
    (told,) = pictures_of(await made(work, picture(VENDORS), embed_recipe=True))
    assert b"made by a vendor" in told and b"celeste:Recipe" in told and b"trainedAlgorithmicMedia" in told
    both = MetadataDefaults(OutputMetadata.STRIP, True)
    (own,) = pictures_of(await made(work, picture(VENDORS), labels=both))
    assert b"made by a vendor" not in own and b"celeste:Recipe" in own
    images = [pictures.opened(data).tobytes() for data in (VENDORS, bare, told, own)]
    assert images == images[:1] * 4


async def test_a_picture_that_is_too_large_to_touch_is_not_lost() -> None:
    work = Pixels("pipeline", limits=ImageLimits(max_bytes=10))
    events = await made(work, picture(VENDORS), saved(0), embed_recipe=True)
    await work.close()
    assert pictures_of(events) == [VENDORS]
    (line,) = [e.line for e in events if isinstance(e, Fidelity) and e.line.path == "options.embed_recipe"]
    assert line.outcome == "adjusted" and "at most 10 are allowed" in line.message


async def test_what_can_not_be_done_is_told_of_the_image_and_refuses_nothing(work: Pixels) -> None:
    events = await made(
        work,
        picture(VENDORS),
        saved(0),
        picture(AVIF, "image/avif", 1),
        saved(1),
        output_metadata=OutputMetadata.STRIP,
        embed_recipe=True,
        strict=True,
    )
    assert pictures_of(events)[1] == AVIF
    told = {(e.line.path, e.line.image_index): e.line for e in events if isinstance(e, Fidelity)}
    for path, note in (
        ("options.output_metadata", "metadata of image/avif can't be removed"),
        ("options.embed_recipe", "a recipe can't be written into image/avif"),
    ):
        assert told[path, 0].outcome == "honored"
        assert (told[path, 1].outcome, told[path, 1].message) == ("adjusted", note)
        assert (path, None) not in told
    assert len([event for event in events if isinstance(event, Fidelity)]) == len(told), "each line comes once"


async def test_a_model_that_is_in_no_catalog_gets_its_recipe_too(work: Pixels) -> None:
    request = replace(REQUEST, model="fake/newer", options=RequestOptions(embed_recipe=True))
    events = await collect(
        routed(writing_metadata(Fake(picture(VENDORS)), work, "Celeste 1"), FakeProvider().cards), request, CALL
    )
    (data,) = pictures_of(events)
    assert b"fake/newer" in data
