"""A guard engine that crashes for images that begin with `crash`, and for `used` in a process that has worked."""

import os
from collections.abc import Sequence
from typing import Any

from celeste_image.sandbox.engine import Emit

worked = False


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    global worked
    (data,) = pictures
    if data.startswith(b"crash") or (data == b"used" and worked):
        os.abort()
    worked = True
    emit("facts", {"media_type": "image/png", "width": 1, "height": 1, "mode": "L", "has_alpha": False})
