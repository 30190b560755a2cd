"""The log: levels by logger, lines of libraries, and secrets that get into a line all the same."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from celeste_image.core.secret import HIDDEN, Secret, hide
from celeste_image.telemetry.logs import change_logs, configure_logs

Log = Callable[..., list[str]]


@pytest.fixture
def configured() -> Iterator[Log]:
    """Configures the log, and returns its lines."""
    before, root = structlog.get_config(), logging.getLogger()

    def configure(level: str = "info", form: str = "json", **levels: str) -> list[str]:
        lines: list[str] = []
        configure_logs(level, form, {name.replace("__", "."): word for name, word in levels.items()}, lines.append)  # type: ignore[arg-type]
        root.handlers[:] = own_handlers()  # pytest's own raises what a record makes it raise
        return lines

    yield configure
    configure_logs("info", "json", {}, lambda _: None)  # forgets the levels
    structlog.configure(**before)
    for handler in own_handlers():
        root.removeHandler(handler)


def own_handlers() -> list[logging.Handler]:
    return [each for each in logging.getLogger().handlers if type(each).__module__.startswith("celeste_image")]


def events(lines: list[str]) -> list[str]:
    return [json.loads(line)["event"] for line in lines]


def test_a_logger_has_the_level_of_the_nearest_name_above(configured: Log) -> None:
    lines = configured("warning", celeste_image__rpc="error", celeste_image__store="debug", celeste_image="info")
    for name in ("celeste_image.rpc", "celeste_image.store", "celeste_image.storeroom", "celeste_image", "else"):
        log = structlog.get_logger(name)
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)(f"{name.removeprefix('celeste_image')} {level}")
    assert events(lines) == [
        *(".rpc error", ".store debug", ".store info", ".store warning", ".store error"),
        *(".storeroom info", ".storeroom warning", ".storeroom error", " info", " warning", " error"),
        *("else warning", "else error"),
    ]


def test_levels_can_change_while_loggers_are_in_use(configured: Log) -> None:
    log = structlog.get_logger("celeste_image.rpc")
    quiet = configured("error")
    log.info("one")
    loud = configured("debug")
    log.debug("two")
    assert (quiet, events(loud)) == ([], ["two"])


def test_a_reload_changes_levels_and_format_and_the_lines_go_where_they_went(configured: Log) -> None:
    lines = configured("error")
    change_logs("warning", "console", {"celeste_image.rpc": "debug"})
    structlog.get_logger("celeste_image.rpc").debug("one", a="b c")
    structlog.get_logger("celeste_image.calls").info("two")
    assert [line.partition("[")[2] for line in lines] == ["debug    ] one                            a='b c'\n"]


def test_libraries_write_the_same_lines_from_warnings_on(configured: Log) -> None:
    lines = configured("debug", opentelemetry="debug")
    logging.getLogger("httpx").info("HTTP Request: GET https://x/?key=1")
    logging.getLogger("grpc._cython").warning("a %s warning", "formatted")
    logging.getLogger("opentelemetry.sdk").debug("wanted")
    try:
        raise ValueError("of a task")
    except ValueError:
        logging.getLogger("asyncio").exception("100 % %s", "wrong", "arguments")
    assert events(lines) == ["a formatted warning", "wanted", "100 % %s"]
    first, _, last = (json.loads(line) for line in lines)
    assert (first["level"], first["logger"]) == ("warning", "grpc._cython")
    assert (last["level"], last["exception"].splitlines()[-1]) == ("error", "ValueError: of a task")
    configured("error")
    assert logging.getLogger("opentelemetry").level == logging.NOTSET, "a level of before does not stay"
    assert len(own_handlers()) == 1


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_known_secret_is_hidden_in_every_line(configured: Log, form: str) -> None:
    lines = configured(form=form)
    key, quoted = "sk-canary-0123456789", 'pass"word\\with/é'
    for secret in (key, quoted, "short", ""):
        hide(Secret(secret))
    structlog.get_logger("x").info(f"key {key}", header=f"Bearer {key}", url="https://x/?p=pass%22word%5Cwith%2F%C3%A9")
    logging.getLogger("library").error("headers=%r", {"authorization": key, "p": quoted})
    try:
        raise ValueError(f"the key is {key} or {quoted}")
    except ValueError:
        structlog.get_logger("x").exception("bug, in short")
    text = "".join(lines)
    assert text.count(HIDDEN) >= 6
    for part in (key, "canary", "pass", "word", "with/", "%5Cwith"):
        assert part not in text
    assert "bug, in short" in text


def test_a_value_of_any_kind_makes_a_line(configured: Log) -> None:
    lines = configured()
    odd: dict[str, Any] = {"number": 1 << 70, "bytes": b"\xff", "set": {1}, "text": "\ud800\x7f\u202e", "none": None}
    structlog.get_logger("x").info("odd", **odd, keys={1: "one"}, secret=Secret("hunter2"), nan=float("nan"))
    structlog.get_logger("x").info("%s", "odd")
    line = lines[0]
    assert line.isascii()
    assert line.removesuffix("\n").isprintable()
    value = json.loads(line)
    assert (value["number"], value["text"], value["keys"]) == (1 << 70, "\ud800\x7f\u202e", {"1": "one"})
    assert "hunter2" not in line
    assert list(value)[:3] == ["timestamp", "level", "event"]
