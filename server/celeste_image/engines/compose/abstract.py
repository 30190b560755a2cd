"""Paints an abstract image, for a prompt without any known word."""

import colorsys

from .canvas import blend, path, web
from .outlines import ridge
from .scene import Scene

__all__ = ["paint"]


def paint(scene: Scene) -> None:
    """Paints abstract shapes in matching colors."""
    draw, hue = scene.random, scene.random.random()
    turns = ((0, 0.2), (0.06, 0.42), (0.12, 0.62), (0.5, 0.6), (0.56, 0.75), (0.94, 0.5))
    tones = [web(colorsys.hls_to_rgb((hue + turn) % 1, light, 0.55)) for turn, light in turns]
    scene.band(0, scene.high, scene.gradient(*tones[:3]))
    for at in range(round(min(60, 16 * scene.wide * scene.high / 1e6))):
        x, y, r = draw.uniform(0, scene.wide), draw.uniform(0, scene.high), 40 + 210 * draw.random() ** 2
        fill = scene.gradient(draw.choice(tones[1:]), draw.choice(tones[2:]))
        turn, opacity = f"rotate({draw.uniform(0, 360):.0f} {x:.0f} {y:.0f})", draw.uniform(0.35, 0.8)
        if at % 3 == 0:
            scene.ellipse(x, y, r, r, fill, opacity=opacity, transform=turn)
        elif at % 3 == 1:
            scene.ellipse(x, y, r, r, "none", stroke=fill, stroke_width=r * 0.16, opacity=opacity, transform=turn)
        else:
            arc = path("M", x - r, y, "a", r * 1.3, r * 1.3, "0 0 1", 2 * r, 0, "a", r * 1.3, r * 1.3, "0 0 1")
            scene.shape(arc + path(-2 * r, "0z"), fill, opacity=opacity, transform=turn)
    for at in range(4):
        tone = blend(tones[1 + at % 3], tones[0], 0.2 + 0.2 * at)
        scene.land(ridge(scene, scene.high * (0.8 + 0.07 * at), 160, 0), tone, opacity=0.75)
