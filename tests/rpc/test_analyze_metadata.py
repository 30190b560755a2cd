"""What a picture says about itself, through a server: read exactly, and nothing that it says does harm."""

import io
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2
from tests.support.pictures import PHOTO, encoded

from celeste_image.v1 import (
    ANALYSIS_KIND_METADATA,
    AnalyzeRequest,
    GenerationParameters,
    ImageInput,
    ImageMetadata,
    ImageServiceStub,
    StreamRequest,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL = Image.new("RGB", (8, 6), "teal")
SEED = (1 << 64) - 1


async def analyzed(channel: grpc.aio.Channel, data: bytes) -> ImageMetadata:
    request = AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=data))
    result = (await ImageServiceStub(channel).Analyze(request)).result
    assert not result.analysis.HasField("content")
    assert not result.analysis.HasField("quality")
    return result.analysis.metadata


async def warnings(channel: grpc.aio.Channel, data: bytes) -> list[str]:
    request = StreamRequest()
    request.operation.analyze.CopyFrom(AnalyzeRequest(kinds=[ANALYSIS_KIND_METADATA], image=ImageInput(data=data)))
    events = [response.event async for response in ImageServiceStub(channel).Stream(request)]
    assert events[-1].WhichOneof("kind") == "completed"
    return [event.warning.message for event in events if event.WhichOneof("kind") == "warning"]


def values(metadata: ImageMetadata, group: str) -> dict[str, Any]:
    return {e.name: json_format.MessageToDict(e.value) for e in metadata.entries if e.group == group}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(kind: bytes, body: bytes) -> bytes:
    png = encoded(SMALL)
    return png[:33] + chunk(kind, body) + png[33:]


def with_segment(marker: int, body: bytes) -> bytes:
    return b"\xff\xd8" + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + encoded(SMALL, "JPEG")[2:]


def png_with(texts: Mapping[str, str]) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    return encoded(SMALL, pnginfo=info)


# EXIF


TYPED: dict[int, tuple[int, Any, Any]] = {
    # tag: type, value written, value read
    0xC001: (1, b"\x00\x7f\xff", "007fff"),  # BYTE
    0xC002: (2, b"Gr\xc3\xbc\xc3\x9fe", "Grüße"),  # ASCII, which many write in UTF-8
    0xC003: (3, (0, 65535), [0, 65535]),  # SHORT
    0xC004: (4, (1, 4294967295), [1, 4294967295]),  # LONG
    0xC005: (5, (IFDRational(1, 250), IFDRational(9, 5)), ["1/250", "9/5"]),  # RATIONAL
    0xC006: (6, (-128, 127), [-128, 127]),  # SBYTE
    0xC007: (7, b"\x00\x01\xfe", "0001fe"),  # UNDEFINED
    0xC008: (8, (-32768, 32767), [-32768, 32767]),  # SSHORT
    0xC009: (9, (-2147483648, 5), [-2147483648, 5]),  # SLONG
    0xC00A: (10, (IFDRational(-7, 3), IFDRational(2, 3)), ["-7/3", "2/3"]),  # SRATIONAL
    0xC00B: (11, (1.5, -0.25), [1.5, -0.25]),  # FLOAT
    0xC00C: (12, (3.141592653589793, -1e300), [3.141592653589793, -1e300]),  # DOUBLE
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("order", [b"II\x2a\x00", b"MM\x00\x2a"], ids=["little", "big"])
async def test_exif_of_every_type_reads_as_it_was_written(channel: grpc.aio.Channel, form: str, order: bytes) -> None:
    directory = ImageFileDirectory_v2(ifh=order + bytes(4))
    for tag, (kind, value, _) in TYPED.items():
        directory.tagtype[tag] = kind
        directory[tag] = value
    out = io.BytesIO()
    directory.save(out)
    metadata = await analyzed(channel, encoded(SMALL, form, exif=b"Exif\x00\x00" + out.getvalue()))
    assert values(metadata, "exif") == {f"0x{tag:04x}": read for tag, (_, _, read) in TYPED.items()}


async def test_rationals_are_not_reduced(channel: grpc.aio.Channel) -> None:
    body = struct.pack("<IHHHIII", 8, 1, 0xC005, 5, 1, 26, 0) + struct.pack("<II", 10, 5)
    metadata = await analyzed(channel, with_segment(0xE1, b"Exif\x00\x00II*\x00" + body))
    assert values(metadata, "exif") == {"0xc005": "10/5"}


async def test_every_directory_is_read(channel: grpc.aio.Channel) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    exif.get_ifd(0x8769).update(
        {
            0x829A: IFDRational(1, 250),
            0x9003: "2026:11:28 03:00:00",
            0x927C: b"NOTE" + bytes(808),
            0x9286: b"UNICODE\x00" + "Schöne Grüße".encode("utf-16-le"),
            0xA005: {1: "R98"},
        }
    )
    exif.get_ifd(0x8825).update({1: "N", 2: (IFDRational(48, 1), IFDRational(8, 1), IFDRational(1233, 100))})
    exif[0x9C9B] = "Titel".encode("utf-16-le") + b"\x00\x00"
    metadata = await analyzed(channel, encoded(SMALL, "JPEG", exif=exif))
    assert (metadata.width, metadata.height, metadata.orientation) == (6, 8, 6)
    assert values(metadata, "exif") == {
        "Make": "Maker",
        "Orientation": 6,
        "XPTitle": "Titel",
        "ExposureTime": "1/250",
        "DateTimeOriginal": "2026:11:28 03:00:00",
        "MakerNote": {"size_bytes": 812},
        "UserComment": "Schöne Grüße",
    }
    assert values(metadata, "gps") == {"GPSLatitudeRef": "N", "GPSLatitude": ["48/1", "8/1", "1233/100"]}
    assert values(metadata, "interop") == {"InteropIndex": "R98"}


async def test_the_thumbnails_directory_is_told_apart(channel: grpc.aio.Channel) -> None:
    compressed = struct.pack("<HHHII", 1, 0x0103, 3, 1, 6) + bytes(4)  # one entry: Compression, 6
    exif = b"Exif\x00\x00II*\x00" + struct.pack("<IHHHIIII", 8, 1, 0x0112, 3, 1, 3, 26, 0)[:22] + compressed
    metadata = await analyzed(channel, with_segment(0xE1, exif))
    assert (metadata.orientation, values(metadata, "thumbnail")) == (3, {"Compression": 6})


# XMP, IPTC, ICC, comments

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="A &amp; B"
  xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:mm="http://ns.adobe.com/xap/1.0/mm/">
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Title</rdf:li><rdf:li xml:lang="de">Titel</rdf:li></rdf:Alt></dc:title>
 <dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© me</rdf:li></rdf:Alt></dc:rights>
 <dc:subject><rdf:Bag><rdf:li>sea</rdf:li><rdf:li>boat</rdf:li></rdf:Bag></dc:subject>
 <mm:History><rdf:Seq><rdf:li rdf:parseType="Resource"><mm:action>saved</mm:action></rdf:li></rdf:Seq></mm:History>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
async def test_xmp(channel: grpc.aio.Channel, form: str) -> None:
    data = png_with({"XML:com.adobe.xmp": XMP}) if form == "PNG" else encoded(SMALL, form, xmp=XMP.encode())
    metadata = await analyzed(channel, data)
    assert values(metadata, "xmp") == {
        "xmp:CreatorTool": "A & B",
        "dc:title": {"x-default": "Title", "de": "Titel"},
        "dc:rights": "© me",
        "dc:subject": ["sea", "boat"],
        "mm:History": [{"mm:action": "saved"}],
    }
    assert not values(metadata, "png")


def iptc(*datasets: tuple[int, int, bytes]) -> bytes:
    block = b"".join(b"\x1c" + bytes([r, n]) + struct.pack(">H", len(body)) + body for r, n, body in datasets)
    resource = b"8BIM\x04\x04\x00\x00" + struct.pack(">I", len(block)) + block + b"\x00" * (len(block) & 1)
    return with_segment(0xED, b"Photoshop 3.0\x00" + resource)


async def test_iptc(channel: grpc.aio.Channel) -> None:
    datasets = [(1, 90, b"\x1b%G"), (2, 5, "Schön".encode()), (2, 25, b"sea"), (2, 25, b"boat"), (2, 231, b"x")]
    metadata = await analyzed(channel, iptc(*datasets))
    assert values(metadata, "iptc") == {"ObjectName": "Schön", "Keywords": ["sea", "boat"], "2:231": "x"}
    assert values(await analyzed(channel, iptc((2, 80, b"Ren\xe9"))), "iptc") == {"By-line": "René"}


async def test_icc_and_comment(channel: grpc.aio.Channel) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    metadata = await analyzed(channel, encoded(SMALL, "JPEG", icc_profile=profile, comment="made by hand"))
    icc = values(metadata, "icc")
    assert metadata.icc_profile == icc.pop("Name")
    assert icc.pop("Version")[0] in "24"
    assert icc == {"Class": "display", "ColorSpace": "RGB", "ConnectionSpace": "XYZ", "SizeBytes": len(profile)}
    assert values(metadata, "jpeg") == {"Comment": "made by hand"}


# Generation parameters

A1111 = """a fox, (snow:1.2)
second line
Negative prompt: ugly, blurry
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x512, Model hash: 45dee52b, Model: dream_v8, \
Lora hashes: "add: 1a2b, more: 3c4d", Version: v1.6.0"""
COMFY = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": SEED,
            "steps": 20,
            "cfg": 8.0,
            "sampler_name": "euler",
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}},
    "10": {"class_type": "LoraLoader", "inputs": {"model": ["4", 0], "lora_name": "x"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["4", 1]}},
}
INVOKE = {
    "positive_prompt": "a fox",
    "negative_prompt": "ugly",
    "seed": 7,
    "steps": 30,
    "scheduler": "dpmpp_2m",
    "model": {"name": "sdxl", "base": "sdxl"},
    "cfg_scale": 7.5,
}
NOVEL = {"prompt": "a fox", "uc": "ugly", "seed": 8, "steps": 28, "sampler": "k_euler", "scale": 5}
FOOOCUS = {
    "prompt": "a fox",
    "negative_prompt": "ugly",
    "seed": "9",
    "steps": 30,
    "sampler": "dpmpp_2m",
    "base_model": "juggernaut",
}
CASES: dict[str, tuple[bytes, tuple[Any, ...], dict[str, Any]]] = {
    "automatic1111": (
        png_with({"parameters": A1111}),
        ("a fox, (snow:1.2)\nsecond line", "ugly, blurry", 965400086, 20, "Euler a", "dream_v8"),
        {"CFG scale": "7", "Lora hashes": "add: 1a2b, more: 3c4d"},
    ),
    "comfyui": (
        png_with({"prompt": json.dumps(COMFY), "workflow": "{}"}),
        ("a fox", "ugly", SEED, 20, "euler", "v1-5.safetensors"),
        {"cfg": 8, "nodes": 5},
    ),
    "invokeai": (
        png_with({"invokeai_metadata": json.dumps(INVOKE)}),
        ("a fox", "ugly", 7, 30, "dpmpp_2m", "sdxl"),
        {"cfg_scale": 7.5},
    ),
    "novelai": (
        png_with({"Software": "NovelAI", "Source": "NovelAI Diffusion V4", "Comment": json.dumps(NOVEL)}),
        ("a fox", "ugly", 8, 28, "k_euler", "NovelAI Diffusion V4"),
        {"scale": 5},
    ),
    "fooocus": (
        png_with({"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"}),
        ("a fox", "ugly", 9, 30, "dpmpp_2m", "juggernaut"),
        {},
    ),
}


@pytest.mark.parametrize("tool", CASES)
async def test_generation_parameters_of_common_tools(channel: grpc.aio.Channel, tool: str) -> None:
    data, expected, more = CASES[tool]
    made = (await analyzed(channel, data)).generation
    assert made.tool == tool
    assert (made.prompt, made.negative_prompt, made.seed, made.steps, made.sampler, made.model) == expected
    assert more.items() <= json_format.MessageToDict(made.more).items()


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
async def test_generation_parameters_in_exif(channel: grpc.aio.Channel, form: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\x00" + A1111.encode("utf-16-be")
    made = (await analyzed(channel, encoded(SMALL, form, exif=exif))).generation
    assert (made.tool, made.seed, made.negative_prompt) == ("automatic1111", 965400086, "ugly, blurry")
    exif = Image.Exif()
    exif[0x010F] = f"Prompt:{json.dumps(COMFY)}"
    assert (await analyzed(channel, encoded(SMALL, form, exif=exif))).generation.tool == "comfyui"


@pytest.mark.parametrize(
    "texts",
    [
        {"parameters": "just some words"},
        {"parameters": "{"},
        {"prompt": "[" * 100_000},
        {"prompt": '{"a":' * 50_000},
        {"prompt": '{"3": {"class_type": "KSampler", "inputs": {"positive": ["3", 0], "seed": -1}}}'},
        {"prompt": "{}", "Software": "NovelAI", "Comment": "null"},
        {"invokeai_metadata": '{"seed": 1e400, "steps": NaN, "model": [[]], "positive_prompt": 7}'},
        {"invokeai_metadata": '{"positive_prompt": "\\ud800", "model": "\\udfff", "\\udc00": "\\ud83e"}'},
        {"parameters": "x\nSteps: 1, " + "a: " * 3000},
        {"parameters": "x\nSteps: 1, " + "a " * 50_000},
        {"parameters": 'x\nSteps: 1, Seed: 99999999999999999999999, a: "' + "\\" * 5000},
    ],
    ids=lambda texts: str(texts)[:60],
)
async def test_what_only_looks_like_parameters_does_no_harm(channel: grpc.aio.Channel, texts: dict[str, str]) -> None:
    made = (await analyzed(channel, png_with(texts))).generation
    assert not made.HasField("seed")
    assert made == GenerationParameters() or made.tool in ("automatic1111", "invokeai", "comfyui")


async def test_ours_and_long_ones_fit_an_answer(channel: grpc.aio.Channel) -> None:
    emoji = "\U0001f98a" * 200_000
    metadata = await analyzed(
        channel, png_with({"parameters": f"{emoji}\nNegative prompt: {emoji[:50_000]}\nSteps: 1"})
    )
    assert len(metadata.generation.prompt) == len(metadata.generation.negative_prompt) == 16_000


# Content credentials


def cbor_text(text: str) -> bytes:
    head = bytes([0x60 + len(text)]) if len(text) < 24 else bytes([0x78, len(text)])
    return head + text.encode()


def jumbf(claim: bytes) -> bytes:
    label = b"\x00\x00\x00\x1ejumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71\x03c2pa\x00"
    body = label + struct.pack(">I", len(claim) + 8) + b"cbor" + claim
    return struct.pack(">I", len(body) + 8) + b"jumb" + body


CLAIM = (
    b"\xa2" + cbor_text("claim_generator") + cbor_text("Vendor Imaging 2.1 c2pa-rs/0.36")
    + cbor_text("x") + cbor_text("http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia")
)  # fmt: skip
CLAIM_2 = b"\xa1" + cbor_text("claim_generator_info") + b"\xa1" + cbor_text("name") + cbor_text("Vendor 3")
STORE = jumbf(CLAIM)


def riff(kind: bytes, body: bytes) -> bytes:
    webp = encoded(SMALL, "WEBP") + kind + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) & 1)
    return webp[:4] + struct.pack("<I", len(webp) - 8) + webp[8:]


def two_segments(store: bytes) -> bytes:
    half = len(store) // 2
    pieces = (store[:half], store[:8] + store[half:])
    data = encoded(SMALL, "JPEG")[2:]
    for number, piece in reversed(list(enumerate(pieces, 1))):
        body = b"JP\x00\x01" + struct.pack(">I", number) + piece
        data = b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body + data
    return b"\xff\xd8" + data


@pytest.mark.parametrize(
    "data",
    [
        with_chunk(b"caBX", STORE),
        with_segment(0xEB, b"JP\x00\x01\x00\x00\x00\x01" + STORE),
        two_segments(STORE),
        riff(b"C2PA", STORE),
    ],
    ids=["png", "jpeg", "jpeg in two", "webp"],
)
async def test_content_credentials_are_found(channel: grpc.aio.Channel, data: bytes) -> None:
    found = (await analyzed(channel, data)).credentials
    assert found.generator == "Vendor Imaging 2.1 c2pa-rs/0.36"
    assert found.digital_source_type == "trainedAlgorithmicMedia"
    assert found.size_bytes == len(STORE)


async def test_credentials_of_version_2_and_elsewhere(channel: grpc.aio.Channel) -> None:
    assert (await analyzed(channel, with_chunk(b"caBX", jumbf(CLAIM_2)))).credentials.generator == "Vendor 3"
    where = "https://manifests.example/1"
    packet = XMP.replace("<dc:subject>", f'<p:provenance xmlns:p="x">{where}</p:provenance><dc:subject>')
    packet = packet.replace("p:provenance", "dcterms:provenance").replace("xmlns:p=", "xmlns:dcterms=")
    found = (await analyzed(channel, encoded(SMALL, "WEBP", xmp=packet.encode()))).credentials
    assert (found.remote_uri, found.size_bytes, found.generator) == (where, 0, "")
    assert not (await analyzed(channel, PHOTO.read_bytes())).HasField("credentials")


@pytest.mark.parametrize("claim", [CLAIM[:30], b"\x6fclaim_generator\x79\xff", b"\x74claim_generator_info\x64name"])
async def test_cut_credentials_have_no_name(channel: grpc.aio.Channel, claim: bytes) -> None:
    assert (await analyzed(channel, with_chunk(b"caBX", jumbf(claim)))).credentials.generator == ""


# Hostile

ENTITIES = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
HOSTILE = {
    "entities in entities": ENTITIES + "]><x>&j;</x>",
    "an entity from a file": "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
    "a document type": "<!DOCTYPE x SYSTEM 'http://127.0.0.1/x.dtd'><x/>",
    "elements in elements": "<x>" * 5000,
    "many elements": f"<x>{'<y/>' * 30_000}</x>",
    "no XML": "<x",
    "an odd encoding": "<?xml version='1.0' encoding='utf-7'?><x/>",
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_packet_is_left_out_with_a_warning(channel: grpc.aio.Channel, what: str) -> None:
    data = encoded(SMALL, "WEBP", xmp=HOSTILE[what].encode())
    (warning,) = await warnings(channel, data)
    assert warning.startswith("its XMP can't be read: the packet ")
    assert not values(await analyzed(channel, data), "xmp")


async def test_a_large_packet_is_cut_and_counted(channel: grpc.aio.Channel) -> None:
    items = "".join(f"<dc:p{number}>{'x' * 5000}</dc:p{number}>" for number in range(180))
    metadata = await analyzed(
        channel, encoded(SMALL, "WEBP", xmp=XMP.replace("<dc:subject>", items + "<dc:subject>").encode())
    )
    assert metadata.left_out_entries == 0
    assert all(value.endswith("...") for name, value in values(metadata, "xmp").items() if name.startswith("dc:p"))
    items = "".join(f"<dc:p{number}>{'x' * 4000}</dc:p{number}>" for number in range(180))
    metadata = await analyzed(
        channel, encoded(SMALL, "WEBP", xmp=XMP.replace("<dc:subject>", items + "<dc:subject>").encode())
    )
    assert metadata.left_out_entries > 40
    assert metadata.ByteSize() < 1 << 20


@pytest.mark.parametrize("size", range(0, 24, 3))
async def test_iptc_that_is_cut_gives_what_is_whole(channel: grpc.aio.Channel, size: int) -> None:
    block = b"\x1c\x02\x05\x00\x03abc" + b"\x1c\x02\x19\x80\x04\x00\xff\xff\xffx" + b"\x1c\x02\x19\x80\xff"
    resource = b"8BIM\x04\x04\x00\x00" + struct.pack(">I", size) + block[:size] + b"\x00" * (size & 1)
    found = values(await analyzed(channel, with_segment(0xED, b"Photoshop 3.0\x00" + resource)), "iptc")
    assert found == ({"ObjectName": "abc"} if size >= 8 else {})


@pytest.mark.parametrize("place", [0, 8, 0xFFFFFFFF])
async def test_exif_that_points_to_itself_or_nowhere(channel: grpc.aio.Channel, place: int) -> None:
    # One directory whose pointers to Exif, GPS and thumbnail all lead to one place.
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, place) for tag in (0x8769, 0x8825))
    exif = b"Exif\x00\x00II*\x00" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", place)
    assert (await analyzed(channel, with_segment(0xE1, exif))).width == 8
