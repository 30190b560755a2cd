"""Texts of other people are shown, never obeyed: on terminals, in logs and in JSON."""

import io
import json
import unicodedata

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from celeste_image.core.text import escaped, json_text
from celeste_image.telemetry import logs
from celeste_image.telemetry.lines import plain_line

OBEYED = (
    *("\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x90q\x9c", "a\rb", "a\nb", "\x08\x08", "\x7f", "\0", "\t"),
    *("\u202egpj.exe", "\u2066a\u2069", "\u200e\u200f\u061c", "\u200b\u200d\ufeff\u2060", "\u2028\u2029", "\x85"),
    *("\ud800", "\udce9", "\U000e0041", "\ufff9a\ufffb", "\u00ad", "\u3164", "\u034f"),
)


@pytest.mark.parametrize("text", OBEYED)
def test_what_a_terminal_obeys_or_hides_is_escaped(text: str) -> None:
    shown = escaped(f"<{text}>")
    assert all(unicodedata.category(letter)[0] not in "C" and letter not in "\u2028\u2029" for letter in shown)
    assert "\\" in shown


@pytest.mark.parametrize("text", ["plain", "café", "日本語\u3000全角", "10\u00a0km", "😀 ❤️", "שלום", "a\\x1b"])
def test_letters_of_all_languages_stay(text: str) -> None:
    assert escaped(text) == text


@given(st.text(alphabet=st.characters(codec=None)), st.booleans())
def test_json_stays_valid_and_has_no_control_character(text: str, ascii_only: bool) -> None:
    shown = json_text({"a": [text]}, ascii_only=ascii_only)
    assert json.loads(shown) == json.loads(json.dumps({"a": [text]}))
    assert escaped(shown.replace("\n", "")) == shown.replace("\n", "")
    assert not ascii_only or shown.isascii()


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_log_line_can_not_be_forged_or_obeyed(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logs.sys, "stderr", log)
    before = structlog.get_config()
    try:
        logs.configure_logs("info", form)  # type: ignore[arg-type]
        evil = "".join(OBEYED) + "\n2026-01-01 [info] forged"
        structlog.get_logger("x").info("rpc", model=evil, models=[evil])
        try:
            raise ValueError(evil)
        except ValueError:
            logs.log_bug(path=evil)
    finally:
        structlog.configure(**before)
    lines = log.getvalue().removesuffix("\n").split("\n")
    assert not [line for line in lines if line.startswith("2026-01-01") or escaped(line) != line]
    if form == "json":
        assert [json.loads(line)["event"] for line in lines] == ["rpc", "bug"]
        assert json.loads(lines[0])["model"] == json.loads(json.dumps(evil))


class _Writes(io.StringIO):
    """Notes each text that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        self.texts.append(text)
        return super().write(text)


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_log_line_is_written_at_once_with_its_end(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _Writes()
    monkeypatch.setattr(logs.sys, "stderr", log)
    before = structlog.get_config()
    try:
        logs.configure_logs("info", form)  # type: ignore[arg-type]
        structlog.get_logger("x").info("rpc", outcome="OK")
        structlog.get_logger("x").info("call", outcome="OK")
    finally:
        structlog.configure(**before)
    assert len(log.texts) == 2
    assert all(text.endswith("\n") for text in log.texts)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"event": "a b", "model": "bench/image", "seconds": 0.25, "images": 1},
        {"event": "x" * 40, "peer": "ipv4:127.0.0.1:5", "text": "two words", "empty": "", "quote": "it's", "a": "b=c"},
        {"level": "warning", "none": None, "list": ["a b"], "Zeta": True, "é": "日本"},
    ],
)
def test_a_plain_line_is_the_console_renderers(facts: dict[str, object]) -> None:
    event = {"event": "call", "level": "info", "timestamp": "2026-11-30T12:00:00.000000Z"} | facts
    rendered = structlog.dev.ConsoleRenderer(colors=False)(None, "info", dict(event))
    first = (str(event.pop(name)) for name in ("timestamp", "level", "event"))
    assert plain_line(*first, event) == rendered
