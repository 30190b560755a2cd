"""LocalModel: one local model, with its card, its engine, and the engine's task for a request."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeste_image.core.card import ModelCard
from celeste_image.core.events import Warned
from celeste_image.core.request import Edit, Generate, ImageRequest, Upscale
from celeste_image.imaging.limits import ImageLimits
from celeste_image.providers.local.options import LocalOptions
from celeste_image.providers.local.weights import packages

__all__ = ["MIB", "LocalModel", "Task"]

MIB = 1 << 20

Task = tuple[dict[str, Any], Sequence[bytes]]
"""The arguments of an engine's `run`: a task of JSON values, and encoded images."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """One model.

    Attributes:
        card: The model's card.
        engine: Its module below `celeste_image.engines`.
        memory_bytes: Maximum address space of its process.
        task: Returns the engine's task for a request that the card accepts. `task_for` adds `limits` (of the images),
            `threads`, `preview_count` and, for a model with weights to pull, `model_dir`.
        small_megapixels: Work on images of up to this many million pixels, read and made, is small: it takes some
            seconds at most, with two threads. 0 means that no work is small.
        processes: Processes that may run it at a time; 0 means the provider's `concurrency`.
        reads: The model whose weights the engine reads; empty for none, None for this model.
    """

    card: ModelCard
    engine: str
    memory_bytes: int
    task: Callable[[Any, LocalOptions], Task]
    processes: int = 0
    small_megapixels: float = 4.2
    reads: str | None = None

    @property
    def weights_id(self) -> str:
        """The table of its weights in `models.toml`; empty for a model without weights to pull."""
        return self.card.id.partition("/")[2] if self.card.pull else ""

    def ready(self) -> bool:
        """Returns whether its weights are on this machine; a model without weights is always ready."""
        return not self.weights_id or packages.installed(self.weights_id)

    def weights(self) -> tuple[Path, ...]:
        """Returns the folders of weights that the engine reads. They need not exist."""
        name = self.weights_id if self.reads is None else self.reads
        return (packages.folder(name),) if name else ()

    def stages(self, request: ImageRequest | None = None) -> "tuple[LocalModel, ...]":
        """Returns the engines that run for a request, in order; for None all engines of the model."""
        return (self,)

    def is_small(self, request: ImageRequest) -> bool:
        """Returns whether a concrete request takes some seconds at most."""
        facts = [image.facts for _, image in request.images() if image.facts]
        sides = [(found.width, found.height) for found in facts]
        if isinstance(request, Generate | Edit | Upscale):
            sides.append((request.size.width, request.size.height))
        return max((width * height for width, height in sides), default=0) <= self.small_megapixels * 1e6

    def warnings(self, request: ImageRequest, options: LocalOptions) -> Iterator[Warned]:
        """Yields the deviations from the request that are known before any work."""
        return iter(())

    def without(self, stage: "LocalModel", request: ImageRequest, error: Exception) -> Warned | None:
        """Returns a warning about a failed engine if the others' findings are a result without it; else None."""
        return None

    def task_for(self, request: ImageRequest, options: LocalOptions, threads: int) -> Task:
        """Returns the engine's task for a request."""
        task, pictures = self.task(request, options)
        limits = ImageLimits.of(image.facts for _, image in request.images())
        task |= {"limits": limits.as_task(), "threads": threads, "preview_count": request.options.preview_count}
        if self.weights_id:
            task["model_dir"] = str(packages.folder(self.weights_id))
        return task, pictures
