"""The command line `celeste` as tests call it."""

import subprocess
import sys
from collections.abc import Callable

CELESTE = [sys.executable, "-m", "celeste_image.cli.main"]
Celeste = Callable[..., subprocess.CompletedProcess[bytes]]
