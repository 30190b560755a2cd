"""The engine with many acts, in a module that starts a thread: the kernel can't seal that thread."""

import threading

from tests.sandbox.engines.acts import deeds, run

__all__ = ["deeds", "run"]

threading.Thread(target=threading.Event().wait, daemon=True).start()
