"""What a result of the benches says of itself, when two runs agree, and what the page makes of a run."""

from pathlib import Path
from typing import Any

import pytest
from bench.speed.__main__ import main
from bench.speed.page import PAGE, RUN, SLOWER, slower, tables
from bench.speed.results import Figure, Results, agreement, read, write
from bench.speed.stalls import longest
from bench.speed.throughput import within

MACHINE: dict[str, Any] = {
    "celeste": "0000000",
    "cores": 2,
    "cpu": "a processor",
    "memory_gib": 8,
    "system": "Linux",
    "python": "3.13",
    "packages": {},
    "gateways": {"litellm-proxy": "1.2.3"},
}
LOAD = "30 KB, 64 callers"


def results(*rounds: tuple[float, float], others: float = 0.0) -> Results:
    """Returns results of a gateway beside the minimal one, with their requests a second."""
    figures = (Figure("req/s", ratio=True, better="more"), Figure("p99 ms"))
    settings = {"sizes": ["small"], "callers": [64]}
    made = Results("throughput", "Throughput", "minimal", figures, settings, machine=MACHINE)
    for base, ours in rounds:
        made.add(LOAD, "minimal", {"req/s": base, "p99 ms": 90})
        made.add(LOAD, "celeste", {"req/s": ours, "p99 ms": 150})
    made.others = others
    return made


def test_ratios_are_taken_within_a_round() -> None:
    quiet = results((100, 200), (50, 105), (80, 152))
    assert quiet.ratios(LOAD, "celeste", "req/s") == [1.9, 2.0, 2.1]
    assert "| 30 KB, 64 callers | celeste | 152.0 (x2.00 [1.90-2.10]) | 150.0 |" in quiet.table()
    assert "Fit to quote." in quiet.table()


@pytest.mark.parametrize(
    ("noisy", "why"),
    [
        (results((100, 200), (100, 201), others=0.2), "other processes took 20% of the machine"),
        (results((100, 150), (100, 250), (100, 200)), "1 of the ratios spread over more than 33%"),
    ],
)
def test_a_run_that_is_too_noisy_to_quote_says_so(noisy: Results, why: str) -> None:
    assert why in noisy.doubts()[0]
    assert "**Too noisy to quote**" in noisy.table()


def test_the_quarters_at_the_ends_of_six_rounds_or_more_are_left_out() -> None:
    rounds = [(100, ours) for ours in (210, 50, 400, 200, 190, 205)]
    assert results(*rounds).ratios(LOAD, "celeste", "req/s") == [1.9, 2.0, 2.05, 2.1]
    assert results(*rounds[:5]).ratios(LOAD, "celeste", "req/s") == [0.5, 1.9, 2.0, 2.1, 4.0]


def test_errors_and_absent_targets_are_told() -> None:
    wrong = results((100, 200))
    wrong.failed(LOAD, "celeste", {"UNAVAILABLE": 2})
    wrong.absent["bifrost"] = "not installed: make gateways"
    assert wrong.doubts() == ["2 errors"]
    assert "* 2 x 30 KB, 64 callers, celeste: UNAVAILABLE" in wrong.table()
    assert "* bifrost is absent: not installed: make gateways" in wrong.table()


def test_the_worst_round_is_quoted_of_a_figure_with_a_bound() -> None:
    made = Results("stalls", "Stalls", "", (Figure("longest ms", worst=True), Figure("p99.9 ms")), machine=MACHINE)
    for milliseconds in (2, 7, 3):
        made.add("1.6 MB", "celeste", {"longest ms": milliseconds, "p99.9 ms": milliseconds})
    assert "| 1.6 MB | celeste | 7.0 | 3.0 |" in made.table()


def test_the_longest_callbacks_of_all_rounds_are_told() -> None:
    assert longest([f"{number}.5 ms name" for number in (2, 10, 3, 9, 1, 4)]) == [
        f"{number}.5 ms name" for number in (10, 9, 4, 3, 2)
    ]


def test_written_results_are_read_again(tmp_path: Path) -> None:
    first = results((100, 190), (100, 210))
    write(tmp_path / "run.json", [first])
    (again,) = read(tmp_path / "run.json")
    assert again.table() == first.table()
    assert list(again.figures) == list(first.figures)


@pytest.mark.parametrize(
    ("first", "second", "agrees"),
    [
        ([(100, 199), (100, 201)], [(100, 228), (100, 230)], True),  # 14.5 %; the rounds lie close together
        ([(100, 199), (100, 201)], [(100, 232), (100, 234)], False),  # 16.5 %
        ([(100, 200)], [(100, 171)], True),  # one round
        ([(100, 200)], [(100, 169)], False),
        ([(100, 180), (100, 220)], [(100, 238), (100, 240)], True),  # 19.5 %, and 20 % within the first run
        ([(100, 200), (100, 200)], [(100, 210), (100, 280)], True),  # 22.5 %, and 29 % within the second run
        ([(100, 180), (100, 220)], [(100, 243), (100, 245)], False),  # 22 %
    ],
)
def test_two_runs_agree_if_they_are_no_further_apart_than_a_spread(
    first: list[tuple[float, float]], second: list[tuple[float, float]], agrees: bool
) -> None:
    (compared,) = agreement([results(*first)], [results(*second)])
    assert compared.cell == "throughput: 30 KB, 64 callers, celeste, req/s"
    assert compared.agrees is agrees


def test_the_command_says_what_agrees_and_which_run_is_noisy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def agree(one: str, other: str) -> int:
        monkeypatch.setattr("sys.argv", ["bench.speed", "agree", *(str(tmp_path / name) for name in (one, other))])
        return main()

    write(tmp_path / "one.json", [results((100, 200), (100, 202))])
    write(tmp_path / "near.json", [results((100, 210), (100, 212), others=0.2)])
    write(tmp_path / "far.json", [results((100, 300), (100, 310))])
    write(tmp_path / "noisy.json", [results((100, 300), (100, 310), others=0.2)])
    assert agree("one.json", "noisy.json") == 0
    assert "noisy    2.01    3.05" in capsys.readouterr().out
    assert agree("one.json", "near.json") == 0
    out = capsys.readouterr().out
    assert "agree    2.01    2.11    +5% of  15%  throughput: 30 KB, 64 callers, celeste, req/s" in out
    assert "near.json: throughput is too noisy to quote: other processes took 20% of the machine" in out
    assert "1 of 1 ratios agree" in out
    assert agree("one.json", "far.json") == 1
    assert "APART    2.01    3.05   +52% of  15%" in capsys.readouterr().out


def test_runs_without_a_common_ratio_do_not_agree() -> None:
    only = results((100, 200))
    only.command = "latency"
    assert agreement([results((100, 200))], [only]) == []


def test_the_curve_tells_the_requests_within_a_bound() -> None:
    curve = results((100, 200))
    curve.add("30 KB, 256 callers", "minimal", {"req/s": 120, "p99 ms": 400})
    curve.add("30 KB, 256 callers", "celeste", {"req/s": 260, "p99 ms": 1800})
    lines = within(curve).splitlines()
    assert lines[2] == "| minimal | none | 100 | 100 | 120 | 120 | 120 |"
    assert lines[3] == "| celeste | none | none | 200 | 200 | 200 | 260 |"


def test_the_page_lists_each_cell_in_which_celeste_is_worse() -> None:
    run = results((100, 200), (100, 210))
    for rate in (400, 420):
        run.add(LOAD, "litellm-rs", {"req/s": rate, "p99 ms": 30})
        run.add(LOAD, "celeste-file", {"req/s": 90, "p99 ms": 20})
    assert slower([run]).splitlines()[2:] == [
        "| Throughput | 30 KB, 64 callers | celeste | req/s | litellm-rs x0.50 |",
        "| Throughput | 30 KB, 64 callers | celeste | p99 ms | minimal x1.67, litellm-rs x5.00 |",
        "| Throughput | 30 KB, 64 callers | celeste-file | req/s | minimal x0.90, litellm-rs x0.22 |",
    ]
    assert SLOWER in tables([run])
    assert "litellm-proxy 1.2.3" in tables([run])


def test_a_figure_that_is_neither_good_nor_bad_is_not_listed() -> None:
    run = Results("stalls", "Stalls", "", (Figure("callbacks", better=""),), machine=MACHINE)
    run.add(LOAD, "minimal", {"callbacks": 1})
    run.add(LOAD, "celeste", {"callbacks": 2})
    assert slower([run]) == "In no cell."


def test_the_page_shows_what_the_last_full_run_printed() -> None:
    assert tables(read(RUN) if RUN.exists() else []) in PAGE.read_text()
