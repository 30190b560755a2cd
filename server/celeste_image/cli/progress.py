"""Progress of an operation on standard error: a bar on a terminal, else a line for each tenth."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from celeste_image.cli.terminal import say
from celeste_image.core.text import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["Shown", "progress_shown"]

DUMB = ("dumb", "unknown")
"""Values of TERM of a terminal that can't move its cursor; rich shows no bar on one either."""


class Shown(Protocol):
    """Shows what happens to one operation."""

    def queued(self, position: int) -> None:
        """Shows the position in a queue."""
        ...

    def started(self, model: str) -> None:
        """Shows the model that works."""
        ...

    def moved(self, fraction: float, phase: str) -> None:
        """Shows the share of the work that is done, 0 to 1, and what is being done."""
        ...

    def done(self) -> None:
        """Shows that all work is done."""
        ...

    def tell(self, line: str, *, warns: bool = False) -> None:
        """Shows a line that stays."""
        ...


@contextmanager
def progress_shown() -> Iterator[Shown]:
    """Shows progress within the block. A file or a pipe gets lines, and rich, which draws the bar, is not loaded."""
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM", "").lower() in DUMB:
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, force_terminal=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        yield _Bar(console, bar)


class _Lines:
    """A log gets a line per tenth, not a bar."""

    def __init__(self) -> None:
        self._told = -1

    def queued(self, position: int) -> None:
        self.tell(f"queued, position {position}")

    def started(self, model: str) -> None:
        self.tell(model)

    def moved(self, fraction: float, phase: str) -> None:
        if int(fraction * 10) > self._told:
            self._told = int(fraction * 10)
            self.tell(f"  {fraction:4.0%} {phase}")

    def done(self) -> None:
        pass

    def tell(self, line: str, *, warns: bool = False) -> None:
        say(line, err=True)


class _Bar:
    def __init__(self, console: "Console", bar: "Progress") -> None:
        self._console, self._bar = console, bar
        self._task = bar.add_task("starting", total=1.0)

    def queued(self, position: int) -> None:
        self._bar.update(self._task, description=f"queued, position {position}")

    def started(self, model: str) -> None:
        self._bar.update(self._task, description=escaped(model))

    def moved(self, fraction: float, phase: str) -> None:
        self._bar.update(self._task, completed=fraction)

    def done(self) -> None:
        self._bar.update(self._task, completed=1.0)

    def tell(self, line: str, *, warns: bool = False) -> None:
        from rich.text import Text

        # The terminal wraps the line, so that a copy is whole.
        self._console.print(Text(escaped(line), style="yellow" if warns else ""), soft_wrap=True)
