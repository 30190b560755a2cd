"""A guard engine that crashes: always for images that begin with `crash`, once for those with `once`."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celeste_image.sandbox.engine import Emit


def run(task: dict[str, Any], pictures: Sequence[bytes], emit: Emit) -> None:
    (data,) = pictures
    how, _, rest = data.partition(b":")
    if how == b"crash":
        os.abort()
    if how == b"once" and not (mark := Path(rest.decode())).exists():
        mark.touch()
        os.abort()
    facts = {"media_type": "image/png", "width": 1, "height": 1, "size_bytes": len(data), "mode": "L"}
    emit("facts", facts | {"has_alpha": False, "sha256": hashlib.sha256(data).hexdigest()})
