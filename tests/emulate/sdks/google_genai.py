"""Google's own SDK against an emulator. argv[1] is the origin; prints the results as JSON."""

import base64
import io
import json
import sys

from google import genai
from google.genai import errors, types
from PIL import Image

options = types.HttpOptions(base_url=sys.argv[1])
client = genai.Client(api_key="emulated", http_options=options)
seen: dict[str, object] = {}
MODEL = "gemini-2.5-flash-image"


def sizes(reply: types.GenerateContentResponse) -> list[list[int]]:
    parts = reply.candidates[0].content.parts
    return [list(Image.open(io.BytesIO(part.inline_data.data)).size) for part in parts if part.inline_data]


def refused(prompt: str, key: str = "emulated") -> list[object]:
    other = genai.Client(api_key=key, http_options=options)
    try:
        other.models.generate_content(model=MODEL, contents=[prompt])
    except errors.APIError as error:
        return [type(error).__name__, error.code, error.status]
    return ["nothing"]


shape = types.GenerateContentConfig(
    response_modalities=["TEXT", "IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9"), seed=7
)
made = client.models.generate_content(model=MODEL, contents=["a boat"], config=shape)
seen["generate"] = sizes(made)
seen["tokens"] = made.usage_metadata.candidates_token_count
data = next(part.inline_data.data for part in made.candidates[0].content.parts if part.inline_data)
picture = types.Part.from_bytes(data=data, mime_type="image/png")
seen["edit"] = sizes(client.models.generate_content(model=MODEL, contents=[picture, "make it blue"]))
stream = client.models.generate_content_stream(model=MODEL, contents=["a boat"])
seen["stream"] = [[bool(part.text) for part in chunk.candidates[0].content.parts] for chunk in stream]
blocked = client.models.generate_content(model=MODEL, contents=["a boat [emulate: moderate=prompt]"])
seen["moderation"] = [blocked.prompt_feedback.block_reason.value, blocked.candidates]
filtered = client.models.generate_content(model=MODEL, contents=["a boat [emulate: moderate=output]"])
seen["filtered"] = filtered.candidates[0].finish_reason.value
interaction = client.interactions.create(
    model=MODEL, input="a boat", response_format={"type": "image", "mime_type": "image/jpeg", "aspect_ratio": "16:9"}
)
drawn = base64.b64decode(interaction.output_image.data)
seen["interaction"] = [interaction.status, list(Image.open(io.BytesIO(drawn)).size)]
seen["limit"] = refused("a boat [emulate: status=429]")
seen["key"] = refused("a boat", key="invalid")
seen["server"] = refused("a boat [emulate: status=503]")
seen["models"] = f"models/{MODEL}" in [model.name for model in client.models.list()]
print(json.dumps(seen))
