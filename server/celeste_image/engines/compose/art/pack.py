"""Makes index.json and drawings.bin: drawings from two pinned npm packages and our own, indexed by word.

`make art` runs this script. It needs `npm` and a network. The engine reads only the two files.
"""

import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
import tomllib
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import resvg_py
from PIL import Image, ImageChops

HERE = Path(__file__).parent
PACKAGES = {
    "@iconify-json/noto@1.2.9": "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    "emojibase-data@17.0.0": "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
}


def listed(names: str) -> frozenset[str]:
    """Returns the names in a text that are separated by commas."""
    return frozenset(names.split(", "))


GROUPS = re.compile(
    r"animal-|plant-|food-|drink$|dishware|place-(geographic|building|religious|other)"
    r"|transport-(ground|water|air)|hotel|time|sky-weather|event|award|sport|game|arts|clothing|music|phone|computer|light|book|money|mail"
    r"|writing|office|lock|tool|science|household|other-object"
)
PEOPLE = listed(
    "ghost, alien, robot, mermaid, fairy, superhero, genie, troll, hairy creature, man standing, woman "
    "standing, skier, person standing, man walking, woman walking, person running, man running, woman "
    "running, ballet dancer, woman dancing, man dancing, person surfing, person swimming, person rowing "
    "boat, person biking, snowboarder"
)
"""People and beings drawn from head to foot. All others are faces, which look cut off in a landscape."""

LEFT_OUT = re.compile(
    r"face$|o’clock|-thirty|^(desert|national park|foggy|night with stars|cityscape.*|sunrise.*|sunset"
    r"|station"
    r"|bridge at night|motorway|railway track|shooting star|milky way|fog|hot springs|paw prints|pig nose|sun"
    r"|metro|love hotel|globe.*|.*map.*|moon|.* moon|cloud.*|sun behind.*|cyclone|wind face|mountain|wing"
    r"|snow-capped mountain|landslide|rainbow|droplet|water wave|hatching chick|baby chick|red envelope"
    r"|moon viewing ceremony|sparkler|oncoming .*|fireworks|worm|microbe|leaf fluttering in wind|brick|kaaba"
    r"|bear|lion|cigarette|coffin|headstone|funeral urn|moai|placard|identification card|horse racing)$"
)

SITTING = {
    "fox": ("fox", "#ff8b1f", "#fee9c9", "#fff4e2", "#ff8b1f", "#4a3a36"),
    "wolf": ("wolf", "#8f979d", "#e3e7ea", "#c9cfd3", "#8f979d", "#7c848a"),
    "bear": ("bear", "#7a5142", "#8f6552", "none", "#704839", "#5b3a2e"),
    "polar bear": ("polar-bear", "#e9f1f5", "#ffffff", "none", "#dfeaf0", "#cfdde5"),
    "panda": ("panda", "#ffffff", "#ffffff", "none", "#353a3d", "#26292b"),
    "lion": ("lion", "#f0ac3c", "#ffe0a3", "#8a5530", "#eaa334", "#d98f26"),
    "koala": ("koala", "#8f9ba3", "#e6eaec", "none", "#84919a", "#6f7c85"),
    "unicorn": ("unicorn", "#e9edf1", "#ffffff", "#f06aa8", "#dfe4ea", "#b9a6d8"),
    "moose": ("moose", "#6d4a3c", "#7f594a", "none", "#634235", "#3f2a22"),
    "frog": ("frog", "#8fbf2e", "#e6f0a8", "none", "#86b428", "#7aa622"),
    "hamster": ("hamster", "#f0a85a", "#fff1df", "none", "#eba04e", "#f7b9a0"),
}
"""By name: drawing of the head, colors of fur, belly, tail tip, limbs and paws, for the body of own/sitting.svg.

A tail tip "none" stands for a tail too short to be visible.
"""

STANDING = {
    "astronaut": ("astronaut", "#e4e8ea", "#d3d9dd", "#8d979e", "#b9c1c6"),
    "wizard": ("man-mage", "#6b7f94", "#5b6e82", "#3d4b5c", "#fac036"),
    "farmer": ("farmer", "#4e6fae", "#44609a", "#6d4c33", "#fac036"),
    "cook": ("cook", "#eef1f3", "#55606a", "#2e3338", "#fac036"),
    "princess": ("princess", "#d65db1", "#c94ea3", "#8e3a78", "#fac036"),
    "prince": ("prince", "#4466b8", "#3a57a0", "#3a2c22", "#fac036"),
    "firefighter": ("firefighter", "#d23f31", "#c2362a", "#2e3338", "#fac036"),
    "police officer": ("police-officer", "#2f5fc4", "#27509f", "#22262b", "#fac036"),
    "Santa Claus": ("santa-claus", "#e0352b", "#e0352b", "#2b2b2b", "#ffffff"),
    "vampire": ("vampire", "#3b3440", "#2c2730", "#1c181f", "#fac036"),
    "ninja": ("ninja", "#353b43", "#2b3037", "#1f2328", "#353b43"),
    "robot": ("robot", "#7c95a1", "#64808e", "#455a64", "#c62828"),
    "alien": ("alien", "#7d8fa0", "#6b7d8e", "#56677a", "#b0bec5"),
    "boy": ("boy", "#3f9a5f", "#4a5f8a", "#8a5a33", "#fac036"),
    "girl": ("girl", "#e0609a", "#6a5aa8", "#8a3f6a", "#fac036"),
    "teacher": ("teacher", "#e88a2e", "#4a4f58", "#2e3338", "#fac036"),
    "artist": ("artist", "#e6e9eb", "#4a4f58", "#2e3338", "#fac036"),
    "scientist": ("scientist", "#eef1f3", "#5b6e82", "#2e3338", "#fac036"),
    "health worker": ("health-worker", "#eef1f3", "#4fa3b8", "#dfe5e8", "#fac036"),
    "construction worker": ("construction-worker", "#f0a02c", "#4a5f8a", "#5b4232", "#fac036"),
    "old man": ("old-man", "#6f7f95", "#59616b", "#2e3338", "#fac036"),
    "old woman": ("old-woman", "#8e6aa8", "#59616b", "#2e3338", "#fac036"),
}
"""By name: drawing of the bust, colors of coat, trousers, shoes and hands, for the body of own/standing.svg."""

TAGS = listed(
    "alpaca, ape, apples, aubergine, auto, bee, bicyclist, bigfoot, bike, boulder, brachiosaurus, "
    "brontosaurus, bulb, bumblebee, bunny, buoy, burger, burro, cab, caboose, camcorder, cantaloupe, "
    "carousel, cart, chick, clover, coffee, conch, copter, cows, crane, cruise, cub, dandelion, "
    "dino, dinosaur, dolphins, donut, doughnuts, dromedary, duckling, dynamite, ferris, fries, gander, "
    "geese, ghosts, gift, golf, grasshopper, gun, hippo, hot-dog, iceberg, jet, jewel, joey, kitten, "
    "kitty, ladybird, ladybug, lamb, lavender, lettuce, lilac, locust, log, lorry, magician, "
    "maize, mule, painter, parcel, peahen, piano, picnic, pine, piggy, planet, plane, prawn, puppy, "
    "pup, pumpkin, raft, raven, reef, rosebud, rowboat, sapling, sasquatch, saturn, sausage, sax, "
    "serpent, shrub, skis, skyscraper, sledge, sleigh, slug, spaceship, squirrel, "
    "steak, suitcase, surfer, swimmer, tankard, teddy, timber, toadstool, tortoise, treasure, tropical, "
    "tyrannosaurus, ufo, van, violet, wheat, whirlwind, yacht, yeti, yurt"
)
"""Tags of emojibase that name a thing. Other tags name moods and actions ("riding") and would mislead."""

DRAWN = {
    "lighthouse": "place-building",
    "hot air balloon": "transport-air",
    "windmill": "place-building",
    "flying bird": "animal-bird",
}


def fetched(spec: str, digest: str, folder: Path) -> dict[str, bytes]:
    """Returns the files of one npm package by path, after checking its tarball's SHA-256."""
    made = subprocess.run(
        ["npm", "pack", "--silent", spec],  # noqa: S607
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    data = (folder / made.stdout.strip().splitlines()[-1]).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise SystemExit(f"{spec}: SHA-256 is {found}, expected {digest}")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        opened = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
        return {name.removeprefix("package/"): file.read() for name, file in opened if file}


def inner(svg: str) -> str:
    """Returns the content of an SVG file between its outer tags."""
    return re.sub(r"^\s*<svg[^>]*>|</svg>\s*$", "", svg).replace("\n", "")


def measured(body: str) -> tuple[list[int], bool]:
    """Returns a drawing's bounding box (left, top, right, bottom) and whether the drawing is gray.

    A drawing is gray if less than a third of its area has color: then its grays take a requested color.
    """
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -16 256 256">{body}</svg>'
    picture = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=512, height=512))))
    covered = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 60)).getbbox()
    if covered is None:
        raise SystemExit("a drawing is empty")
    left, top, right, bottom = (round(side / 2) for side in covered)
    strong = picture.convert("RGB").convert("HSV").getchannel("S").point(lambda strength: 255 * (strength > 100))
    solid = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 60))
    colored = ImageChops.multiply(strong, solid).histogram()[255]
    return [left, top - 16, right, bottom - 16], colored * 3 < solid.histogram()[255]


def framed(body: str) -> str:
    """Returns an emoji's drawing, clipped to 128 x 128 if parts of it lie outside."""
    (left, top, right, bottom), _ = measured(body)
    if left >= -8 and top >= -8 and right <= 136 and bottom <= 136:
        return body
    frame = '<clipPath id="frame"><path d="M0 0h128v128H0z"/></clipPath>'
    return f'{frame}<g clip-path="url(#frame)">{body}</g>'


def write(folder: Path, things: dict[str, dict[str, Any]], words: dict[str, str]) -> None:
    """Writes the drawings, each compressed alone, and the index, which has the place of each in their file."""
    at, packed = 0, []
    for _, thing in sorted(things.items()):
        packed.append(zlib.compress(thing.pop("body").encode(), 9))
        thing["at"] = [at, at := at + len(packed[-1])]
    (folder / "drawings.bin").write_bytes(b"".join(packed))
    index = json.dumps({"things": things, "words": words}, sort_keys=True, separators=(",", ":"))
    (folder / "index.json").write_text(index + "\n")
    print(f"{len(things)} things, {len(words)} words, {at} bytes")


def main() -> None:
    """Writes both files beside this script."""
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for spec, digest in PACKAGES.items():
            files |= fetched(spec, digest, Path(folder))
    icons: dict[str, Any] = json.loads(files["icons.json"])["icons"]
    names: dict[str, str] = json.loads(files["chars.json"])
    subgroups: dict[str, str] = json.loads(files["meta/groups.json"])["subgroups"]

    things: dict[str, dict[str, Any]] = {}
    tagged: dict[str, list[str]] = defaultdict(list)
    for emoji in json.loads(files["en/data.json"]):
        kind = subgroups.get(str(emoji.get("subgroup")), "")
        label, code = emoji["label"], emoji["hexcode"].lower()
        icon = icons.get(names.get(code) or names.get(code.replace("-fe0f", "")) or "")
        if not icon or label in SITTING or label in STANDING or LEFT_OUT.search(label):
            continue
        if GROUPS.match(kind) or label in PEOPLE:
            things[label.lower()] = {"kind": kind, "body": framed(icon["body"])}
            for tag in emoji.get("tags", []):
                tagged[tag.lower()].append(label.lower())
    bodies = {name: (HERE / "own" / f"{name}.svg").read_text() for name in ("sitting", "standing")}
    for label, (head, fur, belly, tip, limb, paw) in SITTING.items():
        body = inner(bodies["sitting"]).format(
            head=icons[head]["body"],
            fur=fur,
            belly=belly,
            tail=fur if tip != "none" else tip,
            tip=tip,
            limb=limb,
            paw=paw,
        )
        things[label] = {"kind": "animal-mammal", "body": body}
    for label, (head, coat, trousers, shoe, hand) in STANDING.items():
        body = inner(bodies["standing"]).format(
            head=icons[head]["body"], coat=coat, trousers=trousers, shoe=shoe, hand=hand
        )
        things[label.lower()] = {"kind": "person", "body": body}
    for label, kind in DRAWN.items():
        body = inner((HERE / "own" / f"{label.replace(' ', '-')}.svg").read_text())
        things[label] = {"kind": kind, "body": body}
    for label, drawing in tomllib.loads((HERE / "own" / "things.toml").read_text()).items():
        things[label] = {"kind": drawing["kind"], "body": drawing["body"].replace("\n", "")}

    words = {tag: owners[0] for tag, owners in tagged.items() if tag in TAGS}
    words |= {" ".join(re.findall(r"\w+", name)): name for name in things}
    for thing in things.values():
        thing["box"], thing["grey"] = measured(thing["body"])
    write(HERE, things, words)


if __name__ == "__main__":
    main()
