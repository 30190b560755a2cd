"""langchain-openai with the image tool at the emulators. argv: OpenAI's base URL."""

import base64
import sys

from langchain_openai import ChatOpenAI
from steps import picture, run, size

model = ChatOpenAI(model="gpt-5", api_key="emulated", base_url=sys.argv[1], max_retries=0, use_responses_api=True)
drawing = model.bind_tools([{"type": "image_generation", "size": "1024x1024", "quality": "low"}])
URL = "data:image/png;base64," + base64.b64encode(picture()).decode()
WITH_IMAGE = [{"type": "text", "text": "make it red"}, {"type": "image_url", "image_url": {"url": URL}}]


def image(message) -> str:
    outputs = [part for part in message.content if part.get("type") in ("image_generation_call", "image")]
    found = [part.get("result") or part.get("base64") for part in outputs]
    return ", ".join(size(data) for data in found if data)


def streamed() -> str:
    whole = None
    for chunk in drawing.stream("a boat"):
        whole = chunk if whole is None else whole + chunk
    return image(whole)


def turns() -> str:
    first = drawing.invoke("a boat")
    return image(drawing.invoke([{"role": "user", "content": "a boat"}, first, {"role": "user", "content": "red"}]))


run(
    generate=lambda: image(drawing.invoke("a boat")),
    edit=lambda: image(drawing.invoke([{"role": "user", "content": WITH_IMAGE}])),
    turns=turns,
    stream=streamed,
    text=lambda: str(model.invoke("hello").content and "text"),
    error=lambda: image(drawing.invoke("a boat [emulate: moderate=prompt]")),
)
