"""What clients show to a server, and which servers they trust: API keys, TLS, certificates."""

import asyncio
import contextlib
import inspect
import socket
import socketserver
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import click
import grpc
import pytest
from tests.support.certificates import CALLER, Certificates, Identity

from celeste_image.cli import health, models
from celeste_image.client import AsyncClient, Client, connect
from celeste_image.client.access import VARIABLES, access_from_environment
from celeste_image.core.errors import ServerUnavailable
from celeste_image.core.request import Generate

KEY = "a-key-that-no-text-may-show"
MISSING = "artifacts/sha256-" + "0" * 64


class Listener(grpc.GenericRpcHandler):
    """Answers each call with an empty message, and keeps what the caller showed."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.uris: list[bytes] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method.rpartition("/")[2]
        self.keys[method] = dict(handler_call_details.invocation_metadata).get("authorization")

        def answer(request: Any, context: grpc.ServicerContext) -> bytes:
            self.uris += list(context.auth_context().get("peer_spiffe_id", ()))
            return b"\x08\x01" if method == "Check" else b""  # a health check's SERVING

        if method == "WriteArtifact":
            return grpc.stream_unary_rpc_method_handler(answer)
        if method in ("Stream", "ReadArtifact"):
            return grpc.unary_stream_rpc_method_handler(lambda request, context: iter([answer(request, context)]))
        return grpc.unary_unary_rpc_method_handler(answer)


@contextlib.contextmanager
def serving(identity: Identity | None = None, clients: Path | None = None) -> Iterator[tuple[str, Listener]]:
    """Runs a server; gives its address, and what it hears.

    Args:
        identity: Its certificate; None means without TLS.
        clients: Authority of the clients; None means that it asks for no certificate.
    """
    listener = Listener()
    server = grpc.server(ThreadPoolExecutor(4), handlers=[listener])
    if identity:
        pair = (identity.key.read_bytes(), identity.certificate.read_bytes())
        roots = clients.read_bytes() if clients else None
        credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=clients is not None)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", listener
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def far_away(address: str, seconds: float) -> Iterator[str]:
    """Runs a relay in front of a server, which takes this long from one end to the other; gives its address."""
    host, _, port = address.rpartition(":")

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(seconds)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as ahead:
                back = Thread(target=carry, args=(ahead, self.request))
                back.start()
                carry(self.request, ahead)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("access") / "pki")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CELESTE_ADDRESS", *VARIABLES.values()):
        monkeypatch.delenv(variable, raising=False)


def shown(identity: Identity) -> dict[str, str]:
    return {"cert": str(identity.certificate), "key": str(identity.key)}


CLIENTS = pytest.mark.parametrize("kind", [Client, AsyncClient])
Call = Callable[[Any], Any]


def call(kind: type, address: str, access: dict[str, Any], *calls: Call) -> None:
    """Makes calls with a client of either kind."""
    if kind is Client:
        with Client(address, **access) as client:
            for each in calls:
                result = each(client)
                if inspect.isgenerator(result):
                    list(result)
        return

    async def make() -> None:
        async with AsyncClient(address, **access) as client:
            for each in calls:
                result = each(client)
                if inspect.isasyncgen(result):
                    _ = [item async for item in result]
                else:
                    await result

    asyncio.run(make())


def info(client: Any) -> Any:
    return client.server_info()


@CLIENTS
def test_the_key_goes_with_every_call(kind: type) -> None:
    calls: list[Call] = [
        info,
        lambda client: client.stream(Generate(prompt="a fox")),
        lambda client: client.chunks(MISSING),
        lambda client: client.models(),
        lambda client: client.model("a/b"),
        lambda client: client.providers(),
        lambda client: client.aliases(),
        lambda client: client.upload(b"bytes"),
    ]
    with serving() as (address, listener):
        call(kind, address, {"api_key": KEY}, *calls)
    called = {"GetServerInfo", "Stream", "ReadArtifact", "ListModels", "GetModel", "ListProviders"}
    assert listener.keys.keys() == called | {"QueryWriteStatus", "WriteArtifact"}
    assert set(listener.keys.values()) == {f"Bearer {KEY}"}


@CLIENTS
def test_without_a_key_none_is_sent(kind: type) -> None:
    with serving() as (address, listener):
        call(kind, address, {}, info)
    assert listener.keys == {"GetServerInfo": None}


@CLIENTS
def test_a_key_goes_with_a_channel_of_the_callers_own(kind: type) -> None:
    async def own(address: str) -> None:
        async with AsyncClient(grpc.aio.insecure_channel(address), api_key=KEY) as client:
            await client.server_info()

    with serving() as (address, listener):
        if kind is Client:
            with Client(grpc.insecure_channel(address), api_key=KEY) as client:
                client.server_info()
        else:
            asyncio.run(own(address))
    assert listener.keys == {"GetServerInfo": f"Bearer {KEY}"}


@CLIENTS
def test_a_server_of_a_trusted_authority_is_called(kind: type, certificates: Certificates) -> None:
    with serving(certificates.server) as (address, listener):
        call(kind, address, {"ca": certificates.authority.certificate, "api_key": KEY}, info)
    assert listener.keys == {"GetServerInfo": f"Bearer {KEY}"}


@CLIENTS
@pytest.mark.parametrize("distance", [0.0, 0.15])
def test_a_server_far_away_is_called(kind: type, distance: float) -> None:
    with serving() as (address, listener), far_away(address, distance) as relayed:
        call(kind, relayed, {}, info)
    assert listener.keys == {"GetServerInfo": None}


@CLIENTS
@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("expired_server", "certificate has expired"),
        ("server_elsewhere", "Hostname Verification"),
        ("server_of_other_authority", "unable to get local issuer certificate"),
    ],
)
def test_a_server_with_another_certificate_gets_no_call(
    kind: type, server: str, words: str, certificates: Certificates
) -> None:
    with serving(getattr(certificates, server)) as (address, listener):
        with pytest.raises(ServerUnavailable, match=words):
            call(kind, address, {"ca": certificates.authority.certificate, "api_key": KEY}, info)
    assert listener.keys == {}


@CLIENTS
def test_tls_without_an_authority_trusts_no_server_of_ours(kind: type, certificates: Certificates) -> None:
    with serving(certificates.server) as (address, listener):
        with pytest.raises(ServerUnavailable):
            call(kind, address, {"tls": True}, info)
    assert listener.keys == {}


@CLIENTS
def test_the_certificate_is_shown(kind: type, certificates: Certificates) -> None:
    trusted = certificates.authority.certificate
    with serving(certificates.server, trusted) as (address, listener):
        call(kind, address, {"ca": trusted, **shown(certificates.client)}, info)
    assert listener.uris == [CALLER.encode()]


@CLIENTS
@pytest.mark.parametrize("client", ["", "expired_client", "client_of_other_authority"])
def test_a_client_with_another_certificate_gets_no_answer(kind: type, client: str, certificates: Certificates) -> None:
    trusted = certificates.authority.certificate
    access: dict[str, Any] = {"ca": trusted, **(shown(getattr(certificates, client)) if client else {})}
    with serving(certificates.server, trusted) as (address, listener):
        with pytest.raises(ServerUnavailable):
            call(kind, address, access, info)
    assert listener.keys == {}


@pytest.mark.parametrize("address", ["images.example.com:443", "10.0.0.1:50051", "dns:///images.example.com:443"])
def test_a_key_leaves_the_machine_over_tls_alone(address: str) -> None:
    with pytest.raises(ValueError, match="over TLS") as caught:
        Client(address, api_key=KEY)
    assert KEY not in str(caught.value)
    Client(address, api_key=KEY, tls=True).close()
    Client(address, api_key=KEY, tls=False).close()
    Client(address).close()


@pytest.mark.parametrize("address", ["localhost:50051", "[::1]:50051", "unix:/run/celeste.sock"])
def test_a_key_needs_no_tls_on_this_machine(address: str) -> None:
    Client(address, api_key=KEY).close()


def wrong_access(certificates: Certificates, folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    client, other = certificates.client, certificates.server
    text = folder / "text"
    text.write_text("no certificate")
    return {
        "a certificate without its key": ({"cert": client.certificate}, "need each other"),
        "a key without its certificate": ({"key": client.key}, "need each other"),
        "the key of another": ({"cert": client.certificate, "key": other.key}, "is not that of the certificate"),
        "no key": ({"cert": client.certificate, "key": text}, "no private key"),
        "no certificate": ({"cert": text, "key": client.key}, "no certificate in PEM"),
        "no authority": ({"ca": text}, "no certificate in PEM"),
        "files, and no TLS": ({"ca": certificates.authority.certificate, "tls": False}, "tls is off"),
        "a key on two lines": ({"api_key": "one\ntwo"}, "printable ASCII"),
        "an empty file": ({"api_key": "file:/dev/null"}, "not empty"),
    }


def test_wrong_access_is_said_before_any_call(certificates: Certificates, tmp_path: Path) -> None:
    for name, (access, words) in wrong_access(certificates, tmp_path).items():
        with pytest.raises(ValueError, match=words) as caught:
            Client("localhost:50051", **access)
        assert "one" not in str(caught.value).split(), name
    for name in ("ca", "cert", "api_key"):
        missing: Any = {name: f"{'file:' if name == 'api_key' else ''}{tmp_path}/none", "key": "x"}
        if name == "api_key":
            del missing["key"]
        elif name == "ca":
            missing = {"ca": missing["ca"]}
        with pytest.raises(FileNotFoundError, match="none"):
            Client("localhost:50051", **missing)
    unknown: Any = {"token": KEY}
    with pytest.raises(TypeError, match="'token'"):
        Client("localhost:50051", **unknown)
    with pytest.raises(ValueError, match="this one is open"):
        Client(grpc.insecure_channel("localhost:50051"), tls=True)


def test_the_environment_stands_for_missing_parameters(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = certificates.authority.certificate
    (tmp_path / "key").write_text(f"{KEY}\n")
    with serving(certificates.server, trusted) as (address, listener):
        values = {"CELESTE_ADDRESS": address, "CELESTE_CA": str(trusted), "CELESTE_API_KEY": f"file:{tmp_path}/key"}
        for variable, value in values.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("CELESTE_CERT", str(certificates.client.certificate))
        monkeypatch.setenv("CELESTE_KEY", str(certificates.client.key))
        with connect() as client:
            client.server_info()
        assert listener.keys["GetServerInfo"] == f"Bearer {KEY}"
        with connect(api_key="another") as client:
            client.server_info()
        assert listener.keys["GetServerInfo"] == "Bearer another"


def test_words_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELESTE_CA", "ca.pem")
    assert access_from_environment() == {"ca": "ca.pem"}
    assert access_from_environment({"tls": False}) == {"tls": False}
    monkeypatch.setenv("CELESTE_TLS", "true")
    assert access_from_environment({"ca": "other.pem"}) == {"ca": "other.pem", "tls": True}
    monkeypatch.setenv("CELESTE_TLS", "yes")
    with pytest.raises(ValueError, match="CELESTE_TLS is true or false"):
        access_from_environment()


def test_a_server_of_the_clients_own_takes_no_access() -> None:
    with pytest.raises(ValueError, match="there is no address"):
        connect(api_key=KEY)


def run(command: click.Command, *arguments: str | Path) -> int:
    code: int = command.main([str(each) for each in arguments], standalone_mode=False)
    return code


def test_commands_show_the_key_and_the_certificate(
    certificates: Certificates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trusted, client = certificates.authority.certificate, certificates.client
    (tmp_path / "key").write_text(KEY)
    with serving(certificates.server, trusted) as (address, listener):
        access = ["--address", address, "--ca", trusted, "--cert", client.certificate, "--key", client.key]
        assert run(health.command, *access) == 0
        assert run(models.command, *access, "--api-key", f"file:{tmp_path}/key") == 0
        assert run(health.command, "--address", address, "--ca", trusted) == 9
    assert listener.keys == {"Check": None, "ListModels": f"Bearer {KEY}"}
    assert capsys.readouterr().out.split() == ["SERVING", "UNAVAILABLE"]


@pytest.mark.parametrize("command", [health.command, models.command])
def test_a_command_refuses_what_the_client_refuses(command: click.Command) -> None:
    for arguments in (["--api-key", KEY, "--address", "images.example.com:443"], ["--no-tls", "--ca", __file__]):
        with pytest.raises(click.UsageError) as caught:
            run(command, *arguments)
        assert KEY not in caught.value.format_message()
