"""Certificates for tests, made at run time: authorities, servers, clients. Needs the command `openssl`."""

import itertools
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

__all__ = ["CALLER", "LOOPBACK", "OTHER_CALLER", "Authority", "Certificates", "Identity"]

LOOPBACK = ("DNS:localhost", "IP:127.0.0.1", "IP:::1")
"""Alternative names of a server on this machine."""
CALLER = "spiffe://celeste.test/tenant/acme/caller/ci"
"""URI in the certificate of the client that servers let in."""
OTHER_CALLER = "spiffe://celeste.test/tenant/other/caller/ci"
"""URI of a client of another tenant."""
DAY = timedelta(days=1)
DATABASE = """
[ca]
default_ca = here
[here]
dir = {folder}
database = $dir/index
new_certs_dir = $dir
serial = $dir/serial
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = empty
[empty]
"""
AUTHORITY = """
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
END = """
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{names}
"""


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, in PEM files.

    Attributes:
        certificate: Path of the certificate.
        key: Path of its private key, without a password.
    """

    certificate: Path
    key: Path


class Authority:
    """An authority that signs certificates.

    Args:
        folder: New folder for its files.
        name: Common name.

    Attributes:
        certificate: Path of its own certificate, in PEM: what the other side is given to trust.

    Raises:
        subprocess.CalledProcessError: `openssl` refused; its words are in the error's notes.
    """

    def __init__(self, folder: Path, name: str = "Celeste tests") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._config = folder / "openssl.cnf"
        self._config.write_text(DATABASE.format(folder=folder))
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        self.certificate = folder / "ca.pem"
        begins = datetime.now(UTC) - 366 * DAY
        self._sign(name, folder / "ca", AUTHORITY, begins, begins + 3 * 366 * DAY, "-selfsign")

    def issue(
        self,
        file: str,
        *names: str,
        usage: str = "serverAuth, clientAuth",
        begins: datetime | None = None,
        ends: datetime | None = None,
    ) -> Identity:
        """Signs a certificate and returns it. Issuing one file again replaces certificate and key.

        Args:
            file: Name of the two files without suffix; it is the common name, too.
            *names: Alternative names in OpenSSL's form: `DNS:localhost`, `IP:127.0.0.1`, `URI:spiffe://...`.
            usage: Extended key usage.
            begins: First moment of validity; default: yesterday.
            ends: Last moment; default: a day from now.
        """
        now = datetime.now(UTC)
        alternatives = f"subjectAltName = {', '.join(names)}" if names else ""
        extensions = END.format(usage=usage, names=alternatives)
        return self._sign(file, self._folder / file, extensions, begins or now - DAY, ends or now + DAY)

    def _sign(self, name: str, stem: Path, extensions: str, begins: datetime, ends: datetime, *more: str) -> Identity:
        certificate, key, request = (Path(f"{stem}.{suffix}") for suffix in ("pem", "key", "csr"))
        extended = Path(f"{stem}.ext")
        extended.write_text(extensions)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        subject = ["-subj", f"/CN={name}", "-config", self._config]
        _openssl("req", "-new", *curve, "-keyout", key, *subject, "-out", request)
        dates = ["-startdate", f"{begins:%Y%m%d%H%M%SZ}", "-enddate", f"{ends:%Y%m%d%H%M%SZ}"]
        files = ["-config", self._config, "-in", request, "-out", certificate, "-extfile", extended]
        _openssl("ca", "-batch", "-notext", *files, *dates, *more)
        return Identity(certificate, key)


class Certificates:
    """The certificates of one test or module; each is made when it is first asked for.

    Args:
        folder: New folder for the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    @cached_property
    def authority(self) -> Authority:
        """The one that servers and clients trust."""
        return Authority(self._folder / "trusted")

    @cached_property
    def other_authority(self) -> Authority:
        """One with the same name, which nobody trusts."""
        return Authority(self._folder / "other")

    @cached_property
    def server(self) -> Identity:
        """A server on this machine."""
        return self.authority.issue("server", *LOOPBACK, usage="serverAuth")

    @cached_property
    def expired_server(self) -> Identity:
        """The same, which ended an hour ago."""
        ends = datetime.now(UTC) - timedelta(hours=1)
        return self.authority.issue("expired-server", *LOOPBACK, usage="serverAuth", ends=ends)

    @cached_property
    def server_elsewhere(self) -> Identity:
        """A server with another host's name."""
        return self.authority.issue("server-elsewhere", "DNS:elsewhere.test", usage="serverAuth")

    @cached_property
    def server_of_other_authority(self) -> Identity:
        """A server on this machine, signed by the authority that nobody trusts."""
        return self.other_authority.issue("server", *LOOPBACK, usage="serverAuth")

    @cached_property
    def client(self) -> Identity:
        """The client with the URI `CALLER`."""
        return self.client_of(CALLER)

    @cached_property
    def expired_client(self) -> Identity:
        """The same, which ended an hour ago."""
        ends = datetime.now(UTC) - timedelta(hours=1)
        return self.authority.issue("expired-client", f"URI:{CALLER}", usage="clientAuth", ends=ends)

    @cached_property
    def client_of_other_authority(self) -> Identity:
        """The client's URI, signed by the authority that nobody trusts."""
        return self.other_authority.issue("client", f"URI:{CALLER}", usage="clientAuth")

    @cached_property
    def client_of_other_tenant(self) -> Identity:
        """The client with the URI `OTHER_CALLER`."""
        return self.client_of(OTHER_CALLER)

    @cached_property
    def client_without_uri(self) -> Identity:
        """A client with a DNS name alone."""
        return self.authority.issue("client-without-uri", "DNS:client.test", usage="clientAuth")

    def client_of(self, *uris: str) -> Identity:
        """Returns a client with other URIs, such as another tenant's."""
        return self.authority.issue(
            f"client-{next(self._numbers)}", *(f"URI:{uri}" for uri in uris), usage="clientAuth"
        )


def _openssl(*arguments: str | Path) -> None:
    try:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr.decode(errors="replace"))
        raise
