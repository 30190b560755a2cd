"""Configuration files: TOML, YAML and JSON say the same, and each key has its line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from celeste_image.config import ConfigurationInvalid
from celeste_image.config.files import Document, read_document

Read = Callable[[str, str], Document]

TOML = '''# for all
[log]
level = "debug" # [not a table]

[providers.openai]
note = """
[log]
level = 1
"""
models = [
    { id = "a]" },
    # ]
    { id = "b" },
]
names.first = "x"

[[providers.cluster.models]]
id = "one"
[providers.cluster.models.input]
name = "in"
[[providers.cluster.models]]
id = "two"
'''
TOML_LINES = {
    "log": 2,
    "log.level": 3,
    "providers.openai": 5,
    "providers.openai.note": 6,
    "providers.openai.models": 10,
    "providers.openai.models.1.id": 10,
    "providers.openai.names.first": 15,
    "providers.cluster.models.0": 17,
    "providers.cluster.models.0.id": 18,
    "providers.cluster.models.0.input.name": 20,
    "providers.cluster.models.1": 21,
    "providers.cluster.models.1.id": 22,
}
YAML = """log:
  level: debug

server: {listen: ["a:1",
    "b:2"]}
providers:
  cluster:
    models:
      - id: one
        factor: 4
      - {id: two}
"""
YAML_LINES = {
    "log": 1,
    "log.level": 2,
    "server.listen": 4,
    "server.listen.1": 5,
    "providers.cluster.models.0.factor": 10,
    "providers.cluster.models.1.id": 11,
}
JSON = """{
\t"log": {"level":
  "debug"}, "a\\u0062c": true,
  "server": {"listen": ["a:1",
     "]}"], "limits": {}, "none": []},
  "last": [{"id": -1.5e3}]
}
"""
JSON_LINES = {"log": 2, "log.level": 2, "abc": 3, "server.listen": 4, "server.listen.1": 5, "last.0.id": 6}


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads a text as the file of a name in the working folder."""
    monkeypatch.chdir(tmp_path)

    def read(name: str, text: str) -> Document:
        Path(name).write_text(text)
        return read_document(Path(name))

    return read


def refusal(read: Read, name: str, text: str) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        read(name, text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.toml", TOML, TOML_LINES),
        ("a.yaml", YAML, YAML_LINES),
        ("a.YML", YAML, YAML_LINES),
        ("a.json", JSON, JSON_LINES),
    ],
)
def test_each_key_has_its_line(read: Read, name: str, text: str, lines: dict[str, int]) -> None:
    found = {".".join(path): line for path, line in read(name, text).lines.items()}
    assert {key: found.get(key) for key in lines} == lines


def test_a_key_that_is_not_there_has_the_line_of_its_table(read: Read) -> None:
    document = read("a.toml", TOML)
    assert document.place(("log", "format")) == "a.toml:2"
    assert document.place(("nowhere",)) == "a.toml"


def test_a_line_end_of_windows_is_one_line_end(read: Read, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(TOML.replace("\n", "\r\n").encode())
    found = {".".join(path): line for path, line in read_document(tmp_path / "a.toml").lines.items()}
    assert {key: found.get(key) for key in TOML_LINES} == TOML_LINES


def test_a_long_list_of_toml_is_not_read_once_a_line(read: Read) -> None:
    """Reading 20,000 lines again for each of them would take minutes."""
    text = "words = [\n" + "  'word',\n" * 20_000 + "]\nlast = 1\n"
    assert read("a.toml", text).lines[("last",)] == 20_003


def test_yaml_is_that_of_editors(read: Read) -> None:
    """PyYAML by itself reads YAML 1.1: off is false, 010 is 8, 1:30 is 90."""
    text = "a: off\nb: 010\nc: 1:30\nd: 2026-11-28\ne: ~\nf: 0x1F\ng: -1.5e3\nh: !!str 1\ni: 'true'\non: yes\nj: .inf\n"
    assert read("a.yaml", text).values == {
        **{"a": "off", "b": 10, "c": "1:30", "d": "2026-11-28", "e": None, "f": 31, "g": -1500.0, "h": "1"},
        **{"i": "true", "on": "yes", "j": float("inf")},
    }


def test_anchors_are_read(read: Read) -> None:
    assert read("a.yaml", "a: &x [1, 2]\nb: *x\n").values == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("name", ["a.toml", "a.yaml", "a.json"])
def test_an_empty_table_is_a_configuration(read: Read, name: str) -> None:
    assert read(name, "{}" if name == "a.json" else "# nothing\n").values == {}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "log:\n  level: info\n  level: debug\n", "a.yaml:3: log.level: is set twice; first in line 2"),
        ("a.yaml", "a:\n  - &x\n    b: *x\n", "a.yaml:3: a.0.b: contains itself"),
        ("a.yaml", "a: !!python/name:os.system\n", "a.yaml:1: a: has the tag tag:yaml.org,2002:python/name:os.system"),
        ("a.yaml", "a: !include b\n", "a.yaml:1: a: has the tag !include, which is not allowed"),
        ("a.yaml", "? [a]\n: 1\n", "a.yaml:1: has a key that is not text"),
        ("a.json", '{"a": 1,\n "a": 2}', "a.json:2: a: is set twice"),
        ("a.json", '{"a": {"b": 1,\n "b": 2}}', "a.json:2: a.b: is set twice"),
    ],
)
def test_a_mistake_of_a_key_leaves_the_others_readable(read: Read, name: str, text: str, said: str) -> None:
    (problem,) = read(name, text).problems
    assert str(problem).startswith(said)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "log:\n\tlevel: x\n", "a.yaml:2: is not YAML: "),
        ("a.yaml", "log: [\n", "a.yaml:2: is not YAML: "),
        ("a.yaml", "a: 1\n---\nb: 2\n", "a.yaml:2: is not YAML: found another document"),
        ("a.yaml", "a: *nowhere\n", "a.yaml:1: is not YAML: found undefined alias"),
        ("a.yaml", "a: \0\n", "a.yaml: is not YAML: "),
        ("a.yaml", "- a\n", "a.yaml:1: must be a table of settings"),
        ("a.json", '{"a":\n 1,}', "a.json:2: is not JSON: "),
        ("a.json", "[]", "a.json:1: must be a table of settings"),
        ("a.json", "", "a.json:1: is not JSON: "),
        ("a.json", '{"a": ' + "[" * 5000 + "]" * 5000 + "}", "a.json: has too many levels of lists or tables"),
        ("a.conf", "x", "a.conf: must have a name that ends with .toml, .yaml, .yml, .json"),
    ],
)
def test_what_can_not_be_read_is_said_with_its_line(read: Read, name: str, text: str, said: str) -> None:
    assert refusal(read, name, text).startswith(said)


@pytest.mark.parametrize(
    "text",
    ["key: sk-canary: [\n", "key: 'sk-canary\n", "key: sk-canary\n\tx: 1\n", '{"key": "sk-canary" 1}', "sk-canary"],
)
@pytest.mark.parametrize("name", ["a.toml", "a.yaml", "a.json"])
def test_no_message_quotes_the_file(read: Read, name: str, text: str) -> None:
    assert "canary" not in refusal(read, name, text)


def test_aliases_of_aliases_do_not_fill_the_memory(read: Read) -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    (problem,) = read("a.yaml", text).problems
    assert "at most 100,000" in problem.text


def test_many_levels_of_yaml_are_refused(read: Read) -> None:
    assert refusal(read, "a.yaml", "a: " + "[" * 5000 + "]" * 5000).startswith("a.yaml")
