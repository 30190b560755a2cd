"""TLS: certificates that are exchanged while calls run, and certificates that are refused on either side."""

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs
from tests.support.callers import bearer, key_table, new_key
from tests.support.certificates import CALLER, LOOPBACK, Certificates, Identity
from tests.support.grpc_calls import reason
from tests.support.servers import Running, running

from celeste_image.app import build_app
from celeste_image.certificates import CertificateFiles
from celeste_image.config import Settings
from celeste_image.config.callers import TlsSettings
from celeste_image.rpc.server import Server
from celeste_image.v1 import GetServerInfoRequest, ModelServiceStub

RULES = {"mesh": {"uri": "spiffe://celeste.test/tenant/{tenant}/caller/{name}"}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates") / "made")


@dataclass
class Files:
    """The files that a server is given, which may change."""

    folder: Path

    def put(self, identity: Identity) -> None:
        """Replaces certificate and key, one after the other, as certbot does."""
        for source, name in ((identity.certificate, "tls.crt"), (identity.key, "tls.key")):
            shutil.copy(source, self.folder / f"new-{name}")
            os.replace(self.folder / f"new-{name}", self.folder / name)

    def settings(self, ca: Path | None = None) -> dict[str, object]:
        found = {"certificate_file": self.folder / "tls.crt", "key_file": self.folder / "tls.key"}
        return found | ({"client_ca_file": ca} if ca else {})


@pytest.fixture
def files(tmp_path: Path, made: Certificates) -> Files:
    files = Files(tmp_path)
    files.put(made.server)
    return files


def credentials(made: Certificates, client: Identity | None = None) -> grpc.ChannelCredentials:
    pair = (client.key.read_bytes(), client.certificate.read_bytes()) if client else (None, None)
    return grpc.ssl_channel_credentials(made.authority.certificate.read_bytes(), *pair)


@asynccontextmanager
async def connected(
    server: Running, made: Certificates, client: Identity | None = None, *, alone: bool = True
) -> AsyncIterator[ModelServiceStub]:
    """A client of the server, with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)] if alone else []
    async with grpc.aio.secure_channel(server.address, credentials(made, client), options) as channel:
        yield ModelServiceStub(channel)


async def presented(server: Running, made: Certificates) -> str:
    """Returns the serial number of the certificate that a new connection sees."""
    context = ssl.create_default_context(cafile=str(made.authority.certificate))
    context.set_alpn_protocols(["h2"])
    host, _, port = server.address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    found = writer.get_extra_info("peercert")["serialNumber"]
    writer.transport.abort()
    return str(found)


async def fails(server: Running, made: Certificates, client: Identity | None = None) -> str:
    """Returns the code of a call that must fail."""
    async with connected(server, made, client) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetServerInfo(GetServerInfoRequest(), timeout=20)
    return str(caught.value.code().name)


async def exchange(server: Running, made: Certificates, files: Files, *, rounds: int, calls: int) -> None:
    """Exchanges the certificate while clients call over open connections and over new ones."""
    stopping, done = asyncio.Event(), 0

    async def old() -> None:
        nonlocal done
        async with connected(server, made) as stub:
            while not stopping.is_set():
                await stub.GetServerInfo(GetServerInfoRequest(), timeout=60)
                done += 1

    async def new() -> None:
        nonlocal done
        while not stopping.is_set():
            async with connected(server, made) as stub:
                await stub.GetServerInfo(GetServerInfoRequest(), timeout=60)
                done += 1

    seen = [await presented(server, made)]
    async with asyncio.TaskGroup() as load:
        for _ in range(3):
            load.create_task(old())
            load.create_task(new())
        for number in range(rounds):
            until = done + calls
            while done < until:
                await asyncio.sleep(0.001)
            files.put(await asyncio.to_thread(made.authority.issue, f"next-{number}", *LOOPBACK, usage="serverAuth"))
            seen.append(await presented(server, made))
        stopping.set()
    assert len(set(seen)) == rounds + 1


async def test_an_exchange_fails_no_call(made: Certificates, files: Files) -> None:
    async with running(server={"tls": files.settings()}) as server:
        await exchange(server, made, files, rounds=2, calls=20)


@pytest.mark.faults
async def test_many_exchanges_fail_no_call(made: Certificates, files: Files) -> None:
    async with running(server={"tls": files.settings()}) as server:
        await exchange(server, made, files, rounds=40, calls=300)


async def test_every_address_gets_the_new_certificate(made: Certificates, files: Files) -> None:
    settings = Settings(store={"url": "memory:///", "reserve_bytes": 0}, server={"tls": files.settings()})  # type: ignore[arg-type]
    server = Server(app := build_app(settings))
    addresses = await server.start(["127.0.0.1:0", "127.0.0.1:0"])
    try:
        files.put(made.authority.issue("both", *LOOPBACK))
        one, two = [await presented(Running(address, app), made) for address in addresses]
    finally:
        await server.stop(0)
    assert one == two


async def test_a_new_authority_of_callers_is_taken_over(made: Certificates, files: Files, tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    shutil.copy(made.other_authority.certificate, ca)
    async with running(server={"tls": files.settings(ca)}) as server:
        assert await fails(server, made, made.client) == "UNAVAILABLE"
        ca.write_bytes(made.other_authority.certificate.read_bytes() + made.authority.certificate.read_bytes())
        for client in (made.client, made.client_of_other_authority):
            async with connected(server, made, client) as stub:
                await stub.GetServerInfo(GetServerInfoRequest(), timeout=20)


@pytest.mark.parametrize(
    "break_files",
    [
        lambda made, files: (files.folder / "tls.crt").write_text("no certificate"),
        lambda made, files: (files.folder / "tls.key").unlink(),
        lambda made, files: shutil.copy(made.client.key, files.folder / "tls.key"),
        lambda made, files: files.put(made.expired_server),
        lambda made, files: (files.folder / "tls.key").chmod(0o666),
    ],
    ids=["no certificate", "no key", "a foreign key", "expired", "everyone may write the key"],
)
async def test_what_cant_be_used_changes_nothing_and_is_said(
    made: Certificates, files: Files, break_files: object
) -> None:
    async with running(server={"tls": files.settings()}) as server:
        before = await presented(server, made)
        with capture_logs() as lines:
            break_files(made, files)  # type: ignore[operator]
            assert [await presented(server, made), await presented(server, made)] == [before, before]
        refused = [line["error"] for line in lines if line["event"] == "certificate refused"]
        assert refused and "server.tls" in refused[-1] and "PRIVATE" not in str(lines)
        count = len(refused)
        with capture_logs() as lines:
            await presented(server, made)
        assert not lines and count <= 2  # a mistake is told once, though certificate and key change one after the other
        (files.folder / "tls.key").unlink(missing_ok=True)
        files.put(made.server)
        assert await presented(server, made) == before


@pytest.mark.parametrize("name", ["expired_server", "server_elsewhere", "server_of_other_authority"])
async def test_a_client_refuses_the_server(made: Certificates, files: Files, name: str) -> None:
    async with running(server={"tls": files.settings()}) as server:
        if name == "expired_server":  # no server starts with it, so it expires while the server runs
            server.app.certificates._current = of(getattr(made, name))  # type: ignore[union-attr]
        else:
            files.put(getattr(made, name))
        assert await fails(server, made) == "UNAVAILABLE"
        async with grpc.aio.insecure_channel(server.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ModelServiceStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def of(identity: Identity) -> object:
    from celeste_image.certificates import Certificates

    return Certificates(identity.certificate.read_bytes(), identity.key.read_bytes(), None, {"server": 0.0})


async def test_the_server_refuses_clients(made: Certificates, files: Files) -> None:
    tls = files.settings(made.authority.certificate)
    async with running(server={"tls": tls}, callers={"certificates": RULES}) as server:
        for client in (None, made.expired_client, made.client_of_other_authority):
            assert await fails(server, made, client) == "UNAVAILABLE"  # no handshake
        for client in (
            made.client_without_uri,
            made.client_of("spiffe://elsewhere.test/tenant/acme/caller/ci"),
            made.client_of(CALLER, "spiffe://celeste.test/tenant/other/caller/ci"),
            made.client_of(CALLER + "/more"),
        ):
            assert await fails(server, made, client) == "UNAUTHENTICATED"
        with capture_logs() as lines:
            async with connected(server, made, made.client) as stub:
                await stub.GetServerInfo(GetServerInfoRequest(), timeout=20)
        assert [(line["tenant"], line["caller"]) for line in lines if line["event"] == "rpc"] == [("acme", "ci")]


async def test_a_wrong_key_is_not_mended_by_a_certificate(made: Certificates, files: Files) -> None:
    key = new_key()
    callers = {"certificates": RULES, "keys": {"phone": key_table(key, "other")}}
    tls = files.settings(made.authority.certificate)
    async with running(server={"tls": tls}, callers=callers) as server, connected(server, made, made.client) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetServerInfo(GetServerInfoRequest(), metadata=bearer(new_key()), timeout=20)
        assert reason(caught.value)[:2] == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
        with capture_logs() as lines:
            await stub.GetServerInfo(GetServerInfoRequest(), metadata=bearer(key), timeout=20)
        assert [line["tenant"] for line in lines if line["event"] == "rpc"] == ["other"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("expired_server", "certificate_file: certificate has expired"),
        ("client", "certificate_file: unsuitable certificate purpose"),
    ],
)
def test_a_server_does_not_start_with_it(made: Certificates, name: str, text: str) -> None:
    identity: Identity = getattr(made, name)
    with pytest.raises(ValueError, match=text):
        CertificateFiles(TlsSettings(certificate_file=identity.certificate, key_file=identity.key))


def test_the_time_until_certificates_expire(made: Certificates, files: Files) -> None:
    settings = TlsSettings.model_validate(files.settings(made.authority.certificate))
    found = CertificateFiles(settings, now=lambda: 0.0)
    remaining = {name: seconds for seconds, name in found.remaining()}
    assert list(remaining) == ["server", "client_ca"]
    assert found.current().expires == remaining
