"""Groups things into blocks: copies of a thing in a row, and things that the prompt relates to one another."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from . import nature
from .grammar import Reading, Relation, Subject
from .vocabulary import art

__all__ = ["Block", "Placed", "build"]

LIKENESS = 0.55
"""Exponent on relative heights: below 1 it reduces differences, so that a mouse by a castle stays visible."""
FIRMNESS = ("ground", "water", "wall", "hover", "sky")
"""Anchors by priority for things side by side: with a kite beside a dog, the dog's ground decides."""
GAP = 0.08
"""The gap between two things side by side, as a share of the wider one."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A thing with its place.

    Attributes:
        subject: The thing.
        anchor: Where it belongs: see `nature.anchor`; after layout, how its foot is painted.
        height: Its height.
        width: Its width.
        x: The middle of its foot.
        y: Its foot; negative is above the block's origin.
        turn: Rotation in degrees.
        rank: Drawing order within its block, back to front.
        stands: Whether its foot is on the block's ground.
    """

    subject: Subject
    anchor: str
    height: float
    width: float
    x: float = 0
    y: float = 0
    turn: float = 0
    rank: int = 0
    stands: bool = True


@dataclass(slots=True)
class Block:
    """Things with fixed positions relative to one another. The block stands at 0, 0; y is negative upwards.

    Attributes:
        anchor: Where the block belongs; see `nature.anchor`.
        things: The things.
        owners: For each thing, the index of its subject in the prompt.
        side: Side of the image that the prompt asks for: -1 left, 0 anywhere, 1 right.
        ends: Left, top, right, bottom of all things.
    """

    anchor: str
    things: list[Placed]
    owners: list[int]
    side: int = 0
    ends: tuple[float, float, float, float] = field(default=(0, 0, 0, 0), init=False)

    def __post_init__(self) -> None:
        self.measure()

    def measure(self) -> None:
        """Updates `ends` from the things."""
        self.ends = ends(self.things)

    @property
    def width(self) -> float:
        """The block's width."""
        return self.ends[2] - self.ends[0]

    @property
    def height(self) -> float:
        """The block's height, from its lowest foot."""
        return self.ends[3] - self.ends[1]

    def of(self, owner: int) -> list[Placed]:
        """Returns the copies of one subject."""
        return [thing for thing, index in zip(self.things, self.owners, strict=True) if index == owner]

    def change(self, change: Callable[[Placed], Placed]) -> None:
        """Applies a function to every thing."""
        self.things = [change(thing) for thing in self.things]
        self.measure()

    def moved(self, dx: float, dy: float) -> None:
        """Moves the whole block."""
        self.change(lambda thing: replace(thing, x=thing.x + dx, y=thing.y + dy))

    def scaled(self, share: float) -> None:
        """Scales the whole block about 0, 0."""
        self.change(
            lambda thing: replace(
                thing, x=thing.x * share, y=thing.y * share, width=thing.width * share, height=thing.height * share
            )
        )


def ends(things: Iterable[Placed]) -> tuple[float, float, float, float]:
    """Returns left, top, right and bottom of all things together."""
    boxes = [(t.x - t.width / 2, t.y - t.height, t.x + t.width / 2, t.y) for t in things]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def build(reading: Reading, draw: random.Random, most: int) -> list[Block]:
    """Returns the blocks of a prompt, with at most `most` copies of each thing; the tallest thing is 1 high."""
    if not reading.subjects:
        return []
    heights = [nature.height(subject.name) * subject.size for subject in reading.subjects]
    tallest = max(heights)
    related = {at for relation in reading.relations for at in (relation.source, relation.target)}
    owner: dict[int, Block] = {}
    blocks: list[Block] = []
    for at, (subject, natural) in enumerate(zip(reading.subjects, heights, strict=True)):
        left, top, right, bottom = art()["things"][subject.name]["box"]
        share = (natural / tallest) ** LIKENESS / max(bottom - top, 0.72 * (right - left))
        anchor = nature.anchor(subject.name)
        thing = Placed(subject, anchor, (bottom - top) * share, (right - left) * share)
        count = min(subject.count, most)
        if at in related:
            step = thing.width * (1 + GAP)
            row = [replace(thing, x=step * (copy - (count - 1) / 2)) for copy in range(count)]
            owner[at] = Block(anchor, row, [at] * count, subject.side)
            blocks.append(owner[at])
        else:
            blocks += [Block(anchor, [thing], [at], subject.side) for _ in range(count)]
    for relation in reading.relations:
        source, target = owner[relation.source], owner[relation.target]
        if source is target or not joinable(relation, source, target):
            continue
        for other in companions(reading, relation):
            # Two things on the same table stand side by side.
            if owner[other] not in (source, target):
                apart = owner[other]
                apart.moved(source.ends[2] - apart.ends[0] + GAP * source.width, 0)
                source.things, source.owners = source.things + apart.things, source.owners + apart.owners
                for at in apart.owners:
                    owner[at] = source
                blocks = [block for block in blocks if block is not apart]
        source.measure()
        source.moved(-(source.ends[0] + source.ends[2]) / 2, 0)
        near, far = (target, source) if meaning(relation, reading) == "held" else (source, target)
        join(relation, reading, near, far, draw)
        for at in near.owners:
            owner[at] = far
        blocks = [block for block in blocks if block is not near]
    highest = max(thing.height for block in blocks for thing in block.things)
    for block in blocks:
        block.scaled(1 / highest)
    return blocks


def companions(reading: Reading, relation: Relation) -> list[int]:
    """Returns the other subjects with the same kind of relation to the same target."""
    if meaning(relation, reading) in ("held", "beside", "left", "right"):
        return []
    return [
        other.source
        for other in reading.relations
        if (other.kind, other.target) == (relation.kind, relation.target) and other.source != relation.source
    ]


def joinable(relation: Relation, source: Block, target: Block) -> bool:
    """Returns whether two blocks can share a place: a ship and a house cannot, since one needs water."""
    if relation.kind in ("on", "inside", "held"):
        return True
    vessels = [
        any(thing.anchor == "water" and nature.kind(thing.subject.name) == "transport-water" for thing in block.things)
        for block in (source, target)
    ]
    return vessels[0] == vessels[1] or "ground" not in (source.anchor, target.anchor)


def meaning(relation: Relation, reading: Reading) -> str:
    """Returns the kind of a relation, adjusted to its two things: "on the phone" means holding it."""
    source, target = (reading.subjects[at].name for at in (relation.source, relation.target))
    tools = ("phone", "musical", "computer")
    if relation.kind == "on" and nature.kind(source).startswith("person") and nature.kind(target).startswith(tools):
        return "held"
    if relation.kind == "on" and target == "window":
        return "inside"
    if relation.kind == "held" and (not nature.living(source) or nature.living(target)):
        return "beside"
    return relation.kind


def join(relation: Relation, reading: Reading, near: Block, far: Block, draw: random.Random) -> None:
    """Merges the block `near` into the block `far`, at the position that the relation gives."""
    kind, side = meaning(relation, reading), draw.choice((-1, 1))
    if kind in ("left", "right"):
        side, kind = (-1 if kind == "left" else 1), "beside"
    at, other = (relation.target, relation.source) if kind == "held" else (relation.source, relation.target)
    name, base = reading.subjects[at].name, reading.subjects[other].name
    left, top, right, bottom = ends(far.of(other))
    wide, tall, middle = right - left, bottom - top, (left + right) / 2
    fits = {
        "on": (1.15 * wide, 1.5 * tall),
        "under": (0.75 * wide, 0.5 * tall) if base in nature.CANOPIES else (9, 9),
        "inside": (0.8 * wide, (0.62 if base in nature.FRAMES else 0.9) * tall),
        "held": (0.8 * wide, 0.46 * tall),
    }.get(kind, (9, 9))
    limit = min(1, *(most / size for most, size in zip(fits, (near.width, near.height), strict=True)))
    near.scaled(max(0.45, limit) if kind == "on" else limit)
    if kind == "held":
        # Enlarge a held thing so that it stays visible.
        near.scaled(max(1, 0.3 * tall / max(near.width, near.height)))
    size, high = near.width, near.height
    x, foot, rank = middle, bottom, 1
    flies = near.anchor in ("sky", "hover", "wall")
    if kind == "on" and name not in nature.HATS:
        foot = top + nature.seat(base) * tall
        x += draw.uniform(-0.25, 0.25) * max(0, wide - size)
    elif kind == "on":
        foot = top + 0.1 * tall
    elif kind == "above":
        foot = top - 0.15 * max(tall, high)
    elif kind == "under" and base in nature.CANOPIES and tall > 1.2 * wide:
        x += side * 0.3 * wide
    elif kind == "under" and base not in nature.CANOPIES:
        far.moved(0, -high - (0.12 * tall if far.anchor in ("sky", "hover") else 0))
    elif kind == "inside" and base in nature.FRAMES:
        foot = bottom - 0.12 * tall
    elif kind == "inside":
        foot, rank = top + 0.42 * high, -1
    elif kind == "held":
        x, foot = middle + side * (0.5 * wide + 0.2 * size), top + 0.58 * tall + high / 2
        if name in nature.ALOFT:
            foot = top + 0.56 * tall
        elif name in nature.HATS:
            x, foot = middle, top + 0.12 * tall
    elif kind in ("front", "behind", "hidden"):
        x += side * (wide / 2 + size / 2 - {"front": 0.28, "behind": 0.32, "hidden": 0.4}[kind] * min(wide, size))
        foot, rank = (bottom + 0.1 * min(tall, high), 1) if kind == "front" else (bottom - 0.1 * min(tall, high), -1)
    elif kind == "beside":
        # "Beside" means beside everything in the block, so that nothing is covered.
        outer = far.ends[2] if side > 0 else far.ends[0]
        x = outer + side * (size / 2 + GAP * max(wide, size)) - (near.ends[0] + near.ends[2]) / 2
        if flies and far.anchor in ("ground", "water"):
            foot -= 0.45 * tall
        elif far.anchor in ("sky", "hover", "wall") and not flies:
            far.moved(0, -0.45 * high)
    if kind not in ("on", "inside", "above"):
        far.anchor = min(near.anchor, far.anchor, key=FIRMNESS.index)
    stands = kind in ("beside", "front", "behind", "hidden", "under")
    turn = 10 * rank
    far.things += [
        replace(
            thing, x=thing.x + x, y=thing.y + foot, rank=thing.rank + turn, stands=thing.stands and stands and not flies
        )
        for thing in near.things
    ]
    if kind == "under" and base not in nature.CANOPIES:
        far.things = [
            thing if index >= len(far.owners) else replace(thing, stands=False)
            for index, thing in enumerate(far.things)
        ]
    elif far.anchor == "ground" and kind == "beside" and not flies:
        flying = ("sky", "hover", "wall")
        far.things = [
            replace(thing, stands=False) if thing.anchor in flying and thing.y < 0 else thing for thing in far.things
        ]
    far.owners += near.owners
    far.side = far.side or near.side
    far.measure()
