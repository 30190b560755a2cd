"""Reads text in images (OCR) with rapidocr, which packs PaddleOCR's networks for onnxruntime. Needs the extra `ocr`.

The networks' work is bounded for every shape: rapidocr alone enlarges an image until its shorter side has 736 pixels,
so 1 x 100 pixels would become 54 megapixels.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["find", "scale_of"]

LONGEST = 2000
"""The longer side in pixels to which larger images are shrunk: more pixels take memory and find no more text. A narrow
image is shrunk to its `Work.detected` instead, if that leaves more of it."""
SHORTEST = 736
"""A small image is enlarged until its shorter side has SHORTEST pixels, or the image `Work.detected`."""
ENLARGED = 12
"""The largest enlargement: more shows no more text."""
BORDER, LEAST_SIDE = 16, 64
"""Each side gets a border of BORDER pixels and is then at least LEAST_SIDE pixels: text at the very edge is missed."""
MOST_LINES = 200
LINE_HEIGHT, LEAST_LINE, WIDEST_LINE = 48, 320, 800
"""Sizes of a line for the recognizer. Its time and memory grow with the square of the width, and from about 1,200 on it
reads wrong letters, so a wider line is cut."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Work:
    """The most that the networks do for one image.

    Attributes:
        detected: Pixels that a small image is enlarged to; a million take the detector one CPU second (2026-11-30).
        read: Pixels of width that the recognizer reads. A line is 48 pixels high, and at least 320 wide. 10,000 pixels
            take about 2 CPU seconds (2026-11-30).
    """

    detected: int
    read: int


USUAL, NARROW = Work(500_000, 120_000), Work(200_000, 1_300)
NARROW_FROM = 20
"""An image is narrow if its longer side is this many times its shorter side: then it is seldom a page to be read."""


def find(picture: Image.Image, threads: int) -> tuple[list[dict[str, Any]], str]:
    """Returns up to 200 lines with `text`, `score` (0 to 1) and `region` (x, y, width, height), from top to bottom.

    The second value says which part of the text was not read; empty if all of it was.
    """
    scale = scale_of(*picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    seen = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0) if size != picture.size else picture
    across, down = (max(BORDER, math.ceil((LEAST_SIDE - side) / 2)) for side in size)
    # rapidocr takes BGR, as OpenCV does.
    pixels = cv2.copyMakeBorder(np.asarray(seen)[:, :, ::-1], down, down, across, across, cv2.BORDER_REPLICATE)
    read, count, kept = reader(threads).read(pixels, work_for(*picture.size).read)
    note = "" if kept == count else f"only {kept} of {count} lines were read whole, to bound the work"
    lines = []
    for words, score, place in read:
        corners = (place - (across, down)) / (size[0] / picture.width, size[1] / picture.height)
        left, top = (max(0, math.floor(side)) for side in corners.min(axis=0))
        right, bottom = (math.ceil(side) for side in corners.max(axis=0))
        region = [left, top, min(right, picture.width) - left, min(bottom, picture.height) - top]
        if min(region[2:]) > 0:
            lines.append({"text": str(words)[:1000], "score": round(float(score), 3), "region": region})
    return sorted(lines, key=lambda line: (line["region"][1], line["region"][0])), note


def scale_of(width: int, height: int) -> float:
    """Returns by how much an image is scaled before its text is detected."""
    shorter, longer = sorted((width, height))
    most = work_for(width, height).detected
    to_area = math.sqrt(most / (width * height))
    scale = max(1.0, min(SHORTEST / shorter, to_area)) if to_area > 1 else min(1.0, max(LONGEST / longer, to_area))
    return min(scale, ENLARGED, most / (LEAST_SIDE * longer))


def work_for(width: int, height: int) -> Work:
    """Returns the most work for an image of a size in pixels."""
    return NARROW if max(width, height) > NARROW_FROM * min(width, height) else USUAL


@lru_cache(maxsize=1)
def reader(threads: int) -> Any:
    """Returns the OCR reader; its networks come with the package."""
    from rapidocr import RapidOCR
    from rapidocr.main import RapidOCRError

    class Reader(RapidOCR):
        """Detects all lines, then recognizes as many as the bounds allow."""

        def read(self, pixels: Pixels, most: int) -> tuple[list[tuple[str, float, Any]], int, int]:
            """Returns the text, score and corners of each line, how many lines there are, and how many were read."""
            found = self._load_det_model()(pixels)  # type: ignore[no-untyped-call]
            if found.boxes is None:
                return [], 0, 0
            whole = [cut_line(line) for line in self.crop_text_regions(pixels, found.boxes)[:MOST_LINES]]
            lines = _within(whole, most)
            pieces = [piece for line in lines for piece in line]
            try:
                made = self.recognize_txt(self.cls_and_rotate(pieces)[0]) if pieces else None
            except RapidOCRError:  # nothing was recognized
                made = None
            texts = iter(zip(made.txts or (), made.scores, strict=True) if made else ())
            read = [([*islice(texts, len(line))], corners) for line, corners in zip(lines, found.boxes, strict=False)]
            sure = [([part for part in parts if part[1] >= self.text_score], corners) for parts, corners in read]
            joined = [(" ".join(text for text, _ in parts), parts, corners) for parts, corners in sure]
            kept = [(text, min(s for _, s in parts), corners) for text, parts, corners in joined if text.strip()]
            return kept, len(found.boxes), sum(len(one) == len(other) for one, other in zip(lines, whole, strict=False))

    own = {
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "Global.log_level": "error",
        "Det.limit_side_len": 32,  # `scale_of` scales instead
    }
    return Reader(params=own)


def _within(lines: list[list[Pixels]], most: int) -> list[list[Pixels]]:
    """Returns the first pieces of lines, as many as can be read within `most` pixels of width."""
    kept: list[list[Pixels]] = []
    for line in lines:
        kept.append([])
        for piece in line:
            most -= max(LEAST_LINE, LINE_HEIGHT * piece.shape[1] // piece.shape[0])
            if most < 0:
                return kept if kept[-1] else kept[:-1]
            kept[-1].append(piece)
    return kept


def cut_line(line: Pixels) -> list[Pixels]:
    """Returns a line in pieces that are not wider than WIDEST_LINE at LINE_HEIGHT, cut between letters if possible."""
    height, width = line.shape[:2]
    widest = max(1, WIDEST_LINE * height // LINE_HEIGHT)
    pieces = []
    while width > widest:
        window = line[:, widest - min(widest - 1, 4 * height) : widest]
        at = widest - window.shape[1] + int(window.std(axis=(0, 2)).argmin())
        pieces.append(line[:, : max(1, at)])
        line = line[:, max(1, at) :]
        width = line.shape[1]
    return [*pieces, line]
