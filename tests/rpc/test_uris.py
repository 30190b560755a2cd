"""Pictures by URI: nowhere unless the operator allows it, and never inside the operator's network."""

import grpc
import pytest
from tests.support import pictures
from tests.support.hosts import Host, listening
from tests.support.servers import running

from celeste_image.client import AsyncClient
from celeste_image.core.errors import CelesteError, InvalidRequest, NotAnImage, UriFailed, UriRefused
from celeste_image.core.image import ImageInput
from celeste_image.core.request import AnalysisKind, Analyze

PHOTO = pictures.photo(40)


async def analyze(address: str, uri: str, **image: str) -> str:
    async with AsyncClient(address) as client:
        result = await client.run(
            Analyze(kinds=(AnalysisKind.METADATA,), image=ImageInput(uri=uri, **image)), timeout=20
        )
        assert result.analysis
        assert result.analysis.metadata
        return result.analysis.metadata.sha256


def picture_host() -> Host:
    return Host(answer(b"200 OK", PHOTO, b"content-type: image/png"))


def answer(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_an_allowed_origin_is_fetched() -> None:
    async with listening(picture_host()) as host, running(uris={"private": [str(host.origin)]}) as server:
        assert len(await analyze(server.address, host.url + "/a.png")) == 64
        with pytest.raises(CelesteError) as caught:
            await analyze(server.address, host.url + "/a.png", sha256="0" * 64)
        assert caught.value.violations[0].field == "image.sha256"
        with pytest.raises(CelesteError) as caught:
            await analyze(server.address, host.url + "/a.png", media_type="image/jpeg")
        assert caught.value.violations[0].field == "image.media_type"


@pytest.mark.parametrize("uris", [{}, {"hosts": ["*"], "http": True}, {"hosts": ["pictures.example"]}])
async def test_the_servers_own_network_is_not(uris: dict[str, object]) -> None:
    async with listening(picture_host()) as host, running(uris=uris) as server:
        for uri in (host.url, host.url.replace("127.0.0.1", "localhost"), host.url.replace("127.0.0.1", "[::1]")):
            with pytest.raises(UriRefused) as caught:
                await analyze(server.address, uri + "/a.png")
            assert caught.value.violations[0].field == "image"
        assert not host.asked


@pytest.mark.parametrize("host", ["xn--a-.example", "a.xn--.example", "xn--ls8h.la", "xn--a-ecp.ru", "a.example:+80"])
async def test_odd_hosts_are_the_callers_mistake(host: str) -> None:
    async with running(uris={"hosts": ["*"]}) as server:
        with pytest.raises(InvalidRequest) as caught:
            await analyze(server.address, f"https://{host}/")
        assert caught.value.violations[0].field.startswith("image")


async def test_a_redirect_into_the_network_is_not_followed() -> None:
    async with listening(picture_host()) as inside:
        away = Host(answer(b"302 Found", b"", b"location: " + inside.url.encode() + b"/a.png"))
        async with listening(away) as outside, running(uris={"private": [str(outside.origin)]}) as server:
            with pytest.raises(UriRefused):
                await analyze(server.address, outside.url + "/a.png")
        assert not inside.asked


async def test_what_can_not_be_had_or_is_no_picture() -> None:
    gone = Host(answer(b"404 Not Found", b"gone", b"content-type: text/plain"))
    async with listening(gone) as host, running(uris={"private": [str(host.origin)]}) as server:
        with pytest.raises(UriFailed) as caught:
            await analyze(server.address, host.url)
        assert caught.value.metadata["status"] == "404"
    html = Host(answer(b"200 OK", b"<html>", b"content-type: image/png"))
    async with listening(html) as host, running(uris={"private": [str(host.origin)]}) as server:
        with pytest.raises(NotAnImage):
            await analyze(server.address, host.url)


async def test_a_wrong_uri_is_refused_by_the_contract() -> None:
    async with running() as server:
        for uri in ("not a uri", "/a.png", "x" * 3000):
            with pytest.raises(CelesteError) as caught:
                await analyze(server.address, uri)
            assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT.name
