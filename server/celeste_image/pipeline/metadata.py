"""Metadata of images: removes it, or writes the recipe into the file, by the request or the operator's defaults."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from celeste_image.core.call import Candidate
from celeste_image.core.errors import EngineMemory, ProviderFailed
from celeste_image.core.events import CandidateRun, Event, Fidelity, Picture
from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.core.recipe import RecipeTexts, recipe_of, source_type
from celeste_image.core.request import Analyze, ImageRequest, OutputMetadata
from celeste_image.imaging.pixels import Pixels, Rewritten
from celeste_image.pipeline.per_image import per_image

__all__ = ["AS_MADE", "MetadataDefaults", "writing_metadata"]


@dataclass(frozen=True, slots=True)
class MetadataDefaults:
    """The operator's choices about the metadata of images, for requests that leave them open.

    Attributes:
        output_metadata: What becomes of the provider's metadata; None leaves it as it is.
        embed_recipe: Whether the recipe is written into the file.
        software: Name and version of this program, for the recipe.
    """

    output_metadata: OutputMetadata | None = None
    embed_recipe: bool = False
    software: str = "Celeste"

    def concrete(self, request: ImageRequest) -> tuple[ImageRequest, list[FidelityLine]]:
        """Returns a request with these choices in the fields it left open, and a line for each field."""
        options, lines, makes_images = request.options, [], not isinstance(request, Analyze)
        for name in ("output_metadata", "embed_recipe"):
            path, asked, default = f"options.{name}", getattr(options, name), getattr(self, name)
            if asked is not None and makes_images:
                lines.append(FidelityLine(path, FidelityOutcome.HONORED, asked=asked))
            elif asked is not None:
                message = "an analysis makes no image"
                lines.append(FidelityLine(path, FidelityOutcome.DROPPED, asked=asked, message=message))
            elif default and makes_images:
                lines.append(FidelityLine(path, FidelityOutcome.DEFAULTED, sent=default))
                options = replace(options, **{name: default})
        return request if options is request.options else replace(request, options=options), lines


AS_MADE = MetadataDefaults()
"""Leaves the metadata of images as it is."""


def writing_metadata(run: CandidateRun, pixels: Pixels, software: str) -> CandidateRun:
    """Removes the metadata of each image and writes the recipe into its file, as the request's options say.

    The pixels are not encoded again. If a file can't be changed, its image is paid for: it stays as it is, and a
    fidelity line says why.

    Args:
        run: The rest of the pipeline.
        pixels: Changes the files.
        software: Name and version of this program, for the recipe.
    """

    def written(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        strip, embed = request.options.output_metadata is OutputMetadata.STRIP, bool(request.options.embed_recipe)

        async def write(picture: Picture) -> AsyncGenerator[Event, None]:
            recipe = _recipe(request, candidate, picture, software) if embed else None
            try:
                file = await pixels.rewritten(picture.data, strip=strip, recipe=recipe)
            except (ProviderFailed, EngineMemory) as error:  # such as an image beyond the limits
                file = Rewritten(picture.data, error.message, error.message)
            if strip:
                yield _finding("options.output_metadata", file.strip_error, picture)
            if embed:
                yield _finding("options.embed_recipe", file.recipe_error, picture)
            yield replace(picture, data=file.data)

        events = run(request, candidate)
        return per_image(events, write, candidate.card) if strip or embed else events

    return written


def _finding(path: str, problem: str, picture: Picture) -> Fidelity:
    return Fidelity(FidelityLine.found(path, problem=problem, image_index=picture.index))


def _recipe(request: ImageRequest, candidate: Candidate, made: Picture, software: str) -> RecipeTexts:
    """Returns the recipe of an image, as texts for its file."""
    recipe = recipe_of(
        request, candidate.call.request_id, software=software, seed=made.seed, width=made.width, height=made.height
    )
    card = candidate.card
    if made.trained is not None:
        card = replace(card, trained=made.trained)
    return RecipeTexts.of(recipe, source_type(card, request.kind))
