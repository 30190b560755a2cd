"""The vocabulary of prompts: words for things, settings, colors, materials, numbers, sizes and relations."""

import json
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "ALIASES",
    "CLOSED",
    "COLORS",
    "COUNTS",
    "CROWDS",
    "FUNCTIONS",
    "FURNITURE",
    "HOLDERS",
    "MATERIALS",
    "MEDIA",
    "PAIRED",
    "RELATIONS",
    "SETTINGS",
    "SIDES",
    "SIZES",
    "STOPPED",
    "art",
    "drawing",
    "listed",
]

ART = Path(__file__).parent / "art"


def listed(names: str, mark: str = ", ") -> frozenset[str]:
    """Returns the names in a text that are separated by `mark`."""
    return frozenset(names.split(mark))


FUNCTIONS = listed(
    "a an the of in on at to and or with by from for over under above below beneath beside near next behind "
    "front between through across along into onto inside outside around against amid among off up down out it "
    "its his her their that this these those is are was be as there some very really quite while who which "
    "where what has have had been being no not without only them they he she we you i",
    " ",
)
"""Function words. An adjective before one of these has no noun."""

STOPPED = FUNCTIONS | listed(
    "painting paintings picture pictures oil watercolor watercolour digital highly image photo photograph "
    "illustration drawing art artwork scene view landscape portrait depicting showing close closeup side top "
    "bottom back left right middle center centre corner edge part piece slice made about together set group "
    "filled covered located placed hung beautiful pretty nice lovely cute detailed style high quality "
    "realistic colorful colourful vibrant bright soft standing sitting lying flying swimming sailing running "
    "walking playing looking resting floating stands sits flies sails swims sit stand lie fly run walk sail "
    "swim sat stood lay lies hanging parked runs walks rides glowing shining full wide deep old new young "
    "wild happy calm quiet peaceful open clear sky air light",
    " ",
)
"""Words that are skipped because nothing can be drawn for them."""

COLORS: dict[str, str] = {
    "red": "#e53935", "orange": "#fb8c00", "yellow": "#fdd835", "golden": "#f0b429",
    "gold": "#f0b429",
    "green": "#43a047", "blue": "#1e88e5", "purple": "#8e24aa", "violet": "#7e57c2", "pink": "#ec407a",
    "brown": "#795548", "black": "#333333", "white": "#f5f5f5", "grey": "#9e9e9e", "gray": "#9e9e9e",
    "silver": "#b8c0c6", "turquoise": "#26c6c0",
    "teal": "#1f8a8a", "cyan": "#22b8d6", "navy": "#24386e", "maroon": "#8a2432", "crimson": "#c2213c",
    "magenta": "#d0399a", "beige": "#dcc9a3", "tan": "#cfa978", "cream": "#f1e6c6", "lime": "#9ccc3c",
    "lavender": "#b39ddb", "peach": "#f6b48f", "scarlet": "#d82f22", "bronze": "#a8713a", "copper": "#b9693f",
}  # fmt: skip

MATERIALS: dict[str, str] = {
    "wooden": "#a9713f", "wood": "#a9713f", "metallic": "#a3afb8", "metal": "#a3afb8", "steel": "#a3afb8",
    "iron": "#7d878f", "stone": "#9a9a96", "marble": "#dddbd6", "leather": "#8a5a36", "glass": "#8fcbdc",
    "rusty": "#a8552e", "brick": "#b0563f", "concrete": "#a7a7a3",
}  # fmt: skip
"""The color of a thing made of a material; a color in the prompt has priority."""

MEDIA = listed("painting paintings picture pictures", " ")
"""Words that mean the image itself before "of" or without an article, and otherwise a framed picture."""

COUNTS: dict[str, int] = {
    "one": 1, "single": 1, "two": 2, "pair": 2, "couple": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "dozen": 12,
    "several": 4, "few": 3, "many": 7, "group": 4, "flock": 6, "herd": 5, "fleet": 5, "row": 4, "pile": 5,
    "bunch": 4, "both": 2, "twenty": 12,
}  # fmt: skip
CROWDS: dict[str, int] = {"couple": 2, "people": 3, "friends": 3, "children": 3, "family": 4, "crowd": 8, "team": 5}
"""Words for people that imply a number."""
PAIRED = listed("shoes boots socks gloves sneakers sandals skates skis heels slippers", " ")
"""Plurals that mean two."""

SIZES: dict[str, float] = {
    "big": 1.35, "large": 1.35, "huge": 1.6, "giant": 1.7, "tall": 1.3, "small": 0.7, "little": 0.7,
    "tiny": 0.5, "enormous": 1.6, "gigantic": 1.7, "short": 0.75, "miniature": 0.5,
}  # fmt: skip

WORDS_BY_SETTING: dict[str, str] = {
    "meadow": "meadow field yard backyard playground grassland grass park garden farm countryside hill prairie"
    " lawn savanna savannah",
    "forest": "forest woods woodland jungle trees",
    "mountains": "mountain mountains alp alps peak valley fjord",
    "sea": "sea ocean lake river pond water harbour harbor bay waves wave seaside",
    "beach": "beach shore coast sand",
    "underwater": "underwater undersea seabed aquarium",
    "desert": "desert dune dunes sahara",
    "city": "city town street skyline downtown cityscape road sidewalk pavement",
    "room": "room indoors kitchen bedroom bathroom lounge classroom class library museum studio lab"
    " laboratory office hall hallway gym floor wall restaurant",
    "space": "space galaxy universe cosmos nebula",
    "planet": "moonscape lunar",
    "night": "night midnight nighttime moonlit starry",
    "sunset": "sunset dusk evening twilight",
    "dawn": "dawn sunrise morning",
    "day": "day daytime sunny noon",
    "rain": "rain rainy raining storm stormy thunderstorm",
    "snow": "snow snowy snowing winter wintry frozen icy ice arctic antarctic snowfall",
    "fog": "fog foggy mist misty haze hazy",
    "cloudy": "cloud clouds cloudy overcast",
    "moon": "moon moonlight",
    "sun": "sun sunshine sunlight",
    "stars": "stars star",
    "rainbow": "rainbow",
    "autumn": "autumn autumnal",
}
SETTINGS: dict[str, str] = {
    word: setting for setting, words in WORDS_BY_SETTING.items() for word in words.split()
} | {"coral reef": "underwater", "under the sea": "underwater", "under water": "underwater",
     "living room": "room", "dining room": "room",
     "outer space": "space",
     "on mars": "planet", "on the moon": "planet", "snow capped": "mountains"}  # fmt: skip

FURNITURE: dict[str, frozenset[str]] = {
    room: listed(names)
    for room, names in {
        "kitchen": "refrigerator, oven, cabinet", "bedroom": "bed, lamp", "bathroom": "bathtub, toilet",
        "living room": "sofa, lamp", "lounge": "sofa, lamp", "office": "desk, chair", "library": "bookshelf, armchair",
        "classroom": "desk, chair", "dining room": "table, chair", "restaurant": "table, chair",
    }.items()
}  # fmt: skip
"""Furniture that a room gets if the prompt names few things."""

RELATIONS: dict[str, str] = {
    phrase: kind
    for kind, phrases in {
        "on": "on, on top of, on the top of, atop, upon, onto, riding, riding on, resting on, lying on, sitting on"
        ", standing on, perched on, covering",
        "above": "above, over, hovering over, flying over, hung above, floating above",
        "under": "under, below, beneath, underneath, on the bottom of, at the bottom of, under the shade of",
        "beside": "next to, beside, near, by, alongside, close to, on side of, on the side of, at the side of"
        ", by the side of, against, around, sitting next to, standing next to",
        "left": "left of, on the left of, to the left of, on the left side of, at the left of",
        "right": "right of, on the right of, to the right of, on the right side of, at the right of",
        "front": "in front of, before",
        "behind": "behind, at the back of",
        "hidden": "hidden by, hidden behind, covered by, blocked by",
        "inside": "in, inside, inside of, within, into, nestled in",
        "held": "holding, carrying, with, playing, reading, eating, drinking, using, wearing, holding up, waving",
    }.items()
    for phrase in phrases.split(", ")
}
"""Phrases between two things and their kind of relation: "a cat on a chair" puts the cat on the chair.

With `held`, the first thing holds the second.
"""

HOLDERS = listed("bowl, plate, basket, box, bucket, pot of food, nest with eggs, cooking, vase, package, shopping cart")
"""Things that show their content after "of": "a bowl of fruit"."""
CLOSED = listed("bottle, water bottle, mug, jar, tumbler glass, wine glass, beer mug, block, cube, roll of paper")
"""Things that hide their content after "of", or are made of it: "a bottle of milk", "a block of wood"."""

SIDES: dict[str, int] = {"on the left": -1, "to the left": -1, "on the right": 1, "to the right": 1}
"""Sides of the image for a thing: -1 left, 1 right."""

WORDS_BY_THING: dict[str, str] = {
    "airplane": "plane, aeroplane, jet plane, aircraft",
    "alarm clock": "clock",
    "artist": "painter",
    "automobile": "car",
    "backpack": "rucksack",
    "ballet dancer": "dancer",
    "bed": "mattress",
    "bell pepper": "pepper",
    "bicycle": "bike",
    "billed cap": "cap, baseball cap",
    "bird": "robin, sparrow",
    "birthday cake": "cake",
    "bison": "buffalo",
    "black bird": "crow, raven",
    "blossom": "wildflower, daisy",
    "blueberries": "blueberry",
    "bookshelf": "shelf, bookcase, shelves",
    "bouquet": "bouquet of flowers, flower bouquet",
    "bowl": "dish",
    "boy": "child, kid, son, toddler",
    "bucket": "ice bucket, pail",
    "cabinet": "dresser, cupboard, wardrobe, nightstand, drawer, closet, counter",
    "castle": "tower, palace",
    "cat": "kitten",
    "cheese wedge": "cheese",
    "cherries": "cherry",
    "chipmunk": "squirrel",
    "christmas tree": "christmas",
    "circus tent": "circus",
    "closed mailbox with raised flag": "mailbox",
    "coat": "jacket",
    "construction worker": "builder, worker",
    "cook": "chef",
    "cooking": "frying pan, pan",
    "deciduous tree": "tree, oak, apple tree",
    "desert island": "island",
    "desktop computer": "computer, pc, monitor",
    "dog": "puppy",
    "doughnut": "donut",
    "dove": "pigeon",
    "eagle": "hawk",
    "ear of corn": "corn, maize",
    "electric plug": "plug",
    "envelope": "letter",
    "evergreen tree": "fir, pine tree, fir tree, pine",
    "ewe": "sheep, lamb",
    "cupcake": "muffin",
    "fire engine": "fire truck, firetruck",
    "fire": "campfire, bonfire, flame",
    "firecracker": "dynamite",
    "flying bird": "bird, swallow, bluebird",
    "flying disc": "frisbee",
    "flying saucer": "ufo",
    "fox": "red fox",
    "framed picture": "painting, picture, picture frame, photo frame",
    "french fries": "fries",
    "front-facing baby chick": "duckling, chick",
    "girl": "daughter",
    "grapes": "grape",
    "hamburger": "burger",
    "hair dryer": "hair drier, hairdryer",
    "handbag": "bag",
    "health worker": "doctor, nurse",
    "herb": "seaweed",
    "high voltage": "lightning",
    "hiking boot": "boot",
    "hindu temple": "temple",
    "hippopotamus": "hippo",
    "honeybee": "bee",
    "horse": "pony",
    "hot beverage": "coffee, tea",
    "house": "cabin, home, barn",
    "house with garden": "cottage",
    "houses": "village",
    "ice": "ice cube",
    "jack-o-lantern": "pumpkin",
    "jeans": "pants, trousers",
    "keyboard": "computer keyboard",
    "kitchen knife": "knife",
    "lamp": "floor lamp, table lamp, lampshade",
    "leaf": "leaves",
    "locomotive": "train, steam train",
    "luggage": "suitcase",
    "man standing": "man",
    "mat": "yoga mat",
    "mobile phone": "phone, cell phone, cellphone, smartphone",
    "motor boat": "fishing boat",
    "motorcycle": "motorbike",
    "mug": "cup, coffee cup, coffee mug, teacup, cup of coffee, cup of tea",
    "necktie": "tie",
    "office building": "building, skyscraper",
    "oil drum": "barrel",
    "old man": "grandfather, grandpa",
    "old woman": "grandmother, grandma",
    "open book": "book, diary, journal",
    "oven": "stove, cooker",
    "ox": "bull",
    "package": "parcel, cardboard box",
    "palm tree": "palm",
    "person biking": "cyclist, biker",
    "person rowing boat": "rowboat, rower",
    "person running": "runner",
    "person standing": "person, people, friend, someone, couple, crowd, family, team, passenger, customer",
    "person surfing": "surfer",
    "pickup truck": "truck",
    "pillow": "cushion",
    "police officer": "policeman",
    "pot of food": "pot, cooking pot, soup",
    "potted plant": "plant, houseplant, flower pot",
    "poultry leg": "chicken leg",
    "prince": "king",
    "princess": "queen",
    "red apple": "apple",
    "red paper lantern": "lantern",
    "refrigerator": "fridge",
    "remote control": "remote",
    "rhinoceros": "rhino",
    "ring": "wedding ring",
    "ringed planet": "saturn, planet, mars, jupiter",
    "rock": "stone",
    "rocket": "spaceship, spacecraft",
    "rooster": "hen, chicken",
    "rug": "carpet",
    "running shoe": "shoe, sneaker",
    "sailboat": "boat, sailing boat, sail, yacht",
    "seagull": "gull",
    "ship": "boat ship",
    "snowman without snow": "snowman",
    "soccer ball": "ball, football, beach ball, sports ball",
    "sofa": "couch, settee",
    "spaghetti": "pasta, noodles",
    "sphere": "orb",
    "spiral shell": "shell, seashell",
    "sport utility vehicle": "suv, jeep",
    "statue": "sculpture, monument",
    "steaming bowl": "ramen, bowl of soup",
    "stool": "bar stool",
    "sunglasses": "shades",
    "surfboard": "surf board",
    "t-rex": "dinosaur, trex",
    "t-shirt": "shirt, tee",
    "table": "dining table, coffee table, end table, picnic table, tabletop",
    "tangerine": "orange fruit, orange, mandarin",
    "teddy bear": "toy, stuffed animal, plush",
    "television": "tv, screen",
    "tennis": "tennis racket, tennis ball, racket",
    "top hat": "hat",
    "treasure chest": "chest, treasure",
    "tulip": "flower",
    "tumbler glass": "glass, drinking glass, glass of water",
    "umbrella": "parasol",
    "vase": "flower vase, urn",
    "vertical traffic light": "traffic light, traffic signal, stoplight",
    "volcano": "volcanoes",
    "wastebasket": "trash can, bin, garbage can",
    "window": "windowsill, windows",
    "wine glass": "glass of wine, wine",
    "wizard": "mage, witch",
    "woman standing": "woman",
    "woman’s clothes": "blouse",
    "wood": "log, firewood, pile of wood",
    "wrapped gift": "present, gift",
}
ALIASES: dict[str, str] = {word: name for name, words in WORDS_BY_THING.items() for word in listed(words)}
"""Synonyms: other words for things, by word. They have priority over the names of drawings."""


@cache
def art() -> Mapping[str, Any]:
    """Returns the index of the drawings: "things" (name to kind, box, grey, at) and "words" (word to name)."""
    loaded: dict[str, Any] = json.loads((ART / "index.json").read_bytes())
    return loaded


@cache
def drawing(name: str) -> str:
    """Returns a drawing as SVG without its outer tag. Each is compressed alone, since a scene needs a few of 830."""
    start, end = art()["things"][name]["at"]
    with (ART / "drawings.bin").open("rb") as file:
        file.seek(start)
        return zlib.decompress(file.read(end - start)).decode()
