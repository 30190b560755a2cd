"""Export and import of models as one archive, which is untrusted."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.model_hub import TINY

from celeste_image.core.errors import ModelNotFound, WeightsMissing
from celeste_image.providers.local.models.diffusion import describe
from celeste_image.providers.local.weights import hub, installed, packages
from celeste_image.providers.local.weights.archives import export_model, import_model

COMPACT = "realesrgan-animevideov3"
Member = tuple[tarfile.TarInfo, bytes]
Change = Callable[[list[Member]], list[Member]]


@pytest.fixture
def archive(models: Path, tmp_path: Path) -> Path:
    hub.add_folder("tiny", TINY, ready=describe)
    export_model("tiny", tmp_path / "tiny.tar")
    return tmp_path / "tiny.tar"


@pytest.fixture
def elsewhere(models: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder of another machine, after the archive was made."""
    folder = models.with_name("elsewhere")
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(folder))
    return folder


def members(path: Path) -> list[Member]:
    with tarfile.open(path) as tar:
        return [(member, (tar.extractfile(member) or io.BytesIO()).read()) for member in tar]


def written(path: Path, contents: list[Member]) -> Path:
    with tarfile.open(path, "w") as tar:
        for member, data in contents:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return path


def index_with(contents: list[Member], **changes: object) -> list[Member]:
    (first, text), *rest = contents
    return [(first, json.dumps(json.loads(text) | changes).encode()), *rest]


def renamed(contents: list[Member], name: str) -> list[Member]:
    contents[1][0].name = name
    return contents


def linked(contents: list[Member], kind: bytes) -> list[Member]:
    contents[1][0].type, contents[1][0].linkname = kind, "/etc/passwd"
    return contents


def test_a_diffusion_model_travels(archive: Path, elsewhere: Path, models: Path, tmp_path: Path) -> None:
    assert import_model(archive, ready=describe) == ("tiny", elsewhere / "tiny")
    lock = installed.read_lock("tiny")
    assert lock is not None
    installed.verify(elsewhere / "tiny", lock.present.values(), "tiny")
    assert (elsewhere / "tiny.lock.json").read_bytes() == (models / "tiny.lock.json").read_bytes()
    export_model("tiny", tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()
    with pytest.raises(WeightsMissing, match="already"):
        import_model(archive, ready=describe)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["tiny", "tiny.lock.json"]


def test_a_model_from_a_package_is_exported_and_imported(
    pulled_model_dir: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(pulled_model_dir.parent))
    export_model(COMPACT, tmp_path / "compact.tar")
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(models))
    assert import_model(tmp_path / "compact.tar", ready=describe) == (COMPACT, models / COMPACT)
    packages.verify(COMPACT)
    contents = members(tmp_path / "compact.tar")
    contents[1] = (contents[1][0], contents[1][1][:-1] + b"x")
    with pytest.raises(WeightsMissing, match="SHA-256 differs"):
        import_model(written(tmp_path / "bad.tar", contents), ready=describe)
    packages.verify(COMPACT)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c[1:], "does not begin with celeste.json"),
        (lambda c: c[:-1], "ends before"),
        (lambda c: [*c, (tarfile.TarInfo("files/more.txt"), b"x")], "beside the model's files"),
        (lambda c: renamed(c, "files/../../../up.txt"), "should be"),
        (lambda c: renamed(c, "/tmp/up.txt"), "should be"),
        (lambda c: linked(c, tarfile.SYMTYPE), "should be"),
        (lambda c: linked(c, tarfile.LNKTYPE), "should be"),
        (lambda c: linked(c, tarfile.FIFOTYPE), "should be"),
        (lambda c: [c[0], (c[1][0], c[1][1][:-1] + b"x"), *c[2:]], "SHA-256 differs"),
        (lambda c: index_with(c, name="../tiny"), "lock is for another model"),
        (lambda c: index_with(c, name=COMPACT), "lock is for another model"),
        (lambda c: index_with(c, lock=None), "this version does not know"),
        (lambda c: index_with(c, files=[]), "not those of local/tiny"),
        (lambda c: index_with(c, format=2), "format is 2"),
        (
            lambda c: index_with(
                c,
                lock=json.loads(c[0][1])["lock"] | {"files": [{"path": "../a", "sha256": "0" * 64, "size_bytes": 1}]},
            ),
            "can't be a model's file",
        ),
    ],
)
def test_a_bad_archive_is_refused(archive: Path, elsewhere: Path, tmp_path: Path, change: Change, words: str) -> None:
    bad = written(tmp_path / "bad.tar", change(members(archive)))
    with pytest.raises(WeightsMissing, match=words):
        import_model(bad, ready=describe)
    assert list(elsewhere.iterdir()) == []
    assert not (tmp_path / "up.txt").exists()


def test_other_files_than_archives_are_refused(models: Path, tmp_path: Path) -> None:
    (tmp_path / "no.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(WeightsMissing, match="is not a model archive"):
        import_model(tmp_path / "no.tar", ready=describe)
    with pytest.raises(ModelNotFound):
        export_model("nothing", tmp_path / "out.tar")


def test_an_archive_must_match_a_lock_on_this_machine(archive: Path, elsewhere: Path) -> None:
    elsewhere.mkdir()
    lock = json.loads((archive.parent / "models" / "tiny.lock.json").read_text())
    (elsewhere / "tiny.lock.json").write_text(json.dumps(lock | {"revision": "1" * 40}))
    with pytest.raises(WeightsMissing, match=r"differs from tiny\.lock\.json on this machine"):
        import_model(archive, ready=describe)
    assert [path.name for path in elsewhere.iterdir()] == ["tiny.lock.json"]


def test_a_damaged_model_is_not_exported(archive: Path, models: Path, tmp_path: Path) -> None:
    file = models / "tiny" / "unet" / "openvino_model.bin"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsMissing, match=r"unet/openvino_model\.bin"):
        export_model("tiny", tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()
