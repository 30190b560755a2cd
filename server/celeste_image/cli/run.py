"""Runs an operation for a command: progress on standard error, paths or JSON on standard output."""

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import click
from google.protobuf import json_format
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from celeste_image.cli.exit import PARTLY_DONE
from celeste_image.cli.output import Output
from celeste_image.cli.terminal import say, say_json
from celeste_image.client import Client, connect
from celeste_image.client.checks import check_request, check_text
from celeste_image.core import events
from celeste_image.core.request import Edit, Generate, ImageRequest, Upscale
from celeste_image.core.result import OperationResult
from celeste_image.core.text import escaped
from celeste_image.wire.results import result_to_proto

__all__ = ["make_images", "print_result", "show"]

FORMAT = "output_media_type"

Previewed = Callable[[events.Preview], str]
"""Saves a preview and returns its path."""


def show(
    client: Client,
    request: ImageRequest,
    common: Mapping[str, Any],
    previewed: Previewed | None = None,
    implied: str = "",
) -> OperationResult:
    """Runs a request and shows its progress on standard error: a bar on a terminal, else a line per tenth.

    Args:
        client: Runs the request.
        request: The request.
        common: The values of `operation_options`.
        previewed: Saves a preview; None ignores previews.
        implied: Field that the user did not set; its warnings are left out.

    Raises:
        CelesteError: The request failed.
        click.UsageError: A text is not Unicode.
    """
    try:
        check_request(request)
        check_text(common["request_id"], "--request-id")
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    console = Console(stderr=True, force_terminal=on_terminal)
    on_terminal = on_terminal and not console.is_dumb_terminal
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    result: OperationResult | None = None

    def tell(line: str, style: str = "") -> None:
        if on_terminal:
            console.print(Text(escaped(line), style=style), soft_wrap=True)  # the terminal wraps, so a copy is whole
        else:
            say(line, err=True)

    with ExitStack() as shown:
        bar = shown.enter_context(Progress(*columns, console=console, disable=not on_terminal))
        task = bar.add_task("starting", total=1.0)
        told = -1
        for event in client.stream(request, request_id=common["request_id"], timeout=common["timeout"]):
            match event:
                case events.Queued():
                    place = f"queued, position {event.position}"
                    bar.update(task, description=place)
                    if not on_terminal:
                        tell(place)
                case events.Started():
                    bar.update(task, description=escaped(event.model))
                    if not on_terminal:
                        tell(event.model)
                case events.Progress():
                    bar.update(task, completed=event.fraction)
                    # A log gets a line per tenth, not a bar.
                    if not on_terminal and int(event.fraction * 10) > told:
                        told = int(event.fraction * 10)
                        tell(f"  {event.fraction:4.0%} {event.phase}")
                case events.Preview() if previewed:
                    try:
                        tell(f"preview: {previewed(event)}")
                    except OSError as error:
                        tell(f"warning: a preview was not saved: {error.filename}: {error.strerror}", "yellow")
                case events.Warned() if event.path != implied or not implied:
                    told_of = f"{event.path}: {event.text}" if event.path else event.text
                    tell(f"warning: {told_of}", "yellow")
                case events.Completed():
                    bar.update(task, completed=1.0)
                    result = event.result
    if result is None:
        raise click.ClickException("the server ended the stream without a result")
    return result


def make_images(request: Generate | Edit | Upscale, common: Mapping[str, Any], output: Output) -> int:
    """Runs a request, saves its images and prints their paths. Returns the exit code.

    Args:
        request: The request.
        common: The values of `operation_options`.
        output: Where the images go. The suffix of its file asks for a format if the request names none.

    Raises:
        CelesteError: The request failed.
        OutputLost: Standard output did not take an image or a path.
    """
    implied = ""
    # A strict request for a PNG, the usual format, would fail at each model that has no choice of formats.
    if not request.output_media_type and output.media_type not in ("", "image/png" if request.options.strict else ""):
        request, implied = replace(request, output_media_type=output.media_type), FORMAT
    with connect(common["address"] or "") as client:
        result = show(client, request, common, output.save_preview, implied)
        saved = output.save(client, result.images)
    if common["as_json"]:
        print_result(result, saved.paths)
    else:
        for path in saved.paths:
            if path:
                say(path)
    for index, error in result.failures.items():
        say(f"image {index} was not made: {error.message}", err=True)
    return saved.code or (PARTLY_DONE if result.failures else 0)


def print_result(result: OperationResult, paths: list[str | None] | None = None) -> None:
    """Prints a result as the JSON of the contract, with the paths of its files. Raises OutputLost."""
    message = result_to_proto(result)
    for image in message.images:
        image.ClearField("data")
    values = json_format.MessageToDict(message)
    if paths:
        values["paths"] = paths
    say_json(values)
