"""The request of ours that must equal each recording of a vendor's SDK, and what the recording then proves.

`check_recording` checks one. `make docs` and `make check-docs` check all, to say how each provider's operations are
known. `test_recordings.py` compares the evidence that the catalog states with the result.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support import pictures
from tests.support.clocks import Clock
from tests.support.recordings import KEY, Playing, Recording, fixture
from tests.support.vendors import BASE, PROMPT, candidate, fixture_image, tools

from celeste_image.core.call import Candidate
from celeste_image.core.edits import (
    AnyEdit,
    Control,
    Inpaint,
    Instruct,
    Mask,
    Outpaint,
    RemoveBackground,
    SearchReplace,
    Vary,
)
from celeste_image.core.errors import CelesteError, ProviderCredentials, ProviderRateLimited
from celeste_image.core.events import Event, Picture, Preview, Saved
from celeste_image.core.image import ImageReference, Size
from celeste_image.core.request import Edit, Generate, ImageRequest, RequestOptions, Upscale
from celeste_image.core.result import ImageOutput
from celeste_image.pipeline.fidelity.fit import fitting
from celeste_image.pipeline.split import splitting
from celeste_image.providers.kit.check import check_key
from celeste_image.providers.kit.credentials import Verdict
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.providers.vendors.azure_openai import AzureOpenAI
from celeste_image.providers.vendors.bfl import Bfl
from celeste_image.providers.vendors.compatible import Compatible
from celeste_image.providers.vendors.gemini import Gemini
from celeste_image.providers.vendors.openai import OpenAI
from celeste_image.providers.vendors.stability import Stability

__all__ = ["CASES", "LEFT_OUT", "Case", "Place", "Played", "check_recording", "play"]

IMAGE, WHITE, RESULT = fixture_image("IMAGE"), Mask(fixture_image("MASK_WHITE")), fixture("RESULT")


@dataclass(frozen=True)
class Place:
    """A provider, set up as the SDK was: `path` is what its base URL ends with, `table` the rest of its settings."""

    vendor: type[Vendor]
    path: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)
    subset: bool = False

    def deployed(self, model: str) -> str:
        """Returns the id of a model, for a deployment the one that a deployment called as its model would have."""
        provider, _, name = model.partition("/")
        runs = {one["id"]: one.get("model", one["id"]) for one in self.table.get("models", ())}
        return f"{provider}/{runs.get(name, name)}"

    def made(self, transport: Playing, clock: Clock) -> Vendor:
        """Returns the provider behind a transport; jobs are polled without waiting."""
        settings = self.vendor.Settings(**{"key": KEY, "base_url": BASE + self.path, **self.table})
        return self.vendor(settings, tools(transport, clock=clock, sleep=clock.sleep, jitter=lambda seconds: seconds))


DEPLOYMENT = {"models": [{"id": "my-gpt-image-deployment", "model": "gpt-image-2"}]}
DALLE = {"id": "dall-e-3", "sizes": ["1792x1024"], "reads": ["quality", "style", "end_user"]}
DALLE_2 = {"id": "dall-e-2", "sizes": ["256x256"], "edits": ["vary"]}
OPENAI = Place(OpenAI, "/v1")
AZURE = Place(AzureOpenAI, table=DEPLOYMENT)
AZURE_V1 = Place(AzureOpenAI, table=DEPLOYMENT | {"api_version": ""})
COMPATIBLE = Place(Compatible, "/v1", {"models": [DALLE], "response_format": "url"})
VARYING = Place(Compatible, "/v1", {"models": [DALLE_2]})
GEMINI = Place(Gemini, "/v1")
INTERACTIONS = Place(Gemini, "/v1", {"api": "interactions"})
STABILITY = Place(Stability, "/v2beta")
BFL = Place(Bfl, subset=True)  # its SDK sends the defaults of its schemas along


@dataclass(frozen=True)
class Case:
    """What equals a recording.

    Attributes:
        place: The provider that sends it.
        request: What it is asked to do; None is the check of its key.
        fails: The error that the recorded answer becomes.
        ignore: Fields of the body that differ, with the reason beside it.
        adds: What the server sends on purpose beside what the SDK did: it is compared too.
    """

    place: Place
    request: ImageRequest | None = None
    fails: type[CelesteError] | None = None
    ignore: tuple[str, ...] = ()
    adds: Mapping[str, Any] = field(default_factory=dict)


DRAWN = 1_234_567_890
"""The seed that the pipeline draws when a recording is played."""
SEED = {"seed": DRAWN}
"""The server draws a seed where a request has none, so that the result names the seed that makes it again."""
CONFIGURED: Mapping[str, Any] = {"generationConfig": SEED}


def options(previews: int = 0, end_user: str = "", **given: Mapping[str, Any]) -> RequestOptions:
    return RequestOptions(provider_options=given, preview_count=previews, end_user=end_user)


def edit(model: str, change: AnyEdit, **more: Any) -> Edit:
    return Edit(model=model, image=IMAGE, edit=change, **more)


MINIMAL = Generate(model="openai/gpt-image-2", prompt=PROMPT)
DEPLOYED = Generate(model="azure_openai/my-gpt-image-deployment", prompt=PROMPT)
FLUX = {"safety_tolerance": 2}

CASES: Mapping[str, Case] = {
    "openai/generate": Case(
        OPENAI,
        replace(
            MINIMAL,
            count=2,
            size=Size(1536, 1024),
            output_media_type="image/webp",
            quality="high",
            background="opaque",
            output_quality=80,
            options=options(end_user="tenant-1", openai={"moderation": "low"}),
        ),
    ),
    "openai/generate_minimal": Case(OPENAI, replace(MINIMAL, model="openai/gpt-image-1-mini")),
    "openai/generate_stream": Case(OPENAI, replace(MINIMAL, size=Size(1024, 1024), options=options(2))),
    "openai/generate_dalle3": Case(  # OpenAI has it no more; servers that speak as it did have
        COMPATIBLE,
        Generate(
            model="compatible/dall-e-3",
            prompt=PROMPT,
            size=Size(1792, 1024),
            quality="hd",
            style="vivid",
            options=options(end_user="tenant-1"),
        ),
    ),
    "openai/edit_mask": Case(
        OPENAI,
        edit(
            "openai/gpt-image-2",
            Inpaint(WHITE, PROMPT),
            size=Size(1024, 1024),
            count=1,
            output_media_type="image/png",
            quality="high",
            background="auto",
        ),
    ),
    "openai/responses_image_tool": Case(
        OPENAI,
        Generate(model="openai/gpt-5", prompt=PROMPT, size=Size(1024, 1024), quality="low"),
        ignore=("store", "tool_choice"),  # ours forbids storing and forces the tool; the SDK leaves both to its user
    ),
    "openai/variation": Case(  # OpenAI takes none any more; LocalAI does
        VARYING, edit("compatible/dall-e-2", Vary(), size=Size(256, 256), count=1)
    ),
    "openai/error_401": Case(OPENAI, MINIMAL, ProviderCredentials),
    "openai/error_429": Case(OPENAI, MINIMAL, ProviderRateLimited),
    "openai/key_check": Case(OPENAI),
    "azure_openai/generate": Case(
        AZURE,
        replace(DEPLOYED, count=1, size=Size(1024, 1024), quality="low"),
    ),
    "azure_openai/generate_stream": Case(AZURE, replace(DEPLOYED, options=options(1))),
    "azure_openai/generate_v1": Case(AZURE_V1, DEPLOYED),
    "gemini/generate": Case(
        GEMINI,
        Generate(
            model="gemini/gemini-3.1-flash-image",
            prompt=PROMPT,
            size=Size(1344, 756, "16:9"),
            seed=7,
            options=options(gemini={"image_size": "2K"}),
        ),
    ),
    "gemini/edit": Case(
        GEMINI,
        edit("gemini/gemini-2.5-flash-image", Instruct(PROMPT), references=(ImageReference(fixture_image("IMAGE2")),)),
        adds=CONFIGURED,
    ),
    "gemini/interactions": Case(
        INTERACTIONS,
        Generate(model="gemini/gemini-3.1-flash-image", prompt=PROMPT, size=Size(aspect_ratio="16:9")),
        # The SDK lets any type pass, and the API takes JPEG alone: ours leaves the type to it.
        ignore=("mime_type",),
        # A ratio alone stands for about a megapixel, which is 1K.
        adds={"store": False, "generation_config": SEED, "response_format": {"image_size": "1K"}},
    ),
    "gemini/error_429": Case(
        GEMINI,
        Generate(model="gemini/gemini-2.5-flash-image", prompt=PROMPT),
        ProviderRateLimited,
        ("generation_config",),  # that call of the SDK asked for no picture; ours always does
    ),
    "gemini/key_check": Case(GEMINI),
    "stability/generate_core": Case(
        STABILITY, Generate(model="stability/core", prompt=PROMPT, size=Size(1344, 756, "16:9"), seed=42)
    ),
    "stability/generate_ultra": Case(
        STABILITY, Generate(model="stability/ultra", prompt=PROMPT, size=Size(1024, 1024, "1:1")), adds=SEED
    ),
    "stability/generate_sd35": Case(
        STABILITY,
        Generate(
            model="stability/sd3.5-large",
            prompt=PROMPT,
            negative_prompt="blur",
            size=Size(1024, 1024, "1:1"),
            seed=42,
            style="photographic",
        ),
        ignore=("model",),  # litellm leaves it out and gets the vendor's default, whatever that is by then
    ),
    "stability/edit_inpaint": Case(
        STABILITY,
        edit(
            "stability/inpaint",
            Inpaint(WHITE, PROMPT, pixel_lock=False),
            seed=42,
            options=options(stability={"grow_mask": 5}),
        ),
    ),
    "stability/edit_outpaint": Case(
        STABILITY, edit("stability/outpaint", Outpaint(left=64, right=64, prompt=PROMPT)), adds=SEED
    ),
    "stability/edit_remove_background": Case(STABILITY, edit("stability/remove-background", RemoveBackground())),
    "stability/edit_search_and_replace": Case(
        STABILITY, edit("stability/search-and-replace", SearchReplace("bicycle", PROMPT)), adds=SEED
    ),
    "stability/edit_style": Case(STABILITY, edit("stability/control-style", Control("style", PROMPT)), adds=SEED),
    "stability/upscale_fast": Case(STABILITY, Upscale(model="stability/upscale-fast", image=IMAGE, factor=4.0)),
    "stability/upscale_creative_async": Case(
        STABILITY, Upscale(model="stability/upscale-creative", image=IMAGE, factor=4.0, prompt=PROMPT, seed=42)
    ),
    "bfl/generate_poll": Case(
        BFL,
        Generate(
            model="bfl/flux-pro-1.1",
            prompt=PROMPT,
            seed=42,
            size=Size(1024, 768),
            output_media_type="image/png",
            rewrite_prompt=False,
            options=options(bfl=FLUX),
        ),
    ),
    "bfl/edit_kontext": Case(
        BFL,
        edit(
            "bfl/flux-kontext-pro",
            Instruct(PROMPT),
            seed=42,
            size=Size(1024, 1024, aspect_ratio="1:1"),
            rewrite_prompt=False,
            options=options(bfl=FLUX),
        ),
    ),
    "bfl/generate_flux2_aisdk": Case(
        BFL,
        edit(
            "bfl/flux-2-pro",
            Instruct(PROMPT),
            references=(ImageReference(IMAGE),),
            seed=42,
            size=Size(1024, 768),
            options=options(bfl={"safety_tolerance": 2}),
        ),
    ),
    "bfl/inpaint_fill": Case(
        BFL,
        edit(
            "bfl/flux-pro-1.0-fill",
            Inpaint(WHITE, PROMPT, pixel_lock=False),
            output_media_type="image/jpeg",
            rewrite_prompt=False,
            options=options(bfl=FLUX | {"steps": 30, "guidance": 30.0}),
        ),
        adds=SEED,
    ),
}
LEFT_OUT: Mapping[str, str] = {}
"""Recordings that no request of ours makes, and why."""


@dataclass(frozen=True)
class Played:
    """What happened when a recording was played to a request; `pauses` are the seconds between polls."""

    events: Sequence[Event]
    error: CelesteError | None
    pauses: Sequence[float]
    playing: Playing


async def play(name: str, request: ImageRequest | None = None) -> Played:
    """Plays a recording to its request, or to another, and returns what happened.

    Raises:
        AssertionError: What was sent is not what was recorded, or not all of it was sent.
    """
    case, recording, clock = CASES[name], Recording.load(name), Clock()
    playing = Playing(recording, BASE, subset=case.place.subset, ignore=case.ignore, adds=case.adds)
    made = case.place.made(playing, clock)
    events: list[Event] = []
    error: CelesteError | None = None

    async def run(request: ImageRequest, tried: Candidate) -> AsyncGenerator[Event, None]:
        async with aclosing(made.run(request, tried)) as made_events:  # type: ignore[attr-defined]
            async for event in made_events:
                events.append(event)
                yield _saved(event) if isinstance(event, Picture) else event

    if asked := request or case.request:
        # The road of the server from `fitting` on, as far as it changes requests.
        road = fitting(splitting(run), made.Options, draw=lambda: DRAWN)
        try:
            async with aclosing(road(asked, candidate(made, asked))) as road_events:
                async for _ in road_events:
                    pass
        except CelesteError as raised:
            error = raised
    else:
        checked = await check_key(made)
        assert checked.verdict is not Verdict.FAILED, checked.text
        assert KEY not in str(checked)
    await made.close()
    playing.done()
    return Played(events, error, clock.pauses, playing)


def _saved(picture: Picture) -> Saved:
    """Returns what the step that saves an image tells."""
    size = len(picture.data)
    return Saved(
        ImageOutput("an-image", picture.media_type, picture.width, picture.height, size, "0" * 64, picture.index)
    )


async def check_recording(name: str) -> None:
    """Raises AssertionError unless our request is the recorded one and the recorded answer is understood."""
    case, played = CASES[name], await play(name)
    if case.fails:
        assert type(played.error) is case.fails
        assert KEY not in f"{played.error} {played.error.metadata} {played.error.violations}"
        return
    assert played.error is None, played.error
    if case.request is None:
        return
    (picture,) = (event for event in played.events if isinstance(event, Picture))
    size = pictures.opened(RESULT).size
    assert (picture.data, picture.media_type, picture.width, picture.height) == (RESULT, "image/png", *size)
    previews = [event for event in played.events if isinstance(event, Preview)]
    assert bool(previews) == bool(case.request.options.preview_count)
    assert all((preview.data, preview.width) == (RESULT, size[0]) for preview in previews)
