"""`make generate` and `make check-clients`: what they write, compare, skip and refuse."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from clients.generate import __main__ as command
from clients.generate.contract import Contract, Contracts
from clients.generate.languages import Language
from clients.toolchains import Toolchain
from google.protobuf.descriptor_pb2 import FileDescriptorSet

FILES = {"clients/klingon/gen/one.kl": b"1", "clients/klingon/gen/deep/two.kl": b"2"}


def write_klingon(contract: Contract, out: Path) -> None:
    for name, content in FILES.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


def write_nothing(contract: Contract, out: Path) -> None:
    raise ValueError("no such digest")


LANGUAGES = (
    Language("klingon", write_klingon, ("clients/klingon/gen/**/*.kl",)),
    Language("absent", write_klingon, ("clients/absent/*",), (Toolchain("no-such-tool", "a trip to Qo'noS"),)),
    Language("broken", write_nothing, ("clients/broken/*",)),
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "ALL", {language.name: language for language in LANGUAGES})
    monkeypatch.setattr(command, "GROUPS", {})
    monkeypatch.setattr(Contracts, "read", lambda folder: SimpleNamespace(server=None, clients=None))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["generate", *arguments])
    with pytest.raises(SystemExit) as end:
        command.main()
    return end.value.code


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_generate_writes_and_removes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("clients/klingon/gen/old.kl", "clients/klingon/gen/hand.txt", "clients/klingon/build.kl"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"?")
    assert run(monkeypatch, "klingon") == 0
    assert contents(root) == FILES | {"clients/klingon/gen/hand.txt": b"?", "clients/klingon/build.kl": b"?"}
    assert run(monkeypatch, "--check", "klingon") == 0


def test_check_names_each_file_and_changes_none(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "klingon") == 0
    (root / "clients/klingon/gen/one.kl").write_bytes(b"changed by hand")
    (root / "clients/klingon/gen/deep/two.kl").unlink()
    (root / "clients/klingon/gen/three.kl").write_bytes(b"left over")
    before = contents(root)
    assert run(monkeypatch, "--check", "klingon") == 1
    assert contents(root) == before
    mend = "run: make generate LANGUAGES=klingon"
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"clients/klingon/gen/deep/two.kl is missing; {mend}",
        f"clients/klingon/gen/one.kl differs; {mend}",
        f"clients/klingon/gen/three.kl is no longer made; {mend}",
    ]
    assert printed.out.splitlines()[-1] == "FAILED: klingon"


def test_a_missing_toolchain_is_named_and_is_no_success(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "absent", "klingon") == 1
    printed = capsys.readouterr()
    assert printed.err == "absent: `no-such-tool` is not installed. It comes with a trip to Qo'noS\n"
    assert printed.out == "MADE: klingon\nNOT MADE, toolchain missing: absent\n"
    assert contents(root) == FILES
    assert run(monkeypatch, "--check", "absent", "klingon") == 1


def test_a_check_may_skip_it_aloud(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "klingon") == 0
    assert run(monkeypatch, "--check", "--skip-missing", "absent", "klingon") == 0
    assert "CHECKED: klingon\nNOT CHECKED, toolchain missing: absent\n" in capsys.readouterr().out


def test_a_failing_generator_does_not_stop_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "broken", "klingon") == 1
    printed = capsys.readouterr()
    assert printed.err == "broken: FAILED: no such digest\n"
    assert printed.out == "MADE: klingon\nFAILED: broken\n"


def test_an_unknown_language_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "romulan") == 2


@pytest.mark.parametrize("side", ["server", "clients"])
def test_the_thin_images_have_comments_and_no_rules(tmp_path: Path, side: str) -> None:
    contract: Contract = getattr(Contracts.read(tmp_path), side)
    image = FileDescriptorSet.FromString(contract.image.read_bytes())
    files = {file.name: file for file in image.file}
    assert set(contract.names) | set(contract.google) <= set(files)
    assert "celeste/image/v1/image_service.proto" in contract.services
    assert not any(name.startswith("buf/") or name == "google/api/annotations.proto" for name in files)
    for name in contract.names:
        assert not any("buf/validate" in needed for needed in files[name].dependency)
        assert any(location.leading_comments for location in files[name].source_code_info.location)
    fields = [field for name in contract.names for message in files[name].message_type for field in message.field]
    with_rules = image.ByteSize()
    image.DiscardUnknownFields()
    assert fields and image.ByteSize() == with_rules
    assert not any(field.options.ListFields() for field in fields if not field.options.deprecated)


def test_only_python_gets_the_service_for_http_proxies(tmp_path: Path) -> None:
    contracts = Contracts.read(tmp_path)
    http = "celeste/image/v1/artifact_http_service.proto"
    assert http in contracts.server.services
    assert contracts.clients.names == [name for name in contracts.server.names if name != http]
    files = FileDescriptorSet.FromString(contracts.clients.image.read_bytes()).file
    assert not any(file.name == http or file.name.startswith("google/api/") for file in files)
