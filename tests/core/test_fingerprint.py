"""Fingerprints: equal for the same work, different for other work, and the same in every version of the server."""

import hashlib
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support import strategies

from celeste_image.core.artifact import artifact_name
from celeste_image.core.edits import Erase, Inpaint, Mask, Outpaint, Polarity, Vary
from celeste_image.core.fingerprint import INLINE_BYTES, fingerprint, fingerprint_here
from celeste_image.core.image import ImageFacts, ImageInput, ImageReference, Size
from celeste_image.core.request import (
    AnalysisKind,
    Analyze,
    CacheMode,
    Edit,
    Generate,
    ImageRequest,
    OutputMetadata,
    RequestOptions,
    Routing,
    Upscale,
    UpscaleMode,
)
from celeste_image.wire.requests import request_from_proto, request_to_operation

PHOTO = ImageInput(b"a photo")
DIGEST = hashlib.sha256(PHOTO.data).hexdigest()
GOLDEN: dict[str, tuple[ImageRequest, str]] = {
    "generate": (Generate(prompt="a fox"), "4ed5a584657d76c2eaef922860a7644e9e19ead16165902ef683feadee455c0b"),
    "all of generate": (
        Generate(
            prompt="a fox",
            model="bfl/flux-2-pro",
            negative_prompt="a dog",
            size=Size(768, 512),
            count=2,
            seed=7,
            output_media_type="image/webp",
            references=(ImageReference(PHOTO, "style", "it"), ImageReference(ImageInput(uri="https://example.com/a"))),
            quality="high",
            background="opaque",
            output_quality=80,
            style="ink",
            rewrite_prompt=False,
            options=RequestOptions(
                strict=True,
                provider_options={
                    "bfl": {"safety_tolerance": 2, "list": [1, 2.5, None, True], "map": {"b": 1, "a": 2}}
                },
                routing=Routing(("openai/gpt-image-2",)),
                end_user="someone",
                output_metadata=OutputMetadata.STRIP,
                embed_recipe=True,
            ),
        ),
        "8a7293330c844ae7097c83a1aa1631854e1087da99d71e456d4771179145106a",
    ),
    "a text beyond ASCII": (
        Generate(prompt="ein Fuchs im Schnee – 雪狐 🦊"),
        "88dad731c43c0d50261212216a4e7537b5e778aec265e21fcbdd0f28efc29c08",
    ),
    "an area": (
        Generate(prompt="a fox", size=Size(aspect_ratio="16:9", megapixels=1.5)),
        "94417368312ef9503edf0759421fada215d1c83b05cea158c78f4d99c9f068ab",
    ),
    "edit": (
        Edit(image=PHOTO, edit=Erase(Mask(ImageInput(b"a mask"), Polarity.TRANSPARENT, 4))),
        "ed3a86b9d95e2b40c1cae8aba349602c8f0d19e312bd133e4f8f70b670fb99a1",
    ),
    "edit without fields": (
        Edit(image=PHOTO, edit=Vary()),
        "d0c606279068cd94a503a60ac10ee68895d352324dc3b9620ece554d5d6c5626",
    ),
    "outpaint": (
        Edit(image=ImageInput(artifact=artifact_name("ab" * 32)), edit=Outpaint(left=64)),
        "30d293e8be9c9b0596a88c5c3af9dc5e1593649fc955f07f3fc1f5e291d9e544",
    ),
    "upscale": (
        Upscale(image=PHOTO, factor=2.0, mode=UpscaleMode.FAST, creativity=0.25),
        "25732f45eb47723c3c04a38de2aa88cd65da23b57fd5968c239f02a75dd25fd8",
    ),
    "analyze": (
        Analyze(image=PHOTO, kinds=(AnalysisKind.CONTENT, AnalysisKind.SAFETY)),
        "debe459ec30314cfa2ccd4461e19e97ed29262dee9a32c2e271ab5c1f13feca3",
    ),
}
"""Digests of the form. A server compares them with those that it wrote before an update: they must not change."""

DELIVERY = st.fixed_dictionaries(
    {},
    optional={
        "inline_limit_bytes": st.integers(0, 1 << 20),
        "preview_count": st.integers(1, 8),
        "labels": st.dictionaries(strategies.texts, strategies.texts, max_size=2),
        "cache_mode": st.sampled_from(CacheMode),
        "unknown": st.just(("options.newer",)),
    },
)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_form_stays_as_it_is(name: str) -> None:
    request, digest = GOLDEN[name]
    assert fingerprint_here(request).hex() == digest


@settings(max_examples=200, deadline=None)
@given(strategies.requests, DELIVERY)
def test_delivery_labels_and_cache_are_no_part_of_the_work(request: ImageRequest, given_options: Any) -> None:
    other = replace(request, options=replace(request.options, **given_options))
    assert fingerprint_here(other) == fingerprint_here(request)


@settings(max_examples=50, deadline=None)
@given(DELIVERY)
def test_a_request_without_other_options_is_no_exception(given_options: Any) -> None:
    plain, given_provider = Generate(prompt="a fox"), RequestOptions(provider_options={"local": {}})
    assert fingerprint_here(replace(plain, options=RequestOptions(**given_options))) == fingerprint_here(plain)
    assert fingerprint_here(replace(plain, options=given_provider)) != fingerprint_here(plain)


@settings(max_examples=200, deadline=None)
@given(strategies.requests, strategies.requests)
def test_other_work_has_another_fingerprint(one: ImageRequest, other: ImageRequest) -> None:
    def work(request: ImageRequest) -> ImageRequest:
        left_out = RequestOptions()
        names = ("inline_limit_bytes", "preview_count", "labels", "cache_mode", "unknown")
        options = replace(request.options, **{name: getattr(left_out, name) for name in names})
        images = {path: ImageInput(sha256=digest_of(image)) for path, image in request.images()}
        return replace(request.with_images(images), options=options)

    assert (work(one) == work(other) and type(one) is type(other)) == (fingerprint_here(one) == fingerprint_here(other))


def digest_of(image: ImageInput) -> str:
    data = hashlib.sha256(image.data).hexdigest()
    return data if image.data else image.artifact.rpartition("-")[2] or image.sha256 or image.uri


@settings(max_examples=200, deadline=None)
@given(strategies.requests, st.data())
def test_any_changed_field_changes_it(request: ImageRequest, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([known.name for known in fields(request) if known.name in STRANGE]))
    changed = replace(request, **{name: STRANGE[name]})
    assume(changed != request)
    assert fingerprint_here(changed) != fingerprint_here(request)


STRANGE: dict[str, Any] = {
    "model": "another/model",
    "prompt": "another prompt",
    "negative_prompt": "another thing",
    "size": Size(megapixels=39.5),
    "count": 15,
    "seed": 2**64 - 2,
    "quality": "another",
    "rewrite_prompt": True,
    "factor": 3.5,
    "kinds": (AnalysisKind.QUALITY,),
    "edit": Inpaint(Mask(ImageInput(b"another mask")), "another prompt"),
}


@settings(max_examples=100, deadline=None)
@given(strategies.requests)
def test_it_is_the_same_after_a_way_over_the_wire(request: ImageRequest) -> None:
    operation = request_to_operation(request)
    back = request_from_proto(getattr(operation, request.kind.value))
    assert fingerprint_here(back) == fingerprint_here(request)


@pytest.mark.parametrize(
    "image",
    [
        PHOTO,
        ImageInput(b"a photo", sha256="0" * 64, media_type="image/png"),
        ImageInput(artifact=artifact_name(DIGEST)),
        ImageInput(uri="https://example.com/a.png", sha256=DIGEST),
        ImageInput(
            b"a photo", uri="https://example.com/a.png", facts=ImageFacts("image/png", 1, 1, 7, DIGEST, "L", False)
        ),
    ],
)
def test_an_image_is_its_digest_wherever_it_comes_from(image: ImageInput) -> None:
    assert fingerprint_here(Analyze(image=image)) == fingerprint_here(Analyze(image=PHOTO))


def test_a_uri_without_a_digest_is_itself() -> None:
    one, other = (Analyze(image=ImageInput(uri=f"https://example.com/{name}")) for name in ("a", "b"))
    assert len({fingerprint_here(one), fingerprint_here(other), fingerprint_here(Analyze(image=PHOTO))}) == 3


def test_whole_numbers_are_equal_in_each_form_and_truths_are_no_numbers() -> None:
    def of(value: object) -> bytes:
        return fingerprint_here(
            Generate(prompt="a fox", options=RequestOptions(provider_options={"local": {"a": value}}))
        )

    assert of(2) == of(2.0)
    assert of(1) != of(True)
    assert of(0) != of(False)
    empty: list[object] = [None, "", [], {}, 0]
    assert len({of(each) for each in empty}) == 5


async def test_many_bytes_are_hashed_aside_with_the_same_digest() -> None:
    for size in (0, INLINE_BYTES, INLINE_BYTES + 1, 2 << 20):
        request = Analyze(image=ImageInput(bytes(size), sha256="0" * 64))
        assert await fingerprint(request) == fingerprint_here(request)
