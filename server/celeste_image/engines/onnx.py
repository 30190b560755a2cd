"""Networks on onnxruntime: loaded once in a process, on the CPU, and nobody told of it."""

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeste_image.core.errors import WeightsMissing

__all__ = ["Values", "load"]

Values = NDArray[np.float32]

ERRORS_ALONE = 3
"""Of onnxruntime's levels."""


@lru_cache(maxsize=8)
def load(model_dir: str, name: str, threads: int) -> Callable[[Mapping[str, Values]], Values]:
    """Returns a function from a network's inputs, by their names, to its first output; it keeps the loaded network.

    Raises:
        WeightsMissing: The folder has no such network, or one that does not load.
    """
    # By itself it makes an id of this machine in the user's cache, and tells its maker of each model it loads (1.32.0,
    # 2026-11-28); workers can't reach anybody, but this is also for who runs an engine without one.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    path = Path(model_dir) / name
    command = {"command": f"celeste models pull local/{path.parent.name}"}
    if not path.is_file():
        raise WeightsMissing("the weights are not on this machine", metadata=command)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ALONE
    # Threads that wait must sleep, and memory must go back: an engine waits longer than it works.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    try:
        session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        raise WeightsMissing("the weights on this machine are damaged", metadata=command) from error

    def network(inputs: Mapping[str, Values]) -> Values:
        made: Values = session.run(None, dict(inputs))[0]
        return made

    return network
