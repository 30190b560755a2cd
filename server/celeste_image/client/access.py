"""What a client shows to a server, and which servers it trusts: API key, TLS, certificate."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from celeste_image.core.textfile import read_text

if TYPE_CHECKING:
    import grpc

__all__ = ["VARIABLES", "Access", "AccessParameters", "access_from_environment"]


class AccessParameters(TypedDict, total=False):
    """Access to a server. The files are in PEM and are read once, when the client is made."""

    api_key: str
    """The caller's key, or `file:PATH` of a file with it."""
    tls: bool | None
    """Whether the connection is encrypted; unset or None: if `ca` or `cert` is given. TLS without `ca` trusts the
    authorities that gRPC comes with."""
    ca: str | Path
    """File with the authorities whose servers are trusted, instead of those that gRPC comes with."""
    cert: str | Path
    """File with the client's certificate, then those between it and its authority."""
    key: str | Path
    """File with the private key of the certificate, without a password."""


VARIABLES = {
    "api_key": "CELESTE_API_KEY",
    "tls": "CELESTE_TLS",
    "ca": "CELESTE_CA",
    "cert": "CELESTE_CERT",
    "key": "CELESTE_KEY",
}
"""Variables of the environment by parameter."""
FILES = ("ca", "cert", "key")
FILE = "file:"
SWITCH = {"true": True, "false": False}
HEADER = re.compile(r"[!-~]+")


def access_from_environment(given: AccessParameters | None = None) -> AccessParameters:
    """Returns the given parameters, and those that only the environment has.

    With `tls` given as False, files that the environment names are not used.

    Raises:
        ValueError: `CELESTE_TLS` is neither `true` nor `false`.
    """
    access: Any = {name: value for name, value in (given or {}).items() if value not in (None, "")}
    for name, variable in VARIABLES.items():
        text = os.environ.get(variable, "")
        if not text or name in access or (name in FILES and access.get("tls") is False):
            continue
        if name == "tls" and text not in SWITCH:
            raise ValueError(f"{variable} is true or false, not {text!r}")
        access[name] = SWITCH[text] if name == "tls" else text
    found: AccessParameters = access
    return found


@dataclass(frozen=True)
class Access:
    """Access to a server, with the contents of its files.

    Attributes:
        api_key: The caller's key. Empty for none.
        tls: Whether the connection is encrypted; None if the parameters did not say.
        credentials: Authorities, key and certificates, in PEM. None means gRPC's authorities, or no certificate.
    """

    api_key: str = field(default="", repr=False)
    tls: bool | None = None
    credentials: tuple[bytes | None, bytes | None, bytes | None] = field(default=(None, None, None), repr=False)

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Access":
        """Returns the access that parameters describe; see `AccessParameters`.

        Raises:
            ValueError: Parameters contradict each other, or a file does not hold what it should.
            TypeError: There is no such parameter.
            OSError: A file can't be read.
        """
        if unknown := parameters.keys() - VARIABLES.keys():
            raise TypeError(f"there is no argument {min(unknown)!r}; access has {', '.join(VARIABLES)}")
        ca, cert, key = (parameters.get(name) or None for name in FILES)
        tls = parameters.get("tls")
        if bool(cert) != bool(key):
            raise ValueError("cert and key need each other: the client's certificate and its private key")
        if tls is False and (ca or cert):
            raise ValueError("ca, cert and key are for TLS, and tls is off")
        tls = True if ca or cert else tls
        if tls:
            _check_files(ca, cert, key)
        contents = (_read(ca), _read(key), _read(cert))
        return cls(_key_of(parameters.get("api_key") or ""), tls, contents)

    def channel_credentials(self, address: str, *, is_local: bool) -> "grpc.ChannelCredentials | None":
        """Returns the credentials of a channel to an address; None for one without TLS.

        Raises:
            ValueError: The API key would leave this machine in the clear, and nobody said that it may.
        """
        if self.tls:
            import grpc

            return grpc.ssl_channel_credentials(*self.credentials)
        if self.api_key and self.tls is None and not is_local:
            raise ValueError(
                f"an API key goes to {address} over TLS: give ca, or tls for the authorities that gRPC comes with; "
                "with tls off, everyone on the way can read the key"
            )
        return None


def _key_of(text: str) -> str:
    """Returns an API key, from its file if it is a reference. Raises ValueError, without the key, and OSError."""
    key = read_text(Path(text.removeprefix(FILE))).strip() if text.startswith(FILE) else text
    if not HEADER.fullmatch(key) and (key or text):
        raise ValueError("an API key is not empty, and has printable ASCII characters without spaces")
    return key


def _read(file: str | Path | None) -> bytes | None:
    return Path(file).read_bytes() if file else None


def _check_files(ca: str | Path | None, cert: str | Path | None, key: str | Path | None) -> None:
    """Raises ValueError for files that gRPC would refuse at each call, in words about its own insides; and OSError."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for file in (ca, cert, key):
        if file:
            _read(file)  # an OSError of ssl does not name the file
    try:
        if ca:
            context.load_verify_locations(ca)
    except ssl.SSLError:
        raise ValueError(f"{ca} has no certificate in PEM") from None
    try:
        if cert and key:
            context.load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"the private key in {key} is not that of the certificate in {cert}") from None
        raise ValueError(f"{cert} has no certificate in PEM, or {key} no private key without a password") from None
