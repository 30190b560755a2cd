"""The progress of a command: lines where standard error is a file, a bar on a terminal."""

import io
import sys

import pytest

from celeste_image.cli.progress import Shown, progress_shown


class Screen(io.StringIO):
    """Standard error of a terminal."""

    def isatty(self) -> bool:
        return True


def work(shown: Shown) -> None:
    shown.queued(2)
    shown.started("local/compose\x1b[31m")
    for hundredth in range(101):
        shown.moved(hundredth / 100, "render")
    shown.tell("warning: size: changed", warns=True)
    shown.done()


LINES = ["queued, position 2", r"local/compose\x1b[31m", *(f"  {10 * tenth:3d}% render" for tenth in range(11))]
LINES += ["warning: size: changed"]


def test_a_file_gets_a_line_per_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    with progress_shown() as shown:
        work(shown)
    assert file.getvalue().splitlines() == LINES


def test_a_terminal_without_a_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("TERM", "dumb")
    with progress_shown() as shown:
        work(shown)
    assert screen.getvalue().splitlines() == LINES


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("TERM", "xterm")
    with progress_shown() as shown:
        work(shown)
    text = screen.getvalue()
    assert r"local/compose\x1b[31m" in text
    assert "100%" in text
    assert "warning: size: changed" in text
    assert "% render" not in text


def test_a_closed_standard_error_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing goes to standard output instead, which may be the image."""
    monkeypatch.setattr(sys, "stderr", None)
    with progress_shown() as shown:
        work(shown)
    assert capsys.readouterr().out == ""
