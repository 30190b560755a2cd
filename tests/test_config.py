"""Settings: precedence of defaults, file, environment and arguments; refusals."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from celeste_image.app import build_app
from celeste_image.check import find_problems
from celeste_image.config import ConfigurationInvalid, Flag, Settings, load, problems_in
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


def loaded() -> Settings:
    return load().valid()


def refusal(**arguments: Any) -> str:
    """Returns what is said about the settings of all sources, with some sections as flags."""
    with pytest.raises(ConfigurationInvalid) as caught:
        load([Flag("--flag", (name,), value) for name, value in arguments.items()]).valid()
    return str(caught.value)


def test_defaults_work_without_file_and_environment() -> None:
    settings = loaded()
    assert settings.server.listen == ["127.0.0.1:50051"], "other machines can't reach it"
    assert settings.store.url.startswith("file:///")
    assert settings.providers == {}
    assert settings.images.decoders >= 1


def test_later_sources_take_precedence(write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    write("[server]\nrequest_bytes = 1000000\ndrain_seconds = 1\nconcurrent_streams = 5\n[log]\nlevel = 'error'\n")
    monkeypatch.setenv("CELESTE_SERVER__DRAIN_SECONDS", "2")
    monkeypatch.setenv("CELESTE_SERVER__CONCURRENT_STREAMS", "6")
    server = load([Flag("--streams", ("server", "concurrent_streams"), 7)]).valid().server
    assert server.inline_default_bytes == 2 * MIB, "default"
    assert server.request_bytes == 1_000_000, "file"
    assert server.drain_seconds == 2, "environment over file"
    assert server.concurrent_streams == 7, "arguments over environment"
    assert loaded().log.level == "error"


def test_the_file_is_that_of_the_working_folder_unless_another_is_named(
    write: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "celeste.toml").write_text("[log]\nlevel = 'debug'\n")
    assert loaded().log.level == "debug"
    write("[log]\nlevel = 'warning'\n")
    assert loaded().log.level == "warning"


def test_the_environment_reads_lists_and_tables_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_SERVER__LISTEN", '["unix:/run/celeste.sock", "127.0.0.1:1"]')
    monkeypatch.setenv("CELESTE_PROVIDERS__LOCAL__THREADS", "3")
    monkeypatch.setenv("CELESTE_DEFAULTS__UPSCALE", '["local/lanczos"]')
    settings = loaded()
    assert settings.server.listen == ["unix:/run/celeste.sock", "127.0.0.1:1"]
    assert int(settings.providers["local"]["threads"]) == 3
    assert settings.defaults == {OperationKind.UPSCALE: ["local/lanczos"]}


def test_each_provider_has_its_own_table(write: Callable[[str], None]) -> None:
    write("[providers.local]\nthreads = 2\n[providers.other]\nkey = 'x'\n[defaults]\ngenerate = ['local/compose']\n")
    settings = loaded()
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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CELESTE_SERVR__LISTEN", "did you mean CELESTE_SERVER__LISTEN?"),
        ("celeste_servr__listen", "did you mean CELESTE_SERVER__LISTEN?"),
        ("CELESTE_STOR__OPTIONS__REGION", "did you mean CELESTE_STORE__OPTIONS__REGION?"),
        ("CELESTE_PORT__LISTEN", "the tables are server, admission, store"),
        ("CELESTE___LOG", "the tables are server, admission, store"),
    ],
)
def test_unknown_tables_of_the_environment_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, words: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ValueError, match=rf"^{name}: there is no table .*; {re.escape(words)}"):
        loaded()


def test_a_whole_table_in_a_variable_is_not_ignored_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_PROVIDERS", '{"openai": {"tries": 1}}')
    with pytest.raises(ValueError, match=r"^CELESTE_PROVIDERS: .* such as CELESTE_PROVIDERS__KEY"):
        loaded()


def test_our_variables_that_are_no_settings_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_ADDRESS", "127.0.0.1:1")
    assert loaded().log.level == "info"


def service_variables(*services: str) -> dict[str, str]:
    """Returns what Kubernetes puts into each pod of a namespace with Services of these names, and Docker's links."""
    host, port = "10.0.0.7", "50051"
    found = {}
    for service in services:
        name = service.upper().replace("-", "_")
        found |= {
            f"{name}_SERVICE_HOST": host,
            f"{name}_SERVICE_PORT": port,
            f"{name}_SERVICE_PORT_GRPC": port,
            f"{name}_PORT": f"tcp://{host}:{port}",
            f"{name}_PORT_50051_TCP": f"tcp://{host}:{port}",
            f"{name}_PORT_50051_TCP_PROTO": "tcp",
            f"{name}_PORT_50051_TCP_PORT": port,
            f"{name}_PORT_50051_TCP_ADDR": host,
            f"{name}_NAME": "/web/celeste",
            f"{name}_ENV_PATH": "/bin",
        }
    return found


SERVICES = ("celeste", "celeste-server", "celeste-store", "celeste-log", "celeste-providers", "celeste-config")


def test_variables_of_kubernetes_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in service_variables(*SERVICES).items():
        monkeypatch.setenv(name, value)
    for name in ("CELESTE_SERVER", "CELESTE_LOG", "CELESTE", "CELESTE_SERVERS", "CELESTE_LISTEN"):
        monkeypatch.setenv(name, "tcp://10.0.0.7:50051")
    monkeypatch.setenv("CELESTE_LOG__LEVEL", "error")
    settings = loaded()
    assert settings.log.level == "error"
    assert settings.server.listen == ["127.0.0.1:50051"]


def test_a_real_server_starts_beside_them(tmp_path: Path) -> None:
    environment = {**os.environ, **service_variables(*SERVICES), "CELESTE_LOG__LEVEL": "info"}
    command = [
        sys.executable,
        "-m",
        "celeste_image.cli.main",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store",
        "memory:///",
    ]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        assert server.stderr
        lines = iter(server.stderr.readline, "")
        assert any("serving" in line for line in lines)
        server.terminate()


def test_the_page_lists_all_variables_that_are_no_settings() -> None:
    """Each is read somewhere, and each that is read is listed."""
    root = Path(__file__).parents[1]
    page = (root / "docs" / "configuration.md").read_text().partition("### Variables that are not settings")[2]
    listed = set(re.findall(r"^\| `(CELESTE_\w+)` \|", page, re.MULTILINE))
    sources = "".join(path.read_text() for path in (root / "server" / "celeste_image").rglob("*.py"))
    read = set(re.findall(r"\"(CELESTE_[A-Z]+(?:_[A-Z]+)*)\"", sources))
    assert listed == read


MARKED = "# für alle\n[log]\nlevel = 'debug'\n"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_file_of_any_editor_is_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    text = ("\ufeff" if encoding == "utf-16-be" else "") + MARKED.replace("\n", line_end)
    (tmp_path / "celeste.toml").write_bytes(text.encode(encoding))
    assert loaded().log.level == "debug"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[log]\n# caf\xe9\nlevel = 'info'", r"^celeste\.toml:2: is not UTF-8 text$"),
        (b"[server]\nlisten = [", r"^celeste\.toml:2: is not TOML: .*end of document"),
        (b"[log]\nlevel = info\n", r"^celeste\.toml:2: is not TOML: .*line 2"),
        (b"[log]\n\0", r"^celeste\.toml:2: is not TOML: .*line 2"),
        ("[log]".encode("utf-16-le"), r"^celeste\.toml:1: is not TOML: .*line 1"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "celeste.toml").write_bytes(data)
    with pytest.raises(ValueError, match=words):
        loaded()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nlistne = []", "celeste.toml:2: server.listne: there is no such key; did you mean 'listen'?"),
        ("[sever]\nlisten = []", "celeste.toml:1: sever: there is no such key; did you mean 'server'?"),
        ("[log]\nxyzzy = 1", "celeste.toml:2: log.xyzzy: there is no such key; the keys are level, format"),
        ("[safety.prompts.a]\nword = ['x']", "celeste.toml:2: safety.prompts.a.word: there is no such key"),
        ("server = 3", "celeste.toml:1: server: must be a table"),
        (
            "[server]\nlisten = ['127.0.0.1:99999']",
            "celeste.toml:2: server.listen: '127.0.0.1:99999' is no address: the port",
        ),
        (
            "[server]\nlisten = ['localhost:-1']",
            "celeste.toml:2: server.listen: 'localhost:-1' is no address: the port",
        ),
        ("[metrics]\nlisten = '9464'", "celeste.toml:2: metrics.listen: '9464' is no address: the port is missing"),
        (
            "[metrics]\nlisten = 'unix:/x'",
            "celeste.toml:2: metrics.listen: 'unix:/x' is no address: it must be host:port",
        ),
        (
            "[server]\nlisten = ['127.0.0.1']",
            "celeste.toml:2: server.listen: '127.0.0.1' is no address: the port is missing",
        ),
        (
            "[server]\nlisten = ['a:1', 'unix:']",
            "celeste.toml:2: server.listen: 'unix:' is no address: the path is missing",
        ),
        ("[log]\nlevel = 'loud'", "celeste.toml:2: log.level: must be 'debug', 'info'"),
        ("[server]\nlisten = 'x'", "celeste.toml:2: server.listen: must be a list"),
        ("[aliases]\n'a b' = ['local/compose']", "celeste.toml:2: aliases.a b: must have 1 to 63 of a-z"),
    ],
)
def test_a_mistake_in_the_file_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "celeste.toml").write_text(text)
    assert refusal().startswith(said)
    assert "Extra inputs" not in refusal()


def test_a_mistake_in_a_providers_table_names_file_and_nearest_key(tmp_path: Path) -> None:
    (tmp_path / "celeste.toml").write_text("[providers.openai]\nbase_ulr = 'https://a.example'\n")
    said = "celeste.toml:2: providers.openai.base_ulr: there is no such key; did you mean 'base_url'?"
    assert [str(problem) for problem in find_problems(load(), {})] == [said]
    with pytest.raises(ValueError, match=re.escape(said.partition(": ")[2])):
        build_app(loaded())


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_SERVER__LISTNE", "x")
    monkeypatch.setenv("CELESTE_LOG__LEVEL", "loud")
    assert set(refusal().splitlines()) == {
        "CELESTE_SERVER__LISTNE (server.listne): there is no such key; did you mean 'listen'?",
        "CELESTE_LOG__LEVEL (log.level): must be 'debug', 'info', 'warning' or 'error'",
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CELESTE_SERVER__LISTEN", "(server.listen): must be a list in JSON"),
        ("CELESTE_STORE__OPTIONS", "(store.options): must be a table in JSON"),
        ("CELESTE_URIS__HOSTS", "(uris.hosts): must be a list in JSON"),
    ],
)
def test_a_list_in_the_environment_that_is_not_json_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv(name, "0.0.0.0:1")
    with pytest.raises(ValueError, match=f"^{re.escape(f'{name} {said}')}"):
        loaded()


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CELESTE_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(ValueError, match=r"CELESTE_CONFIG: .*missing\.toml"):
        loaded()


def test_problems_are_explained_without_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(server={"request_bytes": "hunter2"}, log={"level": "hunter2"})  # type: ignore[arg-type]
    said = [str(problem) for problem in problems_in(caught.value, model=Settings)]
    assert [line.partition(":")[0] for line in said] == ["server.request_bytes", "log.level"]
    assert "hunter2" not in str(said)
    (first, _) = problems_in(caught.value, ("providers", "x"), Settings)
    assert str(first).startswith("providers.x.server.request_bytes: ")


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


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("celeste_image.rcp", "; did you mean 'celeste_image.rpc'?"),
        ("celeste_image.rp", "; did you mean 'celeste_image.rpc'?"),
        ("gprc", "; did you mean 'grpc'?"),
        ("no such module", "; see docs/logging.md"),
        ("", "; see docs/logging.md"),
    ],
)
def test_levels_are_for_loggers_that_exist(name: str, near: str) -> None:
    said = refusal(log={"levels": {name: "warning"}})
    assert said == f"--flag (log.levels.{name}): there is no logger {name!r}{near}"


def test_levels_are_read_by_the_names_of_loggers(write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    write('[log.levels]\n"celeste_image.rpc" = "warning"\ngrpc = "debug"\nyaml = "info"')
    assert loaded().log.levels == {"celeste_image.rpc": "warning", "grpc": "debug", "yaml": "info"}
    write("")
    monkeypatch.setenv("CELESTE_LOG__LEVELS", '{"celeste_image": "error"}')
    assert loaded().log.levels == {"celeste_image": "error"}


def test_a_logger_without_quotes_is_told_what_is_missing(write: Callable[[str], None]) -> None:
    write('[log.levels]\nceleste_image.rpc = "warning"')
    assert refusal().endswith(': log.levels.celeste_image: put quotes around the name of a logger: "celeste_image.rpc"')


def test_settings_do_not_change() -> None:
    settings = loaded()
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
    assert loaded().aliases == {"draft": ["local/compose"], "final": ["bfl/flux-2-pro", "openai/gpt-image-2"]}


def test_an_alias_for_an_unknown_model_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match=r"aliases.draft: there is no model 'local/compos'; similar.*local/compose"):
        build_app(Settings(aliases={"draft": ["local/compos"]}))


def test_a_file_with_many_levels_and_odd_names_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "celeste.toml").write_text("a = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ValueError, match=r"celeste\.toml: has too many levels"):
        loaded()
    monkeypatch.setenv("CELESTE_CONFIG", "/" + "x" * 5000)
    with pytest.raises(ValueError, match="CELESTE_CONFIG: there is no file /xxx"):
        loaded()
    (tmp_path / "celeste.toml").write_text("[log]\nlevel = 'debug'\n")
    monkeypatch.setenv("CELESTE_CONFIG", "")
    assert loaded().log.level == "debug"
