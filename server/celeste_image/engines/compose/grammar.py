"""Reads a prompt: which of its words are things to draw, how they lie to one another, where it is and when.

The grammar is small: a run of adjectives (number, color, material, size), a noun, and between two nouns what joins
them. Pronouns, verbs and clauses are beyond it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .vocabulary import (
    ALIASES,
    CLOSED,
    COLORS,
    COUNTS,
    CROWDS,
    FUNCTIONS,
    FURNITURE,
    HOLDERS,
    MATERIALS,
    MEDIA,
    PAIRED,
    RELATIONS,
    SETTINGS,
    SIDES,
    SIZES,
    STOPPED,
    art,
)

__all__ = ["Reading", "Relation", "Subject", "read"]

MOST = 12
"""Copies of one thing drawn at the most."""
MOST_SUBJECTS = 24
"""Different things drawn at the most; the names of more are handed back as not understood."""
FURNISHED = 3
"""Things named, from which on a room gets no furniture of its own."""
LONGEST = 5
"""Words of the longest phrase that is looked up."""

NEGATED = re.compile(
    r"\b(?:no|without)\s+(?:an?\s+|any\s+)?([^,.;:\n]+?)"
    r"(?=[,.;:\n]|\s(?:in|on|at|with|and|under|by|over)\s|\s*$)",
    re.I,
)
"""What a prompt itself refuses: "a street without cars, at night"."""
IRREGULAR = {"wolves": "wolf", "geese": "goose", "mice": "mouse", "men": "man", "women": "woman", "knives": "knife",
             "children": "child", "leaves": "leaf", "oxen": "ox", "fishes": "fish", "loaves": "loaf",
             "shelves": "shelf", "people": "person", "scarves": "scarf"}  # fmt: skip
COPULAS = frozenset({"is", "are", "was", "were", "has", "have", "had"})
ARTICLES = frozenset({"a", "an", "one", "another"})


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to draw, `count` times; `color` is #rrggbb, or empty for its own colors.

    `word` is what the prompt calls it, empty where it does not name it, and `side` where in the picture it says: -1
    left, 0 anywhere, 1 right.
    """

    name: str
    count: int = 1
    color: str = ""
    size: float = 1.0
    word: str = field(default="", compare=False)
    side: int = 0


@dataclass(frozen=True, slots=True)
class Relation:
    """How one subject lies to another: `kind` is a key of the vocabulary's relations, both are places in the list.

    In "a cat on a chair" the cat is the source and the chair the target.
    """

    kind: str
    source: int
    target: int


@dataclass(slots=True)
class Reading:
    """What a prompt says: things in its order, settings, words not understood.

    `settings` are values of the vocabulary's SETTINGS; `places` has the word for each, `tints` the colors of those
    that were given one, by word. `unwanted` are the settings that the negative prompt names, also those that
    nobody asked for. `known` is whether any word is understood, even if it was taken away again.
    """

    subjects: list[Subject] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    tints: dict[str, str] = field(default_factory=dict)
    unwanted: list[str] = field(default_factory=list)
    known: bool = False
    unmatched: list[str] = field(default_factory=list)


def read(prompt: str, negative_prompt: str = "") -> Reading:
    """Returns what a prompt says, less what the negative prompt names, or itself by "no" or "without"."""
    reading = Reader(NEGATED.sub(" ", prompt)).reading
    if len(reading.subjects) < FURNISHED:
        named = {subject.name for subject in reading.subjects}
        room = FURNITURE.get(reading.places.get("room", ""), frozenset())
        reading.subjects += [Subject(name) for name in sorted(room - named)]
    negative = Reader(", ".join([negative_prompt, *NEGATED.findall(prompt)])).reading
    gone = {subject.name for subject in negative.subjects}
    reading.unwanted = negative.settings + ["forest"] * bool(gone & {"deciduous tree", "evergreen tree"})
    kept = [at for at, subject in enumerate(reading.subjects) if subject.name not in gone]
    moved = {old: new for new, old in enumerate(kept)}
    reading.subjects = [reading.subjects[at] for at in kept]
    reading.relations = [
        replace(relation, source=moved[relation.source], target=moved[relation.target])
        for relation in reading.relations
        if relation.source in moved and relation.target in moved
    ]
    reading.settings = [setting for setting in reading.settings if setting not in reading.unwanted]
    return reading


def singulars(phrase: str) -> list[str]:
    """Returns a phrase as it is, then the singulars its last word may have."""
    first, _, last = phrase.rpartition(" ")
    found = [IRREGULAR[last]] if last in IRREGULAR else []
    if last.endswith("ies"):
        found.append(last[:-3] + "y")
    if last.endswith("es"):
        found.append(last[:-2])
    if last.endswith("s") and not last.endswith("ss"):
        found.append(last[:-1])
    return [phrase, *(f"{first} {word}".strip() for word in found)]


class Reader:
    """Goes through the words of one text, from left to right, once.

    Attributes:
        reading: What has been understood so far.
        last: The things of the last noun, with those that "and" joins to it.
        head: The things that the clause is about, which a verb goes back to.
        relation: What joins the last noun to the next one, and the things on its near side.
        joined: Whether "and" or a comma came since the last noun.
        made: The relations that the last noun is the target of.
        shared: What a thing that "and" joined to a target would have in common with it.
        hidden: Whether the next noun is what a bottle or a cup holds.
    """

    def __init__(self, text: str) -> None:
        self.reading = Reading()
        self.words: Mapping[str, str] = art()["words"]
        self.tokens: list[str] = re.findall(r"\d+|[^\W\d_]+|[,.;:!?\n]", re.sub("[’']s\\b", "", text.lower()))
        self.last: list[int] = []
        self.head: list[int] = []
        self.relation: tuple[str, Sequence[int]] | None = None
        self.shared: list[Relation] = []
        self.made: list[Relation] = []
        self.joined = self.hidden = False
        self.article = ""
        self.forget()
        at = 0
        while at < len(self.tokens):
            at += self.step(at)
        self.share()
        self.reading.known = bool(self.reading.subjects or self.reading.settings)

    def forget(self) -> None:
        """Drops the adjectives that were kept for a noun."""
        self.count, self.color, self.material, self.size = 0, "", "", 1.0

    def phrases(self, at: int) -> Iterator[str]:
        """Yields what starts at a word, longest first."""
        for length in range(min(LONGEST, len(self.tokens) - at), 0, -1):
            yield " ".join(self.tokens[at : at + length])

    def form(self, phrase: str) -> str:
        """Returns a phrase as the vocabulary has it, which may be its singular, or nothing."""
        return next((form for form in singulars(phrase) if form in ALIASES or form in self.words), "")

    def name(self, phrase: str) -> str:
        """Returns the name of the drawing that a phrase means, or nothing."""
        form = self.form(phrase)
        return (ALIASES.get(form) or self.words[form]) if form else ""

    def step(self, at: int) -> int:
        """Takes in what starts at a word; returns how many words it took."""
        word = self.tokens[at]
        after = self.tokens[at + 1] if at + 1 < len(self.tokens) else ""
        if not word.isalnum():
            self.joined = word == ","
            self.relation, self.hidden = None, False
            if not self.joined:
                self.made = []
            self.forget()
            return 1
        for phrase in self.phrases(at):
            setting = next((SETTINGS[form] for form in singulars(phrase) if form in SETTINGS), "")
            name = self.name(phrase)
            if phrase in MEDIA and (after == "of" or not (self.count or self.article)):
                setting = name = ""
            if (phrase in MATERIALS or phrase in COLORS) and self.noun(at + 1):
                name = ""
            length = phrase.count(" ") + 1
            if phrase in SIDES and (phrase not in RELATIONS) and f"{phrase} of" not in self.phrases(at):
                self.put_aside(SIDES[phrase])
                return length
            if phrase == "of" and self.last:
                return self.open(self.reading.subjects[self.last[-1]].name)
            if phrase in RELATIONS and not (name and phrase not in STOPPED):
                return self.relate(RELATIONS[phrase], length)
            if setting and not (self.count and name):
                self.settle(setting, phrase, adjective=self.noun(at + length))
                return length
            if name:
                self.add(name, phrase)
                return length
        self.describe(word, after, noun=self.noun(at + 1))
        return 1

    def noun(self, at: int) -> bool:
        """Tells whether a word may be what the adjectives before it belong to."""
        return at < len(self.tokens) and self.tokens[at].isalnum() and self.tokens[at] not in FUNCTIONS

    def put_aside(self, side: int) -> None:
        """Notes on which side of the picture the last things are."""
        for at in self.last:
            self.reading.subjects[at] = replace(self.reading.subjects[at], side=side)
        self.last = self.head = []

    def relate(self, kind: str, length: int) -> int:
        """Notes what joins the last things to those that come; after "and" it is the clause's own things again."""
        near = self.head if self.joined and self.head else self.last
        self.shared, self.made = [], []
        self.relation = (kind, near) if near else None
        self.joined = False
        self.article = ""
        self.forget()
        return length

    def share(self) -> None:
        """Lets a thing after "and" lie as the one before it does: "holding a cup and a book"."""
        self.reading.relations += [
            one for one in self.shared if one.kind in ("held", "beside") and one.source != one.target
        ]
        self.shared = []

    def open(self, name: str) -> int:
        """Takes in "of" after a thing: what a dish holds lies in it, what a bottle holds is not seen."""
        if name in HOLDERS:
            self.relation = ("holds", self.last)
        self.hidden = name in CLOSED
        return 1

    def settle(self, setting: str, phrase: str, adjective: bool) -> None:
        """Adds a setting; as the adjective of a noun it leaves open what joins that noun to the last one."""
        if setting not in self.reading.settings:
            self.reading.settings.append(setting)
            self.reading.places[setting] = phrase
        color = self.color or self.material
        if color:
            self.reading.tints[phrase] = color
        if not adjective:
            self.relation = None
            self.article = ""
        self.forget()

    def add(self, name: str, phrase: str) -> None:
        """Adds a thing with its adjectives, or comes back to one that was named before."""
        if self.hidden:
            self.hidden = False
            self.forget()
            return
        subjects, word = self.reading.subjects, self.form(phrase)
        several = 2 if phrase.rpartition(" ")[2] in PAIRED else 3
        single = CROWDS.get(phrase) or (1 if phrase in ALIASES or phrase in self.words else several)
        found = Subject(name, self.count or single, self.color or self.material, self.size, word)
        same = [at for at, subject in enumerate(subjects) if subject.name == name]
        if same and self.article != "noun" and not self.count:
            index = same[-1]
        elif found in subjects and not self.relation:
            index = subjects.index(found)
        elif len(subjects) < MOST_SUBJECTS:
            subjects.append(found)
            index = len(subjects) - 1
        else:
            self.miss(phrase)
            return
        self.share()
        if self.relation:
            kind, sources = self.relation
            if kind == "holds":
                made = [Relation("inside", index, at) for at in sources if at != index]
            else:
                made = self.made = [Relation(kind, at, index) for at in sources if at != index]
            self.reading.relations += made
            self.last = list(sources) if kind == "holds" else [index]
        elif self.joined and self.made:
            # Either another target, or the start of a clause of its own: what comes next tells.
            self.shared = [replace(one, target=index) for one in self.made]
            self.last = self.head = [index]
        else:
            self.last = [*self.last, index] if self.joined else [index]
            self.head = self.last
            self.made = []
        self.relation, self.joined, self.article = None, False, ""
        self.forget()

    def describe(self, word: str, after: str, noun: bool) -> None:
        """Takes in a word that is no noun: an adjective, an article, or one that is not understood."""
        if word in ARTICLES:
            self.article = "noun"
        if word == "and":
            self.joined = True
        elif word in COPULAS:
            self.last = self.head
        elif word in COLORS and noun:
            self.color, self.article = self.color or COLORS[word], self.article or "noun"
        elif word in MATERIALS:
            self.material = MATERIALS[word]
        elif (word in COUNTS or word.isdecimal()) and (noun or after == "of"):
            self.count = min(COUNTS.get(word) or int(word[:3]), MOST)
        elif word in SIZES:
            self.size = SIZES[word]
        elif word not in STOPPED and word not in ARTICLES and word not in COUNTS:
            self.miss(word)

    def miss(self, word: str) -> None:
        """Notes a word that is not understood."""
        if word not in self.reading.unmatched:
            self.reading.unmatched.append(word)
