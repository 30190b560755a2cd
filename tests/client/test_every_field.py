"""Every field of a request can be set from both clients and from the command; a new field fails here until it can."""

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf.descriptor import Descriptor

from celeste_image.client import AsyncClient, Client
from celeste_image.core import edits
from celeste_image.core.image import ImageInput, ImageReference, Size
from celeste_image.core.request import AnalysisKind, UpscaleMode
from celeste_image.v1 import operation_pb2
from celeste_image.wire.requests import request_to_operation

ID = "6f1c2d3e-0000-4000-8000-000000000001"
ELSEWHERE = ("ImageInput", "Mask", "Struct", "ImageReference")
"""Messages that arguments hold as a whole: `image_input`, `Mask` and `ImageReference` set their fields."""
EDIT = {
    "erase": (edits.Erase(edits.Mask(ImageInput(b"m")), True), ["erase", "photo", "--mask", "mask", "--pixel-lock"]),
    "inpaint": (
        edits.Inpaint(edits.Mask(ImageInput(b"m")), "p", True),
        ["inpaint", "photo", "p", "--mask", "mask", "--pixel-lock"],
    ),
    "outpaint": (
        edits.Outpaint(1, 2, 3, 4, "p"),
        ["outpaint", "photo", "p", "--left", "1", "--right", "2", "--top", "3", "--bottom", "4"],
    ),
    "instruct": (edits.Instruct("p", 0.5), ["instruct", "photo", "p", "--strength", "0.5"]),
    "replace_background": (
        edits.ReplaceBackground("p", ImageInput(b"b")),
        ["replace-background", "photo", "p", "--background", "mask"],
    ),
    "remove_background": (edits.RemoveBackground(), ["remove-background", "photo"]),
    "restyle": (
        edits.Restyle("s", ImageInput(b"b"), "p", 0.5),
        ["restyle", "photo", "p", "--style", "s", "--style-image", "mask", "--strength", "0.5"],
    ),
    "recolor": (edits.Recolor("t", "p"), ["recolor", "photo", "p", "--target", "t"]),
    "search_replace": (edits.SearchReplace("t", "p"), ["search-replace", "photo", "p", "--target", "t"]),
    "relight": (
        edits.Relight("p", ImageInput(b"b"), "left", 0.5),
        ["relight", "photo", "p", "--light", "mask", "--direction", "left", "--strength", "0.5"],
    ),
    "vary": (edits.Vary(), ["vary", "photo"]),
    "control": (edits.Control("c", "p", 0.5), ["control", "photo", "p", "--control", "c", "--strength", "0.5"]),
}
COMMON: dict[str, Any] = {
    "request_id": ID,
    "model": "m",
    "strict": True,
    "provider_options": {"local": {"tile": 64}},
    "fallback_models": ["f"],
    "inline_limit_bytes": 0,
    "preview_count": 2,
    "labels": {"project": "spring"},
    "cache_mode": "refresh",
    "end_user": "u",
    "output_metadata": "strip",
    "embed_recipe": False,
}
PAINT: dict[str, Any] = {
    "negative_prompt": "n",
    "count": 2,
    "seed": 0,
    "output_media_type": "image/webp",
    "references": [ImageReference(ImageInput(b"r"), "style", "hat")],
    "quality": "high",
    "background": "opaque",
    "output_quality": 80,
    "style": "ink",
    "rewrite_prompt": False,
}
SIZES = [Size(64, 48), Size(aspect_ratio="3:2", megapixels=2.0)]
COMMAND = ["-m", "m", "--strict", "--set", "local.tile=64", "--fallback", "f", "--end-user", "u", "--request-id", ID]
COMMAND += ["--label", "project=spring", "--cache", "refresh"]
LABELS = ["--inline-limit", "0", "--previews", "2", "--metadata", "strip", "--no-recipe"]
PAINTING = ["-n", "n", "--count", "2", "--seed", "0", "--format", "webp", "--reference", "mask;role=style;name=hat"]
PAINTING += ["--quality", "high", "--output-quality", "80", "--no-rewrite-prompt"]
WORDS = ["--background", "opaque", "--style", "ink"]
NEVER = {"upscale": {"size.aspect_ratio"}}
"""Fields that the rules of the contract refuse: an upscale keeps the proportions."""
NOT_IN_ANALYZE = {
    "options.inline_limit_bytes": "an analysis makes no images",
    "options.preview_count": "an analysis makes no images",
    "options.output_metadata": "an analysis makes no images",
    "options.embed_recipe": "an analysis makes no images",
}


def fields(descriptor: Descriptor, prefix: str = "") -> Iterator[str]:
    """Yields the path of each field that an argument must be able to set."""
    for field in descriptor.fields:
        path = prefix + field.name
        kind = field.message_type
        if kind is None or kind.name in ELSEWHERE or kind.GetOptions().map_entry:
            yield path
        else:
            yield from fields(kind, f"{path}.") if kind.fields else [path]


def set_in(message: Any, prefix: str = "") -> Iterator[str]:
    """Yields the path of each field that a message has, lists and maps once."""
    for field, value in message.ListFields():
        path, kind = prefix + field.name, field.message_type
        nested = kind is not None and kind.fields and not field.is_repeated and kind.name not in ELSEWHERE
        if nested:
            yield from set_in(value, f"{path}.")
        else:
            yield path


class Stub:
    """Stands for the stream of a server: remembers the request and ends the call."""

    def __init__(self) -> None:
        self.operations: list[Any] = []

    def Stream(self, message: Any, **_: Any) -> Any:
        self.operations.append(message.operation)
        raise InterruptedError


def requests(cls: type) -> Iterator[Any]:
    """Yields operations in which a client sets every field that it can."""
    for size in SIZES:
        yield from operations(cls, "generate", "p", **COMMON, **PAINT, size=size)
        yield from operations(cls, "upscale", b"i", **COMMON, size=size, style="s")
    for change, _ in EDIT.values():
        yield from operations(cls, "edit", b"i", change, **COMMON, **PAINT, size=SIZES[0])
    yield from operations(cls, "edit", b"i", edits.Vary(), size=SIZES[1])
    more = {"mode": UpscaleMode.FAST, "prompt": "p", "creativity": 0.5, "seed": 0, "output_media_type": "image/png"}
    yield from operations(cls, "upscale", b"i", **COMMON, **more, factor=2.0)
    yield from operations(cls, "analyze", b"i", **COMMON, kinds=[AnalysisKind.CONTENT])


def operations(cls: type, call: str, *arguments: Any, **parameters: Any) -> list[Any]:
    """Returns the operations that a call of a client sends."""
    stub = Stub()

    async def called() -> None:
        client: Any = cls("127.0.0.1:9")
        client._images = stub
        outcome = getattr(client, call)(*arguments, **parameters)
        if inspect.isawaitable(outcome):
            await outcome

    with pytest.raises(InterruptedError):
        asyncio.run(called())
    return stub.operations


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yields commands that set every field that they can."""
    for size in ("64x48", "3:2", "2mp"):
        yield "generate", ["p", *COMMAND, *LABELS, *PAINTING, *WORDS, "--size", size]
        yield "upscale", ["photo", *COMMAND, *LABELS, "--size", size, "--style", "s"]
        yield "edit", ["vary", "photo", *COMMAND, *LABELS, *PAINTING, *WORDS, "--size", size]
    for _, arguments in EDIT.values():
        yield "edit", [*arguments, *COMMAND, *LABELS, *PAINTING]
    more = ["--mode", "fast", "--prompt", "p", "--creativity", "0.5", "--seed", "0", "--format", "png"]
    yield "upscale", ["photo", *COMMAND, *LABELS, *more, "--factor", "2"]
    yield "analyze", ["photo", *COMMAND, "--kind", "content"]


KINDS = {
    "generate": operation_pb2.GenerateRequest.DESCRIPTOR,
    "edit": operation_pb2.EditRequest.DESCRIPTOR,
    "upscale": operation_pb2.UpscaleRequest.DESCRIPTOR,
    "analyze": operation_pb2.AnalyzeRequest.DESCRIPTOR,
}


@pytest.mark.parametrize("cls", [Client, AsyncClient], ids=lambda cls: cls.__name__)
def test_every_field_of_a_request_can_be_set_from_the_client(cls: type) -> None:
    found: dict[str, set[str]] = {name: set() for name in KINDS}
    for operation in requests(cls):
        kind = operation.WhichOneof("kind")
        found[kind] |= set(set_in(getattr(operation, kind)))
    for name, descriptor in KINDS.items():
        wanted = set(fields(descriptor)) - NEVER.get(name, set())
        assert wanted - found[name] == set(), f"{cls.__name__}.{name} can't set these"


def test_every_field_of_a_request_can_be_set_from_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from celeste_image.cli import run
    from celeste_image.cli.main import celeste

    made: list[Any] = []

    def show(client: Any, request: Any, common: Any, *rest: Any) -> Any:
        made.append(request_to_operation(request, common["request_id"]))
        raise SystemExit(0)

    monkeypatch.setattr(run, "show", show)
    monkeypatch.chdir(tmp_path)
    for name in ("photo", "mask"):
        (tmp_path / name).write_bytes(b"an image")
    for command, arguments in commands():
        before = len(made)
        done = CliRunner().invoke(celeste, [command, *arguments, "--address", "127.0.0.1:9"])
        assert len(made) == before + 1, (command, arguments, done.output)
    found: dict[str, set[str]] = {name: set() for name in KINDS}
    for operation in made:
        kind = operation.WhichOneof("kind")
        found[kind] |= set(set_in(getattr(operation, kind)))
    for name, descriptor in KINDS.items():
        wanted = set(fields(descriptor)) - NEVER.get(name, set())
        missing = wanted - found[name] - (set(NOT_IN_ANALYZE) if name == "analyze" else set())
        assert missing == set(), f"celeste {name} can't set these"
    assert made[0].generate.request_id == ID
    (reference,) = made[0].generate.references
    assert (reference.role, reference.name) == ("style", "hat")


def test_a_client_makes_an_id_for_each_request() -> None:
    ids = {operations(Client, "generate", "p")[0].generate.request_id for _ in range(3)}
    assert len(ids) == 3 and all(len(each) == 36 for each in ids)
