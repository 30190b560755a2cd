"""Random histories of servers that keep their promises pass, and each broken promise in them is found."""

import pytest
from hypothesis import HealthCheck, given, settings
from tests.support.history import History
from tests.support.history_model import MUTATIONS, broken_histories, histories
from tests.support.history_rules import RULES, broken_rules, violations


@given(histories())
@settings(max_examples=100, deadline=None)
def test_a_history_that_keeps_all_promises_passes(made: History) -> None:
    assert violations(made) == []


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_promise_is_found_in_any_history(name: str) -> None:
    rule, mutation = MUTATIONS[name]

    @given(broken_histories(mutation))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    def is_found(broken: History) -> None:
        assert rule in broken_rules(broken)

    is_found()


def test_each_rule_has_a_mutation() -> None:
    assert {rule for rule, _ in MUTATIONS.values()} == set(RULES)
