"""Odd arguments of the client: refused in a sentence, before protobuf or gRPC refuse them in theirs."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from celeste_image.client import AsyncClient, Client, connect
from celeste_image.client.calls import image_input
from celeste_image.client.checks import check_address, check_timeout
from celeste_image.core import edits
from celeste_image.core.image import ImageInput, ImageReference
from celeste_image.core.request import AnalysisKind

NOWHERE = "unix:/nowhere"


@pytest.mark.parametrize(
    "address",
    [
        *("localhost:50051", "127.0.0.1:1", "[::1]:65535", "unix:/tmp/a b", "unix:a.sock", "unix-abstract:name"),
        *("dns:///host:443", "dns:host:443", "dns://8.8.8.8/host:1", "ipv4:1.2.3.4:80,1.2.3.5:80", "ipv6:[::1]:80"),
        *("xn--caf-dma.example:1", "host_name:1", "[fe80::1%eth0]:50051"),
    ],
)
def test_addresses(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://localhost:50051", "without http:// it may be localhost:50051"),
        ("https://host/path", "without https:// it may be host;"),
        ("grpc://x:1", "without grpc:// it may be x:1"),
        ("localhost", "the port is missing, such as localhost:50051"),
        ("dns:///localhost", "the port is missing"),
        ("localhost:0", "the port is 1 to 65535, not '0'"),
        ("localhost:99999", "the port is 1 to 65535"),
        ("localhost:" + "9" * 5000, "the port is 1 to 65535"),
        ("localhost:", "the port is 1 to 65535"),
        ("localhost:http", "the port is 1 to 65535, not 'http'"),
        ("localhost:+1", "the port is 1 to 65535"),
        ("localhost:١", "the port is 1 to 65535"),
        ("::1:50051", "in brackets"),
        ("::1", "in brackets"),
        ("[::1]", "the port is missing"),
        ("[::1", "another form"),
        (":50051", "the host is missing"),
        ("a b:1", "another form"),
        ("user@host:1", "another form"),
        ("host:1/path", "the port is 1 to 65535"),
        ("unix:", "the path is missing"),
        ("unix://", "the path is missing"),
        ("unix:a\0b", "NUL"),
        ("unix:/" + "x" * 107, "the path of a socket has at most 107 bytes, not 108"),
        ("*:50051", "every address of this machine is 0.0.0.0 or [::]"),
        (" ", "it is empty"),
        ("host\n:1", "another form"),
        ("caf\udce9:1", "not valid Unicode"),
    ],
)
def test_an_address_that_is_none_is_told_with_its_form(address: str, words: str) -> None:
    for use in (check_address, Client, AsyncClient, connect):
        with pytest.raises(ValueError, match="address") as caught:
            use(address)
        assert words in str(caught.value)


def test_infinity_is_no_deadline() -> None:
    for unlimited in (None, math.inf, 1e300, 10**400):
        assert check_timeout(unlimited) is None
    assert check_timeout(3) == 3.0
    for odd in (math.nan, 0, -1, -math.inf):
        with pytest.raises(ValueError, match="number of seconds above 0"):
            check_timeout(odd)
    for other in ("3", True, b"3", [3]):
        with pytest.raises(TypeError, match="number of seconds"):
            check_timeout(other)  # type: ignore[arg-type]


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


RECURSIVE: dict[str, Any] = {}
RECURSIVE["again"] = RECURSIVE

ODD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"prompt": b"a fox"}, TypeError, "prompt is a text, not b'a fox'"),
    ({"prompt": None}, TypeError, "prompt is a text, not None"),
    ({"prompt": "caf\udce9"}, ValueError, r"prompt is not valid Unicode: 'caf\udce9', at character 4"),
    ({"model": "\ud800"}, ValueError, "model is not valid Unicode"),
    ({"request_id": "\ud800"}, ValueError, "request_id is not valid Unicode"),
    ({"seed": -1}, ValueError, "seed is 0 to 18,446,744,073,709,551,615, not -1"),
    ({"seed": 1 << 64}, ValueError, "seed is 0 to"),
    ({"seed": "7"}, TypeError, "seed is a whole number, not '7'"),
    ({"seed": 7.0}, TypeError, "seed is a whole number, not 7.0"),
    ({"count": 1 << 40}, ValueError, "count is -2,147,483,648 to 2,147,483,647"),
    ({"count": True}, TypeError, "count is a whole number, not True"),
    ({"strict": "yes"}, TypeError, "options.strict is True or False, not 'yes'"),
    ({"size": (1.5, 2)}, TypeError, "size.width is a whole number, not 1.5"),
    ({"size": "0x0"}, ValueError, "a size is above 0, not '0x0'"),
    ({"size": "0mp"}, ValueError, "a size is above 0"),
    ({"size": "9" * 5000 + "x1"}, ValueError, "size.width is"),
    ({"fallback_models": "local/compose"}, TypeError, "fallback_models is a list, such as ['local/compose']"),
    ({"references": "hat.png"}, TypeError, "references is a list, such as ['hat.png']"),
    ({"references": [ImageReference("hat.png")]}, TypeError, "references[0].image is an ImageInput"),  # type: ignore[arg-type]
    ({"provider_options": {"local": {"tile": object()}}}, TypeError, 'provider_options["local"].tile is a JSON value'),
    ({"provider_options": {"local": [1]}}, TypeError, 'options.provider_options["local"] is a dict'),
    ({"provider_options": {"local": {1: 2}}}, TypeError, "with texts as keys, not 1"),
    ({"provider_options": {"local": RECURSIVE}}, ValueError, "options have at most 32 levels of lists and dicts"),
    ({"provider_options": {"local": {"tile": nested(60)}}}, ValueError, "options have at most 32 levels"),
    ({"labels": ["project"]}, TypeError, "options.labels is a dict of texts"),
    ({"labels": {"project": 1}}, TypeError, 'options.labels["project"] is a text'),
    ({"cache_mode": "refesh"}, ValueError, "refresh"),
    ({"provider_options": {"local": {"tile": 10**400}}}, ValueError, '["local"].tile is a number of at most 2e+308'),
    ({"output_metadata": "kep"}, ValueError, "options.output_metadata is one of keep, strip, not 'kep': keep?"),
    ({"timeout": math.nan}, ValueError, "timeout is a number of seconds above 0"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), ODD)
def test_odd_arguments_of_both_clients(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    arguments = {"prompt": "a fox"} | arguments
    with Client(NOWHERE) as client, pytest.raises(error) as caught:
        client.generate(**arguments)
    assert words in str(caught.value)
    assert type(caught.value) is error  # no UnicodeEncodeError

    async def call() -> None:
        async with AsyncClient(NOWHERE) as client:
            await client.generate(**arguments)

    with pytest.raises(error) as caught:
        asyncio.run(call())
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (edits.Erase("mask.png"), "erase.mask is a Mask of celeste_image.core.edits, such as Mask(image_input("),  # type: ignore[arg-type]
        (edits.Erase(edits.Mask("mask.png")), "erase.mask.image is an ImageInput, such as"),  # type: ignore[arg-type]
        (edits.Erase(edits.Mask(Path("m.png"))), "erase.mask.image is an ImageInput"),  # type: ignore[arg-type]
        (edits.Restyle(style_image=b"png"), "restyle.style_image is an ImageInput"),  # type: ignore[arg-type]
        (edits.Instruct("a", strength="0.5"), "instruct.strength is a number, not '0.5'"),  # type: ignore[arg-type]
        (edits.Outpaint(left=1.5), "outpaint.left is a whole number"),  # type: ignore[arg-type]
        ("restyle", "edit is an object of celeste_image.core.edits, such as Restyle"),
        (edits.Erase, "edit is an object of celeste_image.core.edits"),
    ],
)
def test_odd_edits(edit: Any, words: str) -> None:
    with Client(NOWHERE) as client, pytest.raises(TypeError) as caught:
        client.edit(b"png", edit)
    assert words in str(caught.value)


def test_unknown_words_have_the_nearest_one() -> None:
    with Client(NOWHERE) as client:
        with pytest.raises(ValueError, match=r"mode is one of fast, conservative, creative, not 'fsat': fast\?"):
            client.upscale(b"png", factor=2, mode="fsat")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"kinds\[0\] is one of .*: metadata\?"):
            client.analyze(b"png", kinds=["metadatta"])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="kinds is a list"):
            client.analyze(b"png", kinds=AnalysisKind.METADATA)


def test_an_image_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.png: the file is empty"):
        image_input(tmp_path / "empty.png")
    with pytest.raises(ValueError, match="the image has no bytes"):
        image_input(b"")
    for odd in (None, 3, ["a.png"]):
        with pytest.raises(TypeError, match="an image is a path, bytes, the name of an artifact"):
            image_input(odd)  # type: ignore[arg-type]
    assert image_input(bytearray(b"png")) == image_input(memoryview(b"png")) == ImageInput(data=b"png")


def test_what_is_no_image_of_a_result() -> None:
    """A whole result, a list of images and None, where one image belongs."""
    with Client(NOWHERE) as client:
        for odd in (None, [], {"images": []}, 3, b"png"):
            with pytest.raises(TypeError, match=r"an image is one of result\.images"):
                client.read(odd)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"an image is one of result\.images"):
                client.save(odd, "a.png")  # type: ignore[arg-type]

    async def call() -> None:
        async with AsyncClient(NOWHERE) as client:
            with pytest.raises(TypeError, match=r"an image is one of result\.images"):
                await client.read(None)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"an image is one of result\.images"):
                await client.save([], "a.png")  # type: ignore[arg-type]

    asyncio.run(call())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "the path of an image is empty"),
        ("a\0.png", "without NUL"),
        ("https://example.com/a.png", "is a URL, and an image is a file: download it first"),
        ("s3://bucket/a.png", "is a URL"),
        ("data:image/png;base64,AAAA", "is a URL"),
    ],
)
def test_a_path_that_no_file_has(path: str, words: str) -> None:
    with pytest.raises(ValueError, match="image") as caught:
        image_input(path)
    assert words in str(caught.value)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file without an end")
def test_a_file_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeste_image.client.calls.MOST_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="/dev/zero has more than 1 MiB, and is no image"):
        image_input("/dev/zero")


def test_a_value_of_several_lines_is_shown_on_one() -> None:
    class Array:
        def __repr__(self) -> str:
            return "array([[0, 0],\n       [0, 0]])"

    with pytest.raises(TypeError) as caught:
        image_input(Array())  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_closed_client_says_so() -> None:
    client = Client(NOWHERE)
    client.close()
    client.close()
    for call in (lambda: client.generate("a"), client.server_info, lambda: client.upload(b"a"), client.aliases):
        with pytest.raises(ValueError, match="the client is closed"):
            call()  # type: ignore[no-untyped-call]

    async def closed() -> None:
        other = AsyncClient(NOWHERE)
        await other.close()
        with pytest.raises(ValueError, match="the client is closed"):
            await other.generate("a")

    asyncio.run(closed())


def test_what_is_neither_an_address_nor_a_channel() -> None:
    for odd in (5, None, ["localhost:1"], b"localhost:1"):
        for kind in (Client, AsyncClient):
            with pytest.raises(TypeError, match="a client takes an address"):
                kind(odd)  # type: ignore[arg-type]


def test_a_misspelt_operation_has_the_nearest_word() -> None:
    with Client(NOWHERE) as client, pytest.raises(ValueError, match=r"'genrate': generate\?"):
        list(client.models(operation="genrate"))  # type: ignore[arg-type]
