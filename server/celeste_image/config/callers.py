"""Settings of who may call, and of the encryption of calls: the tables `[callers]` and `[server.tls]`."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, StringConstraints, model_validator

from celeste_image.config.section import Section
from celeste_image.core.caller import CALLER_NAME

__all__ = ["CallerName", "CallerSettings", "CertificateSettings", "KeySettings", "TlsSettings", "uri_pattern"]

CallerName = Annotated[str, StringConstraints(pattern=rf"^{CALLER_NAME.pattern}$")]
TENANT, NAME = "{tenant}", "{name}"
"""Parts of `uri` that stand for the tenant and for the name of the caller."""


class TlsSettings(Section):
    """`[server.tls]`: encryption of calls. The files are read again when they change; connections stay open."""

    certificate_file: Path | None = None
    """The server's certificate in PEM, then those between it and its CA. Unset means calls are not encrypted."""
    key_file: Path | None = None
    """The key of the certificate in PEM, without a password."""
    client_ca_file: Path | None = None
    """CAs of callers in PEM. If set, each caller needs a certificate of one of these CAs."""

    @property
    def is_on(self) -> bool:
        """Whether TCP connections are encrypted."""
        return self.certificate_file is not None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file need each other")
        if self.client_ca_file and not self.certificate_file:
            raise ValueError("client_ca_file needs certificate_file and key_file")
        return self


class KeySettings(Section):
    """`[callers.keys.KEY]`: an API key. `celeste callers new-key` makes one."""

    tenant: CallerName
    """Owner of the artifacts."""
    name: CallerName = ""
    """Name of the caller. Unset means the name of this table."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the key, 64 hex digits. The key itself is nowhere on the server."""
    not_after: AwareDatetime | None = None
    """When the key expires, with its offset from UTC. Unset means never."""


class CertificateSettings(Section):
    """`[callers.certificates.RULE]`: callers by the URI in their client certificate."""

    uri: str
    """The URI, such as `spiffe://example.org/ns/{tenant}/sa/{name}`. `{tenant}` and `{name}` stand for 1 to 64 of a-z,
    0-9, `_` and `-`. The first rule that matches decides."""
    tenant: CallerName = ""
    """Owner of the artifacts, if `uri` has no `{tenant}`."""
    name: CallerName = ""
    """Name of the caller, if `uri` has no `{name}`. Unset means the name of this table."""

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        if not re.match(r"[a-z][a-z0-9+.-]*:.", self.uri):
            raise ValueError("uri must begin with a scheme, such as spiffe://")
        for part, given in ((TENANT, self.tenant), (NAME, self.name)):
            if self.uri.count(part) + bool(given) > 1:
                raise ValueError(f"there must be one of {part} in uri and {part[1:-1]}, once")
        if not self.tenant and TENANT not in self.uri:
            raise ValueError(f"tenant must be set, or uri must have {TENANT}")
        return self


def uri_pattern(uri: str) -> re.Pattern[str]:
    """Returns what the URIs of a rule match as a whole, with the groups `tenant` and `name` where the rule has them."""
    pattern = re.escape(uri)
    for part in (TENANT, NAME):
        pattern = pattern.replace(re.escape(part), f"(?P<{part[1:-1]}>{CALLER_NAME.pattern})")
    return re.compile(pattern)


class CallerSettings(Section):
    """`[callers]`: who may call. Without keys and certificates, everyone who reaches the server."""

    keys: dict[CallerName, KeySettings] = {}
    """API keys, each a table; several of one caller are valid at once."""
    certificates: dict[CallerName, CertificateSettings] = {}
    """Rules for client certificates, each a table; they need `server.tls.client_ca_file`."""

    @property
    def are_known(self) -> bool:
        """Whether callers must show who they are."""
        return bool(self.keys or self.certificates)

    @model_validator(mode="after")
    def _one_caller_a_key(self) -> Self:
        names: dict[str, str] = {}
        for name, key in self.keys.items():
            if (other := names.setdefault(key.sha256, name)) != name:
                raise ValueError(f"keys.{name} and keys.{other} have the same sha256")
        return self
