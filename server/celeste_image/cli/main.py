"""The `celeste` command: its subcommands, the default command and the exit code.

Paths of images go to standard output, everything else to standard error.
"""

import difflib
import sys
from importlib import import_module

import click

from celeste_image.core.errors import CelesteError

__all__ = ["celeste", "main"]

COMMANDS = {
    "generate": "Make images from a prompt (the default command).",
    "edit": "Change an image.",
    "upscale": "Enlarge an image.",
    "analyze": "Describe an image: metadata, content, quality, safety.",
    "models": "List the models, or install the weights of one.",
    "providers": "List the providers, or check their keys.",
    "serve": "Start the gRPC server.",
    "emulate": "Run fake vendors, to develop without keys.",
    "health": "Ask a server whether it serves.",
}
"""Commands with their short help. The table lets `celeste --help` skip the import of every command."""


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
        """Treats arguments without a command as a prompt. A first word that resembles a command is an error."""
        word = args[0]
        if word not in COMMANDS:
            near = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.7)
            if near and " " not in word:
                ctx.fail(f"no such command: {word!r}; did you mean {near[0]!r}? To draw it: celeste generate {word!r}")
            args = ["generate", *args]
        return super().resolve_command(ctx, args)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=False)
@click.version_option(package_name="celeste-image", prog_name="celeste")
def celeste() -> None:
    """One gRPC contract for every image model.

    celeste "a red fox in a snowy forest" generates an image at once. Without --address or CELESTE_ADDRESS, the command
    starts a server of its own.
    """


def main() -> None:
    """Runs the command line and exits; see `exit_code` for errors."""
    from celeste_image.cli.exit import exit_code
    from celeste_image.cli.process_one import end_by_signals

    end_by_signals()
    try:
        sys.exit(celeste.main(standalone_mode=False))
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except CelesteError as error:
        click.echo(f"error: {error.message}", err=True)
        if error.retry_after is not None:
            click.echo(f"try again after {error.retry_after:g} s", err=True)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
