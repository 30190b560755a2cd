"""What hypothesis draws: core values that the contract's rules let pass."""

import json
from typing import Any

from hypothesis import strategies as st

from celeste_image.core.analysis import (
    Analysis,
    ContentCredentials,
    DetectedObject,
    DominantColor,
    GenerationParameters,
    ImageContent,
    ImageMetadata,
    ImageQuality,
    ImageRegion,
    ImageTag,
    LeftOutFinding,
    MetadataEntry,
    TextLine,
)
from celeste_image.core.edits import (
    Erase,
    Inpaint,
    Mask,
    Outpaint,
    Polarity,
)
from celeste_image.core.errors import ERRORS, Attempt, CelesteError, Violation
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.image import ImageInput, ImageReference, Size
from celeste_image.core.money import Cost, CostBasis, Money, Quantity
from celeste_image.core.request import (
    AnalysisKind,
    Analyze,
    CacheMode,
    Edit,
    Generate,
    OutputMetadata,
    RequestOptions,
    Routing,
    Upscale,
)
from celeste_image.core.result import ImageOutput, OperationResult, ResultSource, Usage
from celeste_image.core.safety import SafetyAction, SafetyAnalysis, SafetyScore, SafetyStage, SafetyVerdict

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
artifacts = digests.map("artifacts/sha256-".__add__)
counts = st.integers(0, 2**31 - 1)
seeds = st.integers(0, 2**64 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | texts
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)

sizes = (
    st.just(Size())
    | st.builds(Size, st.integers(1, 16_384), st.integers(1, 16_384))
    | st.builds(
        Size,
        aspect_ratio=st.sampled_from(["", "1:1", "16:9", "9999:1"]),
        megapixels=st.floats(0, 40, exclude_min=True),
    )
)
provider_options = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True), st.dictionaries(texts, json_values, max_size=4), max_size=3
)
options = st.builds(
    RequestOptions,
    strict=st.booleans(),
    provider_options=provider_options,
    inline_limit_bytes=st.none() | counts,
    preview_count=st.integers(0, 8),
    labels=st.dictionaries(texts, texts, max_size=3),
    cache_mode=st.sampled_from(CacheMode),
    routing=st.builds(Routing, st.lists(texts, max_size=8).map(tuple)),
    end_user=texts,
    output_metadata=st.none() | st.sampled_from(OutputMetadata),
    embed_recipe=st.none() | st.booleans(),
)
inputs = st.builds(ImageInput, data=st.binary(max_size=20), sha256=st.just("") | digests) | st.builds(
    ImageInput, artifact=artifacts
)
masks = st.builds(Mask, inputs, st.sampled_from(Polarity), st.integers(0, 256))
borders = st.integers(0, 8192)
edits = (
    st.builds(Erase, masks, st.booleans())
    | st.builds(Inpaint, masks, texts, st.booleans())
    | st.builds(Outpaint, borders, borders, borders, borders, texts)
)
common: dict[str, Any] = {"model": texts, "options": options}
paint: dict[str, Any] = {
    "negative_prompt": texts,
    "size": sizes,
    "count": st.integers(0, 16),
    "seed": st.none() | seeds,
    "output_media_type": texts,
    "references": st.lists(st.builds(ImageReference, inputs, texts, texts), max_size=3).map(tuple),
    "quality": texts,
    "background": texts,
    "output_quality": st.integers(0, 100),
    "style": texts,
    "rewrite_prompt": st.none() | st.booleans(),
}
requests = (
    st.builds(Generate, **common, **paint, prompt=texts)
    | st.builds(Edit, **common, **paint, image=inputs, edit=edits)
    | st.builds(Upscale, **common, image=inputs, factor=st.just(0.0) | st.floats(1, 16), size=sizes, style=texts)
    | st.builds(Analyze, **common, image=inputs, kinds=st.sampled_from([(), tuple(AnalysisKind)]))
)

violations = st.lists(st.builds(Violation, texts, texts, texts), max_size=5)


@st.composite
def errors(draw: st.DrawFn) -> CelesteError:
    """Draws an error of any class that fits a status as a whole."""
    seconds = st.none() | st.integers(0, 86_400_000).map(lambda ms: ms / 1000)
    attempts = st.lists(st.builds(Attempt, texts, texts, texts, seconds), max_size=3)
    return draw(st.sampled_from(list(ERRORS.values())))(
        draw(texts),
        metadata=draw(st.dictionaries(texts, texts, max_size=5)),
        violations=draw(violations),
        resource=draw(texts),
        retry_after=draw(seconds),
        attempts=draw(attempts),
        request_id=draw(texts),
    )


images = st.builds(
    ImageOutput,
    artifact=artifacts,
    media_type=texts,
    width=counts,
    height=counts,
    size_bytes=st.integers(0, 2**31 - 1),
    sha256=digests,
    index=counts,
    seed=st.none() | seeds,
    parents=st.lists(digests, max_size=2).map(tuple),
    revised_prompt=texts,
    data=st.binary(max_size=20),
)
present = json_values.filter(lambda value: value is not None)
lines = st.builds(
    FidelityLine,
    path=texts,
    outcome=st.sampled_from(FidelityOutcome),
    asked=st.none() | present,
    sent=st.none() | present,
    measured=st.none() | present,
    message=texts,
    image_index=st.none() | counts,
)
metadata = st.builds(
    ImageMetadata,
    media_type=texts,
    width=counts,
    height=counts,
    size_bytes=st.integers(0, 2**31 - 1),
    sha256=digests,
    color_mode=texts,
    has_alpha=st.booleans(),
    orientation=st.integers(0, 8),
    icc_profile=texts,
    entries=st.lists(st.builds(MetadataEntry, texts, texts, json_values), max_size=4).map(tuple),
    generation=st.none()
    | st.builds(
        GenerationParameters,
        tool=texts,
        prompt=texts,
        negative_prompt=texts,
        seed=st.none() | seeds,
        steps=counts,
        sampler=texts,
        model=texts,
        more=st.dictionaries(texts, json_values, max_size=3),
    ),
    credentials=st.none() | st.builds(ContentCredentials, texts, texts, st.integers(0, 2**63 - 1), texts),
    left_out_entries=counts,
)
regions = st.builds(ImageRegion, counts, counts, counts, counts)


def several(value: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(value, max_size=3).map(tuple)


content = st.builds(
    ImageContent,
    tags=several(st.builds(ImageTag, texts, numbers)),
    objects=several(st.builds(DetectedObject, texts, numbers, regions)),
    colors=several(st.builds(DominantColor, texts, texts, numbers)),
    texts=several(st.builds(TextLine, texts, numbers, regions)),
    caption=texts,
    caption_method=texts,
    left_out=several(st.builds(LeftOutFinding, texts, texts)),
)
quality = st.builds(ImageQuality, *[numbers] * 7)
safety = st.builds(SafetyAnalysis, several(st.builds(SafetyScore, texts, st.floats(0, 1), texts)))
analyses = st.builds(
    Analysis,
    metadata=st.none() | metadata,
    content=st.none() | content,
    quality=st.none() | quality,
    safety=st.none() | safety,
)
verdicts = st.builds(
    SafetyVerdict,
    stage=st.sampled_from(SafetyStage),
    category=texts,
    action=st.sampled_from(SafetyAction),
    score=st.none() | st.floats(0, 1),
    threshold=st.none() | st.floats(0, 1),
    path=texts,
    image_index=st.none() | counts,
    engine=texts,
    owed=st.none() | st.booleans(),
    message=texts,
)
moneys = st.builds(Money, st.sampled_from(["EUR", "USD"]), st.integers(0, 10**15))
costs = st.builds(
    Cost,
    settled=st.none() | moneys,
    uncertain=st.none() | moneys,
    basis=st.sampled_from(CostBasis),
    unpriced_calls=st.integers(0, 9),
)
quantity_lists = st.lists(
    st.builds(Quantity, st.sampled_from(["image", "credit"]), st.floats(0, 1e6), st.sampled_from(["", "a/b"])),
    max_size=8,
)
usages = st.builds(
    Usage,
    billed=quantity_lists.map(tuple),
    images=counts,
    megapixels=st.floats(0, 1e6),
    compute_seconds=st.none() | st.integers(0, 10**12).map(lambda microseconds: microseconds / 1e6),
)
results = st.builds(
    OperationResult,
    costs=several(costs),
    request_id=texts,
    model=texts,
    images=st.lists(images, max_size=3).map(tuple),
    failures=st.dictionaries(counts, errors(), max_size=3),
    analysis=st.none() | analyses,
    fidelity=st.lists(lines, max_size=3).map(tuple),
    usage=usages,
    safety=st.lists(verdicts, max_size=3).map(tuple),
    source=st.sampled_from(ResultSource),
)


def as_facts(error: CelesteError) -> tuple[object, ...]:
    """Returns all that there is to an error: errors are equal to themselves alone."""
    return (
        type(error),
        error.message,
        error.metadata,
        error.violations,
        error.resource,
        error.retry_after,
        error.attempts,
    )


def is_json(value: object) -> bool:
    """Tells whether a value has no type that JSON lacks."""
    return json.loads(json.dumps(value)) == value
