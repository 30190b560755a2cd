"""Reads generation parameters (prompt, seed, model ...) that image generators write into images.

Where each tool writes them, from the tools' sources on 2026-11-28:

    celeste         XMP, one property with JSON; see core/recipe.py
    automatic1111   PNG text `parameters`, EXIF UserComment; Forge, SD.Next, Civitai and others write the same
    comfyui         PNG text `prompt` and `workflow`, JSON graphs; in WebP EXIF Make and Model, as `prompt:{...}`
    invokeai        PNG text `invokeai_metadata`, before 3.0 `sd-metadata`, JSON
    novelai         PNG text `Software`, `Source` and `Comment`, JSON
    fooocus         PNG text `parameters` with `fooocus_scheme`, JSON or as automatic1111
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from celeste_image.core.recipe import RECIPE_PROPERTY
from celeste_image.engines.metadata.values import plain, sound

__all__ = ["find_generation"]

MAX_TEXT = 16_000
"""Maximum characters of a prompt: two of these, the entries and `more` always fit into a frame, even escaped."""
MAX_MORE_BYTES = 64 << 10
MAX_PARAMETERS = 8192
"""Maximum characters of the last line of `parameters`: the pattern below takes quadratic time at worst."""
PAIR = re.compile(r'([A-Za-z][\w \-/]{0,60}):\s{0,4}("(?:\\.|[^\\"])+"|[^,]*)')
NEGATIVE = "Negative prompt:"
LAST = re.compile(r"^(?:Steps|Seed): \d", re.M)

Json = Mapping[str, Any]


def find_generation(texts: Mapping[str, str], comment: str, properties: Json) -> dict[str, Any] | None:
    """Returns the fields of GenerationParameters, None if no known tool wrote any.

    Args:
        texts: Text chunks of a PNG, or their equivalent in other formats, by name.
        comment: EXIF UserComment; empty if absent.
        properties: XMP properties by name.
    """
    if recipe := _json(properties.get(RECIPE_PROPERTY)):
        return _from_names("celeste", recipe, prompt="prompt", negative="negative_prompt", model="model")
    if meta := _json(texts.get("invokeai_metadata")):
        model = meta.get("model")
        found = _from_names("invokeai", meta, prompt="positive_prompt", negative="negative_prompt", sampler="scheduler")
        return found | {"model": _word(model, "name", "model_name", "key")}
    if meta := _json(texts.get("sd-metadata")):
        image = meta.get("image")
        found = _from_names("invokeai", image if isinstance(image, dict) else {}, prompt="prompt")
        return found | {"model": _word(meta.get("model_weights"))}
    if texts.get("Software") == "NovelAI" and (meta := _json(texts.get("Comment"))):
        found = _from_names("novelai", meta, prompt="prompt", negative="uc")
        prompt = found["prompt"] or sound(texts.get("Description", "")[:MAX_TEXT])
        return found | {"prompt": prompt, "model": _word(texts.get("Source"))}
    written = texts.get("parameters") or comment
    if (meta := _json(written)) and {"prompt", "base_model"} <= meta.keys():
        return _from_names("fooocus", meta, prompt="prompt", negative="negative_prompt", model="base_model")
    if graph := _json(texts.get("prompt")):
        return _from_graph(graph)
    if LAST.search(written[-MAX_PARAMETERS:]):
        return _from_lines(written, "fooocus" if "fooocus_scheme" in texts else "automatic1111")
    return None


def _from_names(
    tool: str,
    values: Json,
    *,
    prompt: str,
    negative: str = "negative_prompt",
    sampler: str = "sampler",
    model: str = "model",
) -> dict[str, Any]:
    """Returns parameters from a JSON object; the arguments name its members."""
    used = {prompt, negative, sampler, model, "seed", "steps"}
    words = values.get(prompt, "")
    if isinstance(words, list):  # InvokeAI before 3.0 wrote a list of prompts with weights
        words = " ".join(_word(item, "prompt") for item in words[:100])
    return _parameters(
        tool,
        prompt=words,
        negative=values.get(negative),
        seed=values.get("seed"),
        steps=values.get("steps"),
        sampler=values.get(sampler) or values.get("sampler_name"),
        model=values.get(model),
        more={name: value for name, value in list(values.items())[:100] if name not in used},
    )


def _from_lines(written: str, tool: str) -> dict[str, Any]:
    """Returns parameters from a text: prompt, then `Negative prompt:` with its text, then one line of pairs."""
    words, _, last = written.rstrip().rpartition("\n")
    prompt, _, negative = words.partition(NEGATIVE)
    pairs = {name.strip(): _unquoted(value) for name, value in PAIR.findall(last[:MAX_PARAMETERS])}
    return _parameters(
        tool,
        prompt=prompt.strip(),
        negative=negative.strip(),
        seed=pairs.pop("Seed", None),
        steps=pairs.pop("Steps", None),
        sampler=pairs.pop("Sampler", ""),
        model=pairs.pop("Model", ""),
        more=pairs,
    )


def _from_graph(graph: Json) -> dict[str, Any] | None:
    """Returns parameters from a ComfyUI graph: those of its first sampler and of the nodes that feed it."""
    nodes = {name: node for name, node in graph.items() if isinstance(node, dict) and "class_type" in node}
    if not nodes:
        return None
    samplers = (node for node in nodes.values() if "Sampler" in str(node["class_type"]) and _inputs(node))
    sampler = next((node for node in samplers if {"positive", "seed", "noise_seed"} & _inputs(node).keys()), {})
    inputs = _inputs(sampler)
    lines = {name: list(_upstream(nodes, inputs.get(name))) for name in ("positive", "negative", "model")}
    seeds = (inputs.get("seed"), inputs.get("noise_seed"))
    return _parameters(
        "comfyui",
        prompt=_first(lines["positive"] or nodes.values(), "text"),
        negative=_first(lines["negative"], "text"),
        seed=next((seed for seed in seeds if isinstance(seed, int)), None),
        steps=inputs.get("steps"),
        sampler=inputs.get("sampler_name"),
        model=_first(lines["model"] or nodes.values(), "ckpt_name", "unet_name", "model_name"),
        more={name: inputs[name] for name in ("cfg", "scheduler", "denoise") if name in inputs} | {"nodes": len(nodes)},
    )


def _upstream(nodes: Json, link: Any) -> Iterator[Json]:
    """Yields the nodes that feed an input, nearest first, up to 100. A link is a node's name and an output number."""
    seen: set[str] = set()
    links = [link]
    while links and len(seen) < 100:
        match links.pop(0):
            case [str() | int() as name, int()] if str(name) not in seen and (node := nodes.get(str(name))):
                seen.add(str(name))
                yield node
                links += list(_inputs(node).values())


def _inputs(node: Json) -> Json:
    inputs = node.get("inputs")
    return inputs if isinstance(inputs, dict) else {}


def _first(nodes: Any, *names: str) -> str:
    """Returns the first non-empty text among the named inputs of some nodes."""
    values = (_inputs(node).get(name) for node in nodes for name in names)
    return next((value for value in values if isinstance(value, str) and value), "")


def _parameters(
    tool: str, *, prompt: Any, negative: Any, seed: Any, steps: Any, sampler: Any, model: Any, more: Json
) -> dict[str, Any]:
    found, count = _whole(seed, 1 << 64), _whole(steps, 1 << 31)
    return {
        "tool": tool,
        "prompt": sound(prompt[:MAX_TEXT]) if isinstance(prompt, str) else "",
        "negative_prompt": sound(negative[:MAX_TEXT]) if isinstance(negative, str) else "",
        "seed": found,
        "steps": count or 0,
        "sampler": _word(sampler),
        "model": _word(model, "name", "model_name", "key"),
        "more": _bounded(plain(dict(more))),
    }


def _bounded(more: dict[str, Any]) -> dict[str, Any]:
    """Returns the members that fit into MAX_MORE_BYTES, smallest first."""
    left, kept = MAX_MORE_BYTES, {}
    for size, name in sorted((len(json.dumps(value)) + len(name), name) for name, value in more.items()):
        left -= size
        if left >= 0:
            kept[name] = more[name]
    return kept


def _whole(value: Any, end: int) -> int | None:
    """Returns an integer from 0 to below `end`, also if given as a decimal string; None for all other values."""
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end else None


def _word(value: Any, *names: str) -> str:
    """Returns a text, or an object's first text under one of the names; empty for all other values."""
    if isinstance(value, dict):
        value = next((value[name] for name in names if isinstance(value.get(name), str)), "")
    return sound(value[:200]) if isinstance(value, str) else ""


def _unquoted(value: str) -> str:
    text = value.strip()
    if text.startswith('"') and text.endswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return text


def _json(text: Any) -> dict[str, Any] | None:
    """Returns the JSON object in a text, None for all other texts."""
    if not isinstance(text, str) or text.lstrip()[:1] != "{":
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # RecursionError comes from deeply nested brackets
        return None
    return value if isinstance(value, dict) else None
