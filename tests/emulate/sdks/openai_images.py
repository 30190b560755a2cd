"""OpenAI's own SDK against an emulator. argv: the base URL, then Azure's endpoint. Prints the results as JSON."""

import base64
import io
import json
import sys

import openai
from openai import AzureOpenAI, OpenAI
from PIL import Image

url, endpoint = sys.argv[1:]
client = OpenAI(api_key="emulated", base_url=url, max_retries=0)
seen: dict[str, object] = {}


def size(text: str) -> list[int]:
    return list(Image.open(io.BytesIO(base64.b64decode(text))).size)


def refused(prompt: str, key: str = "emulated") -> list[object]:
    try:
        OpenAI(api_key=key, base_url=url, max_retries=0).images.generate(model="gpt-image-2", prompt=prompt)
    except openai.APIError as error:
        return [type(error).__name__, error.code]
    return ["nothing", None]


made = client.images.generate(model="gpt-image-2", prompt="a boat", size="1536x1024", n=2, quality="low")
seen["generate"] = [size(item.b64_json or "") for item in made.data or ()]
seen["tokens"] = bool(made.usage and made.usage.output_tokens)

source = base64.b64decode((made.data or [])[0].b64_json or "")
mask = Image.new("RGBA", (1536, 1024), (0, 0, 0, 255))
mask.paste((0, 0, 0, 0), (256, 256, 512, 512))
out = io.BytesIO()
mask.save(out, "PNG")
edited = client.images.edit(
    model="gpt-image-2",
    image=("image.png", source, "image/png"),
    mask=("mask.png", out.getvalue(), "image/png"),
    prompt="a bird",
    size="1536x1024",
)
result = base64.b64decode((edited.data or [])[0].b64_json or "")
before, after = (Image.open(io.BytesIO(data)).convert("RGB") for data in (source, result))


def difference(at: tuple[int, int]) -> int:
    return max(abs(a - b) for a, b in zip(before.getpixel(at), after.getpixel(at), strict=True))


seen["edit"] = {"inside": difference((300, 300)), "outside": difference((900, 700))}

stream = client.images.generate(model="gpt-image-2", prompt="a boat", stream=True, partial_images=2)
seen["stream"] = [[event.type, size(event.b64_json)] for event in stream]
seen["moderation"] = refused("a boat [emulate: moderate=prompt]")
seen["limit"] = refused("a boat [emulate: status=429 retry_after=1]")
seen["key"] = refused("a boat", key="invalid")
seen["server"] = refused("a boat [emulate: status=500]")
seen["model"] = None
try:
    client.images.generate(model="dall-e-3", prompt="a boat")
except openai.NotFoundError as error:
    seen["model"] = error.code

answer = client.responses.create(
    model="gpt-5", input="a boat", tools=[{"type": "image_generation", "size": "1024x1024", "quality": "low"}]
)
seen["responses"] = [size(item.result or "") for item in answer.output if item.type == "image_generation_call"]
azure = AzureOpenAI(api_key="emulated", azure_endpoint=endpoint, api_version="2025-04-01-preview", max_retries=0)
seen["azure"] = [size(i.b64_json or "") for i in azure.images.generate(model="gpt-image-2", prompt="a boat").data or ()]
seen["models"] = "gpt-image-2" in [model.id for model in client.models.list()]
print(json.dumps(seen))
