"""Runs an operation for a command: progress on standard error, paths or JSON on standard output."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import click
from google.protobuf import json_format

from celeste_image.cli.costs import say_costs
from celeste_image.cli.exit import PARTLY_DONE
from celeste_image.cli.output import Output
from celeste_image.cli.own_server import connect
from celeste_image.cli.progress import progress_shown
from celeste_image.cli.terminal import say, say_json
from celeste_image.client import Client
from celeste_image.client.checks import check_request, check_text
from celeste_image.core import events
from celeste_image.core.request import Edit, Generate, ImageRequest, Upscale
from celeste_image.core.result import OperationResult, ResultSource
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
    result: OperationResult | None = None
    with progress_shown() as shown:
        for event in client.stream(request, request_id=common["request_id"], timeout=common["timeout"]):
            match event:
                case events.Queued():
                    shown.queued(event.position)
                case events.Started():
                    shown.started(event.model)
                case events.Progress():
                    shown.moved(event.fraction, event.phase)
                case events.Preview() if previewed:
                    try:
                        shown.tell(f"preview: {previewed(event)}")
                    except OSError as error:
                        text = f"warning: a preview was not saved: {error.filename}: {error.strerror}"
                        shown.tell(text, warns=True)
                case events.Warned() if event.path != implied or not implied:
                    told_of = f"{event.path}: {event.text}" if event.path else event.text
                    shown.tell(f"warning: {told_of}", warns=True)
                case events.Completed():
                    shown.done()
                    result = event.result
        if result and result.source is ResultSource.CACHED:
            shown.tell("cached: the result of an equal request")
        if result and result.source is ResultSource.REPLAYED:
            shown.tell("replayed: the first result of this request id")
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
    with connect(common["server"]) as client:
        result = show(client, request, common, output.save_preview, implied)
        saved = output.save(client, result.images)
    if common["as_json"]:
        print_result(result, saved.paths)
    else:
        for path in saved.paths:
            if path:
                say(path)
        say_costs(result)
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
