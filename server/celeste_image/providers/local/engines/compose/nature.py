"""What a thing is by nature: how tall it is, and whether it belongs in the sky, in water or on the ground."""

from .vocabulary import art, listed

__all__ = ["CRAWLING", "INDOORS", "SUNK", "SURFACING", "anchor", "height", "kind"]

HEIGHTS: dict[float, str] = {
    0.13: "animal-bug, mouse, star, glowing star",
    0.16: "flying bird, dove, rat, hedgehog, shrimp",
    0.19: "hamster, chipmunk, frog, bat, bat, duck, snake, lizard, crab, fire, comet",
    0.22: "plant-flower, plant-other, eagle, owl, turtle, rock, wood",
    0.25: "animal-bird, transport-air, rabbit, swan, fish, tropical fish, canoe",
    0.29: "animal-marine, sky-weather, bicycle",
    0.35: "animal-mammal, animal-reptile, transport-ground, transport-water, tent, phoenix, snowman without snow",
    0.4: "person, person-activity, person-fantasy, person-sport, cactus, orca, fountain, hot air balloon, bus"
    ", desert island",
    0.46: "horse, camel, two-hump camel, moose, ship, ferry, passenger ship, whale",
    0.55: "elephant, mammoth, dragon, spouting whale",
    0.61: "place-building, place-religious, place-geographic, place-other, deciduous tree, palm tree, t-rex"
    ", leafless tree, christmas tree",
    0.67: "evergreen tree, giraffe, windmill, castle, sauropod",
    0.84: "statue of liberty, tokyo tower",
    0.92: "lighthouse",
}
"""Height near the viewer, as a share of the picture's short side, of kinds and names."""
HEIGHT_BY_NAME = {name: share for share, names in HEIGHTS.items() for name in listed(names)}
DEFAULT_HEIGHT = 0.22

FLYING = listed(
    "dove, eagle, phoenix, flying bird, bat, comet, ringed planet, star, glowing star, high voltage, kite"
    ", balloon, fairy, superhero, genie, sparkles, snowflake, flying disc"
)
HOVERING = listed("butterfly, honeybee, fly, mosquito")
AFLOAT = listed("duck, swan, person surfing, person swimming, person rowing boat, mermaid, desert island")
GROUNDED = listed("seat, anchor, ring buoy, aerial tramway, mountain cableway, suspension railway")
SURFACING = listed("whale, spouting whale, dolphin, orca, seal")
"""Of the sea's animals, those that are seen from above the water."""
CRAWLING = listed("crab, lobster, coral, spiral shell, oyster")
INDOORS = (
    "food-", "drink", "dishware", "book", "computer", "phone", "writing", "office", "household", "light",
    "science", "time", "arts", "mail",
)  # fmt: skip
"""Kinds of things that, when there is nothing else, stand on a table and not in a meadow."""
SUNK: dict[str, float] = {
    "duck": 0.2, "swan": 0.06, "whale": 0.07, "spouting whale": 0.07, "shark": 0.2, "fish": 0.3, "orca": 0.2,
    "dolphin": 0.2, "tropical fish": 0.3, "mermaid": 0.2, "octopus": 0.4, "seal": 0.1,
}  # fmt: skip
"""The part of a thing, from its foot, that is under water when it swims; of others a fiftieth is."""


def kind(name: str) -> str:
    """Returns the group that a thing belongs to, as emojibase has them: "animal-bird", "place-building"."""
    return str(art()["things"][name]["kind"])


def height(name: str) -> float:
    """Returns how tall a thing is near the viewer, as a share of the picture's short side."""
    return HEIGHT_BY_NAME.get(name, HEIGHT_BY_NAME.get(kind(name), DEFAULT_HEIGHT))


def anchor(name: str) -> str:
    """Returns where a thing belongs: sky, hover, water or ground."""
    if name in GROUNDED | CRAWLING:
        return "ground"
    if name in FLYING or kind(name) == "transport-air":
        return "sky"
    if name in HOVERING:
        return "hover"
    return "water" if name in AFLOAT or kind(name) in ("transport-water", "animal-marine") else "ground"
