"""What safety checks find: scores of a picture, and verdicts of the operator's policy on prompts and pictures."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["SafetyAction", "SafetyAnalysis", "SafetyScore", "SafetyStage", "SafetyVerdict"]


class SafetyStage(StrEnum):
    """What was checked; see `SafetyStage` in `safety.proto`. UNSPECIFIED is what a client does not know."""

    UNSPECIFIED = "unspecified"
    PROMPT = "prompt"
    INPUT = "input"
    OUTPUT = "output"


class SafetyAction(StrEnum):
    """What was done about it, the mildest first; see `SafetyAction` in `safety.proto`."""

    UNSPECIFIED = "unspecified"
    ALLOW = "allow"
    FLAG = "flag"
    BLUR = "blur"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class SafetyScore:
    """How sure it is that a picture is of a category, 0 to 1.

    `network` names the one that says so; empty where the score was made of several.
    """

    category: str
    score: float
    network: str = ""


@dataclass(frozen=True, slots=True)
class SafetyAnalysis:
    """What a safety model makes of a picture: those made of several networks first, then those of each."""

    scores: tuple[SafetyScore, ...] = ()


@dataclass(frozen=True, slots=True)
class SafetyVerdict:
    """What the operator's policy says of one text or picture, for one category.

    Attributes:
        stage: What was checked.
        category: The category of the policy; empty when the check could not be done.
        action: What was done.
        score: What the model gave, 0 to 1; None for words, and when the check could not be done.
        threshold: The score from which on something is done; None where there is no score.
        path: The field of the request; empty for what was made.
        image_index: The image made; None for what came with the request.
        engine: The model that gave the score; empty for words.
        owed: Whether the provider has to be paid for the checked text or image; None is unknown.
        note: Why the check could not be done; empty when it was.
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
    note: str = ""

    def __str__(self) -> str:
        """Returns it in words: `blurred: explicit 0.91, from 0.8 on`."""
        done = {"allow": "allowed", "flag": "flagged", "blur": "blurred", "block": "blocked"}.get(
            self.action, "checked"
        )
        return f"{done}: {self.why}"

    @property
    def why(self) -> str:
        """What was found, in words: `explicit 0.91, from 0.8 on`."""
        if self.note:
            return self.note
        score = "" if self.score is None else f" {self.score:.2f}"
        limit = "" if self.threshold is None else f", from {self.threshold:g} on"
        return f"{self.category}{score}{limit}"
