"""Finds the dominant colors of an image: k-means in CIE Lab, where distance approximates perceived difference."""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

__all__ = ["find"]

SIDE = 96
"""The longer side in pixels after shrinking: 9,000 samples give the same colors as millions."""
CLUSTERS = 6
ALIKE = 10.0
"""Colors closer than this distance in Lab (CIE76) are merged."""
LEAST_SHARE = 0.01
OPAQUE = 128

Samples = NDArray[np.float32]


def find(picture: Image.Image) -> list[dict[str, Any]]:
    """Returns up to 6 colors with `hex`, `name` and `share` (0 to 1), largest share first.

    Pixels with an alpha below 128 are ignored; the list is empty if no pixel is left.
    """
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small.convert("RGBA")).reshape(-1, 4)
    rgb = pixels[pixels[:, 3] >= OPAQUE, :3]
    if not len(rgb):
        return []
    samples = lab(rgb)
    labels = clustered(samples, min(CLUSTERS, len(np.unique(rgb, axis=0))))
    groups = [labels == index for index in range(labels.max() + 1)]
    merged: list[NDArray[np.bool_]] = []
    for group in sorted(groups, key=lambda each: -int(each.sum())):
        if not group.any():
            continue
        middle = samples[group].mean(axis=0)
        near = next((i for i, e in enumerate(merged) if np.linalg.norm(samples[e].mean(axis=0) - middle) < ALIKE), None)
        if near is None:
            merged.append(group)
        else:
            merged[near] = merged[near] | group
    colors = [(float(group.mean()), rgb[group].mean(axis=0).round().astype(int)) for group in merged]
    return [
        {"hex": "#{:02x}{:02x}{:02x}".format(*color), "name": name_of(color), "share": round(share, 4)}
        for share, color in sorted(colors, key=lambda each: -each[0])
        if share >= LEAST_SHARE
    ]


def clustered(samples: Samples, clusters: int) -> NDArray[np.int32]:
    """Returns the cluster of each sample, from 0."""
    if clusters == 1:  # OpenCV would read a single sample as three
        return np.zeros(len(samples), np.int32)
    cv2.setRNGSeed(1)  # the same image gives the same colors
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.5)
    no_labels: Any = None
    _, labels, _ = cv2.kmeans(samples, clusters, no_labels, stop, 3, cv2.KMEANS_PP_CENTERS)
    return np.asarray(labels.ravel(), np.int32)


def lab(rgb: Any) -> Samples:
    """Converts RGB colors (0 to 255) to Lab, with L from 0 to 100."""
    row = np.asarray(rgb, np.float32).reshape(1, -1, 3) / 255
    return np.asarray(cv2.cvtColor(row, cv2.COLOR_RGB2LAB)[0], np.float32)


@cache
def named() -> tuple[list[str], Samples]:
    """Returns the names of the CSS colors, one name per color, and the colors in Lab."""
    by_color: dict[tuple[int, ...], str] = {}
    for name in sorted(ImageColor.colormap):
        by_color.setdefault(ImageColor.getrgb(name), name)
    return list(by_color.values()), lab(list(by_color))


def name_of(color: Any) -> str:
    """Returns the name of the nearest CSS color in Lab."""
    names, places = named()
    return names[int(np.linalg.norm(places - lab([color]), axis=1).argmin())]
