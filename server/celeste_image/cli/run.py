"""Runs an operation for a command: progress on standard error, paths or JSON on standard output."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from google.protobuf import json_format
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from celeste_image.cli.exit import PARTLY_DONE
from celeste_image.client import Client, connect
from celeste_image.client.calls import MEDIA_SUFFIXES, path_for
from celeste_image.core import events
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ImageOutput, OperationResult
from celeste_image.wire.results import result_to_proto

__all__ = ["make_images", "print_result", "show"]


Previewed = Callable[[events.Preview], Path]
"""Saves a preview and returns its path."""


def show(
    client: Client, request: ImageRequest, common: Mapping[str, Any], previewed: Previewed | None = None
) -> OperationResult:
    """Runs a request and shows its progress on standard error.

    Args:
        client: Runs the request.
        request: The request.
        common: The values of `operation_options`.
        previewed: Saves a preview; None ignores previews.

    Raises:
        CelesteError: The request failed.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    result: OperationResult | None = None
    with ExitStack() as shown:
        bar = shown.enter_context(Progress(*columns, console=console, disable=not console.is_terminal))
        task = bar.add_task("starting", total=1.0)
        told = -1
        for event in client.stream(request, request_id=common["request_id"], timeout=common["timeout"]):
            match event:
                case events.Queued():
                    bar.update(task, description=f"queued, position {event.position}")
                case events.Started():
                    bar.update(task, description=event.model)
                    if not console.is_terminal:
                        console.print(event.model, highlight=False)
                case events.Progress():
                    bar.update(task, completed=event.fraction)
                    # A log gets a line per tenth, not a bar.
                    if not console.is_terminal and int(event.fraction * 10) > told:
                        told = int(event.fraction * 10)
                        console.print(f"  {event.fraction:4.0%} {event.phase}", highlight=False)
                case events.Preview() if previewed:
                    console.print(f"preview: {previewed(event)}", highlight=False, markup=False)
                case events.Warned():
                    told_of = f"{event.path}: {event.text}" if event.path else event.text
                    console.print(f"warning: {told_of}", style="yellow", highlight=False, markup=False)
                case events.Completed():
                    bar.update(task, completed=1.0)
                    result = event.result
    if result is None:
        raise click.ClickException("the server ended the stream without a result")
    return result


def _save_images(client: Client, result: OperationResult, out: Path | None, stem: str, *, force: bool) -> list[Path]:
    """Writes the images of a result and returns their paths.

    Args:
        client: Reads the bytes.
        result: The result.
        out: A file for one image, or an existing folder; None is the working folder.
        stem: Start of the file names if `out` is not a file.
        force: Whether files may be overwritten.

    Every image is saved: a name that is taken, or whose suffix is wrong, is replaced by another one.
    """
    paths: list[Path] = []
    for image in result.images:
        if out is None or out.is_dir():
            place = _new_path(out or Path(), stem, image)
        elif len(result.images) > 1:
            place = out.with_stem(f"{out.stem}-{image.index}")
        else:
            place = out
        try:
            place = path_for(image, place)
        except ValueError as error:  # the image is paid for: it is saved with the right suffix
            click.echo(f"warning: {error}", err=True)
            place = place.with_suffix(MEDIA_SUFFIXES[image.media_type])
        if place.exists() and not force:
            place = _new_path(place.parent, place.stem, image)
        place.parent.mkdir(parents=True, exist_ok=True)
        paths.append(client.save(image, place))
    return paths


def _new_path(folder: Path, stem: str, image: ImageOutput) -> Path:
    """Returns an unused path from words, seed and index: `a-red-fox-7-0.png`."""
    words = _slug(stem)
    seed = "" if image.seed is None else f"-{image.seed}"
    suffix = MEDIA_SUFFIXES.get(image.media_type, "")
    place = folder / f"{words}{seed}-{image.index}{suffix}"
    number = 2
    while place.exists():
        place = folder / f"{words}{seed}-{image.index}-{number}{suffix}"
        number += 1
    return place


def _slug(stem: str) -> str:
    """Returns a slug for a file name: the words of a prompt in lower case, at most 40 characters."""
    return "-".join(re.findall(r"[a-z0-9]+", stem.lower()))[:40].strip("-") or "image"


def _save_preview(preview: events.Preview, out: Path | None, stem: str) -> Path:
    """Writes a preview beside the result and returns its path."""
    folder = out if out is not None and out.is_dir() else out.parent if out is not None else Path()
    name = out.stem if out is not None and not out.is_dir() else stem
    number = 1
    while (place := folder / f"{_slug(name)}-preview-{number}{MEDIA_SUFFIXES.get(preview.media_type, '')}").exists():
        number += 1
    folder.mkdir(parents=True, exist_ok=True)
    place.write_bytes(preview.data)
    return place


def make_images(request: ImageRequest, common: Mapping[str, Any], *, out: Path | None, stem: str, force: bool) -> int:
    """Runs a request, saves its images and prints their paths. Returns the exit code.

    Args:
        request: The request.
        common: The values of `operation_options`.
        out: A file, an existing folder, or None for the working folder.
        stem: Start of the file names if `out` is not a file.
        force: Whether files may be overwritten.

    Raises:
        CelesteError: The request failed.
        click.UsageError: The file exists.
    """
    if out is not None and out.is_file() and not force:
        raise click.UsageError(f"{out} exists; --force overwrites it")
    with connect(common["address"]) as client:
        result = show(client, request, common, lambda preview: _save_preview(preview, out, stem))
        paths = _save_images(client, result, out, stem, force=force)
    if common["as_json"]:
        print_result(result, paths)
    else:
        for path in paths:
            click.echo(path)
    for index, error in result.failures.items():
        click.echo(f"image {index} was not made: {error.message}", err=True)
    return PARTLY_DONE if result.failures else 0


def print_result(result: OperationResult, paths: list[Path] | None = None) -> None:
    """Prints a result as the JSON of the contract, with the paths of its files."""
    message = result_to_proto(result)
    for image in message.images:
        image.ClearField("data")
    values = json_format.MessageToDict(message)
    if paths:
        values["paths"] = [str(path) for path in paths]
    click.echo(json.dumps(values, indent=2, ensure_ascii=False))
