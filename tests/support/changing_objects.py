"""A store over objects that another caller changes during one read."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.stores import StoreSetup

from celeste_image.store.artifacts import ArtifactStore
from celeste_image.store.backend import Backend
from celeste_image.store.memory import MemoryObjects

Meanwhile = Callable[[], Awaitable[None]]


class _Read:
    """Bytes that were read already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def bytes_async(self) -> bytes:
        return self._data


class _Meddled:
    """Passes everything on; runs an action once, before or after the first read of a path."""

    def __init__(self, objects: Any, path: str, before_read: Meanwhile | None, after_read: Meanwhile | None) -> None:
        self._objects, self._path = objects, path
        self._before_read, self._after_read = before_read, after_read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    async def put_async(self, path: str, content: Any, **options: Any) -> Any:
        memory = isinstance(self._objects, MemoryObjects)  # has no parts, so it takes no options of them
        return await self._objects.put_async(path, content, **({} if memory else options))

    async def head_async(self, path: str) -> Any:
        await self._before(path)
        return await self._objects.head_async(path)

    async def get_async(self, path: str) -> Any:
        await self._before(path)
        found = await self._objects.get_async(path)
        if path == self._path and (action := self._after_read):
            self._after_read = None
            found = _Read(bytes(await found.bytes_async()))
            await action()
        return found

    async def _before(self, path: str) -> None:
        if path == self._path and (action := self._before_read):
            self._before_read = None
            await action()


def meddled(
    setup: StoreSetup, path: str, *, before_read: Meanwhile | None = None, after_read: Meanwhile | None = None
) -> ArtifactStore:
    """Returns a second server's store on the same objects, with an action around its first read of a path."""
    backend = setup.backend
    objects = _Meddled(backend.objects, path, before_read, after_read)
    return ArtifactStore(
        Backend(objects, backend.folder, backend.database, backend.far),  # type: ignore[arg-type]
        setup.uploads(),
        ages=setup.clock.ages(),
    )
