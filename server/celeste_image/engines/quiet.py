"""OpenVINO, without its telemetry: importing it would tell a web service about this machine."""

import sys

__all__ = ["quiet_openvino"]


def quiet_openvino() -> None:
    """Has OpenVINO, when it is imported later, do without its telemetry package; call it before every import.

    `import openvino` sends an event by the package openvino-telemetry, and falls back to a stub that does nothing where
    that package can't be imported (openvino/tools/ovc/telemetry_utils.py, 2026.4). So here it can't.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python's own way to say: not importable
