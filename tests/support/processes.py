"""Processes of tests: how they end."""

import subprocess

__all__ = ["end"]


def end(process: subprocess.Popen[bytes], seconds: float = 20) -> bool:
    """Asks a process to end and waits; kills it when it takes too long. Returns whether it ended by itself."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True
