"""litellm's Stability client against an emulator. argv[1] is the origin; prints the results as JSON."""

import base64
import io
import json
import sys

import litellm
from PIL import Image

url = sys.argv[1]
litellm.suppress_debug_info = True
common = {"api_key": "emulated", "api_base": url}
seen: dict[str, object] = {}


def size(text: str) -> list[int]:
    return list(Image.open(io.BytesIO(base64.b64decode(text))).size)


def refused(prompt: str, key: str = "emulated") -> list[object]:
    try:
        litellm.image_generation(
            model="stability/stable-image-core", prompt=prompt, api_key=key, api_base=url, num_retries=0
        )
    except Exception as error:
        return [type(error).__name__, getattr(error, "status_code", None)]
    return ["nothing"]


for model in ("stable-image-core", "stable-image-ultra", "sd3.5-large"):
    made = litellm.image_generation(model=f"stability/{model}", prompt="a boat", size="1024x1024", **common)
    seen[model] = size(made.data[0].b64_json)


def file() -> io.BytesIO:
    out = io.BytesIO()
    Image.new("RGB", (256, 256), "navy").save(out, "PNG")
    out.seek(0)
    return out


def mask() -> io.BytesIO:
    out, white = io.BytesIO(), Image.new("L", (256, 256))
    white.paste(255, (64, 64, 192, 192))
    white.save(out, "PNG")
    out.seek(0)
    return out


edits = {
    "inpaint": {"mask": mask()},
    "remove-background": {},
    "fast": {},
    "search-and-replace": {"search_prompt": "the sky"},
}
for model, more in edits.items():
    edited = litellm.image_edit(model=f"stability/{model}", image=file(), prompt="a bird", **common, **more)
    seen[model] = size(edited.data[0].b64_json)
seen["moderation"] = refused("a boat [emulate: moderate=prompt]")
seen["limit"] = refused("a boat [emulate: status=429]")
seen["key"] = refused("a boat", key="invalid")
print(json.dumps(seen))
