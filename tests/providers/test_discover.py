"""Providers of other packages, by entry point: they get the same road as ours."""

import sys
from pathlib import Path

import grpc
import pytest
from tests.servers import running

from celeste_image.providers.discover import ENTRY_POINT_GROUP, discover
from celeste_image.v1 import GenerateRequest, ImageServiceStub, ListModelsRequest, ModelServiceStub

PLUG_IN = '''
"""A provider of one file, in another package: draws a square of the seed's colour."""

import io

from PIL import Image

from celeste_image.core.card import IntegerRange, ModelCard, Parameter, SizeRange, TextRange
from celeste_image.core.events import Picture, Progress
from celeste_image.core.request import OperationKind
from celeste_image.providers.base import Options, ProviderSettings


class Squares:
    name = "NAME"
    title = "Squares"
    Settings = ProviderSettings
    Options = Options
    cards = (
        ModelCard(
            id="NAME/plain",
            title="Plain",
            summary="One colour.",
            parameters={
                OperationKind.GENERATE: (
                    Parameter("prompt", TextRange(10), "Prompt", "Not read.", required=True),
                    Parameter("seed", IntegerRange(0, 255), "Seed", "The colour."),
                    Parameter("size", SizeRange(8, 64, 1, 8, default_width=8, default_height=8), "Size", "x"),
                )
            },
            checked_on="2026-11-22",
        ),
    )

    def __init__(self, settings):
        self.settings = settings

    def ready(self, card):
        return True

    async def run(self, request, call):
        yield Progress(0.5, "draw")
        out = io.BytesIO()
        Image.new("RGB", (request.size.width, request.size.height), (request.seed, 0, 0)).save(out, "PNG")
        yield Picture(out.getvalue(), "image/png", request.size.width, request.size.height, seed=request.seed)

    async def close(self):
        pass
'''


def install(folder: Path, name: str) -> None:
    """Puts a package with a provider of this name into a folder, as pip would."""
    (folder / f"celeste_{name}.py").write_text(PLUG_IN.replace("NAME", name))
    facts = folder / f"celeste_{name}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: celeste-{name}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{name} = celeste_{name}:Squares\n")


async def test_a_plug_in_is_found_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "squares")
    monkeypatch.syspath_prepend(tmp_path)
    assert "squares" in discover()
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        models = await ModelServiceStub(channel).ListModels(ListModelsRequest())
        assert "squares/plain" in {model.id for model in models.models}
        request = GenerateRequest(model="squares/plain", prompt="a", seed=7, count=2)
        request.size.width, request.size.height = 17, 30
        result = (await ImageServiceStub(channel).Generate(request)).result
    assert [(image.width, image.height, image.seed) for image in result.images] == [(16, 32, 7), (16, 32, 8)]
    (line,) = [line for line in result.fidelity if line.path == "size"]
    assert line.outcome == 2  # ADJUSTED
    assert dict(line.measured.struct_value) == {"width": 16, "height": 32}


def test_a_plug_in_must_not_shadow_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "local")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="two providers are called local"):
        discover()
    sys.modules.pop("celeste_local", None)
