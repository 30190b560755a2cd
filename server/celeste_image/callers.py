"""Callers: finds the caller of an API key or of a client certificate."""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

from celeste_image.config.callers import CallerSettings, uri_pattern
from celeste_image.core.caller import Caller
from celeste_image.core.errors import CredentialsInvalid

__all__ = ["Callers"]


class Callers:
    """The callers that a server knows.

    Args:
        settings: Keys and rules for certificates.
        now: Seconds since 1970, for keys that expire.

    Attributes:
        are_known: Whether callers must show who they are. If not, everyone is ANONYMOUS.
    """

    def __init__(self, settings: CallerSettings, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.are_known = settings.are_known
        self.change(settings)

    def change(self, settings: CallerSettings) -> None:
        """Takes over other keys and rules, for the next call. Calls that run go on."""
        self._keys = [
            (
                bytes.fromhex(key.sha256),
                Caller(key.tenant, key.name or name),
                key.not_after.timestamp() if key.not_after else float("inf"),
            )
            for name, key in settings.keys.items()
        ]
        self._rules = [
            (uri_pattern(rule.uri), rule.tenant, rule.name or name) for name, rule in settings.certificates.items()
        ]

    @property
    def have_certificates(self) -> bool:
        """Whether a client certificate may show who calls."""
        return bool(self._rules)

    def of_key(self, key: str) -> Caller:
        """Returns the caller of an API key. The comparison takes the same time for every key.

        Raises:
            CredentialsInvalid: The key is unknown, or has expired.
        """
        digest = hashlib.sha256(key.encode()).digest()
        found = None
        for known in self._keys:
            if hmac.compare_digest(known[0], digest):
                found = known
        if found is None:
            raise CredentialsInvalid("the API key is not one of this server's")
        _, caller, not_after = found
        if self._now() >= not_after:
            raise CredentialsInvalid("the API key has expired")
        return caller

    def of_certificate(self, uris: Sequence[str]) -> Caller:
        """Returns the caller of a client certificate that the server's CA has signed.

        Args:
            uris: All URIs among its subject alternative names.

        Raises:
            CredentialsInvalid: It has none or several, or no rule matches.
        """
        if len(uris) != 1:
            raise CredentialsInvalid("the client certificate must have one URI among its subject alternative names")
        for pattern, tenant, name in self._rules:
            if found := pattern.fullmatch(uris[0]):
                parts = found.groupdict()
                return Caller(parts.get("tenant", tenant), parts.get("name", name))
        raise CredentialsInvalid("the URI of the client certificate is not that of a caller")
