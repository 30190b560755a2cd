"""The servers that know their callers: by API key, over TLS, by client certificate."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.callers import key_table, new_key
from tests.support.certificates import Certificates
from tests.support.command import CELESTE
from tests.support.ports import free_ports
from tests.support.processes import running

__all__ = ["SECURED_PAGE_ADDRESS", "Secured", "secured_servers"]

SECURED_PAGE_ADDRESS = "127.0.0.1:50052"
"""Where the pages' programs call a server with TLS, a certificate and a key."""
START_SECONDS = 30
LONG_AGO = "2026-01-01T00:00:00Z"
TENANTS = {"acme": "acme", "acme_too": "acme", "other": "other", "expired": "acme"}
"""Tenants of the keys. `unknown` is the name of a key that no server has."""


@dataclass(frozen=True)
class Secured:
    """Servers that know their callers.

    Attributes:
        addresses: `keys` asks for an API key, without TLS; `tls` for one over TLS; `mutual` also for a certificate of
            the client, which names the caller if there is no key.
        certificates: Those of the servers and of clients.
        keys: API keys by name.
    """

    addresses: Mapping[str, str]
    certificates: Certificates
    keys: Mapping[str, str]

    def value(self, kind: str, name: str) -> str:
        """Returns what a placeholder of a case stands for.

        Args:
            kind: `key`, an API key; `ca`, `cert` or `private`, the path of an authority's certificate, of a
                certificate, or of its private key.
            name: Name of the key, or an attribute of `Certificates`.

        Raises:
            KeyError: There is no such kind.
        """
        if kind == "key":
            return self.keys[name]
        attribute = {"ca": "certificate", "cert": "certificate", "private": "key"}[kind]
        return str(getattr(getattr(self.certificates, name), attribute))


@contextlib.contextmanager
def secured_servers(folder: Path) -> Iterator[Secured]:
    """Runs the servers, which end with the block. Raises RuntimeError if one does not start."""
    certificates = Certificates(folder / "pki")
    keys = {name: new_key() for name in (*TENANTS, "unknown")}
    names = ("keys", "tls", "mutual")
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(names, free_ports(len(names)), strict=True)}
    with contextlib.ExitStack() as stack:
        for name, address in addresses.items():
            file, log = folder / f"{name}.json", folder / f"{name}.log"
            file.write_text(json.dumps(_settings(name, address, folder, certificates, keys)))
            stack.enter_context(running([*CELESTE, "serve", "--config", str(file)], log, {}))
            _wait(name, address, certificates, log)
        yield Secured(addresses, certificates, keys)


def _settings(
    name: str, address: str, folder: Path, certificates: Certificates, keys: Mapping[str, str]
) -> dict[str, Any]:
    server: dict[str, Any] = {"listen": [address]}
    known = {key: key_table(keys[key], tenant) for key, tenant in TENANTS.items()}
    known["expired"]["not_after"] = LONG_AGO
    callers: dict[str, Any] = {"keys": known}
    if name != "keys":
        pair = certificates.server
        server["tls"] = {"certificate_file": str(pair.certificate), "key_file": str(pair.key)}
    if name == "mutual":
        server["listen"].append(SECURED_PAGE_ADDRESS)
        server["tls"]["client_ca_file"] = str(certificates.authority.certificate)
        uri = "spiffe://celeste.test/tenant/{tenant}/caller/{name}"
        callers["certificates"] = {"mesh": {"uri": uri}}
    return {"server": server, "callers": callers, "store": {"url": f"file://{folder}/{name}-artifacts"}}


def _wait(name: str, address: str, certificates: Certificates, log: Path) -> None:
    """Waits until a server serves. Raises RuntimeError with its log."""
    command = [*CELESTE, "health", "--address", address, "--wait", str(START_SECONDS)]
    if name != "keys":
        command += ["--ca", str(certificates.authority.certificate)]
    if name == "mutual":
        command += ["--cert", str(certificates.client.certificate), "--key", str(certificates.client.key)]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise RuntimeError(f"the server {name} did not start:\n{log.read_text()}")
