"""Protection: what a worker process that foreign bytes took over can't do."""

from enum import StrEnum

__all__ = ["Protection"]


class Protection(StrEnum):
    """What a worker process that was taken over can't do.

    Operators name these in `[sandbox] require`; `sandbox/protections.py` has the controls.
    """

    READS = "reads"
    """Read files other than its code and its weights, such as keys and artifacts."""
    WRITES = "writes"
    """Write, rename or delete files."""
    NETWORK = "network"
    """Reach the network or a socket of this machine."""
    PROCESSES = "processes"
    """Reach the memory of other processes, send signals to them or change their limits."""
    PROGRAMS = "programs"
    """Start other programs or processes."""
    PRIVILEGES = "privileges"
    """Have or get capabilities, also as root."""
