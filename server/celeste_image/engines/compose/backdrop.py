"""Paints the background of a scene (sky, land, water, room), and the weather in front."""

from . import indoors, water
from .canvas import blend, path
from .outlines import fir, ridge
from .scene import Scene

__all__ = ["paint", "paint_weather"]


def paint(scene: Scene) -> None:
    """Paints everything behind the things of a scene."""
    if scene.indoors:
        indoors.paint(scene)
        return
    paint_sky(scene)
    if scene.underwater:
        water.paint_deep(scene)
    elif not scene.space:
        paint_ranges(scene)
        if scene.water or scene.beach:
            water.paint(scene)
        elif scene.floor == "street":
            paint_street(scene)
        else:
            paint_ground(scene)


def paint_sky(scene: Scene) -> None:
    """Paints sky, stars, sun or moon, rainbow and clouds."""
    draw, high = scene.random, scene.high
    end = high if scene.space or scene.underwater else scene.horizon * 1.04
    scene.band(0, high, scene.haze)
    scene.band(0, end, scene.gradient(*scene.sky, middle=0.5))
    if scene.underwater:
        return
    if scene.space:
        for color in draw.sample(["#7b3fc4", "#2f6fd0", "#c43f8c", "#2fa5a0", "#d07a3a"], 3):
            for _ in range(3):
                cloud = scene.gradient(color, color, opacity=(0.34, 0), radial=True)
                r = draw.uniform(180, 420)
                scene.ellipse(draw.uniform(0, scene.wide), draw.uniform(0, high), r * 1.4, r, cloud)
    if scene.time in ("night", "space") and "stars" not in scene.reading.unwanted and scene.gray < 0.5:
        share = 3 if scene.space or scene.wants("stars") else 1.4
        for _ in range(round(min(400, 90 * share * scene.wide * end / 1e6))):
            x, y, r = (
                draw.uniform(0, scene.wide),
                end * draw.random() ** 1.2,
                draw.choice((0.9, 1.1, 1.4, 2.2)),
            )
            scene.ellipse(x, y, r, r, "#fff", opacity=draw.uniform(0.4, 1))
        if scene.wants("stars"):
            scene.drawn.append("stars")
    if scene.space or scene.planet:
        color, r = draw.choice(("#d9824f", "#5f8fd6", "#b26fc9", "#5fb3a1")), draw.uniform(90, 170)
        tones = blend(color, "#ffffff", 0.45), color, blend(color, "#0a0620", 0.75)
        ball = scene.gradient(*tones, radial=True, where='cx=".35" cy=".35" r=".75"')
        scene.ellipse(scene.wide * draw.choice((0.14, 0.86)), high * draw.uniform(0.16, 0.3), r, r, ball)
        return
    paint_light(scene)
    if scene.wants("rainbow"):
        x, r = scene.wide * draw.uniform(0.35, 0.65), min(scene.wide * 0.5, scene.horizon) * 0.9
        for at, color in enumerate(("#e5483f", "#f59b37", "#f8e05a", "#5dbb63", "#4a90d9", "#8656b5")):
            inner = r - 14 * at
            scene.ellipse(x, scene.horizon, inner, inner, "none", stroke=color, stroke_width=14.5, opacity=0.55)
        scene.drawn.append("rainbow")
    if "cloudy" not in scene.reading.unwanted:
        paint_clouds(scene, round((3 + 14 * scene.gray + 2 * scene.wants("cloudy")) * max(1, scene.wide / 1500)))


def paint_light(scene: Scene) -> None:
    """Paints the sun or the moon with a glow, at a height that fits the time of day."""
    draw = scene.random
    moon = scene.time == "night" or (scene.wants("moon") and not scene.wants("sun"))
    name = "moon" if moon else "sun"
    # The land of a coast is on one side; the light is on the other side, over open water.
    side = draw.uniform(0.6, 0.78) if scene.left else draw.uniform(0.22, 0.4)
    low = {"sunset": 0.86, "dawn": 0.7}.get(scene.time) or draw.uniform(0.24, 0.34)
    scene.lamp = x, y = scene.wide * side, scene.horizon * low
    if name in scene.reading.unwanted or (scene.gray > 0.5 and not scene.wants(name)):
        return
    tone = {"night": "#f4efcf", "sunset": "#fff0b8", "dawn": "#fff6da"}.get(scene.time, "#fff7cf")
    scene.glow(x, y, 430, tone, 0.22 if moon else 0.32)
    scene.glow(x, y, 210, tone, 0.3 if moon else 0.42)
    r = 62 if scene.time in ("sunset", "dawn") else 52
    if moon and draw.random() < 0.5:
        inner = r * 0.82
        out = path("M", x - 8, y - r, "a", r, r, 0, "1 0", r, r * 1.25)
        scene.shape(out + path("a", inner, inner, 0, "0 1", -r, -r * 1.25, "z"), tone)
    else:
        scene.ellipse(x, y, r, r, tone)
        for dx, dy, size in ((-16, -12, 13), (15, 8, 9), (-6, 20, 7), (18, -20, 6)) if moon else ():
            scene.ellipse(x + dx, y + dy, size, size, "#cfc9a4", opacity=0.5)
    scene.drawn.append(name)


def paint_clouds(scene: Scene, count: int) -> None:
    """Paints soft clouds with flat bottoms, smaller towards the horizon."""
    draw = scene.random
    white = blend(scene.lit("#ffffff"), scene.haze, 0.35 if scene.time != "day" else 0.05)
    asked = scene.wants("cloudy")
    fill = scene.gradient(white, blend(white, scene.sky[1], 0.22 if asked else 0.45 + scene.gray / 3))
    for at in range(count):
        y = scene.horizon * draw.uniform(0.06, 0.72)
        size = (1.25 - y / scene.horizon) * draw.uniform(90, 170)
        x, puffs, outline = scene.wide * (at + draw.random()) / count, draw.randint(4, 6), ""
        for puff in range(puffs):
            across = (puff - (puffs - 1) / 2) / puffs * 3.2
            r = size * (0.85 - abs(across) * 0.34) * draw.uniform(0.85, 1.1)
            outline += path("M", x + across * size - r, y, "a", r, r * 0.8, "0 0 1", 2 * r, "0z")
        scene.shape(outline, fill, opacity=0.95 if asked else draw.uniform(0.6, 0.9))


def paint_ranges(scene: Scene) -> None:
    """Paints the distance: mountains, a skyline, dunes, woods or hills; farther ones are paler."""
    far, near = scene.ground()
    base, shore = scene.horizon + 6, scene.water or scene.beach
    if scene.planet:
        for at in range(3):
            tone = blend(scene.sky[1], far, 0.35 + 0.25 * at)
            scene.land(ridge(scene, base + 14 * at, 120 - 30 * at, 0.6), tone, smooth=False)
        scene.drawn.append("moon")
        return
    asked = [name for name in ("mountains", "city", "forest", "desert") if scene.wants(name)]
    chance = scene.random.random() < 0.55
    if "mountains" in asked:
        paint_mountains(scene, base, 1)
    elif not asked and chance and shore:
        for at in range(2):
            tone = scene.misty(scene.lit("#4f6a86"), 0.35 + 0.2 * at)
            scene.land(ridge(scene, base, 70 - 25 * at, 0.5), tone, smooth=False)
    elif not asked and chance and "mountains" not in scene.reading.unwanted:
        paint_mountains(scene, base, 0.6)
    if "city" in asked:
        paint_skyline(scene, base)
    if "desert" in asked or not (shore or "city" in asked):
        for at in range(3):
            tone = scene.misty(blend(far, near, 0.4 if "desert" in asked else 0.75), 0.35 + 0.2 * at)
            scene.land(ridge(scene, base + 18 * at, 112 - 26 * at, 0), tone)
    if "forest" in asked:
        for at in range(2 if shore else 3):
            paint_woods(scene, base + 20 * at + 4, 150 + 75 * at, 0.35 + 0.22 * at)
        scene.drawn.append("trees")
    scene.drawn += [name for name in asked if name != "forest"]


def paint_mountains(scene: Scene, base: float, share: float) -> None:
    """Paints two mountain ranges; the higher one has snow, in winter both have."""
    height = min(430, scene.horizon * 0.7) * share
    for rise, rock in ((height, "#6f7f95"), (height * 0.62, "#5c7068")):
        points = ridge(scene, base, rise, 1)
        tones = scene.misty(scene.lit(rock), 0.75), scene.misty(scene.lit(rock), 0.35)
        scene.land(points, scene.gradient(*tones), smooth=False)
        if rise == height or scene.winter:
            line = base - rise * (0.3 if scene.winter else 0.58)
            # Where the rock is below the snow line, the edge follows the rock and no snow shows.
            edge = [
                (x, max(y, min(line, y + rise * 0.3) + scene.random.uniform(-0.07, 0.07) * rise))
                for x, y in points[::-4]
            ]
            outline = path(*(part for x, y in [*points, *edge] for part in ("L", x, y)))
            scene.shape("M" + outline[1:] + "z", scene.misty(scene.lit("#ffffff"), 0.8), opacity=0.9)


def paint_skyline(scene: Scene, base: float) -> None:
    """Paints three rows of buildings, with lit windows at night and at sunset."""
    draw, dark = scene.random, scene.time in ("night", "sunset")
    for row in range(3):
        x = -20.0
        while x < scene.wide + 20:
            width = draw.uniform(60, 120)
            height = min(0.8 * scene.horizon, draw.uniform(140, 430) * (1.15 - 0.27 * row))
            tone = blend(draw.choice(("#7487a6", "#8a7f96", "#6a7c8c", "#9a8a80")), "#202a44", 0.45 * dark)
            wall = scene.misty(scene.lit(tone), 0.45 + 0.25 * row)
            scene.shape(path("M", x, base + 30, "v", -height - 30, "h", width, "v", height + 30, "z"), wall)
            if draw.random() < 0.3:
                scene.shape(path("M", x + width / 2, base - height, "v", -40, "h", 4, "v", 40, "z"), wall)
            panes = "".join(
                path("M", x + across, base - height + down, "h9v13h-9z")
                for across in range(12, int(width) - 14, 19)
                for down in range(16, int(height) - 10, 27)
                if draw.random() < (0.45 if dark else 0.85)
            )
            shine = "#ffdf8f" if dark else blend(wall, "#ffffff", 0.35)
            scene.shape(panes or "M0 0", shine, opacity=0.5 + 0.17 * row)
            x += width + draw.choice((0, 0, 6, 18))


def paint_woods(scene: Scene, base: float, height: float, nearness: float) -> None:
    """Paints one row of trees: only firs in winter and at night, otherwise firs and leafy trees."""
    draw, x = scene.random, -40.0
    color = scene.misty(scene.lit("#b8702c" if scene.wants("autumn") else "#2f6b3c"), nearness + 0.15)
    trees, snow, crowns = "", "", ""
    while x < scene.wide + 40:
        tall, foot = height * draw.uniform(0.7, 1.15), base + draw.uniform(-4, 10)
        if scene.winter or scene.time == "night" or draw.random() < 0.5:
            trees += fir(x, foot, tall)
            snow += fir(x, foot, tall, snow=True)
        else:
            trees += path("M", x - 4, foot, "v", -tall * 0.5, "h8v", tall * 0.5, "z")
            for dx, dy, share in ((0, 0.66, 0.3), (-0.21, 0.5, 0.21), (0.21, 0.52, 0.22)):
                r, top = tall * share, foot - tall * dy
                arc = path("a", r, r, "0 1 1", 2 * r, 0, "a", r, r, "0 1 1", -2 * r, "0z")
                crowns += path("M", x + dx * tall - r, top) + arc
        x += height * draw.uniform(0.2, 0.42)
    scene.shape(trees, color)
    if crowns:
        scene.shape(crowns, blend(color, scene.lit("#a9c95a"), 0.18))
    if scene.winter:
        scene.shape(snow, scene.misty(scene.lit("#ffffff"), 0.5 + nearness / 2), opacity=0.8)


def paint_clearing(scene: Scene) -> None:
    """Paints near firs at both edges, so that the middle becomes a clearing."""
    draw, below = scene.random, scene.high - scene.horizon
    leaf = scene.lit("#9a5a24" if scene.wants("autumn") else "#1f5a38")
    for side in (-1, 1):
        for at in range(2):
            foot = scene.horizon + below * (0.16 + 0.22 * at)
            tall = (0.5 + 0.2 * at) * min(scene.high, 1200) * draw.uniform(0.9, 1.1)
            x = scene.wide / 2 + side * (scene.wide / 2 - tall * (0.26 - 0.16 * at) * draw.uniform(0.6, 1.2))
            tone = scene.misty(leaf, 0.75 + 0.2 * at)
            scene.shape(fir(x, foot, tall), scene.gradient(scene.misty(tone, 0.88), blend(tone, "#001018", 0.25)))
            if scene.winter:
                scene.shape(fir(x, foot, tall, snow=True), scene.lit("#f2f7ff"), opacity=0.9)


def paint_ground(scene: Scene) -> None:
    """Paints the ground in three layers, far to near, with craters, ripples or grass."""
    draw, (far, near) = scene.random, scene.ground()
    top, deep = scene.horizon + 30, scene.high - scene.horizon
    for at in range(3):
        tone = blend(far, near, at / 3)
        fill = scene.gradient(scene.misty(tone, 0.7 + 0.1 * at), blend(tone, near, 0.5))
        scene.land(ridge(scene, top + deep * (0.05 + 0.26 * at), deep * 0.1, 0), fill)
    if scene.floor == "moon":
        for _ in range(14):
            down = draw.random()
            x, y, r = (
                draw.uniform(0, scene.wide),
                top + deep * (0.12 + 0.75 * down),
                14 + 60 * down * draw.random(),
            )
            scene.ellipse(x, y, r, r * 0.3, blend(near, "#000000", 0.2), opacity=0.6)
            scene.ellipse(x, y + r * 0.07, r * 0.9, r * 0.24, blend(far, near, 0.6))
    if scene.floor == "sand":
        for _ in range(22):
            x, y = draw.uniform(0, scene.wide), draw.uniform(top + deep * 0.2, scene.high)
            ripple = path("M", x, y, "q60 -12 120 0t120 0")
            scene.shape(ripple, stroke=blend(near, "#7a4a20", 0.25), stroke_width=2.5, opacity=0.28)
    if scene.floor in ("grass", "autumn"):
        paint_tufts(scene, top, near, flowers=not scene.wants("forest") and not scene.gray)
    if scene.wants("forest"):
        paint_clearing(scene)


def paint_tufts(scene: Scene, top: float, near: str, flowers: bool) -> None:
    """Paints tufts of grass and, with `flowers`, small flowers, larger towards the viewer."""
    draw, blades = scene.random, blend(near, "#0c2a12", 0.18)
    for _ in range(round(90 * max(1, scene.wide / 1200))):
        down = draw.random() ** 0.7
        x, y, s = draw.uniform(0, scene.wide), top + (scene.high - top) * (0.12 + 0.9 * down), 5 + 15 * down
        lean = draw.uniform(-0.3, 0.3) * s
        left = path("M", x - s * 0.6, y, "q", lean, -s, lean - 2, -s * 1.3, "q4", s * 0.5, s * 0.5, s * 1.2)
        right = path("q0", -s, s * 0.4 + lean, -s * 1.6, "q2", s * 0.7, s * 0.3, s * 1.7, "z")
        scene.shape(left + right, blades, opacity=0.55)
        if flowers and draw.random() < 0.35:
            petal = draw.choice(("#ffffff", "#ffe066", "#ff8fab", "#c9a7ff", "#ff7a5c"))
            for size, color in ((0.28, petal), (0.1, "#e8a020")):
                scene.ellipse(x + s, y - s * 0.8, s * size, s * size, scene.lit(color))


def paint_street(scene: Scene) -> None:
    """Paints a sidewalk, and in front of it a road with a dashed line."""
    far, near = scene.ground()
    kerb, road = scene.horizon + (scene.high - scene.horizon) * 0.3, scene.lit("#4c5060")
    scene.band(scene.horizon, kerb, scene.gradient(scene.misty(far, 0.7), far))
    scene.band(kerb, kerb + 12, blend(near, "#000000", 0.25))
    scene.band(kerb + 12, scene.high, scene.gradient(road, blend(road, "#000000", 0.3)))
    y = kerb + (scene.high - kerb) * 0.5
    dashes = "".join(path("M", x, y, "h90l-8 12h-92z") for x in range(-40, int(scene.wide) + 90, 180))
    scene.shape(dashes, scene.lit("#e8e4d0"), opacity=0.8)


def paint_weather(scene: Scene) -> None:
    """Paints fog, rain and snowflakes in front of all things, and a soft dark vignette."""
    draw, wide, high = scene.random, scene.wide, scene.high
    outside = not (scene.underwater or scene.space or scene.indoors)
    if scene.wants("fog") and outside:
        white = blend(scene.haze, "#ffffff", 0.35)
        for at in range(5):
            y = scene.horizon + (at - 2.2) * 0.11 * high
            fill = scene.gradient(white, white, white, opacity=(0, draw.uniform(0.4, 0.6), 0))
            scene.band(y - 0.12 * high, y + 0.12 * high, fill)
        scene.drawn.append("fog")
    if scene.wants("rain") and outside:
        drops = ""
        for _ in range(round(wide * high / 6500)):
            size = draw.uniform(0.6, 1.5)
            drops += path("M", draw.uniform(-40, wide + 40), draw.uniform(-40, high), "l", -11 * size, 42 * size)
        scene.shape(drops, stroke="#e3edf5", stroke_width=2.2, stroke_linecap="round", opacity=0.42)
        scene.drawn.append("rain")
    if scene.winter and outside:
        for _ in range(round(wide * high / 9000)):
            x, y, r = draw.uniform(0, wide), draw.uniform(0, high), 1.5 + 5 * draw.random() ** 3
            scene.ellipse(x, y, r, r, "#fff", opacity=draw.uniform(0.5, 0.9))
        scene.drawn.append("snow")
    paint_vignette(scene)


def paint_vignette(scene: Scene) -> None:
    """Darkens the corners. The clear middle is left out: a radial gradient is the dearest fill of all."""
    dark, reach, clear = "#000020", 0.78, 0.62
    where = f'cx=".5" cy=".5" r="{reach}"'
    edge = scene.gradient(dark, dark, dark, opacity=(0, 0, 0.26), radial=True, where=where, middle=clear)
    left, right, bottom = -5, scene.wide + 5, scene.high
    across, along = (side * reach * clear for side in (right - left, bottom))
    frame = path("M", left, 0, "H", right, "V", bottom, "H", left, "z")
    start = path("M", scene.wide / 2 - across, bottom / 2)
    hole = path("a", across, along, "0 1 0", 2 * across, 0, "a", across, along, "0 1 0", -2 * across, "0z")
    scene.shape(frame + start + hole, edge, fill_rule="evenodd")
