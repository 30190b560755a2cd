"""Turns off OpenVINO's telemetry. Without this, `import openvino` reports this machine to a web service."""

import sys

__all__ = ["quiet_openvino"]


def quiet_openvino() -> None:
    """Blocks the import of OpenVINO's telemetry package. Call this before each `import openvino`.

    `import openvino` sends an event through the package openvino-telemetry. If that package cannot be imported,
    OpenVINO uses a stub that sends nothing (openvino/tools/ovc/telemetry_utils.py, 2026.4).
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None makes Python's import fail
