"""Replays: the switch for tests that need servers which give a repeated `request_id` its first outcome."""

import pytest

__all__ = ["REPLAYS", "needs_replays", "without_replays"]

REPLAYS = False
"""Whether servers give the first outcome of a `request_id` again. Remove this file, and its marks, when they do."""

needs_replays = pytest.mark.skipif(not REPLAYS, reason="a repeated request_id makes a new call: see support/replays.py")
without_replays = pytest.mark.skipif(
    REPLAYS, reason="shows that the checker finds the calls of servers without replays"
)
