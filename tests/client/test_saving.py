"""Files of images: a suffix is true, nothing is replaced unasked, and a failed write leaves the old file."""

import asyncio
import errno
import os
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest

from celeste_image.client import AsyncClient, Client
from celeste_image.client.saving import media_type_of, write_file
from celeste_image.core.result import ImageOutput

NAME = "artifacts/sha256-" + "0" * 64


def output(**fields: Any) -> ImageOutput:
    known = {"artifact": NAME, "media_type": "image/png", "width": 1, "height": 1, "size_bytes": 3}
    return ImageOutput(**(known | {"sha256": "0" * 64, "data": b"png"} | fields))


@pytest.fixture
def client() -> Client:
    return Client(grpc.insecure_channel("unix:/nowhere"))


def test_a_folder_is_a_folder(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "folder.d"
    folder.mkdir()
    paths = [
        client.save(output(seed=7), folder),
        client.save(output(seed=7), f"{folder}/"),
        client.save(output(), folder),
    ]
    assert [path.name for path in paths] == ["image-7-0.png", "image-7-0-2.png", "image-0.png"]
    assert {path.parent for path in paths} == {folder}
    with pytest.raises(FileNotFoundError, match="no such folder"):
        client.save(output(), f"{tmp_path}/missing/")
    assert os.listdir(tmp_path) == ["folder.d"]


@pytest.mark.parametrize("name", ["a.bmp", "a.jpg", "a.JPEG", "a.gif", "a.tiff", "a.txt", "a.png.webp", "a.heic"])
def test_a_suffix_of_another_format_is_refused(client: Client, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"image/png; save it as .*\.png"):
        client.save(output(), tmp_path / name)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "saved"), [("a", "a.png"), ("a-1.5", "a-1.5.png"), ("a.PNG", "a.PNG"), ("a.", "a..png"), (".a", ".a.png")]
)
def test_a_name_without_a_suffix_gets_the_right_one(client: Client, tmp_path: Path, name: str, saved: str) -> None:
    assert client.save(output(), tmp_path / name).name == saved
    assert (tmp_path / saved).read_bytes() == b"png"


def test_an_empty_path_is_no_folder(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="the path is empty"):
        client.save(output(), "")
    assert not os.listdir(tmp_path)


def test_nothing_is_replaced_unasked_by_either_client(client: Client, tmp_path: Path) -> None:
    place = tmp_path / "a.png"
    place.write_bytes(b"mine")
    place.chmod(0o640)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        client.save(output(), place)

    async def save(**how: bool) -> None:
        async with AsyncClient("unix:/nowhere") as other:
            await other.save(output(), place, **how)

    with pytest.raises(FileExistsError, match="overwrite=True"):
        asyncio.run(save())
    assert place.read_bytes() == b"mine"
    asyncio.run(save(overwrite=True))
    assert place.read_bytes() == b"png"
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert client.save(output(), place, overwrite=True) == place


def test_a_failed_write_leaves_the_old_file_and_names_the_artifact(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a.png"
    place.write_bytes(b"mine")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"No space left on device; the server keeps the image as {NAME}") as caught:
        client.save(output(), place, overwrite=True)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(place))
    assert place.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("name", ["file/a.png", "a" * 300 + ".png", "b\0.png"])
def test_places_that_no_file_can_have(client: Client, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises((OSError, ValueError)):
        client.save(output(), tmp_path / name)
    assert os.listdir(tmp_path) == ["file"]


def test_the_order_is_write_sync_rename_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, link, replace = os.fsync, os.link, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), sync(fd)))
    monkeypatch.setattr(os, "link", lambda *names: (order.append("name"), link(*names)))
    monkeypatch.setattr(Path, "replace", lambda *names: (order.append("name"), replace(*names)))
    write_file(tmp_path / "a", b"1")
    write_file(tmp_path / "a", b"2", overwrite=True)
    assert order == ["sync", "name", "sync"] * 2


def test_links_are_followed_and_devices_are_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with pytest.raises(FileExistsError):
        write_file(link, b"new")
    write_file(link, b"new", overwrite=True)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    write_file(Path("/dev/null"), b"new", overwrite=True)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)

    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)  # a file system without hard links
    write_file(tmp_path / "fat.png", b"1")
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "fat.png", b"2")
    assert (tmp_path / "fat.png").read_bytes() == b"1"


def test_suffixes() -> None:
    assert [media_type_of(Path(name)) for name in ("a", "a.jpg", "a.JPEG", "a.1")] == [
        "",
        "image/jpeg",
        "image/jpeg",
        "",
    ]
    with pytest.raises(ValueError, match=r"not saved as \.bmp; use one of \.png, \.jpg"):
        media_type_of(Path("a.bmp"))
