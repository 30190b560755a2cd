"""Options of the commands that read the server's configuration, and the list of its mistakes."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from celeste_image.cli.terminal import say

if TYPE_CHECKING:
    from celeste_image.config import Configuration, Problem

__all__ = ["configuration_options", "refuse", "refused", "say_problems"]

INVALID = 2


def configuration_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--config` as `file` and `--set` as `assignments`."""
    command = click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting: log.level=debug; repeatable."
    )(command)
    return click.option("--config", "file", metavar="FILE", help="TOML, YAML or JSON file with the settings.")(command)


def say_problems(problems: "Sequence[Problem]", *, is_one_line: bool = False) -> int:
    """Prints mistakes of the configuration and returns the exit code.

    Args:
        problems: The mistakes.
        is_one_line: Whether they are one line, for a client that shows the last line.
    """
    found = [str(problem) for problem in problems]
    for text in ["; ".join(found)] if is_one_line else found:
        say(f"error: {text}", err=True)
    return INVALID


def refuse(
    configuration: "Configuration", environment: Mapping[str, str], error: Exception, *, is_one_line: bool = False
) -> int:
    """Prints all mistakes of a configuration that can't be used, and returns the exit code.

    Args:
        configuration: The settings of all sources.
        environment: The variables that secrets may refer to.
        error: Why the configuration can't be used.
        is_one_line: See `say_problems`.
    """
    from celeste_image.check import find_problems
    from celeste_image.telemetry.logs import configure_logs

    configure_logs("error", "console")
    return say_problems(find_problems(configuration, environment, error), is_one_line=is_one_line)


def refused(error: Exception, configuration: "Configuration") -> click.UsageError:
    """Returns the error of a command that can't use the configuration, in one line."""
    from celeste_image.config import problems_in

    return click.UsageError("; ".join(map(str, configuration.located(problems_in(error)))))
