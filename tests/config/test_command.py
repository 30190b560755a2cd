"""`celeste config`: every mistake at once, every setting with its origin, no secret, a template and a schema."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.support.command import CELESTE

from celeste_image.cli.main import celeste as cli
from celeste_image.config import load
from celeste_image.config.references import secret_of
from celeste_image.config.sections import Settings
from celeste_image.core.secret import Secret
from celeste_image.providers.registry import discover, discover_kinds

SECRET = "sk-canary-5f3759df-5f3759df"
FILES = {
    "celeste.toml": f"""[log]
levle = "debug"
[server]
drain_seconds = -1
[providers.openai]
key = "{SECRET}"
base_ulr = "https://a.example"
[catalog]
file = "models.yaml"
""",
    "celeste.yaml": f"""log:
  levle: debug
server:
  drain_seconds: -1
providers:
  openai:
    key: {SECRET}
    base_ulr: https://a.example
catalog: {{file: models.yaml}}
""",
    "celeste.json": f"""{{"log": {{
  "levle": "debug"}},
"server": {{
  "drain_seconds": -1}},
"providers": {{
  "openai": {{"key": "{SECRET}",
  "base_ulr": "https://a.example"}}}},
"catalog": {{"file": "models.yaml"}}}}
""",
}
LINES = {"celeste.toml": (2, 4, 7), "celeste.yaml": (2, 4, 8), "celeste.json": (2, 4, 7)}
MODELS = """checked_on: 2026-11-28
models:
  - id: openai/gpt-image-2
    max_cont: 4
"""


@dataclass
class Done:
    code: int
    out: str
    err: str


Config = Callable[..., Done]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Config]:
    """Runs `celeste config` in an empty folder, without variables of ours."""
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith(("CELESTE_", "OPENAI_")):
            monkeypatch.delenv(name)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = cli.main(["config", *arguments], standalone_mode=False) or 0
        out, err = capsys.readouterr()
        return Done(code, out, err)

    yield run
    structlog.reset_defaults()


@pytest.mark.parametrize("name", FILES)
def test_seven_mistakes_in_three_sources_are_seven_lines(
    config: Config, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(name).write_text(FILES[name])
    Path("models.yaml").write_text(MODELS)
    monkeypatch.setenv("CELESTE_SERVR__LISTEN", "[]")
    monkeypatch.setenv("CELESTE_IMAGES__MAX_SIDE", "wide")
    done = config("check", "--set", 'aliases.draft=["local/compos"]')
    log, server, openai = LINES[name]
    lines = done.err.splitlines()
    assert [line.partition("; similar ids")[0] for line in lines] == [
        f"error: {name}:{log}: log.levle: there is no such key; did you mean 'level'?",
        f"error: {name}:{server}: server.drain_seconds: must be greater than or equal to 0",
        f"error: {name}:{openai}: providers.openai.base_ulr: there is no such key; did you mean 'base_url'?",
        "error: models.yaml:4: models.0.max_cont: there is no such key; did you mean 'max_count'?",
        "error: CELESTE_IMAGES__MAX_SIDE (images.max_side): must be a whole number",
        "error: CELESTE_SERVR__LISTEN: there is no table 'servr'; did you mean CELESTE_SERVER__LISTEN?",
        "error: --set (aliases.draft): there is no model 'local/compos'",
    ]
    assert (done.code, done.out, len(lines)) == (2, "", 7)
    assert SECRET not in done.err


def test_a_server_says_the_same_and_does_not_start(config: Config, tmp_path: Path) -> None:
    Path("celeste.yaml").write_text(FILES["celeste.yaml"])
    Path("models.yaml").write_text(MODELS)
    arguments = ["--set", 'aliases.draft=["local/compos"]', "--set", "images.max_side=wide", "--listen", "nowhere"]
    done = subprocess.run([*CELESTE, "serve", *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 7)
    assert "error: --listen (server.listen): 'nowhere' is no address" in done.stderr
    assert SECRET not in done.stderr


def test_mistakes_of_all_parts_are_told_together(config: Config) -> None:
    """What each part of the server refuses: providers, store, hosts, safety, catalog, choices."""
    Path("celeste.toml").write_text(
        """[uris]
private = ["http://10.0.0.5", "ftp://a", "https://user:canary@b"]
[store]
url = "s3://bucket"
options = { aws_secret_access_key = "env:NOT_THERE" }
[safety.prompts.rude]
files = ["nowhere.txt"]
[safety.prompts.none]
[catalog]
allow_unknown = ["stability", "studio"]
[defaults]
generate = ["local/lanczos", "studio/x"]
[providers.studio]
kind = "compatible"
base_url = "http://127.0.0.1:9/v1"
[providers.openai]
key = "file:nowhere"
[providers.nobody]
"""
    )
    lines = config("check").err.splitlines()
    expected = [
        "celeste.toml:2: uris.private.1: is not an absolute http or https URL",
        "celeste.toml:2: uris.private.2: has a user name in it",
        "celeste.toml:5: store.options.aws_secret_access_key: there is no variable NOT_THERE",
        "celeste.toml:7: safety.prompts.rude.files: nowhere.txt: No such file or directory",
        "celeste.toml:8: safety.prompts.none: has no words, so nothing would be found",
        "celeste.toml:10: catalog.allow_unknown: 'stability' takes no unknown ids",
        "celeste.toml:12: defaults.generate: 'local/lanczos' does not generate",
        "celeste.toml:13: providers.studio.models: is missing",
        "celeste.toml:17: providers.openai.key: can't read nowhere: No such file or directory",
        "celeste.toml:18: providers.nobody: there is no such provider",
    ]
    told = {words: [line for line in lines if line.startswith(f"error: {words}")] for words in expected}
    assert {words: len(found) for words, found in told.items()} == dict.fromkeys(expected, 1)
    assert len(lines) == len(expected), lines
    assert "canary" not in str(lines)


def test_two_files_are_a_mistake(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("celeste.toml").write_text("")
    Path("celeste.json").write_text("{}")
    done = config("check")
    assert done.code == 2
    assert "the working folder has celeste.toml and celeste.json" in done.err
    assert config("check", "--config", "celeste.json").code == 0
    monkeypatch.setenv("CELESTE_CONFIG", "celeste.toml")
    assert config("check").out == "valid: celeste.toml\n"
    assert config("check", "--config", "celeste.json").out == "valid: celeste.json\n", "the flag is above the variable"
    assert "--config: there is no file nowhere.toml" in config("check", "--config", "nowhere.toml").err


@pytest.mark.parametrize("name", ["celeste.yaml", "celeste.yml", "celeste.json"])
def test_a_file_of_each_format_is_found(config: Config, name: str) -> None:
    Path(name).write_text('{"log": {"level": "error"}}')
    assert load().valid().log.level == "error"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("log.level=debug", ("log", "level", "debug")),
        ('server.listen=["localhost:1", "unix:/x"]', ("server", "listen", ["localhost:1", "unix:/x"])),
        ("store.url=memory:///?a=b", ("store", "url", "memory:///?a=b")),
        ('aliases."flux.2"=["local/compose"]', ("aliases", "flux.2", ["local/compose"])),
        ("providers.openai.tries=3", ("providers", "openai", {"tries": "3"})),
        ('providers.studio.models=[{"id": "a"}]', ("providers", "studio", {"models": [{"id": "a"}]})),
    ],
)
def test_a_flag_sets_any_setting(config: Config, text: str, value: tuple[str, str, Any]) -> None:
    configuration = load(assignments=[text])
    section: Any = getattr(configuration.valid(), value[0])
    assert (section[value[1]] if isinstance(section, dict) else getattr(section, value[1])) == value[2]


@pytest.mark.parametrize("text", ["log.level", "=x", "log..level=x", "log.level\n=x", "", "[log]=x", "log.level=1\nb"])
def test_an_assignment_of_another_form_is_refused(config: Config, text: str) -> None:
    (problem,) = load(assignments=[text]).problems
    assert str(problem).startswith("--set")


def test_the_last_flag_and_the_deepest_variable_count(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_PROVIDERS__OPENAI__TRIES", "2")
    monkeypatch.setenv("CELESTE_PROVIDERS__OPENAI", '{"tries": 1, "queue": 7}')
    configuration = load(assignments=["log.level=error", "log.level=debug"])
    assert configuration.valid().log.level == "debug"
    assert configuration.valid().providers["openai"] == {"tries": "2", "queue": 7}
    assert configuration.origin(("providers", "openai", "queue")) == "CELESTE_PROVIDERS__OPENAI"
    assert configuration.origin(("providers", "openai", "tries")) == "CELESTE_PROVIDERS__OPENAI__TRIES"


def test_a_table_with_comments_alone_has_the_defaults(config: Config) -> None:
    Path("celeste.yaml").write_text("log:\n  # level: debug\nstore:\n  spool: null\n")
    assert load().valid().log.level == "info"


# show


def shown(done: Done) -> dict[str, tuple[str, str]]:
    """Returns value and origin by key."""
    found = [re.fullmatch(r"(\S+) = (.*)  # (.*)", line) for line in done.out.splitlines()]
    return {match[1]: (match[2], match[3]) for match in found if match}


def test_every_setting_is_shown_with_its_origin(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("celeste.toml").write_text("[server]\nlisten = ['127.0.0.1:0']\n[providers.openai]\ntries = 3\n[store]\n")
    monkeypatch.setenv("CELESTE_LOG__LEVEL", "debug")
    done = config("show", "--set", "images.max_side=512")
    assert (done.code, done.err) == (0, "")
    found = shown(done)
    assert len(found) == len(done.out.splitlines())
    assert found["server.listen"] == ('["127.0.0.1:0"]', "celeste.toml:2")
    assert found["providers.openai.tries"] == ("3", "celeste.toml:4")
    assert found["log.level"] == ('"debug"', "CELESTE_LOG__LEVEL")
    assert found["images.max_side"] == ("512", "--set")
    assert found["server.drain_seconds"] == ("60", "default")
    assert found["store.spool"] == ("unset", "default")
    keys = {f"{name}.{key}" for name, field in Settings.model_fields.items() for key in fields_of(field.annotation)}
    assert keys <= found.keys(), keys - found.keys()
    as_json = json.loads(config("show", "--json").out)
    assert {"key": "providers.openai.tries", "value": 3, "origin": "celeste.toml:4"} in as_json


def fields_of(kind: Any) -> list[str]:
    """Returns the keys of a table, with those of the tables inside: `tls.key_file`."""
    found = []
    for name, field in getattr(kind, "model_fields", {}).items():
        inner = field.annotation if isinstance(field.annotation, type) else None
        found += [f"{name}.{key}" for key in fields_of(inner)] or [name]
    return found


def test_no_secret_is_shown(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret by value, by file, by variable, in the vendor's own variable, and in tables of secrets."""
    Path("key").write_text(SECRET)
    monkeypatch.setenv("A_VARIABLE", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("CELESTE_STORE__OPTIONS__AWS_SECRET_ACCESS_KEY", SECRET)
    Path("celeste.toml").write_text(
        f"""[providers.bfl]
key = "{SECRET}"
[providers.stability]
key = "file:key"
[providers.gemini]
key = "env:A_VARIABLE"
[providers.cluster]
kind = "kserve"
url = "grpcs://a.test:1"
token = "file:key"
headers = {{ x-api = "{SECRET}", x-other = "env:A_VARIABLE" }}
models = [{{ id = "m", operation = "upscale", factor = 4 }}]
"""
    )
    for arguments in (["show"], ["show", "--json"], ["check"], ["check", "--set", "log.levle=x"]):
        done = config(*arguments)
        assert SECRET not in done.out + done.err
    found = shown(config("show"))
    hidden = ('"**********"', "celeste.toml:2")
    assert found["providers.bfl.key"] == hidden
    assert found["providers.openai.key"] == ('"**********"', "OPENAI_API_KEY")
    assert found["providers.cluster.headers.x-api"][0] == found["providers.cluster.token"][0] == '"**********"'
    assert found["store.options.aws_secret_access_key"][1] == "CELESTE_STORE__OPTIONS__AWS_SECRET_ACCESS_KEY"


def test_a_secret_in_the_wrong_place_is_not_quoted(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (SECRET, f"ftp://{SECRET}", f"s3://{SECRET}@bucket"):
        monkeypatch.setenv("CELESTE_STORE__URL", url)
        done = config("check", "--set", f"log.level={SECRET}", "--set", f"images.max_side={SECRET}")
        assert done.code == 2
        assert SECRET not in done.out + done.err
        assert [line.partition(": must ")[0] for line in done.err.splitlines()] == [
            "error: CELESTE_STORE__URL (store.url)",
            "error: --set (images.max_side)",
            "error: --set (log.level)",
        ]


def test_a_wrong_configuration_is_not_shown(config: Config) -> None:
    done = config("show", "--set", "log.levle=x")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: --set (log.levle): ")


# Files with secrets


def test_a_secret_is_that_of_its_reference(config: Config) -> None:
    """Tokens, headers and options of the store; keys of vendors have tests of their own."""
    Path("key").write_text(f"{SECRET}\n")
    for given in (SECRET, "file:key", "env:A_VARIABLE"):
        assert secret_of(Secret(given), {"A_VARIABLE": f"{SECRET}\n"}).reveal() == SECRET


def test_a_key_file_that_everyone_may_write_is_refused(config: Config) -> None:
    Path("key").write_text(SECRET)
    Path("key").chmod(0o666)
    done = config("check", "--set", "providers.openai.key=file:key")
    assert done.code == 2
    assert "--set (providers.openai.key): key: everyone may write this file" in done.err
    Path("key").chmod(0o644)
    done = config("check", "--set", "providers.openai.key=file:key")
    assert done.code == 0
    assert done.err == (
        "warning: key has the secret of providers.openai.key, and every user of this machine may read it; "
        "chmod o-r helps\n"
    )
    Path("key").chmod(0o440)
    assert config("check", "--set", "providers.openai.key=file:key").err == ""


def test_a_configuration_with_a_secret_that_everyone_may_read_is_told(config: Config) -> None:
    Path("celeste.toml").write_text(f"[providers.openai]\nkey = '{SECRET}'\n")
    Path("celeste.toml").chmod(0o644)
    assert config("check").err.startswith("warning: celeste.toml has the secret of providers.openai.key")
    Path("celeste.toml").chmod(0o600)
    assert config("check").err == ""


# init


@pytest.mark.parametrize("name", ["celeste.toml", "celeste.yaml"])
def test_the_template_has_all_defaults(config: Config, name: str) -> None:
    done = config("init", name)
    assert (done.code, done.out) == (0, "")
    assert Path(name).stat().st_mode & 0o077 == 0
    text = Path(name).read_text()
    assert load().valid() == Settings(providers={provider: {} for provider in discover()} if "toml" in name else {})
    tables = [field.annotation for field in Settings.model_fields.values()]
    names = {key.rpartition(".")[2] for table in tables for key in fields_of(table)}
    names |= {key for provider in discover().values() for key in fields_of(provider.Settings)}
    setting = rf"^( *)# ((?:{'|'.join(names)})(?: =|:) .*)$"
    Path(name).write_text(re.sub(setting, r"\1\2", text, flags=re.MULTILINE))
    made = load().valid()
    assert made.providers["local"]["threads"] == 2
    assert made.model_copy(update={"providers": {}}) == Settings()
    for provider in discover():
        assert discover()[provider].Settings(**made.providers[provider]) == discover()[provider].Settings()
    told = set(re.findall(r"^ *#? ?(\w+)(?: =|:) |# (\w+) is unset", Path(name).read_text(), re.MULTILINE))
    assert names <= {one or other for one, other in told}


def test_the_template_replaces_no_file(config: Config) -> None:
    Path("celeste.json").write_text("{}")
    for name in ("celeste.toml", "celeste.json", "other.json", "other"):
        with pytest.raises(Exception, match=r"exists|must end with"):
            config("init", name)
    assert config("init", "other.toml").code == 0
    with pytest.raises(Exception, match="exists"):
        config("init", "other.toml")
    assert config("init", "-").out.startswith("# Configuration of a Celeste server")


# schema


def test_the_schema_names_every_key_provider_and_kind(config: Config) -> None:
    made = json.loads(config("schema").out)
    assert set(made["properties"]) == set(Settings.model_fields)
    providers = made["properties"]["providers"]
    assert set(providers["properties"]) == {*discover(), *discover_kinds()}
    assert len(providers["additionalProperties"]["anyOf"]) == len(discover_kinds())
    (names, _) = made["$defs"]["CatalogSettings"]["properties"]["allow_unknown"]["items"]["anyOf"]
    assert set(names["enum"]) == {*discover(), *discover_kinds()}
    assert made["$defs"]["ServerSettings"]["properties"]["drain_seconds"]["description"]
    assert made["$defs"]["providers.openai"]["properties"]["key"]["description"]
    references = re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(made))
    assert set(references) <= made["$defs"].keys()
