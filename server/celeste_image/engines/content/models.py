"""Tags and objects by two networks: EfficientNet-Lite3 on LiteRT, and SSD-MobileNet-v2 on OpenCV."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celeste_image.core.errors import WeightsMissing
from celeste_image.engines.content.coco import COCO

__all__ = ["objects", "tags"]

TAG_SIDE = 280
TAG_MEAN, TAG_DEVIATION = 127.0, 128.0
"""Normalization that the EfficientNet-Lite networks were trained with; models/official/efficientnet/lite in
tensorflow/tpu."""
MOST_TAGS = 5
LEAST_TAG = 0.15
"""The lowest score of a tag. On the 20 images of docs/engines/analyze.md all first tags below it are wrong; from 0.8 on
all are right."""
OBJECT_SIDE = 300
LEAST_OBJECT = 0.3

Scores = NDArray[np.float32]


def tags(picture: Image.Image, folder: str, threads: int) -> list[dict[str, Any]]:
    """Returns up to 5 best matching classes with `name` and `score` (0 to 1), highest score first."""
    names, classify = classifier(folder, threads)
    scores = classify(np.asarray(picture.resize((TAG_SIDE, TAG_SIDE), Image.Resampling.BICUBIC)))
    best = [int(index) for index in np.argsort(-scores, kind="stable")[:MOST_TAGS] if scores[index] >= LEAST_TAG]
    return [{"name": names[index], "score": round(float(scores[index]), 3)} for index in best]


def objects(picture: Image.Image, folder: str, threads: int) -> list[dict[str, Any]]:
    """Returns the objects in an image with `name`, `score` (0 to 1) and `region`, highest score first.

    A region is x, y, width and height in pixels.
    """
    network = detector(folder, threads)
    small = np.asarray(picture.resize((OBJECT_SIDE, OBJECT_SIDE), Image.Resampling.BILINEAR))
    network.setInput(cv2.dnn.blobFromImage(small))
    found = []
    for _, label, score, *corners in network.forward()[0, 0]:
        name = COCO.get(int(label))
        region = region_of(corners, picture.size)
        if name and score >= LEAST_OBJECT and region:
            found.append({"name": name, "score": round(float(score), 3), "region": region})
    return sorted(found, key=lambda thing: -float(thing["score"]))


def region_of(corners: Any, size: tuple[int, int]) -> list[int]:
    """Returns x, y, width and height in pixels of a box with corners from 0 to 1, clipped to the image.

    The list is empty if the clipped box is empty.
    """
    left, top, right, bottom = (
        round(min(1.0, max(0.0, float(corner))) * side) for corner, side in zip(corners, (*size, *size), strict=True)
    )
    return [left, top, right - left, bottom - top] if right > left and bottom > top else []


@lru_cache(maxsize=1)
def classifier(folder: str, threads: int) -> tuple[list[str], Callable[[Any], Scores]]:
    """Returns the class names, and a function from RGB pixels to a score per class. Raises WeightsMissing."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        names = [line.partition(",")[0] for line in (Path(folder) / "efficientnet_labels.txt").read_text().splitlines()]
        weights = str(Path(folder) / "efficientnet_lite3.tflite")
        interpreter = Interpreter(weights, num_threads=threads)
        interpreter.allocate_tensors()
    except (OSError, ValueError, RuntimeError) as error:
        raise damaged() from error
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = given["quantization"]
    step, base = made["quantization"]

    def classify(pixels: Any) -> Scores:
        values = (pixels.astype(np.float32) - TAG_MEAN) / TAG_DEVIATION
        interpreter.set_tensor(given["index"], (values / scale + zero).round().clip(0, 255).astype(np.uint8)[None])
        interpreter.invoke()
        scores: Scores = (interpreter.get_tensor(made["index"])[0].astype(np.float32) - base) * np.float32(step)
        return scores

    return names, classify


@lru_cache(maxsize=1)
def detector(folder: str, threads: int) -> Any:
    """Returns the object detector as an OpenCV network. Raises WeightsMissing."""
    cv2.setNumThreads(threads)
    graph = Path(folder) / "frozen_inference_graph.pb"
    try:
        return cv2.dnn.readNetFromTensorflow(str(graph), str(graph.with_name("ssd_mobilenet_v2_coco_2018_03_29.pbtxt")))
    except cv2.error as error:
        raise damaged() from error


def damaged() -> WeightsMissing:
    """Returns the error for weights that do not load, with the command that fixes it."""
    command = "celeste models pull local/analyze"
    text = f"the weights of local/analyze on this machine are damaged or incomplete; get them with: {command}"
    return WeightsMissing(text, metadata={"command": command})
