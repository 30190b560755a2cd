"""Engines that do what engines should not; a worker finds them as `tests.sandbox.engines.<name>` by PYTHONPATH."""
