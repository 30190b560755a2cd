"""Settings: precedence of defaults, file, environment and arguments; refusals."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from celeste_image.app import build_app
from celeste_image.config import Settings, explain
from celeste_image.core.request import OperationKind
from celeste_image.core.secret import Secret

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("CELESTE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the file that `CELESTE_CONFIG` names."""

    def write(text: str) -> None:
        path = tmp_path / "settings of mine.toml"
        path.write_text(text)
        monkeypatch.setenv("CELESTE_CONFIG", str(path))

    return write


def refusal(**arguments: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings(**arguments)
    return str(caught.value)


def test_defaults_work_without_file_and_environment() -> None:
    settings = Settings()
    assert settings.server.listen == ["127.0.0.1:50051"], "other machines can't reach it"
    assert settings.store.url.startswith("file:///")
    assert settings.providers == {}
    assert settings.images.decoders >= 1


def test_later_sources_take_precedence(write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[server]\nrequest_bytes = 1000000\ndrain_seconds = 1\nconcurrent_streams = 5\n[log]\nlevel = 'error'\n")
    monkeypatch.setenv("CELESTE_SERVER__DRAIN_SECONDS", "2")
    monkeypatch.setenv("CELESTE_SERVER__CONCURRENT_STREAMS", "6")
    server = Settings(server={"concurrent_streams": 7}).server  # type: ignore[arg-type]
    assert server.inline_default_bytes == 2 * MIB, "default"
    assert server.request_bytes == 1_000_000, "file"
    assert server.drain_seconds == 2, "environment over file"
    assert server.concurrent_streams == 7, "arguments over environment"
    assert Settings().log.level == "error"


def test_the_file_is_that_of_the_working_folder_unless_another_is_named(
    write: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "celeste.toml").write_text("[log]\nlevel = 'debug'\n")
    assert Settings().log.level == "debug"
    write("[log]\nlevel = 'warning'\n")
    assert Settings().log.level == "warning"


def test_the_environment_reads_lists_and_tables_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_SERVER__LISTEN", '["unix:/run/celeste.sock", "0.0.0.0:1"]')
    monkeypatch.setenv("CELESTE_PROVIDERS__LOCAL__THREADS", "3")
    monkeypatch.setenv("CELESTE_DEFAULTS__UPSCALE", '["local/lanczos"]')
    settings = Settings()
    assert settings.server.listen == ["unix:/run/celeste.sock", "0.0.0.0:1"]
    assert int(settings.providers["local"]["threads"]) == 3
    assert settings.defaults == {OperationKind.UPSCALE: ["local/lanczos"]}


def test_each_provider_has_its_own_table(write: Callable[[str], None]) -> None:
    write("[providers.local]\nthreads = 2\n[providers.other]\nkey = 'x'\n[defaults]\ngenerate = ['local/compose']\n")
    settings = Settings()
    assert settings.providers == {"local": {"threads": 2}, "other": {"key": Secret("x")}}
    assert settings.defaults == {OperationKind.GENERATE: ["local/compose"]}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[sever]\nlisten = []", "sever"),
        ("listen = []", "listen"),
        ("[server]\nlistne = []", "server.listne"),
        ("[store]\nurl = 'memory:///'\nbucket = 'x'", "store.bucket"),
        ("[images]\nmax_frames = 2", "images.max_frames"),
        ("[defaults]\npaint = ['local/compose']", "defaults.paint"),
    ],
)
def test_unknown_keys_of_the_file_are_refused(write: Callable[[str], None], text: str, key: str) -> None:
    write(text)
    assert key in refusal()


@pytest.mark.parametrize("name", ["CELESTE_SERVER__LISTNE", "CELESTE_STORE__BUCKET", "CELESTE_LOG__COLOR"])
def test_unknown_keys_of_the_environment_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert name.removeprefix("CELESTE_").replace("__", ".").lower() in refusal()


@pytest.mark.parametrize("name", ["CELESTE_SERVR__LISTEN", "CELESTE_LISTEN", "CELESTE_SERVERS"])
def test_unknown_tables_of_the_environment_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ValueError, match=f"{name}: there is no table"):
        Settings()


def test_our_variables_that_are_no_settings_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_ADDRESS", "127.0.0.1:1")
    assert Settings().log.level == "info"


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CELESTE_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(ValueError, match=r"CELESTE_CONFIG: .*missing\.toml"):
        Settings()


def test_problems_are_explained_without_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(server={"request_bytes": "hunter2"}, log={"level": "hunter2"})  # type: ignore[arg-type]
    said = explain(caught.value)
    assert [line.partition(":")[0] for line in said.splitlines()] == ["server.request_bytes", "log.level"]
    assert "hunter2" not in said
    assert explain(caught.value, "providers.x").startswith("providers.x.server.request_bytes: ")


def test_unknown_keys_of_the_arguments_are_refused() -> None:
    assert "sever" in refusal(sever={})
    assert "server.listne" in refusal(server={"listne": []})


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("server", "request_bytes", 1),
        ("server", "request_bytes", 1 << 40),
        ("server", "request_bytes", "many"),
        ("server", "inline_default_bytes", 4 * MIB),
        ("server", "concurrent_streams", 0),
        ("server", "drain_seconds", -1),
        ("server", "listen", "127.0.0.1:1"),
        ("images", "decoders", 0),
        ("images", "decoder_memory_bytes", MIB),
        ("images", "max_pixels", 0),
        ("log", "level", "loud"),
        ("log", "format", "xml"),
    ],
)
def test_bad_values_name_their_key(section: str, key: str, value: object) -> None:
    assert f"{section}.{key}" in refusal(**{section: {key: value}})


def test_bad_values_in_the_environment_name_their_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_IMAGES__MAX_SIDE", "wide")
    assert "images.max_side" in refusal()


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.server.drain_seconds = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("aliases", "words"),
    [
        ({"a/b": ["local/compose"]}, "aliases.a/b"),
        ({"Draft": ["local/compose"]}, "aliases.Draft"),
        ({"draft": []}, "aliases.draft"),
        ({"draft": ["local/compose"] * 9}, "aliases.draft"),
    ],
)
def test_invalid_aliases_are_refused(aliases: dict[str, list[str]], words: str) -> None:
    assert words in refusal(aliases=aliases)


def test_aliases_by_file_and_environment(write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[aliases]\ndraft = ['local/compose']\n")
    monkeypatch.setenv("CELESTE_ALIASES__FINAL", '["bfl/flux-2-pro", "openai/gpt-image-2"]')
    assert Settings().aliases == {"draft": ["local/compose"], "final": ["bfl/flux-2-pro", "openai/gpt-image-2"]}


def test_an_alias_for_an_unknown_model_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match=r"aliases.draft: there is no model 'local/compos'; similar.*local/compose"):
        build_app(Settings(aliases={"draft": ["local/compos"]}))
