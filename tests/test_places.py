"""Places that can't be written: a home on a read-only disk, none at all, odd variables."""

import os
import tempfile
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.stores import OWNER
from tests.support.uploads import NAME, begin

from celeste_image.app import build_app
from celeste_image.config import Settings, sections
from celeste_image.providers.local.weights import packages


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("CELESTE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def variables(kind: str, folder: Path) -> dict[str, str]:
    (folder / "file").write_bytes(b"")
    (folder / "odd" / "celeste" / "artifacts").mkdir(parents=True)
    (folder / "odd" / "celeste" / "artifacts" / "uploads").write_bytes(b"")
    return {
        "home is a file": {"HOME": str(folder / "file")},
        "home below /proc": {"HOME": "/proc/nowhere"},
        "home unknown": {},
        "data folder is a file": {"XDG_DATA_HOME": str(folder / "file")},
        "uploads is a file": {"XDG_DATA_HOME": str(folder / "odd")},
    }[kind]


def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this user one whom the system does not know, as a random user id in a container, without HOME."""
    monkeypatch.setattr(sections, "user_data_path", lambda name: Path("~/.local/share") / name)
    monkeypatch.setattr(packages.platformdirs, "user_cache_path", lambda name: Path("~/.cache") / name)


@pytest.mark.parametrize(
    "kind",
    ["home is a file", "home below /proc", "home unknown", "data folder is a file", "uploads is a file"],
)
async def test_a_default_store_that_cannot_be_written_is_replaced_by_a_temporary_one(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(kind, tmp_path).items():
        monkeypatch.setenv(name, value)
    if kind == "home unknown":
        homeless(monkeypatch)
    with capture_logs() as logs:
        app = build_app(Settings(store={"reserve_bytes": 0}))  # type: ignore[arg-type]
    (line,) = (line for line in logs if "temporary folder" in line["event"])
    assert "set store.url" in line["event"]
    assert line["why"]
    artifact = await app.store.put("ann", b"kept")
    assert await app.store.get("ann", artifact.name) == b"kept"
    folder = app.store._backend.folder
    assert folder
    assert folder.exists()
    await app.close()
    assert not folder.exists(), "it is removed"


async def test_a_home_that_can_be_written_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ä #?%20 b"))
    with capture_logs() as logs:
        app = build_app(Settings(store={"reserve_bytes": 0}))  # type: ignore[arg-type]
    assert not [line for line in logs if "temporary" in line["event"]]
    await app.store.put("ann", b"kept")
    await app.close()
    assert list((tmp_path / "ä #?%20 b").rglob("database.sqlite3"))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"url": "file:///proc/nowhere/store"}, "store.url: "),
        ({"url": "memory:///", "spool": "/proc/nowhere/spool"}, "store.spool: "),
        ({"url": "file:///dev/null/store"}, "store.url: "),
    ],
)
def test_a_named_place_that_cannot_be_made_is_one_sentence_with_its_setting(settings: dict[str, str], key: str) -> None:
    with pytest.raises(ValueError, match=rf"^{key}.* can't be made: ") as caught:
        build_app(Settings(store=settings))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_user_without_a_home_has_no_weights_and_no_folder_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homeless(monkeypatch)
    assert packages.root().is_absolute()
    assert not list(tmp_path.iterdir())


async def test_the_unfinished_uploads_of_a_store_in_memory_need_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    app = build_app(Settings(store={"url": "memory:///", "reserve_bytes": 0}))  # type: ignore[arg-type]
    try:
        await begin(app.store, 7)
        assert await app.store.committed(OWNER, NAME) == (7, None)
        assert not [name for name in os.listdir(tmp_path) if "uploads" in name]
    finally:
        await app.close()


@pytest.mark.parametrize(("url", "is_told"), [("s3://bucket/prefix", True), ("memory:///", False)])
async def test_a_shared_store_says_that_its_unfinished_uploads_are_not_shared(
    url: str, is_told: bool, tmp_path: Path
) -> None:
    """Behind round robin, an upload goes on at another server's spool."""
    keys = {"endpoint": "https://127.0.0.1:9", "region": "x", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    with capture_logs() as logs:
        app = build_app(Settings(store={"url": url, "spool": tmp_path, "options": keys if is_told else {}}))  # type: ignore[arg-type]
    await app.close()
    told = [line["spool"] for line in logs if "unfinished uploads are on this server only" in line["event"]]
    assert told == [str(tmp_path)] * is_told
