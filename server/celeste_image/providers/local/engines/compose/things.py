"""Finds each thing its place in a scene and paints it there, with shadow, reflection or footing."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from . import nature
from .canvas import blend, path, recoloured
from .scene import Scene
from .vocabulary import Subject, art

__all__ = ["Placed", "paint", "place"]

TRIES = 70
MOST = 48
"""Things in one picture; beyond that, no more than two of each."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A thing with its place: the middle of its foot, its size, and how far it leans, in degrees."""

    subject: Subject
    anchor: str
    height: float
    width: float
    x: float = 0
    y: float = 0
    turn: float = 0

    def overlap(self, other: "Placed") -> float:
        """Returns the shared area as a part of the smaller of the two."""
        across = min(self.x + self.width / 2, other.x + other.width / 2)
        across -= max(self.x - self.width / 2, other.x - other.width / 2)
        along = min(self.y, other.y) - max(self.y - self.height, other.y - other.height)
        smaller = min(self.width * self.height, other.width * other.height)
        return max(0, across) * max(0, along) / smaller


def place(scene: Scene) -> list[Placed]:
    """Returns every thing in its place, far ones first."""
    sizes: list[tuple[Subject, str, float, float]] = []
    copies = MOST if sum(subject.count for subject in scene.reading.subjects) <= MOST else 2
    for subject in scene.reading.subjects:
        left, top, right, bottom = art()["things"][subject.name]["box"]
        height, width = bottom - top, right - left
        scale = 1000 * nature.height(subject.name) * subject.size / max(height, 0.72 * width)
        anchor = nature.anchor(subject.name)
        if scene.space:
            anchor = "space"
        elif scene.underwater and anchor != "ground":
            anchor = "swim"
        sizes += [(subject, anchor, height * scale, width * scale)] * min(subject.count, copies)
    if not sizes:
        return []
    # A lone beetle fills its picture as a castle does; a crowd has to share the room.
    most = 1.4 if all(anchor == "sky" for _, anchor, _, _ in sizes) else math.inf
    most = min(most, math.sqrt(0.3 * scene.wide * scene.high / sum(height * width for _, _, height, width in sizes)))
    share = min(max(1, 400 / max(height for _, _, height, _ in sizes)), most)
    land = sum(width for _, anchor, _, width in sizes if anchor == "ground") * share
    narrow = min(1, scene.reach * 0.8 / land) if scene.reach and land else 1
    placed: list[Placed] = []
    for subject, anchor, height, width in sizes:
        own = share * (narrow if anchor == "ground" else 1)
        placed.append(settle(scene, Placed(subject, anchor, height * own, width * own), placed))
    return sorted(placed, key=lambda thing: (thing.anchor in ("ground", "water", "hover"), thing.y))


def settle(scene: Scene, thing: Placed, others: Sequence[Placed]) -> Placed:
    """Returns a thing at the best of some places: clear of the others, and not far from its own kind."""
    best, found = math.inf, thing
    for _ in range(TRIES):
        spot = choose(scene, thing, scene.random.random(), scene.random.random())
        cost = sum(2.5 * spot.overlap(other) for other in others)
        if not others and not scene.reach:
            # The first thing of a prompt is its subject; a third of the way is where the eye looks.
            cost += 1.2 * min(abs(spot.x / scene.wide - 0.36), abs(spot.x / scene.wide - 0.64))
        for other in others:
            if other.subject is thing.subject:
                cost += 0.3 * max(0, abs(other.x - spot.x) / scene.wide - 0.5)
        if thing.anchor == "water" and scene.reach:
            inland = spot.x if scene.left else scene.wide - spot.x
            cost += 0.02 * max(0, scene.reach * 1.04 + spot.width * 0.5 - inland)
        if cost < best:
            best, found = cost, spot
    return found


def choose(scene: Scene, thing: Placed, x: float, depth: float) -> Placed:
    """Returns a thing at `x` across and `depth` towards the viewer, both 0 to 1, of its own region.

    What is farther stands higher and is smaller.
    """
    height, width, horizon, below = thing.height, thing.width, scene.horizon, scene.high - scene.horizon
    tall = height > 430
    near, turn = 1.0, 0.0
    across = width / 2 + 20 + x * max(0, scene.wide - width - 40)
    if thing.anchor in ("sky", "space"):
        near = 0.8 + 0.2 * depth
        lowest = scene.high * 0.92 if scene.space else horizon * 0.86
        y = height * near + 24 + depth * max(0, lowest - height * near - 24)
        turn = (x - 0.5) * 40 if scene.space else 0
    elif thing.anchor == "swim":
        near = 0.7 + 0.3 * depth
        y = height * near + 40 + depth * max(0, scene.high * 0.84 - height * near - 40)
    elif thing.anchor == "water":
        near = 0.5 + 0.5 * depth
        y = horizon + below * (0.08 + 0.3 * depth if scene.beach else 0.16 + 0.62 * depth)
    elif scene.underwater:
        y = scene.high * (0.86 + 0.1 * depth)
    elif scene.indoors:
        y = horizon + below * (0.3 + 0.6 * depth)
    elif scene.reach:
        near = 0.75 + 0.25 * depth
        inland = width / 2 + 14 + x * max(0, scene.reach * 0.8 - width)
        across = inland if scene.left else scene.wide - inland
        y = horizon + below * (0.1 + (0.12 if tall else 0.3) * depth + 0.04 * (inland > scene.reach / 2))
    elif scene.beach:
        y = horizon + below * (0.52 + 0.14 * depth if tall else 0.62 + 0.32 * depth)
    elif tall:
        near = 0.7 + 0.3 * depth
        y = horizon + below * (0.2 + 0.32 * depth)
    else:
        near = 0.62 + 0.38 * depth
        y = horizon + below * (0.42 + 0.5 * depth)
    if thing.anchor == "hover":
        y -= (0.1 + 0.3 * x) * scene.high * 0.6
    # What is too tall or too wide for its place is made smaller, not cut off.
    near *= min(1, (y - 0.035 * scene.high) / (height * near), 0.94 * scene.wide / (width * near))
    return Placed(thing.subject, thing.anchor, height * near, width * near, across, y, turn)


def paint(scene: Scene) -> None:
    """Paints all things."""
    red, green, blue = (0.42 + 0.58 * part for part in scene.light)
    matrix = f"{red:.3f} 0 0 0 0 0 {green:.3f} 0 0 0 0 0 {blue:.3f} 0 0 0 0 0 1 0"
    scene.defs.append(
        f'<filter id="lit" color-interpolation-filters="sRGB"><feColorMatrix values="{matrix}"/></filter>'
    )
    dark = "#000018"
    shadow = scene.gradient(dark, dark, dark, opacity=(0.42, 0.28, 0), radial=True)
    scene.drawn[:0] = [subject.name for subject in scene.reading.subjects]
    for thing in place(scene):
        x, y, width = thing.x, thing.y, thing.width
        use = f'<use xlink:href="#{define(scene, thing.subject)}" transform="{move(scene, thing)}"/>'
        if thing.anchor == "water":
            paint_afloat(scene, thing, use)
            continue
        if thing.anchor == "ground":
            scene.ellipse(x, y - 2, width * 0.56, max(6, width * 0.09), shadow)
        elif thing.anchor == "hover":
            scene.ellipse(x, min(scene.high - 20, y + 160), width * 0.3, width * 0.05, shadow)
        if thing.subject.name == "lighthouse" and scene.time in ("night", "sunset", "dawn"):
            paint_beam(scene, x, y - thing.height * 0.79, thing.height)
        scene.add(f'<g filter="url(#lit)">{use}</g>')
        if thing.anchor == "ground" and not nature.kind(thing.subject.name).startswith("place-"):
            paint_footing(scene, thing)


def define(scene: Scene, subject: Subject) -> str:
    """Returns the id of a thing's drawing, put among the definitions when first asked for."""
    name = re.sub(r"\W", "-", subject.name + subject.colour)
    if not any(text.startswith(f'<g id="{name}">') for text in scene.defs):
        body = str(art()["things"][subject.name]["body"])
        body = recoloured(body, subject.colour) if subject.colour else body
        # Gradients inside two drawings may have one name.
        body = re.sub(r'id="|url\(#|href="#', lambda match: f"{match[0]}{name}-", body)
        scene.defs.append(f'<g id="{name}">{body}</g>')
    return name


def move(scene: Scene, thing: Placed) -> str:
    """Returns the transform that brings a drawing to its place, mirrored or not as the seed says."""
    left, top, right, bottom = art()["things"][thing.subject.name]["box"]
    scale = thing.height / (bottom - top)
    flip = -1 if scene.random.random() < 0.5 else 1
    return (
        f"translate({thing.x:.1f} {thing.y:.1f}) rotate({thing.turn:.1f} 0 {-thing.height / 2:.1f})"
        f" scale({scale * flip:.4f} {scale:.4f}) translate({-(left + right) / 2:.1f} {-bottom})"
    )


def paint_afloat(scene: Scene, thing: Placed, use: str) -> None:
    """Paints a thing in water: its reflection, what is above the surface, and a little wash before it."""
    x, y, width = thing.x, thing.y, thing.width
    sunk = nature.SUNK.get(thing.subject.name, 0.02) * thing.height
    clip = f"c{len(scene.defs)}"
    scene.defs.append(f'<clipPath id="{clip}"><path d="M-999 -999H{scene.wide + 999:.0f}V{y:.1f}H-999z"/></clipPath>')
    lit = f'<g filter="url(#lit)" clip-path="url(#{clip})"><g transform="translate(0 {sunk:.1f})">{use}</g></g>'
    scene.add(f'<g transform="translate(0 {2 * y - 6:.1f}) scale(1 -1)" opacity=".2">{lit}</g>', lit)
    deep, step = 0.05 * thing.height + 4, width * 1.12 / 6
    crest = path("M", x - width * 0.56, y - deep * 0.5) + path("q", step / 2, -deep * 0.7, step, 0) * 6
    foot = path("q", -width * 0.2, deep * 2, -width * 0.56, deep * 2, "t", -width * 0.56, -deep * 2, "z")
    scene.shape(crest + foot, blend(scene.water_colour(), "#0a3050", 0.15), opacity=0.75)
    scene.shape(crest, stroke="#fff", stroke_width=1.5 + width / 200, stroke_linecap="round", opacity=0.6)


def paint_beam(scene: Scene, x: float, y: float, height: float) -> None:
    """Paints the light of a lighthouse, towards open water."""
    far = (1 if scene.left else -1) * height * 1.5
    where = f'gradientUnits="userSpaceOnUse" cx="{x:.1f}" cy="{y:.1f}" r="{height * 1.5:.1f}"'
    ray = scene.gradient("#fff3c0", "#fff3c0", opacity=(0.5, 0), radial=True, where=where)
    scene.shape(path("M", x, y, "L", x + far, y - height * 0.24, "V", y + height * 0.1, "z"), ray)
    scene.glow(x, y, height * 0.2, "#ffefab", 0.9)


def paint_footing(scene: Scene, thing: Placed) -> None:
    """Paints a little grass or snow before the foot of a thing, so that it stands in its ground."""
    draw, (far, near), (x, y, width) = scene.random, scene.ground(), (thing.x, thing.y, thing.width)
    if scene.floor == "snow":
        for at in (-0.3, 0.05, 0.34):
            r = width * draw.uniform(0.16, 0.24)
            heap = path("M", x + at * width - r, y + 5, "q", r, -r * 0.5, 2 * r, "0z")
            scene.shape(heap, blend(far, near, 0.25))
    elif scene.floor in ("grass", "autumn"):
        blades = ""
        for _ in range(max(6, int(width / 14))):
            tall = draw.uniform(8, 20)
            start = path("M", x + draw.uniform(-0.5, 0.5) * width, y + 5)
            blades += start + path("l", draw.uniform(-4, 4), -tall, "l5", tall, "z")
        scene.shape(blades, blend(near, "#16401c", 0.25))
