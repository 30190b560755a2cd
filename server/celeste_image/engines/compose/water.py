"""Paints water: open water, coasts, and scenes under water."""

from .canvas import blend, path
from .outlines import ridge
from .scene import Scene

__all__ = ["paint", "paint_deep"]


def paint(scene: Scene) -> None:
    """Paints water tinted by the sky, its reflections of sun or moon, and the beach or headland."""
    draw, below, body = scene.random, scene.high - scene.horizon, scene.water_color()
    warm = scene.time in ("sunset", "dawn")
    top = blend(scene.haze, scene.sky[-2] if warm else body, 0.35)
    deep = blend(body, scene.lit("#0a2f55"), 0.55)
    scene.band(scene.horizon, scene.high, scene.gradient(top, blend(top, body, 0.6), body, deep))
    if {"sun", "moon"} & {*scene.drawn}:
        tone = "#e9e6d0" if scene.time == "night" else "#fff1c4"
        for at in range(1, 27):
            down = at / 26
            x = scene.lamp[0] + draw.uniform(-20, 20) * (1 + 2 * down)
            r = (26 + 110 * down) * draw.uniform(0.5, 1.1)
            y = scene.horizon + below * down**1.4 * 0.95
            scene.ellipse(x, y, r, 2 + 5 * down, tone, opacity=0.55 * (1 - 0.75 * down))
    for at in range(5):
        length, y = 110 + 55 * at, scene.horizon + below * (0.12 + 0.2 * at)
        start = path("M", -draw.uniform(0, 2 * length), y)
        waves = path("q", length / 2, -6 - 6.4 * at, length, 0) * (int(scene.wide / length) + 4)
        floor = path("V", scene.high + 5, "H", -900, "z")
        scene.shape(start + waves + floor, blend(deep, body, 0.5 - 0.1 * at), opacity=0.22)
        crest = blend(top, "#ffffff", 0.3)
        scene.shape(start + waves, stroke=crest, stroke_width=1 + 0.5 * at, opacity=0.3)
    if scene.wants("sea"):
        scene.drawn.append("water")
    if scene.beach:
        paint_beach(scene)
    elif scene.reach:
        paint_headland(scene)


def paint_beach(scene: Scene) -> None:
    """Paints a beach across the bottom of the image, with foam at its edge."""
    far, near = scene.ground()
    y = scene.horizon + (scene.high - scene.horizon) * 0.42
    points = [(x, y + scene.random.uniform(-14, 14)) for x in range(-60, int(scene.wide) + 260, 200)]
    sand = scene.gradient(blend(near, far, 0.4), far, near)
    for drop, fill, opacity in ((-14, "#ffffff", 0.35), (-5, "#ffffff", 0.85), (4, sand, 1)):
        scene.land([(x, level + drop) for x, level in points], fill, opacity=opacity)
    scene.drawn.append("beach")


def paint_headland(scene: Scene) -> None:
    """Paints a headland on one side: foam, rock, and the scene's ground on top."""
    high, top = scene.high, scene.horizon - 6
    tip = scene.horizon + (high - scene.horizon) * 0.3
    rock = scene.gradient(scene.lit("#8a7b70"), scene.lit("#4d4540"))
    flip = "" if scene.left else f"translate({scene.wide:.1f} 0) scale(-1 1)"
    for drop, more, fill, opacity in (
        (52, 16, scene.lit("#ffffff"), 0.45),
        (44, 4, rock, 1),
        (20, 0, scene.lit("#a08d7d"), 1),
        (0, -6, scene.gradient(*scene.ground()), 1),
    ):
        r, t, e = scene.reach + more, top + drop, tip + drop
        brow = path("M", -10, t, "C", r * 0.3, t - 14, r * 0.62, t + 16, r * 0.86, e - 34)
        point = path("S", r, e, r * 0.97, e + 22, "C", r * 0.8, e + 66, r * 0.74, e + 80, r * 0.6, high * 0.9 + drop)
        foot = path("S", r * 0.4, high + 10, r * 0.38, high + 10, "H", -10, "z")
        scene.shape(brow + point + foot, fill, opacity=opacity, transform=flip)


def paint_deep(scene: Scene) -> None:
    """Paints an underwater background: light from above, seaweed, bubbles and the seabed."""
    draw, (far, near) = scene.random, scene.ground()
    for _ in range(7):
        x, width = draw.uniform(-0.1, 1) * scene.wide, draw.uniform(40, 130)
        ray = path("M", x, -5, "h", width, "l", width + 190, scene.high * 0.85, "h", -width * 2.2, "z")
        scene.shape(ray, scene.gradient("#ffffff", "#ffffff", opacity=(0.28, 0)))
    for at in range(2):
        y = scene.high * (0.8 + 0.08 * at)
        tone = blend(blend(scene.sky[2], far, 0.45 + 0.4 * at), near, 0.2 * at)
        scene.land(ridge(scene, y + 40, 70, 0), scene.gradient(tone, blend(tone, scene.sky[3], 0.4)))
        for _ in range(round(7 * max(1, scene.wide / 1200))):
            x, tall, foot = draw.uniform(0, scene.wide), draw.uniform(70, 190), y + draw.uniform(30, 80)
            green = blend(scene.sky[2], draw.choice(("#2f9e6a", "#58b368", "#c25b7a")), 0.4 + 0.35 * at)
            up = path("M", x, foot, "q-26", -tall / 3, 0, -tall / 2, "t4", -tall / 2)
            scene.shape(up + path("q22", tall / 4, 8, tall / 2, "t2", tall / 2, "z"), green)
    for _ in range(34):
        x, y, r = draw.uniform(0, scene.wide), draw.uniform(0, scene.high * 0.85), draw.uniform(3, 12)
        scene.ellipse(x, y, r, r, "#fff", fill_opacity=0.12, stroke="#fff", stroke_opacity=0.5, stroke_width=1.5)
