"""Paints each thing at its place in a scene, with its shadow, its reflection, or grass at its foot."""

import re

from . import nature
from .blocks import Placed
from .canvas import blend, lighted, path, recolored
from .grammar import Subject
from .layout import place
from .scene import Scene
from .vocabulary import art, drawing

__all__ = ["paint"]


def paint(scene: Scene) -> None:
    """Paints all things of a scene."""
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
        if thing.subject.name == "lighthouse" and scene.time in ("night", "sunset", "dawn"):
            paint_beam(scene, x, y - thing.height * 0.79, thing.height)
        if thing.subject.name in nature.LUMINOUS and scene.time == "night":
            scene.glow(x, y - thing.height * 0.55, thing.height * 1.3, "#ffb347", 0.5)
        scene.add(use)
        if thing.anchor == "ground" and not nature.kind(thing.subject.name).startswith(("place-", "furniture")):
            paint_footing(scene, thing)


def define(scene: Scene, subject: Subject) -> str:
    """Returns the id of a thing's drawing, and adds the drawing to the SVG definitions at the first call."""
    name = re.sub(r"\W", "-", subject.name + subject.color)
    if not any(text.startswith(f'<g id="{name}">') for text in scene.defs):
        body = drawing(subject.name)
        if subject.color:
            body = recolored(body, subject.color, grays=art()["things"][subject.name]["grey"])
        if scene.light != (1, 1, 1) and subject.name not in nature.LUMINOUS:
            # Things keep more of their own colors than the ground does, so that they stay recognizable.
            body = lighted(body, [0.42 + 0.58 * part for part in scene.light])
        # Two drawings may use the same id for a gradient, so ids get the drawing's name as a prefix.
        body = re.sub(r'id="|url\(#|href="#', lambda match: f"{match[0]}{name}-", body)
        scene.defs.append(f'<g id="{name}">{body}</g>')
    return name


def move(scene: Scene, thing: Placed) -> str:
    """Returns the SVG transform that puts a drawing at its place; the seed decides whether it is mirrored."""
    left, top, right, bottom = art()["things"][thing.subject.name]["box"]
    scale = thing.height / (bottom - top)
    flip = -1 if scene.random.random() < 0.5 else 1
    return (
        f"translate({thing.x:.1f} {thing.y:.1f}) rotate({thing.turn:.1f} 0 {-thing.height / 2:.1f})"
        f" scale({scale * flip:.4f} {scale:.4f}) translate({-(left + right) / 2:.1f} {-bottom})"
    )


def paint_afloat(scene: Scene, thing: Placed, use: str) -> None:
    """Paints a thing in water: its reflection, the part above the surface, and a wave in front."""
    x, y, width = thing.x, thing.y, thing.width
    sunk = nature.SUNK.get(thing.subject.name, 0.02) * thing.height
    clip = f"c{len(scene.defs)}"
    scene.defs.append(f'<clipPath id="{clip}"><path d="M-999 -999H{scene.wide + 999:.0f}V{y:.1f}H-999z"/></clipPath>')
    lit = f'<g clip-path="url(#{clip})"><g transform="translate(0 {sunk:.1f})">{use}</g></g>'
    scene.add(f'<g transform="translate(0 {2 * y - 6:.1f}) scale(1 -1)" opacity=".2">{lit}</g>', lit)
    deep, step = 0.05 * thing.height + 4, width * 1.12 / 6
    crest = path("M", x - width * 0.56, y - deep * 0.5) + path("q", step / 2, -deep * 0.7, step, 0) * 6
    foot = path("q", -width * 0.2, deep * 2, -width * 0.56, deep * 2, "t", -width * 0.56, -deep * 2, "z")
    scene.shape(crest + foot, blend(scene.water_color(), "#0a3050", 0.15), opacity=0.75)
    scene.shape(crest, stroke="#fff", stroke_width=1.5 + width / 200, stroke_linecap="round", opacity=0.6)


def paint_beam(scene: Scene, x: float, y: float, height: float) -> None:
    """Paints the beam of a lighthouse, pointing to open water."""
    far = (1 if scene.left else -1) * height * 1.5
    where = f'gradientUnits="userSpaceOnUse" cx="{x:.1f}" cy="{y:.1f}" r="{height * 1.5:.1f}"'
    ray = scene.gradient("#fff3c0", "#fff3c0", opacity=(0.5, 0), radial=True, where=where)
    scene.shape(path("M", x, y, "L", x + far, y - height * 0.24, "V", y + height * 0.1, "z"), ray)
    scene.glow(x, y, height * 0.2, "#ffefab", 0.9)


def paint_footing(scene: Scene, thing: Placed) -> None:
    """Paints grass or snow in front of a thing's foot, so that it stands in the ground and not on it."""
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
