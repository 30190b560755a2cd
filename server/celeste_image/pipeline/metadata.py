"""labeling: what a made picture's file says of itself: as it came, without, or with the recipe in it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from celeste_image.core.call import Candidate
from celeste_image.core.errors import EngineMemory, ProviderFailed
from celeste_image.core.events import CandidateRun, Event, Measured, Picture
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.recipe import RecipeTexts, recipe_of, source_type
from celeste_image.core.request import Analyze, ImageRequest, OutputMetadata
from celeste_image.imaging.pixels import Pixels, Rewritten

__all__ = ["AS_MADE", "MetadataDefaults", "writing_metadata"]


@dataclass(frozen=True, slots=True)
class MetadataDefaults:
    """What images say of themselves when the request does not say; `software` is this program's name and version."""

    output_metadata: OutputMetadata | None = None
    embed_recipe: bool = False
    software: str = "Celeste"

    def concrete(self, request: ImageRequest) -> tuple[ImageRequest, list[FidelityLine]]:
        """Returns a request that says all that it leaves to the server, and a line for each thing asked or chosen."""
        options, lines, makes = request.options, [], not isinstance(request, Analyze)
        for name in ("output_metadata", "embed_recipe"):
            path, asked, own = f"options.{name}", getattr(options, name), getattr(self, name)
            if asked is not None and makes:
                lines.append(FidelityLine(path, FidelityOutcome.HONORED, asked=asked))
            elif asked is not None:
                note = "an analysis makes no image"
                lines.append(FidelityLine(path, FidelityOutcome.DROPPED, asked=asked, note=note))
            elif own and makes:
                lines.append(FidelityLine(path, FidelityOutcome.DEFAULTED, sent=own))
                options = replace(options, **{name: own})
        return replace(request, options=options), lines


AS_MADE = MetadataDefaults()
"""Images are left as they were made."""


def writing_metadata(run: CandidateRun, pixels: Pixels, software: str) -> CandidateRun:
    """Takes metadata out of each picture and writes the recipe into it, where the request's options say so.

    Pixels are not coded anew. What can't be done is told of the picture, which goes on as it is: it is paid for.
    `software` is this program's name and version.
    """

    async def labeled(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        strip, embed = request.options.output_metadata is OutputMetadata.STRIP, bool(request.options.embed_recipe)
        async with aclosing(run(request, candidate)) as events:
            async for event in events:
                if not isinstance(event, Picture) or not (strip or embed):
                    yield event
                    continue
                recipe = _recipe(request, candidate, event, software) if embed else None
                try:
                    made = await pixels.rewritten(event.data, strip=strip, recipe=recipe)
                except (ProviderFailed, EngineMemory) as error:  # too large for us to touch, say
                    made = Rewritten(event.data, error.message, error.message)
                if strip:
                    yield Measured("options.output_metadata", text=made.strip_error, index=event.index)
                if embed:
                    yield Measured("options.embed_recipe", text=made.recipe_error, index=event.index)
                yield replace(event, data=made.data)

    return labeled


def _recipe(request: ImageRequest, candidate: Candidate, made: Picture, software: str) -> RecipeTexts:
    """Returns the recipe of an image, as texts for its file."""
    recipe = recipe_of(
        request, candidate.call.request_id, software=software, seed=made.seed, width=made.width, height=made.height
    )
    card = candidate.card
    if made.trained is not None:
        card = replace(card, trained=made.trained)
    return RecipeTexts.of(recipe, source_type(card, request.kind))
