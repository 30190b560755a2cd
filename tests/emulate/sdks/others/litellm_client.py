"""litellm at the emulators. argv: OpenAI's base URL, the origins of Azure and Gemini.

Its client of Black Forest Labs polls https alone, so it can't use an emulator.
"""

import io
import sys

import litellm
from steps import picture, run, size

openai, azure, gemini = sys.argv[1:]
litellm.suppress_debug_info = True
GPT = {"model": "openai/gpt-image-2", "api_key": "emulated", "api_base": openai, "max_retries": 0}
AZURE = {"model": "azure/gpt-image-2", "api_key": "emulated", "api_base": azure, "api_version": "2025-04-01-preview"}
GOOGLE = {"model": "gemini/gemini-3-pro-image", "api_key": "emulated", "api_base": f"{gemini}/v1beta"}
TOOL = {"tools": [{"type": "image_generation", "partial_images": 1}], "input": "a boat"}
CHAT = {"model": "openai/gpt-5", "api_key": "emulated", "api_base": openai}


def file() -> io.BytesIO:
    out = io.BytesIO(picture())
    out.name = "image.png"
    return out


def image(reply) -> str:
    return ", ".join("url" if item.url else size(item.b64_json) for item in reply.data)


def called(output) -> str:
    return ", ".join(size(item.result) for item in output if item.type == "image_generation_call")


def streamed() -> str:
    *_, last = litellm.responses(**CHAT, **TOOL, stream=True)
    return called(last.response.output)


run(
    generate=lambda: image(litellm.image_generation(prompt="a boat", size="1024x1024", n=2, **GPT)),
    edit=lambda: image(litellm.image_edit(image=file(), prompt="make it red", **GPT)),
    responses=lambda: called(litellm.responses(**CHAT, **TOOL).output),
    stream=streamed,
    azure_generate=lambda: image(litellm.image_generation(prompt="a boat", size="1024x1024", **AZURE)),
    azure_edit=lambda: image(litellm.image_edit(image=file(), prompt="make it red", **AZURE)),
    google_generate=lambda: image(litellm.image_generation(prompt="a boat", **GOOGLE)),
    error=lambda: image(litellm.image_generation(prompt="a boat [emulate: moderate=prompt]", **GPT)),
)
