"""saving: bytes go in, names come out."""

from contextlib import aclosing
from dataclasses import replace

import pytest
from tests.support import stores
from tests.support.fake_provider import CALL, REQUEST, Fake, collect, collect_until_error, loaded, picture, routed

from celeste_image.core.caller import ANONYMOUS
from celeste_image.core.edits import Erase, Mask
from celeste_image.core.errors import NotAnImage, StorageFull
from celeste_image.core.events import ComputeUsed, Progress, Saved
from celeste_image.core.request import Edit
from celeste_image.pipeline.save import saving


async def test_a_picture_is_stored_before_it_is_told_of() -> None:
    store = stores.memory()
    fake = Fake(Progress(0.5), picture(b"one", 0, 7), picture(b"two", 1), ComputeUsed(1.0))
    events = await collect(routed(saving(fake, store)))
    assert [type(event) for event in events] == [Progress, Saved, Saved, ComputeUsed]
    first, second = (event.image for event in events if isinstance(event, Saved))
    assert await store.get(ANONYMOUS.tenant, first.artifact) == b"one"
    assert (first.media_type, first.width, first.height, first.size_bytes) == ("image/png", 8, 8, 3)
    assert (first.index, first.seed, second.index, second.seed) == (0, 7, 1, None)
    assert first.artifact.endswith(first.sha256)
    assert first.data == b"", "bytes go no higher"
    assert first.parents == ()


async def test_a_picture_names_what_it_was_made_from_in_order() -> None:
    source, mask = loaded(4, 4, "a" * 64), loaded(4, 4, "b" * 64)
    request = Edit(model="fake/one", image=source, edit=Erase(Mask(mask)))
    (event,) = await collect(routed(saving(Fake(picture()), stores.memory())), request)
    assert isinstance(event, Saved)
    assert event.image.parents == ("a" * 64, "b" * 64)


async def test_what_was_stored_stays_when_the_rest_fails() -> None:
    store = stores.memory()
    seen, error = await collect_until_error(routed(saving(Fake(picture(), NotAnImage("no")), store)))
    assert isinstance(error, NotAnImage)
    (event,) = seen
    assert isinstance(event, Saved)
    assert await store.get(ANONYMOUS.tenant, event.image.artifact) == b"png"


async def test_closing_stops_the_work() -> None:
    fake = Fake(picture(), picture(b"never"))
    store = stores.memory()
    async with aclosing(routed(saving(fake, store))(replace(REQUEST), CALL)) as events:
        await anext(events)
    assert fake.closed == 1


async def test_a_store_that_fails_fails_the_call_and_stops_the_work() -> None:
    class Full:
        async def check_room(self) -> None:
            """There was room when the work began."""

        async def put(self, *arguments: object, **facts: object) -> None:
            raise OSError("no")

    fake = Fake(picture(), picture())
    with pytest.raises(OSError, match="no"):
        await collect(routed(saving(fake, Full())))  # type: ignore[arg-type]
    assert fake.closed == 1


async def test_no_work_begins_without_room_for_its_result() -> None:
    class Full:
        async def check_room(self) -> None:
            raise StorageFull("no room")

    fake = Fake(picture())
    with pytest.raises(StorageFull):
        await collect(routed(saving(fake, Full())))  # type: ignore[arg-type]
    assert fake.closed == 0


async def test_what_is_saved_says_how_it_was_made() -> None:
    store = stores.memory()
    (event,) = await collect(routed(saving(Fake(picture()), store)))
    assert isinstance(event, Saved)
    (lineage,) = (await store.find(ANONYMOUS.tenant, event.image.artifact)).lineages
    assert (lineage.request_id, lineage.operation, lineage.model) == (CALL.request_id, REQUEST.kind, REQUEST.model)
