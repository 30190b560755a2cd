"""The folder of a local server's socket: TMPDIR may be long, odd, missing or read-only."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from celeste_image.client import connect
from celeste_image.client.places import MOST_BYTES, SOCKET, private_folder
from celeste_image.core.errors import ServerUnavailable

ODD = ["a" * 100, "50%20off", "a#b", "what?", "two words", "für", "100%", "a:b", "back\\slash", "new\nline"]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)  # Python keeps its first answer


def works(folder: Path) -> None:
    address = f"{folder}/{SOCKET}"
    assert len(os.fsencode(address)) <= MOST_BYTES
    assert address.isascii()
    assert not set(address) & set("%#?: \\\n")
    assert folder.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_place_is_passed_over(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    works(private_folder())
    assert not list((tmp_path / name).iterdir())


@pytest.mark.parametrize("place", ["missing", "file", "/proc", ""])
def test_a_place_that_cannot_be_written_is_passed_over(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TMPDIR", str(tmp_path / place) if place else "")
    works(private_folder())


def test_a_good_place_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        monkeypatch.setenv("TMPDIR", place)
        folder = private_folder()
        assert str(folder.parent) == place
        works(folder)


def test_without_any_place_one_sentence_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**arguments: str) -> str:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    with pytest.raises(ServerUnavailable, match=r"Read-only file system.*set TMPDIR to a short path"):
        private_folder()


def test_a_local_server_starts_with_an_odd_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / ("50% #1? für " + "a" * 90)
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    with connect("local:") as client:
        assert client.server_info().version
