"""celeste-ai 1.0.0 at the emulators. argv: the origins of OpenAI, Gemini and Black Forest Labs."""

import sys

import celeste
from celeste.artifacts import ImageArtifact
from celeste.core import Modality, Operation, Provider
from celeste.mime_types import ImageMimeType
from steps import picture, run, size

openai, gemini, bfl = sys.argv[1:]
SOURCE = ImageArtifact(data=picture(), mime_type=ImageMimeType.PNG)
WORDS = "a boat [emulate: moderate=prompt]"


def client(provider: Provider, model: str, url: str, operation: Operation):
    return celeste.create_client(
        modality=Modality.IMAGES, operation=operation, provider=provider, model=model, api_key="emulated", base_url=url
    )


def gpt(operation: Operation = Operation.GENERATE):
    return client(Provider.OPENAI, "gpt-image-2", openai, operation)


def google(operation: Operation = Operation.GENERATE):
    return client(Provider.GOOGLE, "gemini-3-pro-image", gemini, operation)


def flux(model: str, operation: Operation = Operation.GENERATE):
    return client(Provider.BFL, model, bfl, operation)


async def made(output) -> str:
    content = (await output).content
    content = content if isinstance(content, list) else [content]
    return ", ".join("url" if one.url else size(one.data) for one in content)


async def streamed(stream) -> str:
    return str([chunk async for chunk in stream][-1].content and "image")


run(
    openai_generate=lambda: made(gpt().generate("a boat", quality="low", aspect_ratio="1024x1024")),
    openai_edit=lambda: made(gpt(Operation.EDIT).edit(SOURCE, "a red boat")),
    openai_stream=lambda: streamed(gpt().stream.generate("a boat", partial_images=2)),
    openai_stream_edit=lambda: streamed(gpt(Operation.EDIT).stream.edit(SOURCE, "a red boat", partial_images=1)),
    google_generate=lambda: made(google().generate("a boat", aspect_ratio="16:9")),
    google_edit=lambda: made(google(Operation.EDIT).edit(SOURCE, "a red boat")),
    bfl_generate=lambda: made(flux("flux-2-pro").generate("a boat")),
    bfl_edit=lambda: made(flux("flux-kontext-pro", Operation.EDIT).edit(SOURCE, "a red boat")),
    bfl_kontext=lambda: made(flux("flux-kontext-pro").generate("a boat")),
    error=lambda: made(gpt().generate(WORDS)),
)
