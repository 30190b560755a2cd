"""Options of the commands that read the server's configuration, and the list of its mistakes."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from celeste_image.cli.terminal import say

if TYPE_CHECKING:
    from celeste_image.config import Configuration

__all__ = ["configuration_options", "refuse", "refused"]

INVALID = 2


def configuration_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--config` as `file` and `--set` as `assignments`."""
    command = click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting: log.level=debug; repeatable."
    )(command)
    return click.option("--config", "file", metavar="FILE", help="TOML, YAML or JSON file with the settings.")(command)


def refuse(
    configuration: "Configuration",
    environment: Mapping[str, str],
    error: Exception | None,
    *,
    is_one_line: bool = False,
) -> int:
    """Prints all mistakes of a configuration, one a line, and returns the exit code.

    Args:
        configuration: The settings of all sources.
        environment: The variables that secrets may refer to.
        error: Why the configuration can't be used.
        is_one_line: Whether the mistakes are one line, for a client that shows the last line.
    """
    from celeste_image.check import find_problems

    found = [str(problem) for problem in find_problems(configuration, environment, error)]
    for text in ["; ".join(found)] if is_one_line else found:
        say(f"error: {text}", err=True)
    return INVALID


def refused(error: Exception, configuration: "Configuration | None" = None) -> click.UsageError:
    """Returns the error of a command that can't use the configuration, in one line."""
    from celeste_image.config import problems_in

    problems = problems_in(error)
    located = configuration.located(problems) if configuration else problems
    return click.UsageError("; ".join(map(str, located)))
