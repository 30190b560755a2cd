"""Scores local/compose on its published prompts: draws them for a judge, who names what the images show.

    .venv/bin/python bench/compose_score.py draw FOLDER        # NN.png, shuffled, without the prompts
    .venv/bin/python bench/compose_score.py sheet FILE.jpg     # the same images in the order of the prompts
    .venv/bin/python bench/compose_score.py score JUDGED.txt
    .venv/bin/python bench/compose_score.py examples           # the images of docs/engines/compose.md

The prompts are docs/compose/prompts.txt, which was written before the grammar. Prompt n is drawn once, 768 x 512, with
seed n. The judge's file has one line per image, "NN: 2 red apples; 1 table". A prompt is met when the judge named each
thing that the vocabulary claims (as `read` finds it), by its word or a synonym in docs/compose/synonyms.toml. A prompt
without a claim is missed. Numbers and colors are counted separately.
"""

import io
import random
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from celeste_image.engines.compose import run
from celeste_image.engines.compose.grammar import read, singulars
from celeste_image.engines.compose.vocabulary import COLORS, COUNTS
from celeste_image.providers.local.models.restyle import STYLES
from celeste_image.providers.local.weights import packages

FOLDER = Path(__file__).parent.parent / "docs" / "compose"
WIDTH, HEIGHT = 768, 512
SHUFFLE = 40
SEEN_SETTINGS = ("cloudy", "rainbow", "moon", "sun", "stars", "mountains", "forest", "sea", "beach", "snow", "rain")
"""Settings that a judge can name. Of a room, a judge can name only the parts below."""
SEEN_PARTS = ("floor", "wall")


@dataclass(frozen=True)
class Claim:
    """A thing that the vocabulary claims to draw; `number` is 0 and `color` is empty when the prompt has none."""

    word: str
    number: int = 0
    color: str = ""


def prompts() -> list[str]:
    lines = (FOLDER / "prompts.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def shuffled(count: int) -> list[int]:
    """Returns the prompt's number for each of the judge's numbers."""
    return random.Random(SHUFFLE).sample(range(1, count + 1), count)


def drawn(prompt: str, seed: int, width: int = WIDTH, height: int = HEIGHT, **more: Any) -> Image.Image:
    made: list[bytes] = []

    def emit(kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        if kind == "picture":
            made.append(payload)

    run({"prompt": prompt, "width": width, "height": height, "seed": seed, "threads": 1} | more, [], emit)
    return Image.open(io.BytesIO(made[0]))


def draw(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    asked = prompts()
    for judged, number in enumerate(shuffled(len(asked)), 1):
        drawn(asked[number - 1], number).save(folder / f"{judged:02}.png")


def sheet(file: Path, columns: int = 5, width: int = 312) -> None:
    asked, height = prompts(), width * HEIGHT // WIDTH
    whole = Image.new("RGB", (columns * (width + 6), -(-len(asked) // columns) * (height + 6)), "white")
    for at, prompt in enumerate(asked):
        small = drawn(prompt, at + 1).resize((width, height), Image.Resampling.LANCZOS)
        whole.paste(small, (at % columns * (width + 6) + 3, at // columns * (height + 6) + 3))
    whole.save(file, quality=85)


def examples(page: Path = FOLDER.parent / "engines" / "compose.md", width: int = 384) -> None:
    """Draws the images of the page from their alt texts (the prompt) and titles (seed, size and style)."""
    for prompt, name, title in re.findall(
        r'!\[(.*?)\]\(\.\./compose/([\w-]+\.jpg)(?: "(.*?)")?\)', page.read_text("utf-8")
    ):
        if name == "sheet.jpg":
            continue
        told = dict(part.split("=") for part in title.split())
        wide, high = (int(side) for side in told.get("size", f"{WIDTH}x{HEIGHT}").split("x"))
        style = told.get("style")
        more = {"style": {"number": STYLES[style], "folder": str(packages.folder("restyle"))}} if style else {}
        made = drawn(prompt, int(told.get("seed", "1")), wide, high, **more)
        if "size" not in told:
            made = made.resize((width, width * high // wide), Image.Resampling.LANCZOS)
        made.save(FOLDER / name, quality=85)


def claims(prompt: str) -> list[Claim]:
    """Returns the things that the vocabulary claims to draw for a prompt."""
    reading = read(prompt)
    colors = {value: name for name, value in COLORS.items()}
    words = prompt.lower().split()
    counted = any(word in COUNTS or word.isdecimal() for word in words)
    found = [
        Claim(one.word, one.count if counted else 0, colors.get(one.color, "")) for one in reading.subjects if one.word
    ]
    for setting, word in reading.places.items():
        if setting in SEEN_SETTINGS or word in SEEN_PARTS:
            found.append(Claim(word))
    return found


def plain(text: str) -> str:
    """Returns a text as words in the singular, each between blanks."""
    return f" {' '.join(singulars(word)[-1] for word in re.findall(r'[a-z0-9]+', text.lower()))} "


def matched(claimed: list[Claim], items: list[str], synonyms: dict[str, list[str]]) -> dict[Claim, str]:
    """Returns the item that names each claim. An item names one claim, or the number of claims that it starts with."""

    def fitting(claim: Claim) -> list[int]:
        accepted = [claim.word, *synonyms.get(claim.word, [])]
        return [at for at, item in enumerate(items) if any(plain(word) in plain(item) for word in accepted)]

    left = [int(number[0]) if (number := re.findall(r"^\d+", item)) else 1 for item in items]
    found: dict[Claim, str] = {}
    for claim in sorted(claimed, key=lambda claim: len(fitting(claim))):
        if free := [at for at in fitting(claim) if left[at]]:
            left[free[0]] -= 1
            found[claim] = items[free[0]]
    return found


def score(file: Path) -> None:
    asked = prompts()
    synonyms = tomllib.loads((FOLDER / "synonyms.toml").read_text("utf-8"))
    order = shuffled(len(asked))
    seen: dict[int, list[str]] = {}
    for line in file.read_text("utf-8").splitlines():
        if match := re.match(r"(\d+)\s*[:.]\s*(.*)", line):
            seen[order[int(match[1]) - 1]] = [item.strip() for item in match[2].split(";") if item.strip()]
    met, numbers, colors = 0, [0, 0], [0, 0]
    print("| | prompt | claimed | named | |\n| --- | --- | --- | --- | --- |")
    for number, prompt in enumerate(asked, 1):
        claimed, items = claims(prompt), seen.get(number, [])
        named = matched(claimed, items, synonyms)
        missed = [claim.word for claim in claimed if claim not in named]
        passed = bool(claimed) and not missed
        met += passed
        for claim in claimed:
            found = named.get(claim, "").lower()
            if claim.number:
                words = [word for word, value in COUNTS.items() if value == claim.number]
                numbers[1] += 1
                numbers[0] += bool(re.search(rf"\b({claim.number}|{'|'.join(words)})\b", found))
            if claim.color:
                colors[1] += 1
                colors[0] += claim.color in found
        verdict = "met" if passed else f"missed: {', '.join(missed)}" if missed else "nothing claimed"
        words = ", ".join(claim.word for claim in claimed)
        print(f"| {number} | {prompt} | {words} | {'; '.join(items)} | {verdict} |")
    print(f"\n{met} of {len(asked)} prompts met; {numbers[0]} of {numbers[1]} numbers,", end=" ")
    print(f"{colors[0]} of {colors[1]} colors")


if __name__ == "__main__":
    command = {"draw": draw, "sheet": sheet, "score": score, "examples": examples}[sys.argv[1]]
    command(*map(Path, sys.argv[2:]))
