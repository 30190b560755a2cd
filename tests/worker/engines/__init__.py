"""Engines that do what engines should not; a worker finds them as `tests.worker.engines.<name>` by PYTHONPATH."""
