"""Results of safety checks: scores of images, and verdicts of the operator's policy on texts and images."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["SafetyAction", "SafetyAnalysis", "SafetyScore", "SafetyStage", "SafetyVerdict"]


class SafetyStage(StrEnum):
    """Checked part of an operation; see `SafetyStage` in `safety.proto`. UNSPECIFIED is an unknown value."""

    UNSPECIFIED = "unspecified"
    PROMPT = "prompt"
    INPUT = "input"
    OUTPUT = "output"


class SafetyAction(StrEnum):
    """Measure after a check, the mildest first; see `SafetyAction` in `safety.proto`."""

    UNSPECIFIED = "unspecified"
    ALLOW = "allow"
    FLAG = "flag"
    BLUR = "blur"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class SafetyScore:
    """Score of one category, 0 to 1. `network` gave the score; empty means a combined score."""

    category: str
    score: float
    network: str = ""


@dataclass(frozen=True, slots=True)
class SafetyAnalysis:
    """Scores of a safety model: first the combined scores, then the scores of each network."""

    scores: tuple[SafetyScore, ...] = ()


@dataclass(frozen=True, slots=True)
class SafetyVerdict:
    """Verdict of the operator's policy on one text or image, for one category.

    Attributes:
        stage: Checked part of the operation.
        category: Category of the policy; empty when the check failed.
        action: Measure of the server.
        score: Score of the model, 0 to 1; None for word lists, and when the check failed.
        threshold: Least score that leads to `action`; None without a score.
        path: Field of the request; empty for a made image.
        image_index: Position of the made image; None for texts and images of the request.
        engine: Model that gave the score; empty for word lists.
        owed: Whether the provider has to be paid for the checked text or image; None is unknown.
        message: Why the check failed; empty when the check was done.
    """

    stage: SafetyStage
    category: str
    action: SafetyAction
    score: float | None = None
    threshold: float | None = None
    path: str = ""
    image_index: int | None = None
    engine: str = ""
    owed: bool | None = False
    message: str = ""

    def __str__(self) -> str:
        """Returns the verdict in words: `blurred: explicit 0.91, from 0.8 on`."""
        done = {"allow": "allowed", "flag": "flagged", "blur": "blurred", "block": "blocked"}.get(
            self.action, "checked"
        )
        return f"{done}: {self.why}"

    @property
    def why(self) -> str:
        """The finding in words: `explicit 0.91, from 0.8 on`."""
        if self.message:
            return self.message
        score = "" if self.score is None else f" {self.score:.2f}"
        limit = "" if self.threshold is None else f", from {self.threshold:g} on"
        return f"{self.category}{score}{limit}"
