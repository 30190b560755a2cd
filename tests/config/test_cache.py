"""The settings of the cache of results: off by default, and at most as long as the images of its results."""

import pytest
from pydantic import ValidationError

from celeste_image.config import Settings

FOLDER = {"url": "file:///srv/celeste"}


def test_it_is_off_by_default() -> None:
    assert not Settings().cache.enabled


def test_it_may_live_as_long_as_the_images() -> None:
    settings = Settings(store=FOLDER, cache={"enabled": True, "hours": 168, "except_tenants": ["ann"]})  # type: ignore[arg-type]
    assert settings.cache.except_tenants == ["ann"]
    assert Settings(store={**FOLDER, "retention_hours": 0}, cache={"enabled": True, "hours": 9999}).cache.enabled  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("store", "cache", "words"),
    [
        ({**FOLDER, "retention_hours": 24}, {"hours": 25}, "cache.hours: must be at most store.retention_hours, 24"),
        (FOLDER, {"except_tenants": ["Not A Name"]}, "cache.except_tenants"),
        (FOLDER, {"hours": 0}, "cache.hours"),
    ],
)
def test_what_can_not_be_is_refused(store: dict[str, object], cache: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(store=store, cache={"enabled": True, **cache})  # type: ignore[arg-type]
