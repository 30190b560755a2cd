"""Holds the inspector of vendors' images against Pillow, on mutated images, and measures its CPU time.

    python bench/inspector.py [--count 100000] [--seed 1] [--large 300]

COUNT small images of every form that vendors send are cut, flipped, spliced and mended (`tests/support/mutations.py`).
For each, the inspector's word is held against Pillow's `load()`:

    passed, read        it said "whole", and Pillow reads an image of the same size
    passed by a rule    it said "whole", and Pillow does not read it; the rule is printed, with how often it was used
    doubted, read       the image goes to a decoder, which reads it: not lost
    doubted, refused    Pillow does not read it either, or the limits refuse it

Each doubted image that Pillow reads is given to `Pixels.facts`, which has to return Pillow's size. CPU time is measured
on LARGE mutants of images of 0.1 to 3 MB, and on files that are made to be slow. The exit code is 1 if the inspector
raised an error, said another size than Pillow, passed a file by no rule, or lost one, or if a file takes more than 2 ms
of CPU time for each megabyte (a smaller file: more than 2 ms).
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import structlog  # noqa: E402
from tests.support.mutations import (  # noqa: E402
    LIMITS,
    READ,
    Judge,
    Mutant,
    chunk,
    in_small_chunks,
    load,
    mutants,
    sources,
)
from tests.support.pictures import noise, plain  # noqa: E402
from tests.support.vendors import InProcess  # noqa: E402

from celeste_image.core.errors import ProviderFailed  # noqa: E402
from celeste_image.core.media import media_type  # noqa: E402
from celeste_image.imaging.inspector import inspect  # noqa: E402
from celeste_image.imaging.limits import ImageLimits  # noqa: E402
from celeste_image.imaging.pixels import Pixels  # noqa: E402

MB = 1_000_000
MOST_SECONDS = 0.002
"""For each megabyte, and for a smaller file."""
SIDE = 1024


class Trial:
    """Counts what came of the mutants, and what should not have."""

    def __init__(self, images: dict[str, bytes]) -> None:
        self._judge = Judge(images)
        self._pixels = Pixels("vendor", limits=LIMITS, pool=InProcess())
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.rules: Counter[tuple[str, str, str]] = Counter()
        self.doubts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def hold(self, mutant: Mutant) -> None:
        data, kind = mutant.data, media_type(mutant.data[:16]).removeprefix("image/")
        try:
            found = inspect(data, LIMITS)
        except Exception as error:
            self.wrong.append(f"{mutant.source}, {mutant.mutation}: raised {error!r}")
            return
        loaded = load(data)
        is_right, why = self._judge.verdict(data, found, loaded)
        if not is_right:
            self.wrong.append(f"{mutant.source}, {mutant.mutation}: {why}")
        if not found.doubt:
            self.outcomes[kind, "passed, read" if loaded.outcome == READ else "passed by a rule"] += 1
            if loaded.outcome != READ:
                self.rules[kind, loaded.outcome, why] += 1
            return
        self.doubts[found.doubt if len(found.doubt) < 60 else found.doubt[:60]] += 1
        if loaded.outcome == READ and await self._is_kept(mutant, loaded.size):
            self.outcomes[kind, "doubted, read"] += 1
        else:
            self.outcomes[kind, "doubted, refused"] += 1

    async def _is_kept(self, mutant: Mutant, size: tuple[int, int]) -> bool:
        """Returns whether the road reads what Pillow reads; by its limits it may refuse what the inspector doubts."""
        try:
            facts = await self._pixels.facts(mutant.data)
        except ProviderFailed as error:
            self.refused[error.message] += 1
            return False
        if facts[1:] != size:
            self.wrong.append(f"{mutant.source}, {mutant.mutation}: {facts} and not {size}")
        return True


def slow_files() -> dict[str, bytes]:
    """Returns files that are made to be slow."""
    jpeg = plain(SIDE, SIDE, "JPEG")
    png = noise(SIDE, SIDE)
    text = chunk(b"tEXt", b"a\0b")
    webp = b"RIFF" + (MB + 4).to_bytes(4, "little") + b"WEBP"
    return {
        "JPEG of 1 MB of 0xFF00": jpeg[:-2] + b"\xff\x00" * (MB // 2) + jpeg[-2:],
        "JPEG with as many 0xFF as pass": jpeg[:-2] + (b"\xff\x00" + bytes(98)) * 10_500 + jpeg[-2:],
        "JPEG of 1 MB of comments": jpeg[:2] + b"\xff\xfe\x00\x02" * (MB // 4) + jpeg[2:],
        "PNG of 1 MB of empty texts": png[:33] + text * (MB // len(text)) + png[33:],
        "PNG of 1 MB of chunks that just pass": in_small_chunks(png, 8192),
        "PNG of noise, 3 MB": png,
        "WebP of 1 MB of empty chunks": webp + b"ABCD\0\0\0\0" * (MB // 8),
        "AVIF of 1 MB of empty boxes": b"\0\0\0\x10ftypavif\0\0\0\0" + b"\0\0\0\x08free" * (MB // 8),
        "1 MB of zeros": bytes(MB),
    }


def cpu_seconds(data: bytes) -> float:
    """Returns the least CPU time of five inspections: another program's load only adds to it."""
    times = []
    for _ in range(5):
        begun = time.thread_time()
        inspect(data, ImageLimits())
        times.append(time.thread_time() - begun)
    return min(times)


def costs(count: int, seed: int) -> bool:
    """Prints the CPU time for large files; returns whether all are within the limit."""
    images = sources(SIDE, SIDE)
    files = [(name, data) for name, data in images.items()]
    files += [(f"{each.source}, {each.mutation}", each.data) for each in islice(mutants(seed, images), count)]
    files += slow_files().items()
    measured = [(cpu_seconds(data), len(data), name) for name, data in files]
    whole = measured[: len(images)]
    print(f"\n{'CPU time':44}{'MB':>7}{'ms':>8}{'ms/MB':>8}")
    for seconds, size, name in (*whole, *measured[-len(slow_files()) :]):
        print(f"{name:44}{size / MB:7.2f}{seconds * 1e3:8.2f}{seconds * 1e3 / (size / MB):8.2f}")
    late = [each for each in measured if each[0] > MOST_SECONDS * max(1, each[1] / MB)]
    total = sum(each[0] for each in measured) * 1e3 / (sum(each[1] for each in measured) / MB)
    print(f"{len(measured)} files: {total:.2f} ms/MB; beyond 2 ms a megabyte: {len(late)}")
    for seconds, size, name in late:
        print(f"TOO SLOW: {name}: {seconds * 1e3:.2f} ms for {size / MB:.2f} MB")
    return not late


async def main(count: int, seed: int, large: int) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    images = sources()
    trial = Trial(images)
    for mutant in islice(mutants(seed, images), count):
        await trial.hold(mutant)
    columns = ("passed, read", "passed by a rule", "doubted, read", "doubted, refused")
    print(f"{count} mutants of {len(images)} images, seed {seed}")
    print(f"{'format':14}" + "".join(f"{name:>18}" for name in columns))
    for kind in sorted({kind for kind, _ in trial.outcomes}):
        print(f"{kind:14}" + "".join(f"{trial.outcomes[kind, name]:18}" for name in columns))
    print("\nRules by which a file passed that Pillow does not read:")
    for (kind, outcome, why), number in sorted(trial.rules.items()):
        print(f"{number:8}  {kind}, {outcome}: {why}")
    print("\nRead by load(), refused by the limits of the road:")
    for words, number in trial.refused.most_common(10):
        print(f"{number:8}  {words}")
    print("\nDoubts:")
    for words, number in trial.doubts.most_common(40):
        print(f"{number:8}  {words}")
    print(f"\nWrong: {len(trial.wrong)}")
    for text in trial.wrong[:50]:
        print(f"WRONG: {text}")
    return 0 if costs(large, seed) and not trial.wrong else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--large", type=int, default=300)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.count, given.seed, given.large)))
