"""Plug-ins: installs and runs the package in docs/add-a-provider.md, whose providers are entry points."""

import base64
import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from tests.support import pictures
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.errors import InvalidRequest, ProviderCredentials, ProviderFailed
from celeste_image.core.request import Generate, RequestOptions
from celeste_image.providers.kit.check import check_key
from celeste_image.providers.kit.credentials import Verdict
from celeste_image.providers.kit.vendor import Vendor
from celeste_image.providers.registry import ENTRY_POINT_GROUP, discover
from celeste_image.v1 import GenerateRequest, ImageServiceStub, ListModelsRequest, ModelServiceStub

PAGE = Path(__file__).parents[2] / "docs" / "add-a-provider.md"
FILES = dict(re.findall(r"^```\w+\n# ([\w/]+\.\w+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
KEY = "pb-0123456789"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the package of the docs."""
    source, target = tmp_path_factory.mktemp("celeste-paintbox"), tmp_path_factory.mktemp("site")
    for name, code in FILES.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(code)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    return target


@pytest.fixture
def plug_in(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(installed)


async def test_a_plug_in_is_found_and_used(plug_in: None) -> None:
    assert {"squares", "paintbox"} <= discover().keys()
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        models = await ModelServiceStub(channel).ListModels(ListModelsRequest())
        assert {"squares/plain", "paintbox/brush-1"} <= {model.id for model in models.models}
        request = GenerateRequest(model="squares/plain", prompt="a", seed=7, count=2)
        request.size.width, request.size.height = 17, 30
        result = (await ImageServiceStub(channel).Generate(request)).result
    assert [(image.width, image.height, image.seed) for image in result.images] == [(16, 32, 7), (16, 32, 8)]
    (line,) = [line for line in result.fidelity if line.path == "size"]
    assert line.outcome == 2  # ADJUSTED
    assert dict(line.measured.struct_value) == {"width": 16, "height": 32}


async def test_a_vendor_of_another_package_is_called(plug_in: None, unused_tcp_port: int) -> None:
    asked: list[tuple[str, str, object]] = []

    async def paint(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append((request.path, request.headers["authorization"], body))
        if body["prompt"] == "nothing":
            return web.json_response({})
        data = pictures.plain(body["width"], body["height"])
        return web.json_response({"image": base64.b64encode(data).decode()})

    async def account(request: web.Request) -> web.Response:
        return web.json_response({}, status=200 if KEY in request.headers["authorization"] else 401)

    app = web.Application()
    app.add_routes([web.post("/v1/paint", paint), web.get("/v1/account", account)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    table = {"base_url": f"http://127.0.0.1:{unused_tcp_port}/v1", "allow_private": True, "key": KEY}
    try:
        async with running(providers={"paintbox": table}) as server, AsyncClient(server.address) as client:
            options = RequestOptions(provider_options={"paintbox": {"style": "ink"}})
            result = await client.run(Generate(model="paintbox/brush-1", prompt="a boat", options=options))
            assert (result.images[0].width, result.images[0].height) == (64, 64)
            with pytest.raises(ProviderFailed, match="the answer has no image"):
                await client.run(Generate(model="paintbox/brush-1", prompt="nothing"))
            with pytest.raises(InvalidRequest):
                await client.generate("a", model="paintbox/brush-1", provider_options={"paintbox": {"style": "lead"}})
            vendor = server.app.registry.providers["paintbox"]
            assert isinstance(vendor, Vendor)
            assert (await check_key(vendor)).verdict is Verdict.OK
        async with running(providers={"paintbox": table | {"key": ""}}) as server:
            async with AsyncClient(server.address) as client:
                with pytest.raises(ProviderCredentials):
                    await client.generate("a boat", model="paintbox/brush-1")
    finally:
        await runner.cleanup()
    body = {"model": "brush-1", "prompt": "a boat", "width": 64, "height": 64, "style": "ink"}
    assert asked[0] == ("/v1/paint", f"Bearer {KEY}", body)


def test_a_plug_in_must_not_shadow_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "celeste_shadow.py").write_text("class Shadow:\n    name = 'local'\n")
    facts = tmp_path / "celeste_shadow-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: celeste-shadow\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nshadow = celeste_shadow:Shadow\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="two providers are called local"):
        discover()
    sys.modules.pop("celeste_shadow", None)
