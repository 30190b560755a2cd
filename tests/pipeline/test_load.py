"""loading: pictures of a request become bytes with facts, or errors that say which picture it was."""

import hashlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.support import stores
from tests.support.fake_provider import REQUEST, Fake, collect
from tests.support.pictures import plain

from celeste_image.core.artifact import artifact_name
from celeste_image.core.caller import ANONYMOUS
from celeste_image.core.edits import Erase, Inpaint, Mask
from celeste_image.core.errors import (
    ArtifactDamaged,
    ArtifactNotFound,
    CelesteError,
    ImageTooLarge,
    InvalidRequest,
    NotAnImage,
)
from celeste_image.core.events import Progress
from celeste_image.core.image import ImageInput
from celeste_image.core.request import Analyze, Edit, Upscale
from celeste_image.imaging.guard import Guard, ImageLimits
from celeste_image.pipeline.load import ImagesIn, loading
from celeste_image.sandbox.pool import WorkerPool
from celeste_image.store import ArtifactStore, open_store
from celeste_image.store.database_index import DatabaseIndex

pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURE = plain(12, 8)
DIGEST = hashlib.sha256(PICTURE).hexdigest()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guard() -> AsyncIterator[Guard]:
    pool = WorkerPool("celeste_image.imaging.guard_engine")
    yield Guard(pool, ImageLimits(max_pixels=1000))
    await pool.close()


@pytest.fixture
def store() -> ArtifactStore:
    return stores.memory()


async def test_bytes_and_artifacts_get_bytes_and_facts(guard: Guard, store: ArtifactStore) -> None:
    mask = plain(12, 8, color="white")
    artifact = await store.put(ANONYMOUS.tenant, PICTURE)
    fake = Fake(Progress(1.0))
    request = Edit(
        image=ImageInput(artifact=artifact.name, sha256=DIGEST), edit=Erase(Mask(ImageInput(mask), feather=3))
    )
    assert await collect(loading(fake, ImagesIn(store, guard)), request) == [Progress(1.0)]
    (got,) = fake.asked
    assert isinstance(got, Edit)
    assert isinstance(got.edit, Erase)
    assert got.image.data == PICTURE
    assert got.image.facts
    assert (got.image.facts.width, got.image.facts.height, got.image.facts.sha256) == (12, 8, DIGEST)
    assert got.edit.mask.image.data == mask
    assert got.edit.mask.feather == 3
    assert request.image.data == b"", "what was asked stays as it was"


async def test_a_request_without_pictures_goes_through(guard: Guard, store: ArtifactStore) -> None:
    fake = Fake()
    await collect(loading(fake, ImagesIn(store, guard)), REQUEST)
    assert fake.asked == [REQUEST]


GOOD = ImageInput(PICTURE)
BAD = ImageInput(b"no picture")
HUGE = ImageInput(plain(100, 100))
MISSING = ImageInput(artifact=artifact_name("0" * 64))


@pytest.mark.parametrize(
    ("request_", "path", "error"),
    [
        (Analyze(image=BAD), "image", NotAnImage),
        (Upscale(image=HUGE, factor=2), "image", ImageTooLarge),
        (Edit(image=MISSING, edit=Erase(Mask(GOOD))), "image", ArtifactNotFound),
        (Edit(image=GOOD, edit=Erase(Mask(BAD))), "erase.mask.image", NotAnImage),
        (Edit(image=GOOD, edit=Inpaint(Mask(MISSING), "x")), "inpaint.mask.image", ArtifactNotFound),
    ],
)
async def test_errors_say_which_picture(
    guard: Guard, store: ArtifactStore, request_: Edit, path: str, error: type[CelesteError]
) -> None:
    fake = Fake()
    with pytest.raises(error) as caught:
        await collect(loading(fake, ImagesIn(store, guard)), request_)
    assert [violation.field for violation in caught.value.violations] == [path]
    assert caught.value.message.startswith(f"{path}: ")
    assert type(caught.value) is error
    assert fake.asked == []
    if error is ImageTooLarge:
        assert caught.value.metadata == {"unit": "pixels", "limit": "1000", "value": "10000"}
    if error is ArtifactNotFound:
        assert caught.value.resource == MISSING.artifact


async def test_a_digest_that_does_not_fit_is_refused_with_the_right_one(guard: Guard, store: ArtifactStore) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await collect(loading(Fake(), ImagesIn(store, guard)), Analyze(image=ImageInput(PICTURE, sha256="0" * 64)))
    assert [violation.field for violation in caught.value.violations] == ["image.sha256"]
    assert caught.value.metadata["value"] == DIGEST


async def test_damaged_artifacts_are_not_the_callers_fault(guard: Guard, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(DatabaseIndex, "small_bytes", 0)  # its bytes are a file
    store = open_store((tmp_path / "store").as_uri(), tmp_path / "spool")
    artifact = await store.put(ANONYMOUS.tenant, PICTURE)
    (blob,) = (path for path in (tmp_path / "store" / "sha256").rglob("*") if path.is_file())
    blob.write_bytes(PICTURE[:-1])
    with pytest.raises(ArtifactDamaged):
        await collect(loading(Fake(), ImagesIn(store, guard)), Analyze(image=ImageInput(artifact=artifact.name)))
