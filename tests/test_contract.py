"""The contract guards itself: planted faults are found by the tools that `make check` runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUF = Path(sys.executable).parent / "buf"


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def buf(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_as_it_is_it_passes(contract: Path) -> None:
    assert buf(contract, "lint").returncode == 0
    assert buf(contract, "breaking", "--against", "proto/baseline.binpb").returncode == 0


def test_an_element_without_comment_is_found(contract: Path) -> None:
    file = contract / "proto/celeste/image/v1/money.proto"
    replace(file, "  // Images stored.\n", "")
    done = buf(contract, "lint")
    assert done.returncode == 100
    assert "money.proto" in done.stdout


def test_a_changed_type_is_found(contract: Path) -> None:
    file = contract / "proto/celeste/image/v1/money.proto"
    replace(file, "int32 images = 1", "string images = 1")
    done = buf(contract, "breaking", "--against", "proto/baseline.binpb")
    assert done.returncode == 100
    assert "images" in done.stdout


def test_every_call_has_a_route() -> None:
    from google.api import annotations_pb2
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    files = FileDescriptorSet.FromString((ROOT / "server/celeste_image/rpc/contract.binpb").read_bytes())
    methods = [
        (f"{service.name}.{method.name}", method)
        for file in files.file
        if file.package == "celeste.image.v1"
        for service in file.service
        for method in service.method
    ]
    assert len(methods) == 21
    for name, method in methods:
        # JSON has no client streams: `WriteArtifactChunk` and `UploadArtifact` are the twins for HTTP.
        assert method.options.HasExtension(annotations_pb2.http) != (name == "ArtifactService.WriteArtifact"), name


def test_stubs_carry_no_rules_and_live_beside_others() -> None:
    """A user's program may have its own copy of `buf/validate/validate.proto`; a second one is refused at import."""
    code = (
        "import celeste_image.v1\n"
        "from google.protobuf import descriptor_pool\n"
        "pool = descriptor_pool.Default()\n"
        "for name in ('buf/validate/validate.proto', 'google/api/http.proto'):\n"
        "    try:\n"
        "        pool.FindFileByName(name)\n"
        "    except KeyError:\n"
        "        continue\n"
        "    raise SystemExit(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
