import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips the tests of this folder unless they are asked for: they need Prometheus, and half a minute."""
    if "observability" in config.option.markexpr:
        return
    skip = pytest.mark.skip(reason="needs Prometheus; `make test-observability` runs it")
    for item in items:
        if item.get_closest_marker("observability"):
            item.add_marker(skip)
