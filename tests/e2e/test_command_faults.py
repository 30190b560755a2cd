"""Faults around the command: places that can't be written, odd streams, odd text, terminals, words like commands."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support import pictures
from tests.support.command import CELESTE, Celeste

from celeste_image.cli import main as command
from celeste_image.cli.reserved import RESERVED
from celeste_image.core.text import escaped

Odd = Callable[..., tuple[int, str]]
SMALL = ("--size", "64x64", "--seed", "1")
EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202eRTL\r\nFAKE LINE\x08\x7f[red]x[/red]"
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Odd:
    """Runs a command in this process that must end before any call: no server is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELESTE_ADDRESS", NOWHERE)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["celeste", *arguments])
        with pytest.raises(SystemExit) as ended:
            command.main()
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1, err  # one line
        assert escaped(err.strip()) == err.strip()
        return int(ended.value.code or 0), err

    return run


@pytest.mark.parametrize(
    ("out", "more", "words"),
    [
        ("file/x.png", [], "file: not a folder"),
        ("file/deep/x.png", [], "file: not a folder"),
        ("folder/missing/", [], "there is no such folder"),
        ("a" * 300 + ".png", [], "too long"),
        ("a" * 253, [], "too long"),
        ("é" * 126 + ".png", [], "too long"),
        ("a" * 250 + ".png", ["--count", "2"], "too long"),
        ("d" * 300 + "/x.png", [], "too long"),
        ("mine.png", [], "mine.png exists; --force overwrites it"),
        ("mine", [], "mine.png exists; --force overwrites it"),
        ("link.png", [], "link.png exists; --force overwrites it"),
        ("two.png", ["--count", "2"], "two-1.png exists; --force overwrites it"),
        ("x.bmp", [], "an image is not saved as .bmp; use one of .png"),
        ("x.gif", ["--force"], "an image is not saved as .gif"),
        ("x.jpg", ["--format", "png"], "x.jpg is not for --format image/png; use .png"),
        ("", [], "the path is empty"),
        (" ", [], "the path is empty"),
        ("/proc/celeste/x.png", [], "no file can be written there"),
        ("folder.png", [], ""),
        ("-", ["--json"], "does not go with --json"),
        ("-", ["--count", "2"], "does not go with --count"),
        ("/dev/null", ["--count", "2"], "/dev/null takes one image"),
    ],
)
def test_a_place_that_can_not_be_written_is_found_before_the_work(
    odd: Odd, tmp_path: Path, out: str, more: list[str], words: str
) -> None:
    for name in ("file", "mine.png", "two-1.png"):
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("nowhere.png")
    (tmp_path / "photo.png").write_bytes(pictures.plain(8, 8))
    before = sorted(path.name for path in tmp_path.rglob("*"))
    commands = [["a fish"]] if "--count" in more else [["a fish"], ["upscale", "photo.png"]]
    for each in commands:
        code, told = odd(*each, "-o", out, *more)
        assert code == (2 if words else 9)  # a folder with a suffix is a folder: only the server is missing
        assert words in told
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["caf\udce9"], r"prompt is not valid Unicode: 'caf\udce9'"),
        (["a", "-m", "\udce9"], "model is not valid Unicode"),
        (["a", "--set", "\udce9.a=1"], "options.provider_options is not valid Unicode"),
        (["a", "--request-id", "\udce9"], "--request-id is not valid Unicode"),
        (["models", "show", "\udce9"], "model is not valid Unicode"),
        (["health", "--service", "\udce9"], "--service is not valid Unicode"),
        (["analyze", "caf\udce9.png"], r"caf\udce9.png: No such file"),
        (["analyze", "a" * 300], "File name too long"),
        (["upscale", "no\x1b[31m\u202esuch.png"], r"no\x1b[31m\u202esuch.png: No such file"),
        (["upscale", "empty.png"], "empty.png: the file is empty"),
        (["upscale", "."], "Is a directory"),
        (["edit", "erase", "photo.png", "--mask", "empty.png"], "empty.png: the file is empty"),
        (["a", "--timeout", "nan"], "must be a number, above 0, is nan"),
        (["a", "--timeout", "-1"], "must be a number, above 0, is -1"),
        (["upscale", "photo.png", "-f", "nan"], "must be a number, 1 to 16, is nan"),
        (["health", "--wait", "nan"], "must be a number, 0 or more, is nan"),
        (["a", "--timeout", "5s"], "must be a number, above 0, is 5s"),
        (["a", "--seed", "random"], "must be a whole number, 0 to 18,446,744,073,709,551,615, is random"),
        (["a", "--seed", "1.5"], "must be a whole number"),
        (["a", "--seed", "9" * 5000], "is 999"),
        (["a", "--count", "17"], "must be a whole number, 1 to 16, is 17"),
        (["a", "--inline-limit", "-1"], "must be a whole number, 0 or more, is -1"),
        (["a", "--set", "local.x=" + "[" * 100_000], "local.x has too many levels of lists"),
        (["a", "--set", "local.x=" + "[" * 50 + "]" * 50], "at most 32 levels"),
        (["a", "--set", "x" * 5000], "xxx... is not PROVIDER.NAME=VALUE"),
        (["a", "--size", "9x" * 500_000], "a size is like 768x512"),
        ([""], "the prompt is empty"),
        (["generate", " \t\n"], "the prompt is empty"),
        (["--seed", "3", "a red boat"], "options follow the prompt or the command, as in: celeste PROMPT --seed"),
        (["a red boat", "–seed", "3"], "'–seed' begins with a dash; the option is --seed, with two hyphens"),
        (["a red boat", "—out", "x.png"], "the option is --out"),
        (["a red boat", "−−count=2"], "the option is --count"),
        (["analyze", "https://example.com/a.png"], "is a URL, and an image is a file"),
        (["analyze", ""], "the path of an image is empty"),
        (["a", "--address", "http://localhost:50051"], "host:port, [IPv6]:port or unix:PATH"),
        (["a", "--address", ""], "it is empty"),
        (["models", "--address", "localhost"], "the port is missing, such as localhost:50051"),
        (["providers", "--address", "localhost:0"], "the port is 1 to 65535"),
        (["health", "--address", "::1"], "in brackets"),
        (["a", "--bogus\x1b[31m"], r"--bogus\x1b[31m"),
        (["a", "--size", "0x0"], "a size is above 0"),
        (["generate"], "see: celeste generate --help"),
    ],
)
def test_odd_arguments_end_in_one_line(odd: Odd, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "photo.png").write_bytes(pictures.plain(8, 8))
    code, told = odd(*arguments)
    assert code == 2
    assert words in told
    assert len(told) < 2200


def test_the_problems_of_a_configuration_are_one_line(odd: Odd, tmp_path: Path) -> None:
    (tmp_path / "celeste.toml").write_text("[log]\nlevel = 'loud'\nlevle = 1\n[server]\ndrain_seconds = -1\n")
    code, told = odd("providers", "check")
    assert code == 2
    assert [told.count(f"celeste.toml:{line}: ") for line in (2, 3, 5)] == [1, 1, 1]
    assert "\\n" not in told


def test_formats_have_the_names_of_their_suffixes(odd: Odd) -> None:
    for name in ("jpg", "JPEG", "avif"):
        code, told = odd("a fish", "--format", name, "--out", "x.png")
        assert code == 2
        assert f"x.png is not for --format image/{name.lower().replace('jpg', 'jpeg')}" in told


def test_an_address_in_the_environment_is_checked(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_ADDRESS", "https://host")
    code, told = odd("a fish")
    assert code == 2
    assert "https://host" in told


@pytest.mark.parametrize(
    "words",
    [
        *("help", "version", "keys", "list", "login", "status", "init", "update", "HELP", "Help edit"),
        *("genrate", "verison", "hlep", "serv", "modles", "upscale2", "analyse", "restyle photo.jpg", "pull local/x"),
        *("keys set openai", "remove-background photo.jpg", "logs", "stop", "install", "?"),
    ],
)
def test_words_that_look_like_commands_are_never_drawn(odd: Odd, words: str) -> None:
    code, told = odd(*words.split())
    assert code == 2
    assert f"no such command: {words.split(maxsplit=1)[0]!r}" in told
    assert "instead: " in told or "did you mean" in told
    assert "To draw it: celeste generate " in told


@pytest.mark.parametrize("words", ["fox", "a keys", "draw a fox", "keys on a table.", "a helpful robot", "sunset"])
def test_other_words_are_prompts(odd: Odd, words: str) -> None:
    arguments = [words] if words.startswith("keys") else words.split()
    assert odd(*arguments)[0] == 9  # no server is there


def test_what_a_reserved_word_says_exists() -> None:
    for instead in RESERVED.values():
        for named in [part.split()[1] for part in instead.split(", ") if part.startswith("celeste ")]:
            assert named.strip('"') in {*command.COMMANDS, "--help,", "--help", "--version", "COMMAND", "PROMPT", "has"}


def test_one_image_of_several_can_not_be_written(celeste: Celeste, tmp_path: Path) -> None:
    """A folder appears in the place of the first image while the server works; the image is paid for."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import os\nreal = os.fsync\nseen = []\n"
        "def full(fd):\n    seen.append(fd)\n"
        "    if len(seen) == 1:\n        raise OSError(28, 'No space left on device')\n"
        "    real(fd)\nos.fsync = full\n"
    )
    (tmp_path / "out-0.png").write_bytes(b"mine")
    arguments = ("a fish", "--size", "64x64", "--count", "2", "-o", "out.png", "--force", "--json")
    done = celeste(*arguments, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 6
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(b"error")]
    result = json.loads(done.stdout)
    assert result["paths"] == [None, "out-1.png"]
    name = f"artifacts/sha256-{result['images'][0]['sha256']}"
    assert line.decode() == f"error: out-0.png: No space left on device; the server keeps it as {name}"
    assert (tmp_path / "out-0.png").read_bytes() == b"mine"
    assert pictures.opened((tmp_path / "out-1.png").read_bytes()).size == (64, 64)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.faults
def test_streams_of_bytes_and_text(celeste: Celeste, address: str, tmp_path: Path) -> None:
    image = celeste("a fish", *SMALL, "-o", "-")
    assert image.returncode == 0
    assert pictures.opened(image.stdout).size == (64, 64)
    assert b"100%" in image.stderr
    larger = celeste("upscale", "-", "-o", "-", "-m", "local/lanczos", "-f", "2", stdin=image.stdout)
    assert pictures.opened(larger.stdout).size == (128, 128)
    for stdin, words in ((b"caf\xe9", b"not UTF-8: byte 4 is 0xe9"), (b"", b"empty"), (b" \n", b"only white space")):
        refused = celeste("generate", "-", *SMALL, stdin=stdin)
        assert (refused.returncode, refused.stdout) == (2, b"")
        assert words in refused.stderr
        assert refused.stderr.count(b"\n") == 1
    marked = celeste("generate", "-", *SMALL, stdin=b"\xef\xbb\xbfa boat\0\r\n")
    assert (marked.returncode, marked.stdout) == (0, b"a-boat-1-0.png\n")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("-")]


@pytest.mark.faults
@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("{c} generate - <&-", 2, b"standard input, which is closed"),
        ("{c} analyze - <&-", 2, b"standard input, which is closed"),
        ("{c} fish {s} >&-", 0, b"100%"),
        ("{c} fish {s} 2>&-", 0, b""),
        ("{c} fish {s} >&- 2>&- <&-", 0, b""),
        ("{c} fish {s} -o - >&-", 2, b"which is closed"),
        (
            "{c} fish {s} -o - >/dev/full",
            6,
            b"No space left on device; the server keeps the image as artifacts/",
        ),
        ("{c} fish {s} >/dev/full", 6, b"error: standard output: No space left on device"),
        ("{c} fish {s} 2>/dev/full", 0, b""),
        ("exec 3>&1; {c} fish {s} -o - 2>&3 | true; exit ${{PIPESTATUS[0]}}", 6, b""),
        ("{c} models | true; exit ${{PIPESTATUS[0]}}", 141, b""),
        ("{c} --help >/dev/full", 1, b""),
        ("PYTHONIOENCODING=ascii {c} fish {s} -o é.png", 0, b""),
        ("PYTHONIOENCODING=latin-1 {c} analyze caf$'\\351'.png", 2, b"caf\\udce9.png"),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {c} fish {s} -o é.png", 0, b""),
    ],
)
def test_closed_broken_full_and_odd_streams(address: str, tmp_path: Path, script: str, code: int, words: bytes) -> None:
    line = script.format(c=f"{sys.executable} -m celeste_image.cli.main", s=" ".join(SMALL))
    environment = os.environ | {"CELESTE_ADDRESS": address}
    done = subprocess.run(["bash", "-c", line], capture_output=True, cwd=tmp_path, env=environment, timeout=60)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert b"Traceback" not in done.stdout + done.stderr
    assert b"Exception ignored" not in done.stderr


def on_terminal(address: str, folder: Path, *arguments: str) -> tuple[int, str]:
    """Runs a command on a terminal of 80 columns, and returns its exit code and all that the terminal got."""
    leader, follower = pty.openpty()
    environment = os.environ | {"CELESTE_ADDRESS": address, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        [*CELESTE, *arguments], stdin=follower, stdout=follower, stderr=follower, cwd=folder, env=environment
    )
    os.close(follower)
    got = b"".join(_read(leader))
    os.close(leader)
    return process.wait(60), got.decode()


def _read(leader: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(leader, 1 << 16)
        except OSError:  # Linux says EIO when the other side is closed
            return
        if not data:
            return
        yield data


@pytest.mark.faults
def test_a_terminal_gets_no_bytes_of_an_image(address: str, tmp_path: Path) -> None:
    for out in ("-", "/dev/stdout"):
        code, told = on_terminal(address, tmp_path, "a fish", *SMALL, "-o", out)
        assert code == 2
        assert "not for a terminal" in told
    assert not os.listdir(tmp_path)


def test_a_terminal_is_never_told_what_to_do_and_its_lines_are_whole(address: str, tmp_path: Path) -> None:
    code, told = on_terminal(address, tmp_path, "a fish " + EVIL, *SMALL, "-m", "x/\x1b[31mnone\u202e" + "x" * 90)
    for letter in ("\x07", "\x9b", "\u202e", "\x08", "\x7f", "\x1b[31m", "\x1b[2J", "\nFAKE"):
        assert letter not in told
    assert code == 7
    assert "\\x1b[31mnone\\u202e" + "x" * 90 in told  # the terminal wraps, not the command


@pytest.mark.faults
def test_nothing_is_wrapped_or_obeyed_in_a_pipe(celeste: Celeste, tmp_path: Path) -> None:
    prompt = "a fish " + " ".join("zqxw" + letter * 5 for letter in "abcdefghijklmnoprstuv")
    done = celeste(prompt, *SMALL)
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith(b"warning")]
    assert b"zqxwvvvvv" in warning
    evil = celeste("a fish " + EVIL, *SMALL, "--recipe", "--metadata", "strip", "-o", "e.png")
    read = celeste("analyze", "e.png", "--kind", "metadata", "--json")
    for got in (evil.stdout, evil.stderr, read.stdout, read.stderr):
        lines = got.decode().split("\n")
        assert all(escaped(line) == line for line in lines)
        assert "FAKE LINE" not in [line.strip() for line in lines]
    generation = json.loads(read.stdout)["analysis"]["metadata"]["generation"]
    assert generation["prompt"].replace("\r", "") == ("a fish " + EVIL).replace("\r", "")
