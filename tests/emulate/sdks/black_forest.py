"""Black Forest Labs' own SDK against an emulator. argv[1] is the origin; prints the results as JSON."""

import base64
import contextlib
import io
import json
import sys
import urllib.request

from blackforest import BFLClient
from blackforest.client import BFLError
from blackforest.types.general.client_config import ClientConfig
from PIL import Image

url = sys.argv[1]
client = BFLClient("emulated", base_url=url)
polling = ClientConfig(sync=True, timeout=20, polling_interval=1)
seen: dict[str, object] = {}


def size(sample: str) -> list[int]:
    with urllib.request.urlopen(sample) as answer:
        return list(Image.open(io.BytesIO(answer.read())).size)


def refused(prompt: str, key: str = "emulated") -> list[str]:
    try:
        BFLClient(key, base_url=url).generate("flux-pro-1.1", {"prompt": prompt})
    except BFLError as error:
        return [type(error).__name__, str(error)]
    return ["nothing"]


with contextlib.redirect_stdout(sys.stderr):  # the SDK prints when it polls
    words = {"prompt": "a boat [emulate: latency=0.5]", "width": 1024, "height": 768, "seed": 42}
    made = client.generate("flux-pro-1.1", words, polling)
    seen["generate"], seen["seed"] = size(made.result["sample"]), made.result["seed"]
    picture, mask = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (256, 256), "navy").save(picture, "PNG")
    white = Image.new("L", (256, 256))
    white.paste(255, (64, 64, 192, 192))
    white.save(mask, "PNG")
    image, hole = (base64.b64encode(part.getvalue()).decode() for part in (picture, mask))
    filled = client.generate("flux-pro-1.0-fill", {"prompt": "a bird", "image": image, "mask": hole}, polling)
    seen["inpaint"] = size(filled.result["sample"])
    changed = client.generate("flux-kontext-pro", {"prompt": "make it red", "input_image": image}, polling)
    seen["edit"] = size(changed.result["sample"])
    task = client.generate("flux-pro-1.1", {"prompt": "a boat"})
    seen["submitted"] = bool(task.id)
    seen["limit"] = refused("a boat [emulate: status=429]")
    seen["key"] = refused("a boat", key="invalid")
print(json.dumps(seen))
