"""openai-agents with the image tool at the emulators. argv: OpenAI's base URL."""

import base64
import sys

from agents import Agent, ImageGenerationTool, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI
from steps import picture, run, size

set_tracing_disabled(True)
URL = "data:image/png;base64," + base64.b64encode(picture()).decode()
WITH_IMAGE = [
    {"role": "user", "content": [{"type": "input_image", "detail": "auto", "image_url": URL}]},
    {"role": "user", "content": "make it red"},
]


def agent(**tool) -> Agent:
    client = AsyncOpenAI(api_key="emulated", base_url=sys.argv[1], max_retries=0)
    tools = [ImageGenerationTool(tool_config={"type": "image_generation", **tool})]
    return Agent("painter", tools=tools, model=OpenAIResponsesModel("gpt-5", client))


def image(result) -> str:
    raw = [item.raw_item for item in result.new_items]
    return ", ".join(size(item.result) for item in raw if getattr(item, "type", "") == "image_generation_call")


async def made(given, **tool) -> str:
    return image(await Runner.run(agent(**tool), given))


async def streamed() -> str:
    result = Runner.run_streamed(agent(partial_images=2), "a boat")
    partial = 0
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            partial += event.data.type == "response.image_generation_call.partial_image"
    return f"{partial} previews, {image(result)}" if partial else ""


run(
    generate=lambda: made("a boat", size="1024x1024", quality="low"),
    edit=lambda: made(WITH_IMAGE),
    stream=streamed,
    error=lambda: made("a boat [emulate: moderate=prompt]"),
)
