"""Places each block of things in a scene: in rows, as large as possible, without overlap."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .blocks import Block, Placed
from .scene import Scene

__all__ = ["place"]

ROWS = 4
"""Maximum number of rows."""


@dataclass(frozen=True, slots=True)
class Room:
    """The area for the blocks of one region, in canvas units.

    With `floats`, rows are stacked from `top` to `near`. Otherwise blocks stand with their feet between `far` and
    `near`, and their heads stay below `top`.
    """

    left: float
    right: float
    top: float
    far: float
    near: float
    floats: bool = False


def place(scene: Scene) -> list[Placed]:
    """Returns all things with their places, farthest first."""
    regions: dict[str, list[Block]] = {}
    for block in scene.blocks:
        regions.setdefault(region(scene, block), []).append(block)
    placed: list[tuple[float, Placed]] = []
    for name in ("sky", "wall", "swim", "water", "ground"):
        if blocks := regions.get(name):
            room = rooms(scene, name, {*regions})
            for block, (x, y, share) in zip(blocks, shelve(scene, blocks, room), strict=True):
                depth = y + (0 if name in ("water", "ground") else -9999)
                placed += [(depth, settled(thing, x, y, share, name)) for thing in block.things]
    placed.sort(key=lambda pair: (pair[0], pair[1].rank))
    if not scene.space:
        return [thing for _, thing in placed]
    return [replace(thing, turn=scene.random.uniform(-14, 14) * thing.stands) for _, thing in placed]


def region(scene: Scene, block: Block) -> str:
    """Returns the region of a scene that a block belongs to: sky, wall, swim, water or ground."""
    if scene.space:
        return "swim"
    if scene.underwater:
        return "ground" if block.anchor == "ground" else "swim"
    if scene.indoors:
        hung = block.anchor == "wall" and scene.floor == "room"
        flies = block.anchor in ("sky", "hover") and scene.floor == "room"
        return "wall" if hung else "sky" if flies else "ground"
    return {"wall": "ground", "hover": "sky"}.get(block.anchor, block.anchor)


def settled(thing: Placed, x: float, y: float, share: float, name: str) -> Placed:
    """Returns a block's thing at its place in the scene; its anchor decides how its foot is painted."""
    anchor = name if thing.stands else "held"
    if name == "water" and thing.anchor != "water" and thing.stands:
        anchor = "held"
    return replace(
        thing,
        anchor=anchor,
        x=x + thing.x * share,
        y=y + thing.y * share,
        width=thing.width * share,
        height=thing.height * share,
    )


def rooms(scene: Scene, name: str, taken: set[str]) -> Room:
    """Returns the area of one region; `taken` are all regions in use, which share the space."""
    wide, high, horizon = scene.wide, scene.high, scene.horizon
    below = high - horizon
    edge = 0.03 * wide
    left, right = edge, wide - edge
    if name == "swim":
        return Room(left, right, 0.05 * high, 0, high * (0.62 if "ground" in taken else 0.93), floats=True)
    if name in ("sky", "wall"):
        floor = 0.42 * high if taken & {"ground", "water"} else 0.74 * high
        return Room(left, right, 0.04 * high, 0, floor, floats=True)
    above = scene.wants("cloudy", "rainbow", "sun", "moon", "stars")
    top = (0.44 if taken & {"sky", "wall"} else 0.3 if above else 0.06) * high
    if scene.underwater:
        return Room(left, right, (0.66 if "swim" in taken else 0.2) * high, 0.86 * high, 0.96 * high)
    if name == "water":
        if scene.beach:
            return Room(left, right, top, horizon + 0.14 * below, horizon + 0.32 * below)
        if scene.reach:
            left, right = (scene.reach * 1.02, wide - edge) if scene.left else (edge, wide - scene.reach * 1.02)
        return Room(left, right, top, horizon + 0.22 * below, high - 0.12 * below)
    if scene.reach:
        inland = scene.reach * 0.84
        left, right = (0.01 * wide, inland) if scene.left else (wide - inland, 0.99 * wide)
        return Room(left, right, top, horizon + 0.12 * below, horizon + 0.4 * below)
    if scene.beach:
        return Room(left, right, top, horizon + 0.62 * below, high - 0.05 * below)
    return Room(left, right, top, horizon + 0.24 * below, high - 0.08 * below)


def shelve(scene: Scene, blocks: Sequence[Block], room: Room) -> list[tuple[float, float, float]]:
    """Returns x, y and the scale of each block."""
    order = arranged(scene, blocks)
    best, lines = 0.0, [order]
    for rows in range(1, min(ROWS, len(order)) + 1):
        tried = split(blocks, order, rows)
        share = scale(blocks, tried, room)
        if share > best * 1.06:
            best, lines = share, tried
    share = min(best, scene.unit)
    found: dict[int, tuple[float, float, float]] = {}
    for row, line in enumerate(lines):
        for at, x in zip(line, columns(scene, blocks, line, room, share), strict=True):
            found[at] = (x, level(scene, blocks, lines, row, at, room, share), share)
    return [found[at] for at in range(len(blocks))]


def arranged(scene: Scene, blocks: Sequence[Block]) -> list[int]:
    """Returns the order of blocks from left to right. The prompt's sides come first, then the seed decides.

    Copies of a thing stay together.
    """
    first = [block.owners[0] for block in blocks]
    subjects = list(dict.fromkeys(first))
    scene.random.shuffle(subjects)
    return sorted(range(len(blocks)), key=lambda at: (blocks[at].side, subjects.index(first[at]), at))


def split(blocks: Sequence[Block], order: Sequence[int], rows: int) -> list[list[int]]:
    """Returns an order split into rows of about the same width."""
    total, done = sum(blocks[at].width for at in order), 0.0
    lines: list[list[int]] = [[] for _ in range(rows)]
    for at in order:
        middle = done + blocks[at].width / 2
        lines[min(rows - 1, int(rows * middle / total))].append(at)
        done += blocks[at].width
    return [line for line in lines if line]


def scale(blocks: Sequence[Block], lines: Sequence[Sequence[int]], room: Room) -> float:
    """Returns the largest scale at which the blocks fit in these rows."""
    widest = max(sum(blocks[at].width for at in line) * (1 + 0.08 * min(1, len(line) - 1)) for line in lines)
    tall = [max(blocks[at].height for at in line) for line in lines]
    across = (room.right - room.left) / widest
    if room.floats:
        return min(across, (room.near - room.top) / (1.06 * sum(tall)))
    if len(lines) == 1:
        return min(across, (room.near - room.top) / tall[0])
    spacing = (room.near - room.far) / (len(lines) - 1)
    return min(across, (room.far - room.top) / tall[0], spacing / max(tall[1:]))


def columns(scene: Scene, blocks: Sequence[Block], line: Sequence[int], room: Room, share: float) -> list[float]:
    """Returns the x of each block in a row; the free width is divided randomly."""
    free = room.right - room.left - sum(blocks[at].width for at in line) * share
    parts = [scene.random.uniform(0.6, 1.4) for _ in range(len(line) + 1)]
    gaps = [max(0.0, free) * part / sum(parts) for part in parts]
    x, found = room.left, []
    for at, gap in zip(line, gaps, strict=False):
        x += gap
        found.append(x - blocks[at].ends[0] * share)
        x += blocks[at].width * share
    return found


def level(
    scene: Scene,
    blocks: Sequence[Block],
    lines: Sequence[Sequence[int]],
    row: int,
    at: int,
    room: Room,
    share: float,
) -> float:
    """Returns the y of a block, measured from the top."""
    block, chance = blocks[at], scene.random.random()
    under = block.ends[3] * share
    if room.floats:
        tall = [max(blocks[one].height for one in line) * share for line in lines]
        free = (room.near - room.top - sum(tall)) / len(lines)
        end = room.top + sum(tall[: row + 1]) + free * row
        slack = tall[row] - block.height * share + free
        return end + free - slack * chance - under
    if len(lines) > 1:
        spacing = (room.near - room.far) / (len(lines) - 1)
        return min(room.near, room.far + spacing * (row + 0.12 * (chance - 0.5))) - under
    lowest = max(room.top + block.height * share, room.far + (room.near - room.far) * (0.35 + 0.3 * chance))
    return min(room.near, lowest) - under
