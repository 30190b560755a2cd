"""The `celeste` command: its subcommands, the default command and the exit code.

Paths of images go to standard output, everything else to standard error.
"""

import gc
import os
import re
import shlex
import sys
from importlib import import_module

import click

from celeste_image.cli.reserved import instead_of
from celeste_image.cli.terminal import OutputLost, drop_output, prepare_streams, say
from celeste_image.core.errors import CelesteError
from celeste_image.core.nearest import nearest

__all__ = ["celeste", "main"]

COMMANDS = {
    "generate": "Make images from a prompt (the default command).",
    "edit": "Change an image.",
    "upscale": "Enlarge an image.",
    "analyze": "Describe an image: metadata, content, quality, safety.",
    "models": "List the models, or install the weights of one.",
    "providers": "List the providers, or check their keys.",
    "usage": "Add up what was used and what it cost.",
    "ledger": "List the calls to vendors that may have to be paid.",
    "serve": "Start the gRPC server.",
    "callers": "Make API keys for the callers of a server.",
    "config": "Write, check and show the configuration of a server.",
    "db": "Check, migrate, back up and restore the store.",
    "cache": "Count and clear the cached results of a server.",
    "emulate": "Run fake vendors, to develop without keys.",
    "health": "Ask a server whether it serves.",
    "doctor": "Tell what protects this machine from foreign bytes, engine by engine.",
}
"""Commands with their short help. The table lets `celeste --help` skip the import of every command."""


LONGEST_ERROR = 2000
"""Most characters of an error about arguments."""

YOUNG_OBJECTS = 100_000
"""New objects after which the garbage collector looks for cycles. By default it does so every 700 objects, which took a
tenth of a start: in new modules and classes it found almost nothing."""


class Commands(click.Group):
    """Imports a command only when it runs, and treats other words as a prompt for `generate`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns a command, importing its module."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"celeste_image.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Treats arguments without a command as a prompt. A first word that looks like a command is an error."""
        word = args[0]
        if word not in COMMANDS:
            if " " not in word:
                _refuse_commands(ctx, args)
            args = ["generate", *args]
        return super().resolve_command(ctx, args)


def _refuse_commands(ctx: click.Context, args: list[str]) -> None:
    """Raises click.UsageError if the first word is a command with a slip, or one that celeste does not have."""
    word = args[0]
    alone = len(args) == 1 or args[1].startswith("-")
    draw = f"To draw it: celeste generate {shlex.join(args)}"
    near = nearest(word.casefold(), COMMANDS, 0.7)
    instead = instead_of(word, alone=False) or ("" if near else instead_of(word, alone=alone))
    if instead:
        ctx.fail(f"no such command: {word!r}; instead: {instead}. {draw}")
    if near:
        ctx.fail(f"no such command: {word!r}; did you mean {near!r}? {draw}")


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=False)
@click.version_option(package_name="celeste-image", prog_name="celeste")
def celeste() -> None:
    """One gRPC contract for every image model.

    celeste "a red fox in a snowy forest" generates an image at once. Without --address or CELESTE_ADDRESS, the command
    starts a server of its own.
    """


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits; see `exit_code` for errors. An odd argument or stream is never a traceback.

    Args:
        arguments: Those after the name `celeste`; None means this process's own.
    """
    # gRPC reads this when it is imported. Its handlers of forks start its threads again in a process that is about to
    # become a worker, which now and then ended it with SIGSEGV. No fork of ours uses what gRPC had.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # or each failed handshake writes a line to standard error
    gc.set_threshold(YOUNG_OBJECTS)
    prepare_streams()
    try:
        code = _run(arguments)
    except OutputLost as error:
        drop_output()
        if error.text:
            say(f"error: standard output: {error.text}", err=True)
        code = error.code
    gc.freeze()  # or the end of Python looks for cycles among all modules and classes, for a tenth of a second
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    """Runs the command line and returns the exit code. Raises OutputLost."""
    from celeste_image.cli.exit import exit_code
    from celeste_image.cli.process_one import end_by_signals
    from celeste_image.cli.repeat import advice

    end_by_signals()
    try:
        return celeste.main(arguments, prog_name="celeste", standalone_mode=False) or 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        say("interrupted", err=True)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        for line in error.format_message().splitlines():
            say(line, err=True)
        return error.exit_code
    except click.ClickException as error:
        say(f"error: {_short(error.format_message().rstrip('.'))}{_hint(error)}", err=True)
        return error.exit_code
    except CelesteError as error:
        say(f"error: {error.message}", err=True)
        if error.retry_after is not None:
            say(f"try again after {error.retry_after:g} s", err=True)
        for line in advice(error):
            say(line, err=True)
        return exit_code(error)
    except UnicodeEncodeError as error:
        say(f"error: an argument is not UTF-8: {error.object}", err=True)
        return 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        say(f"error: {place}{error.strerror or error}", err=True)
        return 1


def _short(text: str) -> str:
    """Returns a message with the start of each argument that would fill the screen."""
    text = re.sub(r"\S{300,}", lambda long: long.group()[:60] + "...", text)
    return text if len(text) <= LONGEST_ERROR else text[:LONGEST_ERROR] + "..."


def _hint(error: click.ClickException) -> str:
    """Returns the command that explains the arguments, after an error of click's parser."""
    if isinstance(error, click.NoSuchOption) and error.ctx and error.ctx.command is celeste:
        return f"; options follow the prompt or the command, as in: celeste PROMPT {error.option_name}"
    of_parser = (click.NoSuchOption, click.MissingParameter, click.BadOptionUsage, click.BadArgumentUsage)
    context = getattr(error, "ctx", None)
    return f"; see: {context.command_path} --help" if context and isinstance(error, of_parser) else ""


if __name__ == "__main__":
    main()
