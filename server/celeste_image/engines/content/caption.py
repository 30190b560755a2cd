"""Makes a caption by a template, without a model: the detected objects and the best tag."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

__all__ = ["compose"]

SURE_OBJECT, SURE_TAG = 0.5, 0.8
"""From these scores on, nearly all objects and tags are right; see docs/engines/analyze.md."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
PLURALS = {
    "person": "people",
    "sheep": "sheep",
    "mouse": "mice",
    "knife": "knives",
    "skis": "skis",
    "scissors": "scissors",
}


def compose(tags: Sequence[dict[str, Any]], objects: Sequence[dict[str, Any]]) -> str:
    """Returns a sentence such as "Two cups and a bowl; most like espresso." Empty if all scores are too low."""
    counts = Counter(thing["name"] for thing in objects if thing["score"] >= SURE_OBJECT)
    things = [counted(name, count) for name, count in counts.items()]
    seen = " and ".join([*(", ".join(things[:-1]),) * (len(things) > 1), *things[-1:]])
    like = tags[0]["name"] if tags and tags[0]["score"] >= SURE_TAG else ""
    words = "; ".join([seen] * bool(seen) + [f"most like {like}"] * bool(like))
    return f"{words[0].upper()}{words[1:]}." if words else ""


def counted(name: str, count: int) -> str:
    """Returns `a cup`, `an apple`, `two cups`, `12 people`."""
    if count == 1:
        return name if name in ("skis", "scissors") else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    ending = "es" if name.endswith(("s", "ch", "sh", "x")) else "s"
    return f"{NUMBERS[count] if count < len(NUMBERS) else count} {PLURALS.get(name, name + ending)}"
