"""One property of the whole pipeline: however a request ends, it gives back all that it held and stores nothing half.

The pipeline is the server's own: real store, decoders, pixel workers and budgets. Only the provider is a fake.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from contextlib import aclosing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.support import pictures
from tests.support.fake_provider import CALL, FakeProvider, card, parameter
from tests.support.servers import workers

from celeste_image.app import App, build_app
from celeste_image.config import Settings
from celeste_image.core.card import BoolRange, IntegerRange, TextRange
from celeste_image.core.edits import Inpaint, Mask
from celeste_image.core.errors import CelesteError, ProviderFailed, ProviderUnavailable
from celeste_image.core.events import Completed, Event, Picture, Preview, Progress, Retrying
from celeste_image.core.image import ImageInput
from celeste_image.core.request import Edit, Generate, ImageRequest, OperationKind, OutputMetadata, RequestOptions

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIDE = 48
ENGINES = ("imaging.guard_engine", "imaging.pixels_engine")
SOURCE, MADE = pictures.photo(SIDE), pictures.plain(SIDE, SIDE)
METADATA = RequestOptions(output_metadata=OutputMetadata.STRIP, embed_recipe=True)
REQUESTS: dict[str, ImageRequest] = {
    "generate": Generate(model="fake/painter", prompt="a fox", count=3, seed=1, options=METADATA),
    "inpaint": Edit(
        model="fake/editor",
        image=ImageInput(data=SOURCE),
        edit=Inpaint(Mask(ImageInput(data=pictures.mask(SIDE, SIDE, (8, 8, 24, 24)))), "a bird", pixel_lock=True),
        options=METADATA,
    ),
}
CARDS = (
    card(
        "fake/painter",
        OperationKind.GENERATE,
        parameter("prompt", TextRange()),
        parameter("count", IntegerRange(1, 8)),
        parameter("seed", IntegerRange(0)),
        max_count=2,
    ),
    card(
        "fake/editor",
        OperationKind.EDIT,
        parameter("inpaint.prompt", TextRange()),
        parameter("inpaint.pixel_lock", BoolRange(default=True)),
        edits=("inpaint",),
    ),
)


class Provider(FakeProvider):
    """Refuses the first try of each request, then makes its images; runs one call at a time and lets none wait.

    Attributes:
        fails_at: Raises `error` before the event with this number, counted over the request; 0 is never.
    """

    def __init__(self) -> None:
        super().__init__(CARDS, run=self._run)
        self.settings = self.Settings(concurrency=1, queue=0, patience_seconds=0)
        self.fails_at, self.error = 0, Exception()
        self.at_work = 0
        self.refuses = True
        self.told = 0

    def begin(self, fails_at: int = 0, error: Exception | None = None) -> None:
        self.refuses, self.told, self.fails_at, self.error = True, 0, fails_at, error or Exception()

    async def _run(self, request: ImageRequest, _: object) -> AsyncGenerator[Event, None]:
        self.at_work += 1
        try:
            if self.refuses:
                self.refuses = False
                raise ProviderUnavailable("busy")
            count = request.count if isinstance(request, Generate) else 1
            async with aclosing(self._events(count)) as events:
                async for event in events:
                    await asyncio.sleep(0)
                    self.told += 1
                    if self.told == self.fails_at:
                        raise self.error
                    yield event
        finally:
            self.at_work -= 1

    async def _events(self, count: int) -> AsyncGenerator[Event, None]:
        yield Progress(0.5)
        yield Preview(MADE, "image/png", SIDE, SIDE, 0)
        for index in range(count):
            yield Picture(MADE, "image/png", SIDE, SIDE, index, index)


class Interrupted:
    """Awaits a coroutine, and interrupts the await number `at`: the await raises `error`, or the task is cancelled.

    Attributes:
        reached: Whether there was an await of this number.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int, error: Exception | None = None) -> None:
        self._coroutine, self._left, self._error = coroutine, at, error
        self.reached = False

    def __await__(self) -> Generator[Any, Any, Any]:
        resume = partial(self._coroutine.send, None)
        while True:
            try:
                waited_for = resume()
            except StopIteration as end:
                return end.value
            self._left -= 1
            if not self._left:
                self.reached = True
                task = asyncio.current_task()
                assert task
                if self._error:
                    resume = partial(self._coroutine.throw, self._error)
                    continue
                task.cancel()
            try:
                yield waited_for
            except BaseException as raised:
                resume = partial(self._coroutine.throw, raised)
            else:
                resume = partial(self._coroutine.send, None)


class World:
    """The app, its provider and the folder of its store."""

    def __init__(self, app: App, provider: Provider, folder: Path) -> None:
        self.app, self.provider, self.folder = app, provider, folder

    async def events(self, request: ImageRequest, close_after: int = 0) -> list[Event]:
        """Returns the events of a request, which is closed after `close_after` of them; 0 is never."""
        seen: list[Event] = []
        async with aclosing(self.app.run(request, CALL)) as events:
            async for event in events:
                seen.append(event)
                if len(seen) == close_after:
                    break
        return seen

    async def check_that_all_works(self, request: ImageRequest) -> list[Event]:
        """Runs a request to its end and returns its events: the only slot of the provider is free."""
        self.provider.begin()
        seen = await self.events(request)
        assert isinstance(seen[-1], Completed)
        assert any(isinstance(event, Retrying) for event in seen)
        return seen

    async def check_that_all_is_given_back(self) -> None:
        assert self.provider.at_work == 0
        for budget in (self.app.budget, self.app.chunks):
            assert (budget.held_bytes, budget.waiting) == (0, 0)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        logs = [task for task in tasks if getattr(task.get_coro(), "__name__", "") == "pass_on_lines"]
        processes = [pid for engine in ENGINES for pid in workers(engine)]
        assert len(logs) == len(processes), "a task reads the log of each idle process"
        async with asyncio.timeout(5):  # a thread that syncs a file can't be stopped, so its task outlives an error
            await asyncio.gather(*(task for task in tasks if task not in logs))
        await self.check_that_all_stored_is_whole()

    async def check_that_all_stored_is_whole(self) -> None:
        """Checks the store's files; a put that was cancelled may need a moment to end."""
        async with asyncio.timeout(5):
            while staged := [path for path in self.files("store") if "#" in path.name]:
                await asyncio.sleep(0.001)
        assert not staged and not self.files("store/uploads")
        blobs = {path.name: path for path in self.files("store/sha256")}
        records = self.files("store/records")
        assert {path.name.removesuffix(".json") for path in records} <= blobs.keys(), "bytes come before their record"
        for name, path in blobs.items():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == name
        for path in (*records, *blobs.values()):  # so that the next request writes them again
            path.unlink()

    def files(self, folder: str) -> list[Path]:
        return [path for path in (self.folder / folder).rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keeps the tracebacks of bugs out of the output: to print one takes seconds."""
    with capture_logs():
        yield


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Yields the world; afterwards no process and no task is left."""
    folder, provider = tmp_path_factory.mktemp("world"), Provider()
    images = {"decoders": 1}
    store = {"url": (folder / "store").as_uri(), "reserve_bytes": 0}
    app = build_app(Settings(store=store, images=images), [provider])  # type: ignore[arg-type]
    world = World(app, provider, folder)
    for request in REQUESTS.values():
        await world.check_that_all_works(request)
    await world.check_that_all_is_given_back()
    yield world
    await app.close()
    assert not [pid for engine in ENGINES for pid in workers(engine)]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_stream_that_is_closed_after_any_event_gives_all_back(world: World, name: str) -> None:
    most = len(await world.check_that_all_works(REQUESTS[name]))
    for number in range(1, most + 1):
        world.provider.begin()
        assert len(await world.events(REQUESTS[name], close_after=number)) == number
        await world.check_that_all_is_given_back()


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_task_that_is_cancelled_at_any_await_gives_all_back(world: World, name: str) -> None:
    for at in count(1):
        world.provider.begin()
        run = Interrupted(world.events(REQUESTS[name]), at)
        try:
            await run
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task and task.uncancel() == 0
        await world.check_that_all_is_given_back()
        if not run.reached:
            break
    await world.check_that_all_works(REQUESTS[name])


@pytest.mark.parametrize("error", [ProviderFailed("broken"), RuntimeError("a bug")], ids=["known", "bug"])
@pytest.mark.parametrize("name", REQUESTS)
async def test_an_error_of_the_provider_at_any_event_gives_all_back(world: World, name: str, error: Exception) -> None:
    for number in count(1):
        world.provider.begin(number, error)
        with contextlib.suppress(CelesteError):
            await world.events(REQUESTS[name])
        await world.check_that_all_is_given_back()
        if world.provider.told < number:
            break
    await world.check_that_all_works(REQUESTS[name])


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_error_at_any_await_gives_all_back(world: World, name: str) -> None:
    for at in count(1):
        world.provider.begin()
        run = Interrupted(world.events(REQUESTS[name]), at, OSError("it broke"))
        with contextlib.suppress(OSError, CelesteError):
            await run
        await world.check_that_all_is_given_back()
        if not run.reached:
            break
    await world.check_that_all_works(REQUESTS[name])
