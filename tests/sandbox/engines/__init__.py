"""Misbehaving engines; a worker finds them as `tests.sandbox.engines.<name>` by PYTHONPATH."""
