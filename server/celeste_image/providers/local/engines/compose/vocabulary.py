"""Reads a prompt: which of its words are things to draw, which say where, when and in what weather."""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Reading", "Subject", "art", "listed", "read"]


def listed(names: str, mark: str = ", ") -> frozenset[str]:
    """Returns the names in a text."""
    return frozenset(names.split(mark))


STOPPED = listed(
    "a an the of in on at to and or with by from for over under above below beneath beside near next "
    "behind front between through across along into onto inside outside around against amid among off "
    "up down out it its his her their that this these those is are was be as there some very really "
    "quite while who which where has have no not without only picture image photo photograph painting "
    "illustration drawing art scene view landscape portrait beautiful pretty nice lovely cute detailed "
    "style high quality realistic colorful colourful vibrant bright soft standing sitting lying flying "
    "swimming sailing running walking playing looking resting floating stands sits flies sails swims "
    "rides glowing shining full wide deep old new young wild happy calm quiet peaceful open clear sky "
    "air light",
    " ",
)

COLOURS: dict[str, str] = {
    "red": "#e53935", "orange": "#fb8c00", "yellow": "#fdd835", "golden": "#f0b429",
    "gold": "#f0b429",
    "green": "#43a047", "blue": "#1e88e5", "purple": "#8e24aa", "violet": "#7e57c2", "pink": "#ec407a",
    "brown": "#795548", "black": "#333333", "white": "#f5f5f5", "grey": "#9e9e9e", "gray": "#9e9e9e",
    "silver": "#b8c0c6", "turquoise": "#26c6c0",
}  # fmt: skip

COUNTS: dict[str, int] = {
    "one": 1, "single": 1, "two": 2, "pair": 2, "couple": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "dozen": 12,
    "several": 4, "few": 3, "many": 7, "group": 4, "flock": 6, "herd": 5, "fleet": 5,
}  # fmt: skip
MOST = 12
"""Copies of one thing drawn at the most."""
MOST_SUBJECTS = 24
"""Different things drawn at the most; the names of more are handed back as not understood."""

SIZES: dict[str, float] = {
    "big": 1.35, "large": 1.35, "huge": 1.6, "giant": 1.7, "tall": 1.3, "small": 0.7, "little": 0.7,
    "tiny": 0.5,
}  # fmt: skip

WORDS_BY_SETTING: dict[str, str] = {
    "meadow": "meadow field grassland grass park garden farm countryside hill prairie lawn savanna savannah",
    "forest": "forest wood woods woodland jungle trees",
    "mountains": "mountain mountains alp alps peak valley fjord",
    "sea": "sea ocean lake river pond water harbour harbor bay waves wave seaside",
    "beach": "beach shore coast sand",
    "underwater": "underwater undersea seabed aquarium",
    "desert": "desert dune dunes sahara",
    "city": "city town street skyline downtown cityscape road",
    "table": "table indoors kitchen room",
    "space": "space galaxy universe cosmos nebula",
    "planet": "moonscape mars lunar",
    "night": "night midnight nighttime moonlit starry",
    "sunset": "sunset dusk evening twilight",
    "dawn": "dawn sunrise morning",
    "day": "day daytime sunny noon",
    "rain": "rain rainy raining storm stormy thunderstorm",
    "snow": "snow snowy snowing winter wintry frozen icy ice arctic antarctic snowfall",
    "fog": "fog foggy mist misty haze hazy",
    "cloudy": "cloud clouds cloudy overcast",
    "moon": "moon moonlight",
    "sun": "sun sunshine sunlight",
    "stars": "stars star",
    "rainbow": "rainbow",
    "autumn": "autumn autumnal",
}
SETTINGS: dict[str, str] = {
    word: setting for setting, words in WORDS_BY_SETTING.items() for word in words.split()
} | {"coral reef": "underwater", "under the sea": "underwater", "under water": "underwater",
     "outer space": "space",
     "on mars": "planet", "on the moon": "planet", "snow capped": "mountains"}  # fmt: skip

WORDS_BY_THING: dict[str, str] = {
    "airplane": "plane, aeroplane",
    "automobile": "car, jeep",
    "ballet dancer": "dancer",
    "balloon": "balloon",
    "bicycle": "bike",
    "bird": "robin, sparrow",
    "birthday cake": "cake",
    "bison": "buffalo",
    "black bird": "crow, raven",
    "blossom": "wildflower, daisy",
    "blueberries": "blueberry",
    "castle": "tower, palace",
    "cat": "kitten",
    "cherries": "cherry",
    "chipmunk": "squirrel",
    "christmas tree": "christmas",
    "cook": "chef",
    "deciduous tree": "tree, oak, apple tree",
    "desert island": "island",
    "dog": "puppy",
    "doughnut": "donut",
    "dove": "seagull, gull, pigeon",
    "eagle": "hawk",
    "evergreen tree": "fir, pine tree, fir tree, pine",
    "ewe": "sheep, lamb",
    "fire": "campfire, bonfire",
    "flying bird": "bird, swallow, bluebird",
    "flying saucer": "ufo",
    "fox": "red fox",
    "front-facing baby chick": "duckling, chick",
    "grapes": "grape",
    "hamburger": "burger",
    "herb": "seaweed",
    "high voltage": "lightning",
    "hindu temple": "temple",
    "hippopotamus": "hippo",
    "honeybee": "bee",
    "horse": "pony",
    "hot beverage": "cup, coffee cup",
    "house": "cabin, home, barn",
    "house with garden": "cottage",
    "houses": "village",
    "jack-o-lantern": "pumpkin",
    "locomotive": "train, steam train",
    "man standing": "man",
    "man walking": "boy",
    "motor boat": "fishing boat",
    "motorcycle": "motorbike",
    "office building": "building",
    "open book": "book",
    "ox": "bull",
    "palm tree": "palm",
    "person biking": "cyclist",
    "person rowing boat": "rowboat",
    "person running": "runner",
    "person standing": "person, people, child",
    "person surfing": "surfer",
    "pickup truck": "truck",
    "police officer": "policeman",
    "prince": "king",
    "princess": "queen",
    "red apple": "apple",
    "red paper lantern": "lantern",
    "rhinoceros": "rhino",
    "ringed planet": "saturn, planet",
    "rock": "stone",
    "rocket": "spaceship",
    "rooster": "hen, chicken",
    "sailboat": "boat, sailing boat, sail, yacht",
    "snowman without snow": "snowman",
    "soccer ball": "ball, football",
    "spiral shell": "shell, seashell",
    "t-rex": "dinosaur, trex",
    "tangerine": "orange fruit",
    "treasure chest": "chest, treasure",
    "tulip": "flower",
    "volcano": "volcanoes",
    "wizard": "mage, witch",
    "woman standing": "woman",
    "woman walking": "girl",
    "wrapped gift": "present, gift",
}
ALIASES: dict[str, str] = {word: name for name, words in WORDS_BY_THING.items() for word in listed(words)}
"""Other words for things than their names; they win over names."""

NEGATED = re.compile(
    r"\b(?:no|without)\s+(?:an?\s+|any\s+)?([^,.;:\n]+?)"
    r"(?=[,.;:\n]|\s(?:in|on|at|with|and|under|by|over)\s|\s*$)",
    re.I,
)
"""What a prompt itself refuses: "a street without cars, at night"."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to draw, `count` times; `colour` is #rrggbb, or empty for its own colours."""

    name: str
    count: int = 1
    colour: str = ""
    size: float = 1.0


@dataclass(slots=True)
class Reading:
    """What a prompt says: things in its order, settings (keys of WORDS_BY_SETTING), words not understood.

    `unwanted` are the settings that the negative prompt names, also those that nobody asked for.
    `known` is whether the prompt had any word that is understood, even if it was taken away again.
    """

    subjects: list[Subject] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)
    known: bool = False
    unmatched: list[str] = field(default_factory=list)


@cache
def art() -> Mapping[str, Any]:
    """Returns the drawings ("things": name to kind, body, box) and their index ("words": word to name)."""
    data = (Path(__file__).parent / "art" / "art.json.gz").read_bytes()
    loaded: dict[str, Any] = json.loads(gzip.decompress(data))
    return loaded


def singulars(phrase: str) -> list[str]:
    """Returns a phrase as it is, then the singulars its last word may have."""
    irregular = {"wolves": "wolf", "geese": "goose", "mice": "mouse", "men": "man", "women": "woman",
                 "children": "child", "leaves": "leaf", "oxen": "ox", "fishes": "fish"}  # fmt: skip
    first, _, last = phrase.rpartition(" ")
    found = [irregular[last]] if last in irregular else []
    if last.endswith("ies"):
        found.append(last[:-3] + "y")
    if last.endswith("es"):
        found.append(last[:-2])
    if last.endswith("s") and not last.endswith("ss"):
        found.append(last[:-1])
    return [phrase, *(f"{first} {word}".strip() for word in found)]


def read(prompt: str, negative_prompt: str = "") -> Reading:
    """Returns what a prompt says, less what the negative prompt names, or itself by "no" or "without"."""
    reading = understood(NEGATED.sub(" ", prompt))
    negative = understood(", ".join([negative_prompt, *NEGATED.findall(prompt)]))
    gone = {subject.name for subject in negative.subjects}
    reading.unwanted = negative.settings + ["forest"] * bool(gone & {"deciduous tree", "evergreen tree"})
    reading.subjects = [subject for subject in reading.subjects if subject.name not in gone]
    reading.settings = [setting for setting in reading.settings if setting not in reading.unwanted]
    return reading


def understood(text: str) -> Reading:
    """Returns the things and settings that a text names. Longer names win over shorter ones."""
    reading = Reading()
    words: Mapping[str, str] = art()["words"]
    tokens = re.findall(r"\d+|[^\W\d_]+", re.sub("[’']s\\b", "", text.lower()))
    count, colour, size = 0, "", 1.0
    at = 0
    while at < len(tokens):
        for length in range(min(4, len(tokens) - at), 0, -1):
            phrase = " ".join(tokens[at : at + length])
            forms = singulars(phrase)
            setting = next((SETTINGS[form] for form in forms if form in SETTINGS), "")
            known = (form for form in forms if form in ALIASES or form in words)
            name = next((ALIASES.get(form) or words[form] for form in known), "")
            if setting or name:
                break
        at += length
        if setting and not (count and name):
            if setting not in reading.settings:
                reading.settings.append(setting)
            count, colour, size = 0, "", 1.0
        elif phrase in COLOURS and at < len(tokens) and tokens[at] not in STOPPED:
            colour = COLOURS[phrase]
        elif phrase in COUNTS or phrase.isdecimal():
            count = min(COUNTS.get(phrase) or int(phrase[:3]), MOST)
        elif phrase in SIZES:
            size = SIZES[phrase]
        elif name and len(reading.subjects) < MOST_SUBJECTS:
            plural = 1 if phrase in ALIASES or phrase in words else 3
            if all(subject.name != name for subject in reading.subjects):
                reading.subjects.append(Subject(name, count or plural, colour, size))
            count, colour, size = 0, "", 1.0
        elif phrase not in STOPPED and phrase not in reading.unmatched:
            reading.unmatched.append(phrase)
    reading.known = bool(reading.subjects or reading.settings)
    return reading
