"""The end of a call that was stopped from outside: at its deadline, or by its caller."""

import pytest

from celeste_image.core.call import is_late


@pytest.mark.parametrize(
    ("left", "timeout", "late"),
    [
        (None, None, False),
        (0.0, 0.1, True),
        (-3.0, 0.1, True),
        (-1.0, -1.0, True),
        (0.009, 1.01, True),
        (0.1, 1.01, False),
        (0.05, 12.1, True),
        (0.5, 12.1, False),
        (0.99, 101.0, True),
        (1.5, 101.0, False),
        (300.0, 300.0, False),
    ],
)
def test_a_late_call_may_end_before_its_deadline_by_what_clients_round_up(
    left: float | None, timeout: float | None, late: bool
) -> None:
    assert is_late(left, timeout) is late
