"""Certificates: the server's certificate, its key and the CAs of callers, read again when their files change."""

import os
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from celeste_image.config.callers import TlsSettings

__all__ = ["CertificateFiles", "Certificates"]

log = structlog.get_logger("celeste_image.certificates")

TABLE = "server.tls"
ROUNDS = 10
"""Most exchanges of a handshake; it takes three."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What files had at one time.

    Attributes:
        certificate: The server's certificate with those between it and its CA, in PEM.
        key: Its key in PEM.
        client_ca: CAs of callers in PEM; None if callers need no certificate.
        expires: When each expires, in seconds since 1970, by `server` and `client_ca`: the CA that expires first.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    expires: dict[str, float]


class CertificateFiles:
    """The files of certificates. `current` looks whether they have changed; any thread may ask.

    Changed files that can't be used change nothing, and the log says why, once.

    Args:
        settings: The files; `settings.is_on` is true.
        now: Seconds since 1970.

    Raises:
        ValueError: The files can't be used. The text begins with the key of the setting.
    """

    def __init__(self, settings: TlsSettings, now: Callable[[], float] = time.time) -> None:
        assert settings.certificate_file and settings.key_file
        self._certificate, self._key, self._ca = settings.certificate_file, settings.key_file, settings.client_ca_file
        self._now = now
        self._lock = threading.Lock()
        self._seen = self._state()
        self._current = self._read()

    def current(self) -> Certificates:
        """Returns what the files have now, or the last that could be used."""
        with self._lock:
            state = self._state()
            if state == self._seen:
                return self._current
            self._seen = state  # a mistake is told once
            try:
                self._current = self._read()
            except ValueError as error:
                log.error("certificate refused", error=str(error))
            else:
                log.info("certificate exchanged", expires=_date(self._current.expires["server"]))
            return self._current

    def remaining(self) -> Iterator[tuple[float, str]]:
        """Yields the time until each certificate expires, in seconds, with `server` or `client_ca`."""
        for name, expires in self.current().expires.items():
            yield expires - self._now(), name

    def _files(self) -> list[Path]:
        return [file for file in (self._certificate, self._key, self._ca) if file]

    def _state(self) -> list[tuple[int, ...]]:
        """Returns facts that differ after every change: a file that is written, replaced, or linked elsewhere."""
        found: list[tuple[int, ...]] = []
        for file in self._files():
            try:
                facts = file.stat()
            except OSError:
                found.append(())
            else:
                found.append((facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))
        return found

    def _read(self) -> Certificates:
        """Raises ValueError: a file can't be read or used, key and certificate differ, or one has expired."""
        certificate, key = _content("certificate_file", self._certificate), _content("key_file", self._key)
        expires = {"server": self._rehearse()}
        ca = None
        if self._ca:
            ca = _content("client_ca_file", self._ca)
            expires["client_ca"] = _first_end(self._ca)
        if certificate != _content("certificate_file", self._certificate) or key != _content("key_file", self._key):
            raise ValueError(f"{TABLE}: the files change while they are read")
        return Certificates(certificate, key, ca, expires)

    def _rehearse(self) -> float:
        """Shakes hands with itself as a server and a client, and returns when the certificate expires."""

        def no_password() -> str:
            raise ValueError(f"{TABLE}.key_file: {self._key} has a password; take one without")

        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate stands for its CA, which is elsewhere
        try:
            server.load_cert_chain(self._certificate, self._key, no_password)
        except OSError as error:  # SSLError is one
            if "MISMATCH" in str(error):
                raise ValueError(f"{TABLE}: certificate_file and key_file do not belong together") from error
            raise ValueError(f"{TABLE}: no PEM with a certificate and its key ({error})") from error
        try:
            client.load_verify_locations(self._certificate)
            there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
            ends = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
            for turn in range(2 * ROUNDS):
                try:
                    ends[turn % 2].do_handshake()
                except ssl.SSLWantReadError:
                    continue
        except ssl.SSLCertVerificationError as error:
            raise ValueError(f"{TABLE}.certificate_file: {error.verify_message}") from error
        except OSError as error:  # SSLError is one
            raise ValueError(f"{TABLE}: a handshake fails ({error})") from error
        found = ends[0].getpeercert()
        assert found
        return ssl.cert_time_to_seconds(str(found["notAfter"]))


def _content(key: str, file: Path) -> bytes:
    """Returns the bytes of a file. Raises ValueError: it can't be read, or everyone may write it."""
    try:
        if os.name != "nt" and file.stat().st_mode & stat.S_IWOTH:
            raise ValueError(f"{TABLE}.{key}: everyone may write {file}, so it is not used; chmod o-w helps")
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{TABLE}.{key}: can't read {file}: {error.strerror}") from error


def _first_end(file: Path) -> float:
    """Returns when the first CA of a file expires. Raises ValueError if there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(file)
    except OSError as error:
        raise ValueError(f"{TABLE}.client_ca_file: is no PEM with certificates ({error})") from error
    ends = [ssl.cert_time_to_seconds(str(ca["notAfter"])) for ca in context.get_ca_certs()]
    if not ends:
        raise ValueError(f"{TABLE}.client_ca_file: has no certificate of a CA")
    return min(ends)


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
