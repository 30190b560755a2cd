"""Writes SVG: color functions, paths, and a canvas of shapes that the painters of a scene use."""

import colorsys
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

__all__ = ["Canvas", "Point", "blend", "curve", "lighted", "path", "recolored", "rgb", "web"]

Point = tuple[float, float]


def rgb(color: str) -> tuple[float, float, float]:
    """Returns red, green and blue, 0 to 1, of #rgb or #rrggbb."""
    digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
    return int(digits[:2], 16) / 255, int(digits[2:4], 16) / 255, int(digits[4:6], 16) / 255


def web(parts: Iterable[float]) -> str:
    """Returns #rrggbb for red, green and blue, which are clipped to 0 to 1."""
    return "#" + "".join(f"{round(255 * min(1, max(0, part))):02x}" for part in parts)


def blend(one: str, other: str, share: float) -> str:
    """Returns the color between two colors; `share` is 0 (the first) to 1 (the second)."""
    return web(a + (b - a) * share for a, b in zip(rgb(one), rgb(other), strict=True))


HEX = re.compile(r"#(?:[0-9a-f]{6}|[0-9a-f]{3})\b(?!\))", re.I)
"""A color in a drawing. A match before a closing bracket is excluded: it is the name of a gradient."""


def lighted(body: str, light: Sequence[float]) -> str:
    """Returns a drawing with its red, green and blue multiplied by those of a light."""
    return HEX.sub(lambda match: web(a * b for a, b in zip(rgb(match[0]), light, strict=True)), body)


def recolored(body: str, color: str, grays: bool = False) -> str:
    """Returns a drawing with its hues changed to `color`; light and dark parts keep their contrast.

    Near-grays stay unless `grays` is set, for drawings that are mostly gray. Near-black and white always stay.
    """
    hue, own, strength = colorsys.rgb_to_hls(*rgb(color))
    lightness = sum(rgb(color)) / 3

    def moved(match: re.Match[str]) -> str:
        _, light, saturation = colorsys.rgb_to_hls(*rgb(match[0]))
        if (saturation < 0.25 and not grays) or light < 0.1 or light > 0.97:
            return match[0]
        if strength < 0.12:
            own_share = 0.2 if lightness > 0.85 else 0.4
            return web([light * own_share + lightness * (1 - own_share)] * 3)
        strong = 0.35 * saturation + 0.65 * strength
        return web(colorsys.hls_to_rgb(hue, light * 0.5 + own * 0.5, strong))

    return HEX.sub(moved, body)


def path(*parts: str | float) -> str:
    """Returns SVG path data: texts unchanged, numbers rounded to a tenth."""
    return " ".join(part if isinstance(part, str) else f"{part:.1f}" for part in parts)


def curve(points: Sequence[Point]) -> str:
    """Returns a smooth line through points as SVG path data, to append after a move to the first point."""
    return "".join(path("C", (x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1) for (x0, y0), (x1, y1) in pairwise(points))


class Canvas:
    """Shapes from back to front. The short side is 1000 units, so that a scene looks the same at every size."""

    def __init__(self, width: int, height: int) -> None:
        self.wide, self.high = 1000 * width / min(width, height), 1000 * height / min(width, height)
        self.layers: list[str] = []
        self.defs: list[str] = []

    def add(self, *shapes: str) -> None:
        """Adds shapes in front of the existing ones."""
        self.layers.extend(shapes)

    def shape(self, data: str, fill: str = "none", **more: str | float) -> None:
        """Adds a path; `more` are SVG attributes, with `_` in place of `-`."""
        self.add(f'<path d="{data}" fill="{fill}"{attributes(more)}/>')

    def ellipse(self, x: float, y: float, across: float, along: float, fill: str, **more: str | float) -> None:
        """Adds an ellipse by its center and its horizontal and vertical radius."""
        place = f'cx="{x:.1f}" cy="{y:.1f}" rx="{across:.1f}" ry="{along:.1f}"'
        self.add(f'<ellipse {place} fill="{fill}"{attributes(more)}/>')

    def band(self, top: float, bottom: float, fill: str, **more: str | float) -> None:
        """Adds a rectangle over the whole width, from `top` to `bottom`."""
        self.shape(path("M", -5, top, "H", self.wide + 5, "V", bottom, "H", -5, "z"), fill, **more)

    def land(self, points: Sequence[Point], fill: str, smooth: bool = True, **more: str | float) -> None:
        """Fills the area from an outline down to the bottom of the image."""
        line = curve(points) if smooth else path(*(part for x, y in points[1:] for part in ("L", x, y)))
        (x, y), end = points[0], self.high + 5
        self.shape(path("M", x, y) + line + path("V", end, "H", x, "z"), fill, **more)

    def gradient(
        self,
        *colors: str,
        opacity: Sequence[float] = (),
        radial: bool = False,
        where: str = "",
        middle: float = 0.5,
    ) -> str:
        """Returns a gradient fill from top to bottom or, if `radial`, from the center outward.

        `opacity` has one number per color, 1 for all if empty. `where` is the gradient's position as SVG attributes.
        `middle` is the offset, 0 to 1, of the second of three colors.
        """
        offsets = [0, middle, 1] if len(colors) == 3 else [at / (len(colors) - 1) for at in range(len(colors))]
        stops = "".join(
            f'<stop offset="{offset:.3f}" stop-color="{color}" stop-opacity="{strength}"/>'
            for offset, color, strength in zip(offsets, colors, opacity or [1] * len(colors), strict=True)
        )
        name, tag = f"g{len(self.defs)}", "radialGradient" if radial else "linearGradient"
        where = where or ("" if radial else 'x1="0" y1="0" x2="0" y2="1"')
        self.defs.append(f'<{tag} id="{name}" {where}>{stops}</{tag}>')
        return f"url(#{name})"

    def glow(self, x: float, y: float, radius: float, color: str, strength: float) -> None:
        """Adds a disk of light that fades outward."""
        self.ellipse(x, y, radius, radius, self.gradient(color, color, opacity=(strength, 0), radial=True))

    def svg(self, width: int, height: int) -> str:
        """Returns the canvas as painted so far as an SVG document with a size in pixels."""
        body = f"<defs>{''.join(self.defs)}</defs>{''.join(self.layers)}"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            f' width="{width}" height="{height}" viewBox="0 0 {self.wide:.2f} {self.high:.2f}"'
            f' preserveAspectRatio="none">{body}</svg>'
        )


def attributes(more: dict[str, str | float]) -> str:
    """Returns attributes in SVG syntax, numbers rounded to a thousandth."""
    texts = {name: value if isinstance(value, str) else f"{value:.3f}" for name, value in more.items()}
    return "".join(f' {name.replace("_", "-")}="{text}"' for name, text in texts.items())
