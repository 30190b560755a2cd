"""The page of results: docs/performance.md, whose tables come from a run, and so does the list of what is slower."""

from collections.abc import Iterator, Sequence
from statistics import median

from bench.speed.results import Figure, Results
from bench.speed.targets import ROOT
from bench.speed.throughput import within

__all__ = ["PAGE", "RUN", "shown", "slower", "tables", "write_page"]

PAGE = ROOT / "docs" / "performance.md"
RUN = ROOT / "bench" / "results.json"
"""The last full run, which `make bench-full` writes."""
SLOWER = """### Where Celeste is slower

Each cell above in which Celeste is worse than another program of the same run, with the median of the rounds' ratios.
Where more is better, such as requests a second, it is below 1; elsewhere above."""
BEGIN, END = "<!-- measured: begin, by `python -m bench.speed page` -->", "<!-- measured: end -->"


def shown(results: Results) -> str:
    """Returns a result with its heading, as Markdown."""
    parts = [f"### {results.title}", "", results.table(), ""]
    if results.command == "throughput" and len(results.settings["callers"]) > 1:
        parts += [within(results), ""]
    for what, names in results.settings.get("slowest", {}).items():
        parts.append(f"* longest, {what}: {', '.join(names) or 'all under 1 ms'}")
    return "\n".join(parts)


def slower(run: Sequence[Results]) -> str:
    """Returns each cell in which Celeste is worse than another gateway or program of the same run, as a table."""
    rows = [
        f"| {results.title} | {load} | {target} | {figure.name} | {', '.join(better)} |"
        for results in run
        for load, targets in results.rounds.items()
        for target in targets
        if target.startswith("celeste")
        for figure in results.figures
        if (better := list(_better(results, load, target, figure)))
    ]
    if not rows:
        return "In no cell."
    return "\n".join(
        ["| measured | load | target | figure | times that of |", "| --- | --- | --- | --- | --- |", *rows]
    )


def _better(results: Results, load: str, target: str, figure: Figure) -> Iterator[str]:
    """Yields the others that do better, with the ratio of the target's figure to theirs."""
    for other in results.rounds[load]:
        ratios = results.ratios(load, target, figure.name, other) if figure.better else []
        if ratios and not other.startswith("celeste"):
            ratio = round(median(ratios), 2)
            if ratio < 1 if figure.better == "more" else ratio > 1:
                yield f"{other} x{ratio:.2f}"


def versions(run: Sequence[Results]) -> str:
    """Returns a sentence about the machine and the versions of a run."""
    machine = run[0].machine
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    gateways = ", ".join(f"{name} {version}" for name, version in machine["gateways"].items()) or "none"
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}, Celeste at commit {machine['celeste']}. Packages: {packages}. "
        f"Other gateways: {gateways}."
    )


def tables(run: Sequence[Results]) -> str:
    """Returns the part of the page that a run prints, or that says that there is none yet."""
    if not run:
        return "\n".join([BEGIN, "", "No full run has been made yet: `make bench-full` makes one.", "", END])
    behind = f"{SLOWER}\n\n{slower(run)}\n"
    return "\n".join([BEGIN, "", versions(run), "", *(shown(each) + "\n" for each in run), behind, END])


def write_page(run: Sequence[Results]) -> None:
    """Replaces the tables of the page. Raises ValueError if the page has no place for them."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} lacks the lines {BEGIN} and {END}")
    PAGE.write_text(before + tables(run) + after)
