"""Diffusion models come from a hub on loopback, whole and checked, or not at all."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from click.testing import CliRunner, Result
from tests.providers.local.diffusion.conftest import CELESTE, Celeste
from tests.providers.local.diffusion.hubs import BULK, COMMIT, REPO, TINY, Hub, tiny_files

from celeste_image.cli.models import command
from celeste_image.providers.local import shelf

UNET = "unet/openvino_model.bin"
VOCABULARY = "tokenizer/vocab.json"
MADE = {"model_index.json", "tokenizer/openvino_tokenizer.xml", "tokenizer/openvino_tokenizer.bin"}


def flipped(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


def test_a_pull_that_was_cut_and_killed_goes_on_and_completes(celeste: Celeste, hub: Hub, models: Path) -> None:
    hub.cut[BULK] = [15 << 20]
    first = celeste("models", "add", REPO, "--name", "tiny")
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{models}/tiny\n"
    assert [begin for path, begin in hub.asked if path == BULK] == [0, 10 << 20]

    shutil.rmtree(models)
    hub.asked.clear()
    hub.stall[BULK] = 21 << 20
    environment = os.environ | {"HF_ENDPOINT": hub.address}
    killed = subprocess.Popen([*CELESTE, "models", "add", REPO, "--name", "tiny"], env=environment, stderr=-3)
    part = models / ".pull-tiny" / "unet"
    assert hub.stalled.wait(60)
    while not [file for file in part.glob("bulk.bin.*.part") if file.stat().st_size >= 20 << 20]:
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    assert not (models / "tiny").exists()
    assert not (models / "tiny.lock.json").exists()

    hub.stall.clear()
    hub.asked.clear()
    second = celeste("models", "add", REPO, "--name", "tiny")
    assert second.returncode == 0, second.stderr
    assert [begin for path, begin in hub.asked if path == BULK] == [20 << 20]
    assert (UNET, 0) in hub.asked
    lock = shelf.read_lock("tiny")
    assert lock is not None
    assert (lock.repo, lock.revision, lock.license) == (REPO, COMMIT, "cc0-1.0")
    assert {file.path for file in lock.files} == set(tiny_files()) - {".gitattributes", "out.png"}
    assert {file.path for file in lock.made} == MADE
    shelf.check(models / "tiny", lock.present.values(), "tiny")
    assert {path.name for path in models.iterdir()} == {"tiny", "tiny.lock.json", ".pull-tiny.lock"}


def test_wrong_bytes_are_refused_and_nothing_is_seen(celeste: Celeste, hub: Hub, models: Path) -> None:
    for path, words in ((VOCABULARY, "Git blob"), (UNET, "SHA-256")):
        hub.served = {path: flipped(tiny_files()[path])}
        done = celeste("models", "add", REPO, "--name", "tiny")
        assert done.returncode == 1
        assert path in done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert not (models / "tiny").exists()
        assert not (models / "tiny.lock.json").exists()
        assert not list(models.rglob("*.part"))


def test_a_lock_holds_later_pulls_to_what_the_first_one_found(celeste: Celeste, hub: Hub, models: Path) -> None:
    assert celeste("models", "add", REPO, "--name", "tiny").returncode == 0
    lock = (models / "tiny.lock.json").read_bytes()
    moved = tiny_files() | {UNET: flipped(tiny_files()[UNET])}
    hub.revisions["2" * 40], hub.head = moved, "2" * 40

    hub.asked.clear()
    assert celeste("models", "pull", "local/tiny").returncode == 0
    assert hub.asked == []  # whole: nothing is asked for

    damaged = models / "tiny" / VOCABULARY
    damaged.write_bytes(flipped(damaged.read_bytes()))
    assert celeste("models", "pull", "local/tiny").returncode == 0
    assert {path for path, _ in hub.asked} == {VOCABULARY, "model_index.json"}
    assert (models / "tiny.lock.json").read_bytes() == lock

    shutil.rmtree(models / "tiny")
    hub.revisions[COMMIT] = moved  # a history that was rewritten
    done = celeste("models", "pull", "local/tiny")
    assert done.returncode == 1
    assert f"the hub has other bytes for {UNET} than tiny.lock.json says" in done.stderr
    hub.revisions[COMMIT] = tiny_files() | {VOCABULARY: flipped(tiny_files()[VOCABULARY])}
    done = celeste("models", "pull", "local/tiny")
    assert done.returncode == 1
    assert f"{VOCABULARY} is not the file that the lock says" in done.stderr
    del hub.revisions[COMMIT]
    assert "has no revision" in celeste("models", "pull", "local/tiny").stderr
    assert not (models / "tiny").exists()
    assert (models / "tiny.lock.json").read_bytes() == lock


def test_what_can_not_be_pulled_is_said(celeste: Celeste, hub: Hub, models: Path) -> None:
    assert "has no repository" in celeste("models", "add", "nobody/nothing").stderr
    hub.revisions[COMMIT] = {"model_index.json": b"{}", "unet/model.safetensors": b"x", "../../up.json": b"x"}
    done = celeste("models", "add", REPO)
    assert (done.returncode, "vae_decoder/openvino_model.xml is not in it" in done.stderr) == (1, True)
    done = celeste("models", "add", REPO, "--name", "sd-turbo")
    assert (done.returncode, "is a model of ours" in done.stderr) == (2, True)
    hub.address = "http://127.0.0.1:9"
    done = celeste("models", "pull", "local/sd-turbo")
    assert (done.returncode, "can't be reached" in done.stderr) == (1, True)
    assert "127.0.0.1" not in done.stderr
    assert list(models.glob("[!.]*")) == []


def add(*arguments: str) -> Result:
    """Runs the command in this process, which needs no hub."""
    return CliRunner().invoke(command, ["add", *arguments])


def test_a_folder_is_copied_and_made_ready(models: Path, tmp_path: Path) -> None:
    done = add(str(TINY))
    assert (done.exit_code, done.stdout) == (0, f"{models}/tiny\n")
    lock = shelf.read_lock("tiny")
    assert lock is not None
    assert (lock.repo, {file.path for file in lock.made}) == ("", MADE)
    assert "already" in str(add(str(TINY)).exception)
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
    assert "no diffusion model in OpenVINO's format" in str(add(str(other)).exception)
    assert sorted(path.name for path in models.iterdir()) == ["tiny", "tiny.lock.json"]
