"""The page of results: docs/performance.md, whose tables come from a run."""

from collections.abc import Sequence

from bench.speed.results import Results
from bench.speed.targets import ROOT
from bench.speed.throughput import within

__all__ = ["PAGE", "RUN", "shown", "tables", "write_page"]

PAGE = ROOT / "docs" / "performance.md"
RUN = ROOT / "bench" / "results.json"
"""The last full run, which `make bench-full` writes."""
BEGIN, END = "<!-- measured: begin, by `python -m bench.speed page` -->", "<!-- measured: end -->"


def shown(results: Results) -> str:
    """Returns a result with its heading, as Markdown."""
    parts = [f"### {results.title}", "", results.table(), ""]
    if results.command == "throughput" and len(results.settings["callers"]) > 1:
        parts += [within(results), ""]
    for what, names in results.settings.get("slowest", {}).items():
        parts.append(f"* longest, {what}: {', '.join(names) or 'all under 1 ms'}")
    return "\n".join(parts)


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
    return "\n".join([BEGIN, "", versions(run), "", *(shown(each) + "\n" for each in run), END])


def write_page(run: Sequence[Results]) -> None:
    """Replaces the tables of the page. Raises ValueError if the page has no place for them."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} lacks the lines {BEGIN} and {END}")
    PAGE.write_text(before + tables(run) + after)
