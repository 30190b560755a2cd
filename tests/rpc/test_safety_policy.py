"""The operator's policy through a running server, with the real networks.

Only ordinary pictures are here, so the rules name what those are: `drawing`, with thresholds that the test sets.
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageFilter, ImageStat
from tests.support import pictures
from tests.support.hosts import VendorHost, listening, says
from tests.support.servers import Running, running, workers

from celeste_image.client import AsyncClient
from celeste_image.core.edits import Erase, Inpaint, Mask, SearchReplace
from celeste_image.core.errors import ArtifactNotFound, CelesteError, SafetyBlocked
from celeste_image.core.events import Completed, Event, Preview, Warned
from celeste_image.core.image import ImageInput, ImageReference, Size
from celeste_image.core.request import Analyze, Edit, Generate, ImageRequest, RequestOptions, Upscale
from celeste_image.core.result import OperationResult
from celeste_image.core.safety import SafetyAction, SafetyStage, SafetyVerdict

IMAGES = Path(__file__).parents[2] / "docs" / "images"
FOX, LIGHTHOUSE = ((IMAGES / f"{name}.png").read_bytes() for name in ("fox", "lighthouse"))
ASTRONAUT = pictures.encoded(Image.open(IMAGES / "astronaut.jpg"))
SCENE = Generate(prompt="a red fox in a forest", seed=7, size=Size(256, 192))


@dataclass
class Seen:
    """What a caller saw of one operation."""

    events: list[Event]
    error: CelesteError | None = None

    @property
    def result(self) -> OperationResult:
        assert isinstance(self.events[-1], Completed), self.error
        return self.events[-1].result

    @property
    def warnings(self) -> list[Warned]:
        return [event for event in self.events if isinstance(event, Warned)]


async def run(server: Running, request: ImageRequest) -> Seen:
    seen = Seen([])
    async with AsyncClient(server.address) as client:
        try:
            async for event in client.stream(request, timeout=60):
                seen.events.append(event)
        except CelesteError as error:
            seen.error = error
    return seen


@contextlib.asynccontextmanager
async def policed(**safety: Any) -> AsyncIterator[Running]:
    async with running(safety=safety) as server:
        yield server


def drawing(action: str, threshold: float = 0.6) -> Mapping[str, Any]:
    return {"drawing": {"action": action, "threshold": threshold}}


async def read(server: Running, name: str) -> Image.Image:
    async with AsyncClient(server.address) as client:
        return pictures.opened(await client.read(name))


def detail(image: Image.Image) -> float:
    """Returns how much there is in a picture that is fine: its mean difference from a blur of itself."""
    gray = image.convert("L")
    return ImageStat.Stat(ImageChops.difference(gray, gray.filter(ImageFilter.GaussianBlur(4)))).mean[0]


# Off


async def test_nothing_is_checked_unless_the_operator_says_so() -> None:
    async with running() as server:
        seen = await run(server, SCENE)
        assert seen.result.safety == ()
        assert not workers("engines.safety")
    async with policed(outputs=drawing("off"), inputs=drawing("off"), prompts={"x": {"action": "off"}}) as server:
        assert (await run(server, SCENE)).result.images == seen.result.images
        assert not workers("engines.safety")


# Outputs


async def test_each_picture_gets_a_verdict_for_each_rule_and_stays_as_it_is() -> None:
    async with running() as server:
        plain = (await run(server, replace(SCENE, count=2))).result
    rules = {**drawing("flag", 0.0), "explicit": "block"}
    async with policed(outputs=rules) as server:
        seen = await run(server, replace(SCENE, count=2))
    assert [image.sha256 for image in seen.result.images] == [image.sha256 for image in plain.images]
    flagged = [verdict for verdict in seen.result.safety if verdict.category == "drawing"]
    allowed = [verdict for verdict in seen.result.safety if verdict.category == "explicit"]
    assert [verdict.image_index for verdict in flagged] == [0, 1] == [verdict.image_index for verdict in allowed]
    for verdict, action, threshold in ((flagged[0], "flag", 0.0), (allowed[1], "allow", 0.8)):
        assert (verdict.stage, verdict.action, verdict.threshold) == ("output", action, threshold)
        assert (verdict.engine, verdict.owed, verdict.path, verdict.message) == ("local/safety", False, "", "")
    assert all((verdict.score or 0) > 0.1 for verdict in flagged)
    assert all((verdict.score or 1) < 0.1 for verdict in allowed)
    assert [warned.text[:16] for warned in seen.warnings] == ["flagged: drawing"] * 2
    assert seen.result.usage.compute_seconds


async def test_of_four_pictures_one_is_blocked_or_blurred_and_its_own_bytes_are_nowhere() -> None:
    request = replace(SCENE, count=4)
    async with policed(outputs=drawing("flag", 0.0)) as server:
        clear = (await run(server, request)).result
        original = {image.index: await read(server, image.artifact) for image in clear.images}
    scores = sorted(((verdict.score or 0.0, verdict.image_index or 0) for verdict in clear.safety), reverse=True)
    (score, index), threshold = scores[0], (scores[0][0] + scores[1][0]) / 2
    seen = {}
    for action in ("block", "blur"):
        async with policed(outputs=drawing(action, threshold)) as server:
            seen[action] = await run(server, request)
            for image in clear.images:
                if image.index != index:
                    assert await read(server, image.artifact)
                    continue
                with pytest.raises(ArtifactNotFound):
                    await read(server, image.artifact)
            if action == "blur":
                hidden = await read(server, seen[action].result.images[index].artifact)

    made = {image.index: image.sha256 for image in seen["block"].result.images}
    assert made == {image.index: image.sha256 for image in clear.images if image.index != index}
    ((missed, error),) = seen["block"].result.failures.items()
    assert missed == index
    assert type(error) is SafetyBlocked
    assert error.metadata == {
        "stage": "output",
        "category": "drawing",
        "engine": "local/safety",
        "score": f"{score:.4g}",
        "threshold": f"{threshold:.4g}",
        "owed": "false",
    }
    (line,) = [line for line in seen["block"].result.fidelity if line.path == "count"]
    assert (line.asked, line.measured, line.outcome) == (4, 3, "adjusted")

    result = seen["blur"].result
    assert not result.failures
    assert [image.sha256 == of.sha256 for image, of in zip(result.images, clear.images, strict=True)] == [
        i != index for i in range(4)
    ]
    image, was = result.images[index], original[index]
    assert (image.width, image.height) == hidden.size == was.size
    assert image.media_type == hidden.get_format_mimetype() == was.get_format_mimetype()
    assert detail(was) > 3
    assert detail(hidden) < 0.3

    for action, done in (("block", "blocked"), ("blur", "blurred")):
        actions = {verdict.image_index: verdict.action for verdict in seen[action].result.safety}
        assert actions == {i: action if i == index else "allow" for i in range(4)}
        told = [warned.text.partition(" 0.")[0] for warned in seen[action].warnings if warned.path != "count"]
        assert told == [f"{done}: drawing"]


async def test_when_all_are_blocked_the_call_is() -> None:
    async with policed(outputs=drawing("block", 0.0)) as server:
        seen = await run(server, replace(SCENE, count=3))
        upscaled = await run(server, Upscale(image=ImageInput(pictures.photo(32)), factor=2, model="local/lanczos"))
    for error in (seen.error, upscaled.error):
        assert type(error) is SafetyBlocked
        assert (error.metadata["stage"], error.metadata["owed"]) == ("output", "false")
        assert "drawing" in error.message


async def test_the_strongest_rule_decides() -> None:
    rules = {**drawing("flag", 0.0), "neutral": {"action": "block", "threshold": 0.0}, "explicit": "blur"}
    async with policed(outputs=rules) as server:
        seen = await run(server, SCENE)
    assert type(seen.error) is SafetyBlocked
    assert seen.error.metadata["category"] == "neutral"
    assert [warned.text.partition(":")[0] for warned in seen.warnings] == ["flagged", "blocked"]


@pytest.mark.parametrize(("action", "previews"), [("block", False), ("blur", False), ("flag", True)])
async def test_previews_are_not_sent_where_anything_may_be_hidden(action: str, previews: bool) -> None:
    request = replace(SCENE, options=RequestOptions(preview_count=2))
    async with policed(outputs=drawing(action, 1.0)) as server:
        seen = await run(server, request)
    assert seen.result.images
    assert bool([event for event in seen.events if isinstance(event, Preview)]) is previews
    assert [warned.path for warned in seen.warnings] == ([] if previews else ["options.preview_count"])


async def test_a_vendors_pictures_are_judged_one_by_one_and_paid_for() -> None:
    made = [{"b64_json": base64.b64encode(data).decode()} for data in (ASTRONAUT, FOX, ASTRONAUT, LIGHTHOUSE)]
    fake = VendorHost({"/v1/images/generations": [says({"created": 1, "data": made})]})
    request = Generate(model="openai/gpt-image-2", prompt="a boat", count=4)
    async with listening(fake.host):
        table = {"base_url": f"{fake.host.url}/v1", "allow_private": True, "key": "sk-test-0123456789"}
        async with running(providers={"openai": table}, safety={"outputs": drawing("block", 0.5)}) as server:
            seen = await run(server, request)
        async with running(providers={"openai": table}, safety={"outputs": drawing("block", 0.0)}) as server:
            none = await run(server, request)
    assert len(fake.host.asked) == 2, "each call was sent once: what is blocked is paid for"
    assert [image.index for image in seen.result.images] == [0, 2]
    assert {index: error.metadata["owed"] for index, error in seen.result.failures.items()} == {1: "true", 3: "true"}
    assert [(verdict.image_index, verdict.action) for verdict in seen.result.safety] == [
        *((0, "allow"), (1, "block"), (2, "allow"), (3, "block"))
    ]
    assert all(verdict.owed for verdict in seen.result.safety)
    assert type(none.error) is SafetyBlocked
    assert none.error.metadata["owed"] == "true"


# Inputs


async def test_a_blocked_input_reaches_no_vendor() -> None:
    fake = VendorHost({})
    photo = Image.open(IMAGES / "astronaut.jpg").resize((768, 512))
    mask = Mask(ImageInput(pictures.mask(768, 512, (8, 8, 32, 32))))
    async with listening(fake.host), vendor_with(fake, {"inputs": drawing("block")}) as server:
        for reference in (False, True):
            image, other = ImageInput(FOX), ImageInput(pictures.encoded(photo))
            if reference:
                image, other = other, image
            request = Edit(
                model="openai/gpt-image-2",
                image=image,
                references=(ImageReference(other),),
                edit=Inpaint(mask, "a bird"),
            )
            seen = await run(server, request)
            path = "references[0].image" if reference else "image"
            assert type(seen.error) is SafetyBlocked
            assert {"stage": "input", "path": path, "owed": "false"}.items() <= seen.error.metadata.items()
            assert [violation.field for violation in seen.error.violations] == [path]
    assert fake.host.asked == []


def vendor_with(fake: VendorHost, safety: Mapping[str, Any]) -> Any:
    table = {"base_url": f"{fake.host.url}/v1", "allow_private": True, "key": "sk-test-0123456789"}
    return running(providers={"openai": table}, safety=safety)


async def test_a_blurred_input_is_what_the_model_gets() -> None:
    request = Upscale(model="local/lanczos", image=ImageInput(FOX), factor=1)
    async with policed(inputs=drawing("blur")) as server:
        seen = await run(server, request)
        made = await read(server, seen.result.images[0].artifact)
    (verdict,) = seen.result.safety
    assert (verdict.stage, verdict.action, verdict.path) == (SafetyStage.INPUT, SafetyAction.BLUR, "image")
    assert made.size == pictures.opened(FOX).size
    assert detail(made) < 0.3 < detail(pictures.opened(FOX))
    assert (seen.warnings[0].path, seen.warnings[0].text[:16]) == ("image", "blurred: drawing")
    assert hashlib.sha256(FOX).hexdigest() not in seen.result.images[0].parents


async def test_masks_are_no_pictures_and_an_analysis_is_not_held_to_the_policy() -> None:
    small = ImageInput(pictures.photo(64))
    mask = Mask(ImageInput(pictures.mask(64, 64, (8, 8, 32, 32))))
    async with policed(inputs=drawing("flag", 0.0)) as server:
        edited = (await run(server, Edit(image=small, edit=Erase(mask)))).result
        found = (await run(server, Analyze(model="local/safety", image=ImageInput(FOX)))).result
    assert [verdict.path for verdict in edited.safety] == ["image"]
    assert found.safety == ()
    assert found.analysis
    assert found.analysis.safety


# Prompts

WORDS = {"weapons": {"words": ["gun*", "dirty bomb"]}, "gore": {"action": "flag", "words": ["blood"]}}


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (Generate(prompt="a Ｇｕ\u200bｎ on a table"), "prompt"),
        (Generate(prompt="a DIRTY\nbomb"), "prompt"),
        (Edit(image=ImageInput(FOX), edit=SearchReplace("the fox", "two guns")), "search_replace.prompt"),
        (Edit(image=ImageInput(FOX), edit=SearchReplace("the gun", "a flower")), "search_replace.target"),
        (Upscale(image=ImageInput(FOX), factor=2, prompt="a gunner"), "prompt"),
        (
            Generate(prompt="a fox", options=RequestOptions(provider_options={"local": {"a": [{"b": "guns"}]}})),
            'options.provider_options["local"].a[0].b',
        ),
    ],
    ids=["full width", "phrase", "edit", "search", "upscale", "option"],
)
async def test_words_of_a_list_end_a_call_before_anything_else(request_: ImageRequest, path: str) -> None:
    async with policed(prompts=WORDS) as server:
        seen = await run(server, request_)
    assert [type(event) for event in seen.events] == [Warned]
    assert type(seen.error) is SafetyBlocked
    assert seen.error.metadata == {"stage": "prompt", "category": "weapons", "path": path, "owed": "false"}
    assert [violation.field for violation in seen.error.violations] == [path]
    assert "gun" not in seen.error.message.lower().replace(path, ""), "the word that was found is not told"


async def test_words_that_are_only_told_of() -> None:
    async with policed(prompts=WORDS) as server:
        seen = await run(server, replace(SCENE, prompt="a fox with blood, a begun gnu", negative_prompt="gun"))
    assert seen.result.safety == (SafetyVerdict(SafetyStage.PROMPT, "gore", SafetyAction.FLAG, path="prompt"),)
    assert seen.result.images
    assert Warned("prompt", "flagged: gore", "SAFETY_FLAG") in seen.warnings


async def test_words_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes("\ufeff# weapons\r\n\r\n  pistol*  \r\nκανόνι\r\n".encode())
    async with policed(prompts={"weapons": {"files": [str(tmp_path / "words.txt")]}}) as server:
        for prompt, blocked in (("two pistols", True), ("ΚΑΝΌΝΙ", True), ("weapons", False)):
            assert bool((await run(server, replace(SCENE, prompt=prompt))).error) is blocked


# When a picture can't be checked


@pytest.mark.parametrize("on_error", ["block", "flag"])
async def test_a_picture_that_could_not_be_checked(
    on_error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path))
    (tmp_path / "safety").mkdir()
    with (tmp_path / "safety" / "open-nsfw.onnx").open("wb") as file:
        file.truncate(23_590_724)  # the right size, which is all that is looked at before
    async with policed(outputs={"explicit": "flag"}, inputs={"explicit": "flag"}, on_error=on_error) as server:
        made = await run(server, SCENE)
        given = await run(server, Upscale(image=ImageInput(FOX), factor=2, model="local/lanczos"))
    for seen, stage in ((made, "output"), (given, "input")):
        note = "it could not be checked by local/safety (WEIGHTS_MISSING)"
        if on_error == "block":
            assert type(seen.error) is SafetyBlocked
            assert (seen.error.metadata["stage"], seen.error.metadata["message"]) == (stage, note)
            assert note in seen.error.message
        else:
            verdict = seen.result.safety[0]
            assert (verdict.stage, verdict.action, verdict.message, verdict.score) == (stage, "flag", note, None)
            assert seen.result.images
        assert f"{'blocked' if on_error == 'block' else 'flagged'}: {note}" in [each.text for each in seen.warnings]


# At start


@pytest.mark.parametrize(
    ("safety", "said"),
    [
        ({"outputs": {"nudes": "block"}}, "safety.outputs.nudes: local/safety has no such category; it has explicit, "),
        ({"inputs": {"explicit": "hide"}}, "safety.inputs.explicit.action"),
        ({"inputs": {"explicit": {"threshold": 80}}}, "safety.inputs.explicit.threshold"),
        ({"outputs": {"explicit": "block"}, "engine": "local/lanczos"}, "'local/lanczos' does not score images"),
        ({"prompts": {"weapons": {}}}, "safety.prompts.weapons: has no words"),
        ({"prompts": {"weapons": {"words": ["gun", "*"]}}}, "safety.prompts.weapons: '\\*' is not a term"),
        ({"prompts": {"weapons": {"files": ["/nowhere"]}}}, "safety.prompts.weapons.files: /nowhere: No such file"),
        ({"prompts": {"weapons": {"action": "blur", "words": ["gun"]}}}, "safety.prompts.weapons.action"),
    ],
)
async def test_a_policy_that_can_not_be_kept_is_refused_at_start(safety: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        async with policed(**safety):
            pass


async def test_a_policy_without_its_weights_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELESTE_MODELS_DIR", str(tmp_path))
    for on_error in ("block", "flag"):
        with pytest.raises(ValueError, match="get its weights with: celeste models pull local/safety"):
            async with policed(inputs={"explicit": "flag"}, on_error=on_error):
                pass
    async with policed(prompts=WORDS) as server:  # words need no engine
        assert (await run(server, SCENE)).result.images


# Many at once


async def test_calls_that_hold_all_places_are_all_judged() -> None:
    safety = {"outputs": drawing("flag", 0.0), "inputs": drawing("flag", 0.0)}
    async with running(safety=safety, providers={"local": {"concurrency": 1}}) as server:
        source = ImageInput(pictures.photo(32))
        requests = [Upscale(model="local/lanczos", image=source, factor=2), replace(SCENE, size=Size(64, 64), count=2)]
        seen = await asyncio.gather(*(run(server, request) for request in requests * 4))
    assert [len(each.result.safety) for each in seen] == [2, 2] * 4
