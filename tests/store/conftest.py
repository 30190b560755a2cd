import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.s3 import S3, serving
from tests.support.stores import StoreSetup, setup_at

from celeste_image.store.open import open_backend


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["memory", "disk", "s3"])
def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreSetup]:
    """An empty store of each kind."""
    options: dict[str, str] = {}
    if request.param == "memory":
        url = "memory:///"
    elif request.param == "disk":
        url = (tmp_path / "a folder").as_uri()
    else:
        s3: S3 = request.getfixturevalue("s3")
        url, options = s3.url(f"{tmp_path.parent.name}-{tmp_path.name}"), s3.options()
    setup = setup_at(open_backend(url, options), tmp_path / "spool")
    yield setup
    setup.close()


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[StoreSetup]:
    setup = setup_at(open_backend((tmp_path / "store").as_uri(), {}), tmp_path / "spool")
    yield setup
    setup.close()


@pytest.fixture
def on_two_disks(tmp_path: Path) -> Iterator[StoreSetup]:
    """A store on disk, whose unfinished uploads are on another disk."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        setup = setup_at(open_backend((tmp_path / "store").as_uri(), {}), Path(folder) / "spool")
        yield setup
        setup.close()
