"""Decides a scene before it is painted: place, time of day, light, colors, horizon."""

import random
from collections.abc import Sequence

from . import nature
from .blocks import build
from .canvas import Canvas, Point, blend, rgb, web
from .grammar import Reading

__all__ = ["Scene"]

SKIES: dict[str, tuple[str, ...]] = {
    "sunset": ("#2b2a62", "#8c3f78", "#e9725a", "#ffcb74"),
    "dawn": ("#5a80c4", "#b9a6d6", "#ffcdb2", "#fff0d2"),
    "night": ("#060a22", "#132152", "#2d437f", "#5a70a8"),
    "space": ("#04030d", "#0d0826", "#1c1140"),
    "underwater": ("#7fdcec", "#2a9fc9", "#12639b", "#0b3d70"),
}
"""Sky colors from the top to the horizon, by time of day."""

DAY_SKIES = (
    ("#3b8ad6", "#82bfec", "#e3f2f8"),
    ("#1f6fc4", "#5aa6e4", "#cfe6f6"),
    ("#5aa9d6", "#a8d8e6", "#f6f3df"),
    ("#4a7fc9", "#a9c4ee", "#f3e9ee"),
)
"""Sky colors by day; the seed chooses one."""
GRASSES = ("#9cc766", "#4c8a38"), ("#b9c95e", "#6f8a35"), ("#7fc07a", "#3a7f4a"), ("#a8cf8a", "#5c9a52")
"""Grass colors, far and near; the seed chooses one pair."""

LIGHTS: dict[str, tuple[float, float, float]] = {
    "day": (1, 1, 1),
    "sunset": (0.95, 0.74, 0.70),
    "dawn": (1, 0.92, 0.90),
    "night": (0.46, 0.54, 0.80),
    "space": (0.92, 0.92, 1),
    "underwater": (0.78, 0.95, 1),
}
"""Factors for red, green and blue of everything in the light, by time of day."""

FLOORS: dict[str, tuple[str, str]] = {
    "snow": ("#fbfdff", "#c9daec"),
    "sand": ("#f4dba6", "#d8a963"),
    "autumn": ("#d9b45c", "#94682c"),
    "street": ("#9a9ca4", "#6a6c76"),
    "moon": ("#b9b9c6", "#6f6f82"),
    "seabed": ("#d9cf9c", "#8fa08a"),
    "table": ("#c99a66", "#a06a3e"),
    "room": ("#c08a54", "#9a6636"),
}
"""Ground colors, far and near; for grass see GRASSES."""


MOST = 48
"""With more things than this in one image, each is drawn at most twice."""

OUTDOORS = frozenset(
    {"meadow", "forest", "mountains", "sea", "beach", "desert", "city", "rain", "snow", "fog", "rainbow", "sunset"}
    | {"dawn", "moon", "autumn", "cloudy", "planet"}
)
"""With one of these settings, furniture alone does not make a room."""


class Scene(Canvas):
    """One scene: the prompt decides, and the seed decides the rest.

    Attributes:
        drawn: Names of everything drawn so far.
        horizon: The horizon's distance from the top, in canvas units.
        gray: How much the weather grays the sky, 0 to 1.
        left: Whether the land of a coast is on the left.
        reach: How far that land reaches into the image, in canvas units; 0 without land.
        grass: Grass colors, far and near.
        lamp: Position of the sun or moon.
        blocks: The things of the prompt in groups, scaled so that the tallest thing is 1 high.
        unit: Maximum height of the tallest thing, in canvas units.
    """

    def __init__(self, reading: Reading, width: int, height: int, seed: int) -> None:
        super().__init__(width, height)
        self.reading = reading
        self.random = random.Random(seed)  # noqa: S311
        self.drawn: list[str] = []
        self.lamp: Point = (0, 0)
        self.horizon = self.high * self.random.uniform(0.52, 0.6)
        self.left = self.random.random() < 0.5
        self.grass = self.random.choice(GRASSES)
        crowded = sum(subject.count for subject in reading.subjects) > MOST
        self.blocks = build(reading, self.random, 2 if crowded else MOST)
        natural = max((nature.height(subject.name) * subject.size for subject in reading.subjects), default=0)
        self.unit = (
            self.random.uniform(0.84, 1)
            * 1000
            * (0.48 + 0.34 * min(0.9, natural))
            * min(1.4, (self.high / 1000) ** 0.5)
        )
        self.choose_place()
        self.choose_time()

    def choose_place(self) -> None:
        """Sets the place: land, coast, beach, open water, under water, space, another planet, a room or a table."""
        names = [subject.name for subject in self.reading.subjects]
        anchors = [block.anchor for block in self.blocks]
        marine = {name for name in names if nature.kind(name) == "animal-marine"}
        deep = {*names} <= marine | nature.DIVING and not marine <= nature.SURFACING | nature.CRAWLING
        self.underwater = self.wants("underwater") or (deep and not self.wants("beach", "sunset", "night"))
        self.space = self.wants("space") and not self.underwater
        self.planet = self.wants("planet")
        goods = bool(names) and all(nature.kind(name).startswith(nature.INDOORS) for name in names)
        table = goods and not self.reading.settings
        room = self.wants("room") or (not table and self.furnished(names))
        self.indoors = table or (room and not (self.underwater or self.space))
        outside = not (self.underwater or self.space or self.indoors)
        self.beach = self.wants("beach") and outside
        self.water = outside and (self.wants("sea") or "water" in anchors)
        self.winter = self.wants("snow")
        places = {
            "room": self.indoors and room, "table": self.indoors, "seabed": self.underwater, "moon": self.planet,
            "snow": self.winter, "sand": self.beach or self.wants("desert"), "street": self.wants("city"),
            "autumn": self.wants("autumn"),
        }  # fmt: skip
        self.floor = next((floor for floor, chosen in places.items() if chosen), "grass")
        if self.floor == "room":
            self.horizon *= 1.12
        count = sum(block.anchor == "ground" for block in self.blocks)
        coast = self.water and not self.beach and count
        self.reach = self.wide * min(0.66, 0.4 + 0.08 * count) if coast else 0.0

    def furnished(self, names: Sequence[str]) -> bool:
        """Returns whether the prompt has furniture and nothing that belongs outdoors."""
        home = [nature.kind(name) == "furniture" or name in nature.HOME for name in names]
        light = [nature.kind(name).startswith("furniture") for name in names]
        outdoors = ("transport-", "place-", "sky-weather")
        if any(nature.kind(name).startswith(outdoors) or nature.anchor(name) == "water" for name in names):
            return False
        return any(home + light) and not OUTDOORS.intersection(self.reading.settings)

    def choose_time(self) -> None:
        """Sets the time of day; time, weather and place then set the colors of sky and light."""
        self.time = next((time for time in ("night", "sunset", "dawn", "day") if self.wants(time)), "")
        if not self.time:
            self.time = "night" if self.wants("moon", "stars") else "day"
        if self.underwater or self.space or self.planet:
            self.time = "underwater" if self.underwater else "space"
        if self.indoors:
            self.time = "day"
        self.gray = 0.55 if self.wants("rain") else 0.3 if self.wants("cloudy", "fog") else 0.0
        if self.winter and self.time == "day":
            self.gray = max(self.gray, 0.25)
        self.light = LIGHTS[self.time]
        colors = self.random.choice(DAY_SKIES) if self.time == "day" else SKIES[self.time]
        self.sky = [blend(color, self.lit("#aab4bd"), self.gray) for color in colors]
        self.haze = self.sky[-1]

    def wants(self, *settings: str) -> bool:
        """Returns whether the prompt names one of these settings of a scene, such as "night" or "beach"."""
        return any(setting in self.reading.settings for setting in settings)

    def lit(self, color: str) -> str:
        """Returns a color in the light of the scene."""
        return web(part * light for part, light in zip(rgb(color), self.light, strict=True))

    def misty(self, color: str, nearness: float) -> str:
        """Returns a color in the haze of the scene; `nearness` is 0 (far, all haze) to 1 (near)."""
        return blend(self.haze, color, nearness)

    def ground(self) -> tuple[str, str]:
        """Returns the ground colors, far and near, in the light of the scene; snow is brightened."""
        colors = self.grass if self.floor == "grass" else FLOORS[self.floor]
        far, near = (self.lit(color) for color in colors)
        if self.floor == "snow":
            return blend(far, "#ffffff", 0.3), blend(near, "#ffffff", 0.12)
        return far, near

    def water_color(self) -> str:
        """Returns the color of open water at this time of day and in this weather."""
        color = {"day": "#1f7fae", "sunset": "#4d4a84", "dawn": "#5f7fae"}.get(self.time, self.lit("#2b6a9c"))
        return blend(color, self.lit("#5d6f7d"), self.gray)
