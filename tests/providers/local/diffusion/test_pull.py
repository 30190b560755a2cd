"""Pulls of diffusion models from a hub on loopback: resumed, checked, locked, or refused."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.providers.local.diffusion.conftest import Celeste
from tests.support.model_hub import BULK, COMMIT, REPO, TINY, Hub, tiny_files

from celeste_image.cli.models import command
from celeste_image.core.errors import WeightsMissing
from celeste_image.providers.local.models.diffusion import describe
from celeste_image.providers.local.weights import installed
from celeste_image.providers.local.weights.hub import pull

UNET = "unet/openvino_model.bin"
VOCABULARY = "tokenizer/vocab.json"
MADE = {"model_index.json", "tokenizer/openvino_tokenizer.xml", "tokenizer/openvino_tokenizer.bin"}
ADD = ("models", "add", REPO, "--name", "tiny")


def flipped(path: str) -> bytes:
    data = tiny_files()[path]
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


def pulled(hub: Hub, name: str = "tiny", repo: str = REPO) -> list[str]:
    """Pulls in this process; returns the lines given to `on_line`."""
    lines: list[str] = []
    pull(name, repo, ready=describe, on_line=lines.append, endpoint=hub.address)
    return lines


def refusal(hub: Hub, name: str = "tiny", repo: str = REPO) -> str:
    with pytest.raises(WeightsMissing) as caught:
        pulled(hub, name, repo)
    assert hub.address not in caught.value.message
    return caught.value.message


def add(*arguments: str) -> Result:
    """Runs `celeste models add` in this process, for folders, which need no hub."""
    return CliRunner().invoke(command, ["add", *arguments])


def test_a_killed_pull_is_resumed_and_completes(celeste: Celeste, hub: Hub, models: Path) -> None:
    hub.stall[BULK] = 21 << 20
    killed = celeste(*ADD)
    assert hub.stalled.wait(60)
    while not [part for part in models.glob(".pull-tiny/unet/*.part") if part.stat().st_size >= 20 << 20]:
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    assert not list(models.glob("[!.]*"))

    hub.stall.clear()
    hub.asked.clear()
    # Two at once: one waits for the other, and finds all files.
    for process in [celeste(*ADD), celeste(*ADD)]:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, f"{models}/tiny\n"), err
    assert [begin for path, begin in hub.asked if path == BULK] == [20 << 20]
    assert (UNET, 0) in hub.asked
    assert (VOCABULARY, 0) not in hub.asked  # downloaded before
    lock = installed.read_lock("tiny")
    assert lock is not None
    assert (lock.repo, lock.revision, lock.license) == (REPO, COMMIT, "cc0-1.0")
    assert {file.path for file in lock.files} == set(tiny_files()) - {".gitattributes", "out.png"}
    assert {file.path for file in lock.made} == MADE
    installed.verify(models / "tiny", lock.present.values(), "tiny")
    assert {path.name for path in models.iterdir()} == {"tiny", "tiny.lock.json", ".pull-tiny.lock"}


def test_a_broken_download_is_resumed(hub: Hub, models: Path) -> None:
    hub.cut[BULK] = [15 << 20]
    pulled(hub)
    assert [begin for path, begin in hub.asked if path == BULK] == [0, 10 << 20]


def test_wrong_bytes_are_refused_and_not_installed(celeste: Celeste, hub: Hub, models: Path) -> None:
    hub.served = {VOCABULARY: flipped(VOCABULARY)}
    assert f"{VOCABULARY} does not have the Git blob id that the hub states" in refusal(hub)
    hub.served = {UNET: flipped(UNET)}
    process = celeste(*ADD)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert f"{UNET} does not have the SHA-256 that the hub states" in err
    assert "Traceback" not in err
    assert not list(models.glob("[!.]*"))
    assert not list(models.rglob("*.part"))
    hub.served.clear()
    pulled(hub)


def test_a_lock_pins_later_pulls_to_the_files_of_the_first(hub: Hub, models: Path) -> None:
    pulled(hub)
    lock = (models / "tiny.lock.json").read_bytes()
    hub.revisions["2" * 40], hub.head = tiny_files() | {UNET: flipped(UNET)}, "2" * 40

    hub.asked.clear()
    assert pulled(hub) == []
    assert hub.asked == []  # complete: no file is requested

    (models / "tiny" / VOCABULARY).write_bytes(flipped(VOCABULARY))
    pulled(hub)
    assert {path for path, _ in hub.asked} == {VOCABULARY, "model_index.json"}
    assert (models / "tiny.lock.json").read_bytes() == lock

    shutil.rmtree(models / "tiny")
    assert "is from nobody/tiny-openvino, not from nobody/other" in refusal(hub, repo="nobody/other")
    hub.revisions[COMMIT] = hub.revisions["2" * 40]  # the history was rewritten
    assert f"the hub's {UNET} differs from the one in tiny.lock.json" in refusal(hub)
    hub.revisions[COMMIT] = tiny_files() | {VOCABULARY: flipped(VOCABULARY)}
    assert f"{VOCABULARY} does not have the SHA-256 in the lock" in refusal(hub)
    del hub.revisions[COMMIT]
    assert "no longer has revision" in refusal(hub)
    assert not (models / "tiny").exists()
    assert (models / "tiny.lock.json").read_bytes() == lock
    hub.revisions[COMMIT] = tiny_files()
    pulled(hub)
    assert (models / "tiny" / UNET).read_bytes() == tiny_files()[UNET]


def test_an_unsupported_model_is_refused_before_its_weights_are_downloaded(hub: Hub, models: Path) -> None:
    index = json.loads(tiny_files()["model_index.json"]) | {"_class_name": "OVSomethingPipeline"}
    hub.revisions[COMMIT]["model_index.json"] = json.dumps(index).encode()
    assert "does not support the pipeline SomethingPipeline" in refusal(hub)
    assert not [path for path, _ in hub.asked if path.endswith(".bin")]
    assert not list(models.glob("[!.]*"))


def test_a_failed_pull_gives_the_reason(celeste: Celeste, hub: Hub, models: Path) -> None:
    assert "the hub has no repository nobody/nothing" in refusal(hub, repo="nobody/nothing")
    assert "neither a folder nor a repository's name" in refusal(hub, repo="no/repo/sitory")
    hub.revisions[COMMIT] = {"model_index.json": b"{}", "unet/model.safetensors": b"x", "../../up.json": b"x"}
    assert "it lacks unet/openvino_model.bin" in refusal(hub)
    hub.address = "http://127.0.0.1:9"
    process = celeste("models", "pull", "local/sd-turbo")
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "the hub can't be reached" in err, "127.0.0.1" in err) == (1, True, False)
    assert not list(models.glob("[!.]*"))


def test_a_folder_is_copied_and_made_ready(models: Path, tmp_path: Path) -> None:
    done = add(str(TINY))
    assert (done.exit_code, done.stdout) == (0, f"{models}/tiny\n")
    lock = installed.read_lock("tiny")
    assert lock is not None
    assert (lock.repo, {file.path for file in lock.made}) == ("", MADE)
    assert "exists already" in str(add(str(TINY)).exception)
    for name in ("compose", "realesrgan-animevideov3", "sd-turbo", "Tiny!", "../tiny"):
        assert add(str(TINY), "--name", name).exit_code == 2

    other = tmp_path / "other"
    shutil.copytree(TINY, other)
    index = json.loads((other / "model_index.json").read_text())
    (other / "model_index.json").write_text(json.dumps(index | {"_class_name": "OVSomethingPipeline"}))
    assert "SomethingPipeline" in str(add(str(other)).exception)
    (other / "tokenizer" / "merges.txt").unlink()
    assert "merges.txt" in str(add(str(other)).exception)
    (other / "unet" / "openvino_model.bin").unlink()
    assert "not a diffusion model in OpenVINO's format" in str(add(str(other)).exception)
    assert sorted(path.name for path in models.iterdir()) == ["tiny", "tiny.lock.json"]
