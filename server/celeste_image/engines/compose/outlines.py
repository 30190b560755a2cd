"""Outlines that several painters share: ridges of hills and crags, and firs."""

from itertools import pairwise

from .canvas import Point, path
from .scene import Scene

__all__ = ["fir", "ridge"]


def ridge(scene: Scene, base: float, height: float, rough: float) -> list[Point]:
    """Returns the outline of a ridge from edge to edge; `rough` is 0 (hills) to 1 (crags)."""
    draw = scene.random
    count = max(2, round(scene.wide / draw.uniform(380, 640)))
    low = (0.3, 0.6) if rough == 1 else (0.1, 0.4)
    heights = [draw.uniform(*low) if at % 2 else draw.uniform(0.6, 1) for at in range(count * 2 + 1)]
    if draw.random() < 0.5:
        heights = heights[1:]
    spread = 0.22 * rough
    # Midpoint displacement: the middle of each segment moves up or down, by half as much in each round.
    for _ in range(6 if rough else 0):
        halves = [(a, (a + b) / 2 + draw.uniform(-spread, spread)) for a, b in pairwise(heights)]
        heights = [height for half in halves for height in half] + heights[-1:]
        spread /= 2
    step = (scene.wide + 80) / (len(heights) - 1)
    return [(at * step - 40, base - height * value) for at, value in enumerate(heights)]


def fir(x: float, foot: float, tall: float, snow: bool = False) -> str:
    """Returns the outline of a fir or, with `snow`, of the snow on its branches, as SVG path data."""
    trunk = path("M", x - tall * 0.03, foot, "v", -tall * 0.2, "h", tall * 0.06, "v", tall * 0.2, "z")
    outline = "" if snow else trunk
    for low, high, half in ((0.1, 0.5, 0.23), (0.32, 0.74, 0.18), (0.56, 1.0, 0.125)):
        bottom, top, wide = foot - tall * low, foot - tall * high, tall * half
        deep = (bottom - top) * 0.16
        if snow:
            bottom, wide = top + (bottom - top) * 0.62, wide * 0.62
        outline += path("M", x, top, "L", x + wide, bottom)
        for at in range(4):
            inward, drip = x + wide * (0.5 - 0.5 * at), bottom - deep * 0.2 * (at < 3)
            outline += path("Q", inward + wide * 0.25, bottom + deep, inward, drip)
        outline += "z"
    return outline
