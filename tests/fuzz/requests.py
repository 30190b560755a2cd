"""Fuzzes the way of a request before any work: its bytes are parsed, validated, converted, or refused by name.

    python -m tests.fuzz.requests --runs 1000000 --seed 1
    python -m tests.fuzz.requests --seconds 10
    python -m tests.fuzz.requests FILE          # one input that failed before

The fuzzer is atheris: libFuzzer, which keeps the inputs that reach new code. The first byte of an input chooses the
message, the others are its bytes. Half of the mutations change bytes, the other half change fields, so that most inputs
get past the parser. The last line of the output is JSON: how many inputs there were, and what became of them.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import atheris

with atheris.instrument_imports(include=["celeste_image.rpc", "celeste_image.wire", "celeste_image.core"]):
    from celeste_image.core.errors import CelesteError, InvalidRequest
    from celeste_image.rpc.chunks import Chunk
    from celeste_image.rpc.images import read_operation
    from celeste_image.rpc.parsing import parser
    from celeste_image.rpc.validate import check_strictly
    from celeste_image.wire.status import status_from_error

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct

from celeste_image import v1
from celeste_image.v1 import (
    artifact_http_service_pb2,
    artifact_service_pb2,
    image_service_pb2,
    model_service_pb2,
    usage_service_pb2,
)

FILES: Sequence[FileDescriptor] = (
    artifact_http_service_pb2.DESCRIPTOR,
    artifact_service_pb2.DESCRIPTOR,
    image_service_pb2.DESCRIPTOR,
    model_service_pb2.DESCRIPTOR,
    usage_service_pb2.DESCRIPTOR,
)
MOST_STATUS_BYTES = 4 << 10
"""Of CONTRACT: a larger status does not fit the trailers of a default client."""
MOST_BYTES = 4096
NAME = "artifacts/sha256-" + "ab" * 32
TEXTS = (
    *("", "a red fox", "local/compose", NAME, "local", "x" * 300, "x" * 33_000, "../../etc/passwd", "\0", "\u202e"),
    *("https://example.com/a.png", "http://127.1/", "6fd1a5a2-2c5c-4c0e-9d4e-0d9a0c8f2b11", "#ff0000", "sha256-", "-1"),
    *("data:image/png;base64,AAAA", "é" * 40, "a\nb", "{{7*7}}", "%00", "model=1", "ＡＢ", "image/png", "1" * 19),
)
BYTES = (b"", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBPVP8 ", b"\xff\xd8\xff\xe0", bytes(64), b"\xff" * 64)
NUMBERS = (0, 1, -1, 2, 7, 16, 17, 64, 255, 256, 1024, 4096, 16_384, 65_535, 2**31 - 1, -(2**31))
LARGE_NUMBERS = (*NUMBERS, 2**32, 2**53 + 1, 2**63 - 1, -(2**63))
FRACTIONS = (0.0, -0.0, 1.0, 0.5, -1.0, 2.0, 1e-9, 1e30, float("inf"), float("-inf"), float("nan"))
DEEPEST = 6


def request_types() -> dict[str, type[Message]]:
    """Returns the classes of all requests of the contract, by name."""
    found = {}
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                found[method.input_type.name] = GetMessageClass(method.input_type)
    return found


TYPES = list(request_types().values())
OPERATIONS = (v1.GenerateRequest, v1.EditRequest, v1.UpscaleRequest, v1.AnalyzeRequest, v1.StreamRequest)
outcomes: Counter[str] = Counter()


def handle(data: bytes) -> None:
    """Takes an input through the road of a request. Raises whatever is neither a core request nor a refusal by name."""
    if not data:
        return
    cls = TYPES[data[0] % len(TYPES)]
    try:
        message = parser(cast(Callable[[bytes], Message], cls.FromString))(data[1:])
        if isinstance(message, Chunk):
            outcomes["chunk"] += 1
        elif isinstance(message, OPERATIONS):
            read_operation(cast(Any, message))
            outcomes["operation"] += 1
        else:
            check_strictly(message)
            outcomes["other request"] += 1
    except CelesteError as error:
        refusal = error
    else:
        return
    assert isinstance(refusal, InvalidRequest), f"{refusal.reason} is no reason to refuse a message"
    status = status_from_error(refusal)
    assert status.ByteSize() <= MOST_STATUS_BYTES, f"a status of {status.ByteSize()} bytes"
    outcomes[refusal.reason] += 1


# Mutations


def mutated(data: bytes, most_bytes: int, seed: int) -> bytes:
    """Returns a changed input of at most `most_bytes`."""
    draw = random.Random(seed)
    if draw.random() < 0.1 or not data:
        data = bytes([draw.randrange(256)]) + data[1:]
    if draw.random() < 0.5:
        return data[:1] + bytes(atheris.Mutate(data[1:], max(1, most_bytes - 1)))
    cls = TYPES[data[0] % len(TYPES)]
    message = cls()
    try:
        message.ParseFromString(data[1:])
    except DecodeError:
        message = cls()
    for _ in range(draw.randint(1, 3)):
        change(message, draw)
    return (data[:1] + message.SerializeToString())[:most_bytes]


def change(message: Message, draw: random.Random, depth: int = 0) -> None:
    """Sets, changes or removes one field of a message, at any depth."""
    if isinstance(message, Struct):
        change_struct(message, draw)
        return
    fields = message.DESCRIPTOR.fields
    if not fields:
        return
    field = draw.choice(fields)
    here: Any = getattr(message, field.name)
    if draw.random() < 0.15:
        message.ClearField(field.name)
    elif is_map(field):
        change_map(here, field, draw, depth)
    elif field.is_repeated:
        change_list(here, field, draw, depth)
    elif field.message_type is None:
        setattr(message, field.name, value_of(field, draw))
    else:
        here.SetInParent()
        if depth < DEEPEST:
            change(here, draw, depth + 1)


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def change_list(here: Any, field: FieldDescriptor, draw: random.Random, depth: int) -> None:
    if here and draw.random() < 0.4:
        index = draw.randrange(len(here))
        if field.message_type is not None and draw.random() < 0.7:
            change(here[index], draw, depth + 1)
        else:
            del here[index]
    elif field.message_type is None:
        here.extend(value_of(field, draw) for _ in range(draw.choice((1, 1, 2, 20))))
    elif depth < DEEPEST:
        change(here.add(), draw, depth + 1)


def change_map(here: Any, field: FieldDescriptor, draw: random.Random, depth: int) -> None:
    entry: Descriptor = field.message_type
    key, value = value_of(entry.fields_by_name["key"], draw), entry.fields_by_name["value"]
    if value.message_type is None:
        here[key] = value_of(value, draw)
    elif depth < DEEPEST:
        change(here[key], draw, depth + 1)


def change_struct(struct: Struct, draw: random.Random) -> None:
    leaf = draw.choice([None, True, draw.choice(FRACTIONS), draw.choice(TEXTS), []])
    if draw.random() < 0.1:
        leaf = [leaf] * draw.choice((2, 200))
    for _ in range(draw.choice((0, 0, 1, 5, 60))):
        leaf = {draw.choice(TEXTS[:4]): leaf} if draw.random() < 0.5 else [leaf]
    struct.update({draw.choice(("tile", "style", "raw", "", *TEXTS[:3])): leaf})


def value_of(field: FieldDescriptor, draw: random.Random) -> Any:
    """Returns a value of a field that is no message."""
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return draw.choice((*BYTES, draw.randbytes(draw.randint(1, 40))))
        case FieldDescriptor.CPPTYPE_STRING:
            return draw.choice(TEXTS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return draw.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return draw.choice(FRACTIONS)
        case FieldDescriptor.CPPTYPE_ENUM:
            known = [value.number for value in field.enum_type.values]
            return draw.choice((*known, *known, 99, -1))
        case FieldDescriptor.CPPTYPE_INT32:
            return draw.choice(NUMBERS)
        case FieldDescriptor.CPPTYPE_UINT32:
            return abs(draw.choice(NUMBERS))
        case FieldDescriptor.CPPTYPE_UINT64:
            return abs(draw.choice(LARGE_NUMBERS))
    return draw.choice(LARGE_NUMBERS)


def seeds() -> Iterator[bytes]:
    """Yields sound inputs to begin with, and an empty message of each type."""
    image = v1.ImageInput(artifact=NAME)
    generate = v1.GenerateRequest(prompt="a red fox", model="local/compose", size=v1.Size(width=64, height=64), count=2)
    generate.options.provider_options["local"].update({"style": "night"})
    edit = v1.EditRequest(image=image)
    edit.instruct.prompt = "make it blue"
    sound: list[Message] = [
        generate,
        edit,
        v1.UpscaleRequest(image=image, factor=2),
        v1.AnalyzeRequest(image=image, kinds=[v1.ANALYSIS_KIND_METADATA]),
        v1.StreamRequest(operation=v1.Operation(generate=generate)),
        v1.GetArtifactRequest(name=NAME),
        v1.FindMissingArtifactsRequest(names=[NAME]),
        v1.GetModelRequest(model="local/compose"),
    ]
    names = [cls.DESCRIPTOR.full_name for cls in TYPES]
    for message in sound:
        yield bytes([names.index(message.DESCRIPTOR.full_name)]) + message.SerializeToString()
    for index in range(len(TYPES)):
        yield bytes([index])


def main() -> None:
    """Runs the fuzzer until a number of inputs or seconds."""
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=0)
    options.add_argument("--seconds", type=float, default=0.0)
    options.add_argument("--seed", type=int, default=0, help="0 draws one")
    options.add_argument("--failures", default="", help="folder for inputs that fail; default: none is kept")
    options.add_argument("file", nargs="?")
    given = options.parse_args()
    if given.file:
        handle(Path(given.file).read_bytes())
        print(json.dumps(outcomes))
        return
    seed = given.seed or random.randrange(1, 1 << 31)
    end = time.monotonic() + given.seconds if given.seconds else float("inf")
    runs = 0

    def one(data: bytes) -> None:
        nonlocal runs
        handle(data)
        runs += 1
        if runs == given.runs or (not runs % 64 and time.monotonic() > end):
            print(json.dumps({"runs": runs, "seed": seed, "outcomes": dict(outcomes.most_common())}), flush=True)
            os._exit(0)  # libFuzzer has no other end in the middle

    with tempfile.TemporaryDirectory() as corpus:
        for index, data in enumerate(seeds()):
            (Path(corpus) / str(index)).write_bytes(data)
        folder = given.failures or corpus
        flags = [f"-seed={seed}", f"-max_len={MOST_BYTES}", "-timeout=120", "-rss_limit_mb=2048", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *flags, f"-artifact_prefix={folder}/", corpus], one, custom_mutator=mutated)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
