"""Table of the things in a scene: usual height, usual setting, and how other things rest on or inside each."""

from .vocabulary import art, listed

__all__ = [
    "ALOFT",
    "CANOPIES",
    "CRAWLING",
    "DIVING",
    "FRAMES",
    "HATS",
    "HOME",
    "INDOORS",
    "LUMINOUS",
    "SUNK",
    "SURFACING",
    "anchor",
    "height",
    "kind",
    "living",
    "seat",
]

HEIGHTS: dict[float, str] = {
    0.13: "animal-bug, mouse, star, glowing star",
    0.16: "flying bird, dove, rat, hedgehog, shrimp, seagull, leaf",
    0.19: "hamster, chipmunk, frog, bat, bat, duck, snake, lizard, crab, fire, comet, goldfish, furniture-flat",
    0.22: "plant-flower, plant-other, eagle, owl, turtle, rock, wood, furniture-small",
    0.25: "animal-bird, transport-air, rabbit, swan, fish, tropical fish, canoe, place-small, sport-gear, stool",
    0.29: "animal-marine, sky-weather, bicycle, chair, armchair, cabinet, sink, toilet",
    0.35: "animal-mammal, animal-reptile, transport-ground, transport-water, tent, phoenix, snowman without snow"
    ", boy, girl, furniture, bathtub, bed, couch and lamp",
    0.4: "person, person-activity, person-fantasy, person-sport, cactus, orca, fountain, hot air balloon, bus"
    ", desert island, refrigerator, bookshelf, coat rack, door, elevator, shower, statue",
    0.46: "horse, camel, two-hump camel, moose, ship, ferry, passenger ship, whale",
    0.55: "elephant, mammoth, dragon, spouting whale, bridge",
    0.61: "place-building, place-religious, place-geographic, place-other, deciduous tree, palm tree, t-rex"
    ", leafless tree, christmas tree",
    0.67: "evergreen tree, giraffe, windmill, castle, sauropod",
    0.84: "statue of liberty, tokyo tower",
    0.92: "lighthouse",
}
"""Height near the viewer by name or kind, as a share of the image's short side."""
HEIGHT_BY_NAME = {name: share for share, names in HEIGHTS.items() for name in listed(names)}
DEFAULT_HEIGHT = 0.22

FLYING = listed(
    "dove, eagle, phoenix, flying bird, seagull, bat, comet, ringed planet, star, glowing star, high voltage, kite"
    ", balloon, fairy, superhero, genie, sparkles, snowflake, flying disc"
)
HOVERING = listed("butterfly, honeybee, fly, mosquito")
AFLOAT = listed("duck, swan, person surfing, person swimming, person rowing boat, mermaid, desert island")
GROUNDED = listed("seat, anchor, ring buoy, aerial tramway, mountain cableway, suspension railway")
SURFACING = listed("whale, spouting whale, dolphin, orca, seal")
"""Sea animals that are visible from above the water."""
DIVING = listed("turtle, mermaid, person swimming, treasure chest, anchor, diving mask, crocodile")
"""Other things that are plausible under water."""
CRAWLING = listed("crab, lobster, coral, spiral shell, oyster")
INDOORS = (
    "food-", "drink", "dishware", "book", "computer", "phone", "writing", "office", "household", "light",
    "science", "time", "arts", "mail", "furniture-small", "money", "lock",
)  # fmt: skip
"""Kinds of things that stand on a table, and not in a meadow, if the prompt names only such things."""
HOME = listed(
    "bed, chair, couch and lamp, door, window, mirror, bathtub, toilet, shower, elevator, framed picture, piano"
)
"""Things that belong in a room, beside those of kind "furniture"."""
HUNG = listed("window, mirror, framed picture, mantelpiece clock, towel")
"""Things that hang on the wall of a room."""
SUNK: dict[str, float] = {
    "duck": 0.2, "swan": 0.06, "whale": 0.07, "spouting whale": 0.07, "shark": 0.2, "fish": 0.3, "orca": 0.2,
    "dolphin": 0.2, "tropical fish": 0.3, "mermaid": 0.2, "octopus": 0.4, "seal": 0.1,
}  # fmt: skip
"""The share of a swimming thing's height that is under water; for all others it is 0.02."""

SEATS: dict[float, str] = {
    0.04: "cabinet, microwave, oven, refrigerator, bookshelf, toaster, box, package, television",
    0.1: "table, stool, desk",
    0.3: "horse, donkey, camel, two-hump camel, cow, elephant, unicorn, zebra, ox, motorcycle, bicycle, motor scooter",
    0.42: "dishware-flat, furniture-flat, pillow, sofa, couch and lamp, armchair, mat, blanket",
    0.55: "chair, bench, bed, toilet",
    0.72: "sailboat, boat",
}
SEAT_BY_NAME = {name: share for share, names in SEATS.items() for name in listed(names)}
CANOPIES = listed(
    "table, desk, bench, bed, chair, stool, umbrella, umbrella on ground, beach with umbrella, deciduous tree"
    ", evergreen tree, palm tree, leafless tree, bridge, christmas tree"
)
"""Things with space below them for other things."""
FRAMES = listed("window, door, mirror, house, hut, tent, framed picture, television, castle, bed, cave")
"""Things that are drawn behind their content; all others are drawn in front, so that their rim covers it."""
LUMINOUS = listed(
    "fire, candle, star, glowing star, high voltage, lamp, desk lamp, light bulb, red paper lantern, jack-o-lantern"
    ", diya lamp, comet, sparkles, flashlight"
)
"""Things that emit light."""
ALOFT = listed("umbrella, umbrella with rain drops, balloon, kite, butterfly, flying disc")
"""Things that people hold above their hands."""
HATS = listed("top hat, woman’s hat, billed cap, crown, graduation cap, military helmet, rescue worker’s helmet")


def kind(name: str) -> str:
    """Returns a thing's kind, a group of emojibase such as "animal-bird" or "place-building"."""
    return str(art()["things"][name]["kind"])


def height(name: str) -> float:
    """Returns a thing's height near the viewer, as a share of the image's short side."""
    return HEIGHT_BY_NAME.get(name, HEIGHT_BY_NAME.get(kind(name), DEFAULT_HEIGHT))


def seat(name: str) -> float:
    """Returns the depth of a thing's seat: how far below its top other things sit, as a share of its height."""
    return SEAT_BY_NAME.get(name, SEAT_BY_NAME.get(kind(name), 0.02))


def living(name: str) -> bool:
    """Returns whether a thing is a person or an animal."""
    return kind(name).startswith(("person", "animal-"))


def anchor(name: str) -> str:
    """Returns the place where a thing belongs: sky, hover, water, wall or ground."""
    if name in GROUNDED | CRAWLING:
        return "ground"
    if name in HUNG:
        return "wall"
    if name in FLYING or kind(name) == "transport-air":
        return "sky"
    if name in HOVERING:
        return "hover"
    return "water" if name in AFLOAT or kind(name) in ("transport-water", "animal-marine") else "ground"
