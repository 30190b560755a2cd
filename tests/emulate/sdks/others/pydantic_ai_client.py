"""pydantic-ai with its image tool at the emulators. argv: OpenAI's base URL, then the origin of Gemini."""

import sys

from pydantic_ai import Agent, BinaryContent, BinaryImage
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.native_tools import ImageGenerationTool
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from steps import picture, run, size

openai, gemini = sys.argv[1:]
SOURCE = BinaryContent(data=picture(), media_type="image/png")


def gpt() -> Agent:
    model = OpenAIResponsesModel("gpt-5", provider=OpenAIProvider(api_key="emulated", base_url=openai))
    return Agent(model, output_type=BinaryImage, capabilities=[tool()])


def tool(**more):
    from pydantic_ai.capabilities import NativeTool

    return NativeTool(ImageGenerationTool(**more))


def google() -> Agent:
    model = GoogleModel("gemini-3-pro-image", provider=GoogleProvider(api_key="emulated", base_url=gemini))
    return Agent(model, output_type=BinaryImage)


async def made(agent: Agent, given) -> str:
    return size((await agent.run(given)).output.data)


async def streamed(agent: Agent) -> str:
    async with agent.run_stream("a boat") as result:
        return size((await result.get_output()).data)


run(
    generate=lambda: made(gpt(), "a boat"),
    edit=lambda: made(gpt(), ["make it red", SOURCE]),
    stream=lambda: streamed(gpt()),
    google_generate=lambda: made(google(), "a boat"),
    google_edit=lambda: made(google(), ["make it red", SOURCE]),
    google_stream=lambda: streamed(google()),
    error=lambda: made(gpt(), "a boat [emulate: moderate=prompt]"),
)
