"""Settings of the local provider: its defaults use every core."""

import os

import pytest

from celeste_image.providers.local.options import LocalSettings


@pytest.mark.parametrize(("cores", "any_work", "small"), [(1, 1, 1), (2, 1, 1), (3, 1, 2), (8, 4, 4)])
def test_small_work_may_use_every_core(cores: int, any_work: int, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    settings = LocalSettings()
    assert (settings.concurrency, settings.small_concurrency) == (any_work, small)
