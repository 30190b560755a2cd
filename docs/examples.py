"""Example commands and programs for the providers' pages, one per operation. A test runs them all."""

from collections.abc import Iterator, Sequence

from tests.support.recording_evidence import offered, operations_of

from celeste_image.core.card import BoolRange, ChoiceRange, ModelCard, ModelStage, SizeRange
from celeste_image.core.request import OperationKind
from celeste_image.providers.kit.vendor import Vendor

EDITS = {
    "erase": "Erase(mask)",
    "inpaint": 'Inpaint(mask, "a straw hat")',
    "outpaint": "Outpaint(left=64, right=64)",
    "instruct": 'Instruct("make it evening")',
    "remove background": "RemoveBackground()",
    "replace background": 'ReplaceBackground("a beach")',
    "restyle": "Restyle(style_image=style)",
    "recolor": 'Recolor("the suit", "yellow")',
    "search replace": 'SearchReplace("the helmet", "a straw hat")',
    "relight": 'Relight("warm evening light")',
    "vary": "Vary()",
    "control": 'Control("{word}", "a castle on a hill")',
}
"""The Python expression of each edit, by operation."""


def examples(vendor: Vendor) -> list[str]:
    """Returns the lines of a provider's examples, with a heading per operation."""
    lines: list[str] = []
    for operation in offered():
        card = _model_for(vendor.cards, operation)
        if operation == "key check" and vendor.key_path:
            lines += ["### key check", "", "```sh", f"celeste providers check {vendor.name}", "```", ""]
        elif card:
            language, code = _example(card, operation)
            lines += [f"### {operation}", "", f"```{language}", *code, "```", ""]
    return lines


def _model_for(cards: Sequence[ModelCard], operation: str) -> ModelCard | None:
    needed = {operation, "generate"} if operation == "previews" else {operation}
    able = [c for c in cards if needed <= set(operations_of(c)) and c.stage is not ModelStage.RETIRED]
    return next((card for card in able if card.stage is ModelStage.ACTIVE), able[0] if able else None)


def _example(card: ModelCard, operation: str) -> tuple[str, Sequence[str]]:
    name, _, word = operation.removesuffix(")").partition(" (")
    match name:
        case "generate":
            return "sh", [f'celeste "a red fox in the snow" --model {card.id}{_size(card)}{_option(card)} --out fox']
        case "previews":
            return "python", list(_previews(card))
        case "upscale":
            prompt = card.parameter(OperationKind.UPSCALE, "prompt")
            if prompt and prompt.required:
                return "python", list(_python(f'Upscale(model="{card.id}", image=photo, factor=4, prompt="a face")'))
            return "sh", [f"celeste upscale photo.jpg --model {card.id} --factor 4 --out larger"]
        case _:
            edit = EDITS[name].format(word=word)
            return "python", list(_python(f'Edit(model="{card.id}", image=photo, edit={edit})', edit))


def _python(request: str, edit: str = "") -> Iterator[str]:
    """Yields the lines of a program that makes one image from `photo.jpg`."""
    yield "from pathlib import Path"
    yield ""
    yield "from celeste_image import connect"
    if edit:
        kind = edit.partition("(")[0]
        yield f"from celeste_image.core.edits import {kind}{', Mask' if 'mask' in edit else ''}"
    yield "from celeste_image.core.image import ImageInput"
    yield f"from celeste_image.core.request import {request.partition('(')[0]}"
    yield ""
    yield 'photo = ImageInput(data=Path("photo.jpg").read_bytes())'
    if "mask" in edit:
        yield 'mask = Mask(ImageInput(data=Path("mask.png").read_bytes()))'
    if "=style" in edit:
        yield 'style = ImageInput(data=Path("style.jpg").read_bytes())'
    yield f"request = {request}"
    yield "with connect() as client:"
    yield "    result = client.run(request)"
    yield '    print(client.save(result.images[0], "made", overwrite=True))'


def _previews(card: ModelCard) -> Iterator[str]:
    """Yields the lines of a program that saves the previews of one image."""
    options = "RequestOptions(preview_count=2)"
    yield "from pathlib import Path"
    yield ""
    yield "from celeste_image import connect"
    yield "from celeste_image.core.events import Completed, Preview"
    yield "from celeste_image.core.request import Generate, RequestOptions"
    yield ""
    yield f'request = Generate(model="{card.id}", prompt="a red fox", options={options})'
    yield "with connect() as client:"
    yield "    for number, event in enumerate(client.stream(request)):"
    yield "        if isinstance(event, Preview):"
    yield """            Path(f"preview-{number}.{event.media_type.removeprefix('image/')}").write_bytes(event.data)"""
    yield "        elif isinstance(event, Completed):"
    yield '            print(client.save(event.result.images[0], "made", overwrite=True))'


def _size(card: ModelCard) -> str:
    known = card.parameter(OperationKind.GENERATE, "size")
    if known is None or not isinstance(known.range, SizeRange):
        return ""
    return " --size 16:9" if known.range.ratios else " --size 1024x1024"


def _option(card: ModelCard) -> str:
    """Returns the command-line form of the first provider option with a valid value, or an empty string."""
    for parameter in card.parameters[OperationKind.GENERATE]:
        if parameter.path.startswith("options.provider_options"):
            name = f"{card.provider}.{parameter.path.rpartition('.')[2]}"
            match parameter.range:
                case ChoiceRange(values=(first, *_)):
                    return f" --set {name}={first}"
                case BoolRange():
                    return f" --set {name}=true"
    return ""
