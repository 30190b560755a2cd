"""Messages about broken rules are sentences: what must be, what was given, the nearest word. No machine language."""

import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

import celeste_image
from celeste_image.core.errors import InvalidRequest
from celeste_image.rpc.sentences import FORMS
from celeste_image.rpc.validate import check_message
from celeste_image.v1 import artifact_service_pb2, edit_pb2, image_pb2, model_service_pb2, operation_pb2

PROTO = Path(celeste_image.__file__).parents[2] / "proto/celeste/image/v1"
PNG = image_pb2.ImageInput(data=b"x")
MACHINE = re.compile(
    r"regex|pattern|\^|oneof|greater than|item\(s\)|defined enum|value is required|\b1 characters|in list"
)


def generate(**fields: Any) -> Message:
    return operation_pb2.GenerateRequest(**({"prompt": "a fox"} | fields))


def edit(**fields: Any) -> Message:
    return operation_pb2.EditRequest(image=PNG, **fields)


def options(**fields: Any) -> Message:
    return generate(options=operation_pb2.RequestOptions(**fields))


CASES: list[tuple[Message, str]] = [
    (generate(prompt=""), "prompt: must not be empty"),
    (generate(prompt="x" * 33000), "prompt: must have at most 32,000 characters, has 33,000"),
    (generate(count=17), "count: must be 0 to 16, is 17"),
    (generate(request_id="abc"), "request_id: must be a UUID, 32 hexadecimal digits with four hyphens, is 'abc'"),
    (
        generate(request_id="00000000-0000-0000-0000-000000000000"),
        "request_id: must not be the nil UUID; unset means a new one",
    ),
    (
        generate(output_media_type="png"),
        "output_media_type: must be a media type such as image/png, is 'png'; did you mean image/png?",
    ),
    (generate(size=image_pb2.Size(aspect_ratio="16/9")), "size.aspect_ratio: must be a ratio such as 16:9, is '16/9'"),
    (generate(size=image_pb2.Size(megapixels=41)), "size.megapixels: must be 0 to 40, is 41"),
    (generate(references=[image_pb2.ImageReference()]), "references[0].image: must be set"),
    (generate(references=[image_pb2.ImageReference(image=PNG)] * 17), "references: must have at most 16 items, has 17"),
    (options(inline_limit_bytes=-1), "options.inline_limit_bytes: must be 0 or more, is -1"),
    (
        options(strictness=9),  # type: ignore[arg-type]
        "options.strictness: must be one of STRICTNESS_BEST_EFFORT or STRICTNESS_STRICT, is 9",
    ),
    (
        options(provider_options={"A B": {}}),
        'options.provider_options["A B"]: must be a name of lower-case letters, digits, - and _, such as local',
    ),
    (
        options(routing=operation_pb2.Routing(fallback_models=["a", "a"])),
        "options.routing.fallback_models: must not have an item twice",
    ),
    (
        operation_pb2.UpscaleRequest(image=PNG),
        "factor: one of factor or size must be set; an empty one counts as unset",
    ),
    (
        operation_pb2.UpscaleRequest(image=PNG, factor=2, size=image_pb2.Size(width=3, height=3)),
        "factor: only one of factor or size can be set",
    ),
    (operation_pb2.UpscaleRequest(image=PNG, factor=99), "factor: must be 1 to 16, is 99"),
    (
        operation_pb2.AnalyzeRequest(image=image_pb2.ImageInput(data=b"")),
        "image: one of data, artifact or uri must be set; an empty one counts as unset",
    ),
    (
        operation_pb2.AnalyzeRequest(image=image_pb2.ImageInput(uri="photo")),
        "image.uri: must be a URI such as https://example.com/photo.png",
    ),
    (
        operation_pb2.AnalyzeRequest(image=PNG, kinds=[0]),
        "kinds[0]: must be one of ANALYSIS_KIND_METADATA, ANALYSIS_KIND_CONTENT, ANALYSIS_KIND_QUALITY or "
        "ANALYSIS_KIND_SAFETY, is 0",
    ),
    (edit(erase=edit_pb2.EraseEdit()), "erase.mask: must be set"),
    (
        edit(),
        "kind: exactly one of erase, inpaint, outpaint, instruct, replace_background, remove_background, restyle, "
        "recolor, search_replace, relight, vary or control must be set",
    ),
    (
        artifact_service_pb2.GetArtifactRequest(name="fox.png"),
        "name: must be an artifact's name: artifacts/sha256- and 64 hexadecimal digits in lower case, is 'fox.png'",
    ),
    (model_service_pb2.GetModelRequest(), "model: must not be empty"),
]


@pytest.mark.parametrize(("message", "text"), CASES, ids=[text.partition(":")[0] for _, text in CASES])
def test_a_broken_rule_is_a_sentence(message: Message, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_message(message)
    found = [f"{violation.field}: {violation.text}" for violation in caught.value.violations]
    assert text in found
    assert not [line for line in found if MACHINE.search(line)]


def test_no_secret_of_a_uri_is_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_message(operation_pb2.AnalyzeRequest(image=image_pb2.ImageInput(uri="not a uri?sig=secret")))
    assert "secret" not in caught.value.message


def test_each_pattern_of_the_contract_has_words() -> None:
    patterns = {
        found for file in PROTO.glob("*.proto") for found in re.findall(r'pattern(?: =|:) "([^"]+)"', file.read_text())
    }
    assert patterns == set(FORMS)
