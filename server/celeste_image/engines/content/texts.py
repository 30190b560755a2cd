"""Reads text in images (OCR) with rapidocr, which packs PaddleOCR's networks for onnxruntime. Needs the extra `ocr`."""

from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["find"]

LONGEST = 2000
"""The longer side in pixels to which larger images are shrunk: more pixels take memory and find no more text."""
MOST_LINES = 200


def find(picture: Image.Image, threads: int) -> list[dict[str, Any]]:
    """Returns up to 200 lines with `text`, `score` (0 to 1) and `region` (x, y, width, height), from top to bottom."""
    small = picture.copy()
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    grown = picture.width / small.width
    read = reader(threads)(np.asarray(small)[:, :, ::-1])  # rapidocr takes BGR, as OpenCV does
    if read.txts is None or read.boxes is None:
        return []
    lines = []
    for words, score, corners in zip(read.txts, read.scores, read.boxes, strict=True):
        left, top = (float(side) for side in np.floor(corners.min(axis=0) * grown).clip(0))
        right, bottom = (float(side) for side in np.ceil(corners.max(axis=0) * grown))
        region = [int(left), int(top), int(min(right, picture.width) - left), int(min(bottom, picture.height) - top)]
        lines.append({"text": str(words)[:1000], "score": round(float(score), 3), "region": region})
    return sorted(lines[:MOST_LINES], key=lambda line: (line["region"][1], line["region"][0]))


@lru_cache(maxsize=1)
def reader(threads: int) -> Any:
    """Returns the OCR reader; its networks come with the package."""
    from rapidocr import RapidOCR

    own = {"EngineConfig.onnxruntime.intra_op_num_threads": threads, "Global.log_level": "error"}
    return RapidOCR(params=own)
