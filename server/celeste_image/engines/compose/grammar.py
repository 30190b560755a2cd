"""Parses a prompt into things to draw, relations between them, and settings (place, time, weather).

The grammar is small: adjectives (number, color, material, size), a noun, and relations between nouns. It does not parse
pronouns, verbs or clauses.
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
"""Maximum copies of one thing."""
MOST_SUBJECTS = 24
"""Maximum number of different things; the names of further things count as unknown words."""
FURNISHED = 3
"""A room gets its own furniture only if the prompt names fewer things than this."""
LONGEST = 5
"""Maximum words of a phrase that is looked up."""

NEGATED = re.compile(
    r"\b(?:no|without)\s+(?:an?\s+|any\s+)?([^,.;:\n]+?)"
    r"(?=[,.;:\n]|\s(?:in|on|at|with|and|under|by|over)\s|\s*$)",
    re.I,
)
"""Things that a prompt excludes: "a street without cars, at night"."""
IRREGULAR = {"wolves": "wolf", "geese": "goose", "mice": "mouse", "men": "man", "women": "woman", "knives": "knife",
             "children": "child", "leaves": "leaf", "oxen": "ox", "fishes": "fish", "loaves": "loaf",
             "shelves": "shelf", "people": "person", "scarves": "scarf"}  # fmt: skip
COPULAS = frozenset({"is", "are", "was", "were", "has", "have", "had"})
ARTICLES = frozenset({"a", "an", "one", "another"})


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind of thing to draw.

    Attributes:
        name: Name of its drawing.
        count: Number of copies.
        color: #rrggbb, or empty for the drawing's own colors.
        size: Scale factor.
        word: The prompt's word for it; empty if the prompt does not name it.
        side: Side of the image that the prompt asks for: -1 left, 0 anywhere, 1 right.
    """

    name: str
    count: int = 1
    color: str = ""
    size: float = 1.0
    word: str = field(default="", compare=False)
    side: int = 0


@dataclass(frozen=True, slots=True)
class Relation:
    """The position of one subject relative to another, as in "a cat on a chair": cat is source, chair is target.

    `kind` is a value of the vocabulary's RELATIONS; `source` and `target` are indexes into `Reading.subjects`.
    """

    kind: str
    source: int
    target: int


@dataclass(slots=True)
class Reading:
    """A parsed prompt.

    Attributes:
        subjects: Things to draw, in the prompt's order.
        relations: Positions of subjects relative to one another.
        settings: Values of the vocabulary's SETTINGS.
        places: The prompt's word for each setting.
        tints: Colors that the prompt gives to settings, by word.
        unwanted: Settings that the negative prompt excludes, also those that the prompt does not ask for.
        known: Whether the prompt has any known word, even one that was excluded afterwards.
        unmatched: Unknown words.
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
    """Parses a prompt and drops things and settings excluded by the negative prompt or by "no" or "without"."""
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
    """Returns a phrase unchanged, then with possible singulars of its last word."""
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
    """Parses one text in a single pass from left to right.

    Attributes:
        reading: The result so far.
        last: Subjects of the last noun, with those that "and" joins to it.
        head: Subjects of the clause, to which a verb refers back.
        relation: The relation between the last noun and the next one, with its source subjects.
        joined: Whether "and" or a comma came since the last noun.
        made: Relations whose target is the last noun.
        shared: Relations that a noun after "and" would share with the target before it.
        hidden: Whether the next noun is the content of a bottle or a cup, which is not drawn.
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
        """Drops the adjectives collected for the next noun."""
        self.count, self.color, self.material, self.size = 0, "", "", 1.0

    def phrases(self, at: int) -> Iterator[str]:
        """Yields the phrases that start at a token, longest first."""
        for length in range(min(LONGEST, len(self.tokens) - at), 0, -1):
            yield " ".join(self.tokens[at : at + length])

    def form(self, phrase: str) -> str:
        """Returns the form of a phrase that is in the vocabulary, perhaps its singular; empty if none is."""
        return next((form for form in singulars(phrase) if form in ALIASES or form in self.words), "")

    def name(self, phrase: str) -> str:
        """Returns the name of the drawing for a phrase; empty for an unknown phrase."""
        form = self.form(phrase)
        return (ALIASES.get(form) or self.words[form]) if form else ""

    def step(self, at: int) -> int:
        """Parses the phrase that starts at a token; returns how many tokens it consumed."""
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
        """Returns whether the token at an index may be the noun of the adjectives before it."""
        return at < len(self.tokens) and self.tokens[at].isalnum() and self.tokens[at] not in FUNCTIONS

    def put_aside(self, side: int) -> None:
        """Sets the side of the image for the last subjects."""
        for at in self.last:
            self.reading.subjects[at] = replace(self.reading.subjects[at], side=side)
        self.last = self.head = []

    def relate(self, kind: str, length: int) -> int:
        """Sets the relation of the last subjects, or after "and" those of the clause, to the next noun.

        Returns `length`, the number of tokens consumed.
        """
        near = self.head if self.joined and self.head else self.last
        self.shared, self.made = [], []
        self.relation = (kind, near) if near else None
        self.joined = False
        self.article = ""
        self.forget()
        return length

    def share(self) -> None:
        """Gives a noun after "and" the relations of the noun before it: "holding a cup and a book"."""
        self.reading.relations += [
            one for one in self.shared if one.kind in ("held", "beside") and one.source != one.target
        ]
        self.shared = []

    def open(self, name: str) -> int:
        """Parses "of" after a thing: the content of a dish is drawn in it, the content of a bottle is hidden."""
        if name in HOLDERS:
            self.relation = ("holds", self.last)
        self.hidden = name in CLOSED
        return 1

    def settle(self, setting: str, phrase: str, adjective: bool) -> None:
        """Adds a setting. As an adjective, it keeps the pending relation to the noun that follows."""
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
        """Adds a thing with its adjectives, or refers back to a thing named before."""
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
            # This noun is another target or starts a new clause; the next words decide.
            self.shared = [replace(one, target=index) for one in self.made]
            self.last = self.head = [index]
        else:
            self.last = [*self.last, index] if self.joined else [index]
            self.head = self.last
            self.made = []
        self.relation, self.joined, self.article = None, False, ""
        self.forget()

    def describe(self, word: str, after: str, noun: bool) -> None:
        """Parses an adjective, an article, a conjunction, a verb of being, or an unknown word."""
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
        """Records an unknown word once."""
        if word not in self.reading.unmatched:
            self.reading.unmatched.append(word)
