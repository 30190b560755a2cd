"""Stability's image services as a table of multipart forms. Stability's API and the clouds that host it share them.

Source: Stability's OpenAPI as mirrored in tryAGI/StabilityAI, read on 2026-11-22, and its recordings.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from celeste_image.core.request import Edit, ImageRequest
from celeste_image.providers.base import Options
from celeste_image.providers.kit.multipart import Bounds, Operation, named

__all__ = ["OPERATIONS", "READS", "StableImageOptions", "operation_for"]

READS: Final = ("image/png", "image/jpeg", "image/webp")
"""Media types that the services read."""

ANY = Bounds(64, 16_383, 4_096, 9_437_184)
USUAL = Bounds(64, 16_383, 4_096, 9_437_184, maximum_ratio=2.5)
SMALL = Bounds(64, 16_383, 4_096, 1_048_576)

Share = Annotated[float | None, Field(ge=0, le=1)]


class StableImageOptions(Options):
    """Options of the services; unset means the service's default. A card has the options that its service reads.

    Attributes:
        cfg_scale: How closely sd3.5 follows the prompt.
        grow_mask: Pixels by which a mask grows on all sides, with a soft border.
        creativity: How freely an outpaint invents.
        change_strength: How much a style transfer may change overall.
        composition_fidelity: How closely a style transfer keeps the composition.
        foreground_prompt: What the subject is; keeps a new background from bleeding into it.
        preserve_original_subject: How much of the original subject is laid over the result.
        original_background_depth: How closely a new background keeps the depth of the original one.
        light_source_direction: Where the light of a new background comes from.
        light_source_strength: How bright the light is; needs the direction.
    """

    cfg_scale: Annotated[float | None, Field(ge=1, le=10)] = None
    grow_mask: Annotated[int | None, Field(ge=0, le=100)] = None
    creativity: Share = None
    change_strength: Annotated[float | None, Field(ge=0.1, le=1)] = None
    composition_fidelity: Share = None
    foreground_prompt: str | None = None
    preserve_original_subject: Share = None
    original_background_depth: Share = None
    light_source_direction: Literal["above", "below", "left", "right"] | None = None
    light_source_strength: Share = None


STYLE: Final = named(style_preset="style")
STYLED: Final = named("negative_prompt", **STYLE)
RELIGHTING = (
    *("negative_prompt", "options.foreground_prompt"),
    *("options.preserve_original_subject", "options.original_background_depth"),
)


def _generate(path: str, *more: str) -> dict[str, Operation]:
    """Returns the operations `generate` and `instruct` of a generator; `more` are further paths that it reads."""
    texts = named(*more, **STYLED)
    return {
        "generate": Operation(path, {}, named("prompt", "size.aspect_ratio", **texts)),
        "instruct": Operation(
            path,
            named("image"),
            named("instruct.prompt", "instruct.strength", **texts),
            # The service requires a strength and has no default.
            {"strength": "0.5"} | ({"mode": "image-to-image"} if path == "generate/sd3" else {}),
            bounds=ANY,
        ),
    }


def _control(path: str, strength: str, *more: str) -> dict[str, Operation]:
    texts = named("control.prompt", *more, **STYLED, **{strength: "control.strength"})
    return {"control": Operation(path, named("image"), texts, bounds=USUAL)}


def _upscale(path: str, bounds: Bounds, *texts: str, job: bool = False, **renamed: str) -> dict[str, Operation]:
    return {"upscale": Operation(path, named("image"), named(*texts, **renamed), bounds=bounds, job=job)}


BACKGROUND = "edit/replace-background-and-relight"
SUBJECT = named(subject_image="image")
SD3 = _generate("generate/sd3", "options.cfg_scale")

OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "core": {"generate": _generate("generate/core")["generate"]},
    "ultra": _generate("generate/ultra"),
    "sd3.5-large": SD3,
    "sd3.5-large-turbo": SD3,
    "sd3.5-medium": SD3,
    "erase": {
        "erase": Operation("edit/erase", named("image", mask="erase.mask"), named("options.grow_mask"), bounds=ANY)
    },
    "inpaint": {
        "inpaint": Operation(
            "edit/inpaint",
            named("image", "inpaint.mask"),
            named("inpaint.prompt", "options.grow_mask", **STYLED),
            bounds=ANY,
        )
    },
    "outpaint": {
        "outpaint": Operation(
            "edit/outpaint",
            named("image"),
            named(
                *("outpaint.left", "outpaint.right", "outpaint.prompt", "options.creativity"),
                **STYLE,
                up="outpaint.top",
                down="outpaint.bottom",
            ),
            bounds=USUAL,
        )
    },
    "search-and-replace": {
        "search_replace": Operation(
            "edit/search-and-replace",
            named("image"),
            named("search_replace.prompt", "options.grow_mask", **STYLED, search_prompt="search_replace.target"),
            bounds=USUAL,
        )
    },
    "search-and-recolor": {
        "recolor": Operation(
            "edit/search-and-recolor",
            named("image"),
            named("recolor.prompt", "options.grow_mask", **STYLED, select_prompt="recolor.target"),
            bounds=USUAL,
        )
    },
    "remove-background": {
        "remove_background": Operation(
            "edit/remove-background", named("image"), bounds=Bounds(64, 16_383, 4_096, 4_194_304)
        )
    },
    "replace-background-and-relight": {
        "replace_background": Operation(
            BACKGROUND,
            SUBJECT | named(background_reference="replace_background.background"),
            named(
                *("options.light_source_direction", "options.light_source_strength", *RELIGHTING),
                background_prompt="replace_background.prompt",
            ),
            bounds=USUAL,
            job=True,
        ),
        "relight": Operation(
            BACKGROUND,
            SUBJECT | named(light_reference="relight.reference"),
            named(
                *RELIGHTING,
                background_prompt="relight.prompt",
                light_source_direction="relight.direction",
                light_source_strength="relight.strength",
            ),
            {"keep_original_background": "true"},
            bounds=USUAL,
            job=True,
        ),
    },
    "control-sketch": _control("control/sketch", "control_strength"),
    "control-structure": _control("control/structure", "control_strength"),
    "control-style": _control("control/style", "fidelity", "size.aspect_ratio"),
    "style-transfer": {
        "restyle": Operation(
            "control/style-transfer",
            named("restyle.style_image", init_image="image"),
            named(
                *("restyle.prompt", "negative_prompt", "options.change_strength", "options.composition_fidelity"),
                style_strength="restyle.strength",
            ),
            bounds=USUAL,
        )
    },
    "upscale-fast": _upscale("upscale/fast", Bounds(32, 1_536, 1_024, 1_048_576)),
    "upscale-conservative": _upscale("upscale/conservative", USUAL, "prompt", "creativity"),
    "upscale-creative": _upscale("upscale/creative", SMALL, "prompt", "creativity", job=True, **STYLE),
}
"""The operations of each model: `generate`, `upscale`, or the field of an edit."""


def operation_for(model: str, request: ImageRequest) -> Operation | None:
    """Returns the operation of a model for a request; None if the model can't do it. `model` is the vendor's name."""
    kind = request.edit.field if isinstance(request, Edit) else request.kind.value
    return OPERATIONS.get(model, {}).get(kind)
