"""Paints indoor backgrounds: a table in a room, or a room with floor and wall."""

from .canvas import blend, path
from .scene import Scene

__all__ = ["paint"]

WALLS = (
    "#e8d9c3", "#a9cbc6", "#d2c0e0", "#e6bfa8", "#a8c4e0", "#cfdba8", "#f0dc9c", "#e4b4bd", "#9fb0bf", "#f1ece2",
)  # fmt: skip
FLOORS = ("#c9a070", "#b98a5a", "#d9b78c", "#a8927c", "#c8bba9")


def paint(scene: Scene) -> None:
    """Paints a room or a table, as the scene's floor says."""
    if scene.floor == "room":
        paint_room(scene)
    else:
        paint_table(scene)


def tint(scene: Scene, *words: str) -> str:
    """Returns the color that the prompt gives to a part of the room; empty if it gives none."""
    return next((scene.reading.tints[word] for word in words if word in scene.reading.tints), "")


def paint_room(scene: Scene) -> None:
    """Paints a wall with light from a window, a baseboard, and a floor of boards that run towards the viewer."""
    draw, edge = scene.random, scene.horizon
    wall = tint(scene, "wall", "walls", "room") or draw.choice(WALLS)
    wood = tint(scene, "floor") or draw.choice(FLOORS)
    dark = scene.reading.settings.count("night") * 0.35
    wall, wood = blend(wall, "#1c2140", dark), blend(wood, "#1c1a30", dark)
    scene.band(0, scene.high, scene.gradient(blend(wall, "#ffffff", 0.22), blend(wall, "#5a4a40", 0.16)))
    paper = draw.choice(("plain", "stripes", "panel", "dots"))
    if paper == "stripes":
        step = draw.uniform(60, 130)
        stripes = "".join(path("M", at * step, 0, "h", step / 2, "V", edge, "h", -step / 2, "z") for at in range(80))
        scene.shape(stripes, "#ffffff", opacity=0.2)
    elif paper == "panel":
        scene.band(edge * draw.uniform(0.55, 0.68), edge, blend(wall, "#4a4038", 0.22))
    elif paper == "dots":
        for at in range(int(scene.wide / 70) * 9):
            row, column = divmod(at, int(scene.wide / 70))
            x = (column + 0.5 + 0.5 * (row % 2)) * 70
            scene.ellipse(x, row * edge / 9 + 30, 7, 7, "#ffffff", opacity=0.28)
    x, tall = scene.wide * draw.uniform(0.05, 0.6), edge * 0.8
    for left in (x, x + tall * 0.42):
        pane = path("M", left, edge * 0.08, "h", tall * 0.38, "l", -tall * 0.14, tall * 0.8, "h", -tall * 0.38, "z")
        scene.shape(pane, "#fffbe8", opacity=0.28 - dark / 2)
    scene.band(edge, scene.high, scene.gradient(blend(wood, "#ffffff", 0.16), wood, blend(wood, "#2a1a10", 0.25)))
    middle, spread = scene.wide * draw.uniform(0.35, 0.65), scene.wide / 7
    for at in range(-12, 13):
        board = path("M", middle + at * spread * 0.55, edge, "L", middle + at * spread * 1.5, scene.high)
        scene.shape(board, stroke=blend(wood, "#1c0f06", 0.5), stroke_width=2.5, opacity=0.4)
    for _ in range(10):
        y = edge + (scene.high - edge) * draw.uniform(0.05, 1)
        start = draw.uniform(-0.1, 0.9) * scene.wide
        scene.shape(
            path("M", start, y, "h", spread * 0.9), stroke=blend(wood, "#1c0f06", 0.5), stroke_width=2, opacity=0.3
        )
    scene.band(edge - 26, edge, blend(wall, "#ffffff", 0.6))
    scene.band(edge - 4, edge + 3, blend(wood, "#1c0f06", 0.55))
    scene.drawn.append("room")


def paint_table(scene: Scene) -> None:
    """Paints a wall with light from a window, and a wooden table."""
    draw, edge = scene.random, scene.horizon + (scene.high - scene.horizon) * 0.12
    wall, wood = draw.choice(WALLS), draw.choice(FLOORS)
    scene.band(0, scene.high, scene.gradient(blend(wall, "#ffffff", 0.25), blend(wall, "#5a4a40", 0.25)))
    x, tall = scene.wide * draw.uniform(0.1, 0.5), edge * 0.8
    for left in (x, x + tall * 0.55):
        pane = path("M", left, edge * 0.1, "h", tall * 0.5, "l", -tall * 0.16, tall * 0.9, "h", -tall * 0.5, "z")
        scene.shape(pane, "#fffbe8", opacity=0.4)
    tones = blend(wood, "#ffffff", 0.25), wood, blend(wood, "#3a2210", 0.35)
    scene.band(edge, scene.high, scene.gradient(*tones))
    scene.band(edge, edge + 6, "#ffffff", opacity=0.3)
    for _ in range(40):
        start = path("M", draw.uniform(-200, scene.wide), draw.uniform(edge + 20, scene.high))
        grain = start + path("q90", draw.uniform(-8, 8), draw.uniform(180, 420), 0)
        scene.shape(grain, stroke="#4a2c14", stroke_width=2, opacity=0.22)
    scene.drawn.append("table")
