"""Loads ONNX networks on onnxruntime: on the CPU, cached per process, with telemetry off."""

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
"""The log level of onnxruntime that prints errors only."""


@lru_cache(maxsize=8)
def load(model_dir: str, name: str, threads: int) -> Callable[[Mapping[str, Values]], Values]:
    """Returns a function from a network's inputs, by name, to its first output. The loaded network stays cached.

    Args:
        model_dir: The folder with the network.
        name: The file's name in that folder.
        threads: CPU threads of one run.

    Raises:
        WeightsMissing: The file is absent or does not load.
    """
    # By default onnxruntime writes a machine id into the user's cache and reports each loaded model to its vendor
    # (1.32.0, 2026-11-28). Workers have no network, but engines also run outside of workers.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    path = Path(model_dir) / name
    command = {"command": f"celeste models pull local/{path.parent.name}"}
    if not path.is_file():
        raise WeightsMissing(f"the weights file {name} is not on this machine", metadata=command)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ALONE
    # An engine waits longer than it works: idle threads must sleep, and memory must return to the system.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    try:
        session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise WeightsMissing(f"the weights file {name} on this machine is damaged", metadata=command) from error

    def network(inputs: Mapping[str, Values]) -> Values:
        made: Values = session.run(None, dict(inputs))[0]
        return made

    return network
