"""LocalModel: one model of this machine: its card, its engine, and what it makes of a request."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from celeste_image.core.card import ModelCard
from celeste_image.core.events import Warned
from celeste_image.core.request import ImageRequest
from celeste_image.providers.local.options import LocalOptions
from celeste_image.providers.local.weights import packages

__all__ = ["MIB", "LocalModel", "Task"]

MIB = 1 << 20

Task = tuple[dict[str, Any], Sequence[bytes]]
"""What an engine's `run` gets: a task of JSON values, and pictures."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """One model.

    Attributes:
        card: What it accepts and makes.
        engine: The module below `engines` that does it.
        memory_bytes: Address space that its process may have.
        task: Returns the engine's task for a request that the card accepts; the provider adds `limits` (of the
            pictures), `threads` and, where the model has weights to pull, `model_dir`.
        processes: How many may run it at a time; 0 means as many as the provider's `concurrency`.
    """

    card: ModelCard
    engine: str
    memory_bytes: int
    task: Callable[[Any, LocalOptions], Task]
    processes: int = 0

    @property
    def weights_id(self) -> str:
        """Its weights' table in `models.toml`; empty when it has none to pull."""
        return self.card.id.partition("/")[2] if self.card.pull else ""

    def ready(self) -> bool:
        """Tells whether its weights, if it has any, are on this machine."""
        return not self.weights_id or packages.installed(self.weights_id)

    def stages(self, request: ImageRequest | None = None) -> "tuple[LocalModel, ...]":
        """Returns what does the work of a request, one engine after the other; of None all that there are."""
        return (self,)

    def warnings(self, request: ImageRequest, options: LocalOptions) -> Iterator[Warned]:
        """Yields what is known before any work not to be as asked."""
        return iter(())

    def task_for(self, request: ImageRequest, options: LocalOptions, threads: int) -> Task:
        """Returns the engine's task for a request."""
        task, pictures = self.task(request, options)
        task |= {"limits": _limits(request), "threads": threads, "preview_count": request.options.preview_count}
        if self.weights_id:
            task["model_dir"] = str(packages.folder(self.weights_id))
        return task, pictures


PASSED = 1 << 30
"""A limit for what was held to the operator's before."""


def _limits(request: ImageRequest) -> dict[str, int]:
    """Returns limits that the request's pictures keep: the guard has held them to the operator's before.

    Text and profile may be packed, to less than a thousandth: the size of the file says nothing of theirs.
    """
    facts = [image.facts for _, image in request.images() if image.facts]
    return {
        "max_bytes": max((f.size_bytes for f in facts), default=0),
        "max_pixels": max((f.width * f.height for f in facts), default=0),
        "max_side": max((max(f.width, f.height) for f in facts), default=0),
        "max_text_bytes": PASSED,
        "max_profile_bytes": PASSED,
    }
