"""Key check, as in `celeste providers check`: by the key's form, then by a call to the vendor that costs nothing."""

import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import urljoin

from celeste_image.core.errors import ProviderCredentials
from celeste_image.outbound.exchange import ExchangeFailed
from celeste_image.providers.kit.answers import error_for_failure
from celeste_image.providers.kit.credentials import Verdict
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["Checked", "Checks", "check_key"]

TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome for one provider; `text` is for people and quotes no part of the key."""

    provider: str
    verdict: Verdict
    text: str


@runtime_checkable
class Checks(Protocol):
    """A provider with a check of its own."""

    async def check(self, *, online: bool = True) -> Checked:
        """Checks whether the provider is usable, without cost; if not `online`, by its settings alone."""
        ...


async def check_key(vendor: Vendor, *, online: bool = True) -> Checked:
    """Checks a vendor's key by its form and then, if `online` and the vendor has a `key_path`, by a free call."""
    verdict, text = vendor.form_of_key()
    if verdict is Verdict.FAILED or not online or not vendor.key_path:
        return Checked(vendor.name, verdict, text or "the form is right; the vendor was not asked")
    try:
        request = vendor.http.request(
            "GET",
            urljoin(f"{vendor.url}/", vendor.key_path),
            headers={"content-type": "application/json"},  # as Google's SDK does; other vendors ignore it
            secrets=vendor.secrets,
        )
        reply = await vendor.http.send(request, deadline=time.monotonic() + TIMEOUT_SECONDS)
        if reply.status == 200:
            return Checked(vendor.name, verdict, text or "the vendor accepts the key")
        error = vendor.error(reply, idempotent=True)
    except ExchangeFailed as failure:
        error = error_for_failure(vendor.name, failure, idempotent=True)
    refused = isinstance(error, ProviderCredentials)
    return Checked(vendor.name, Verdict.FAILED, "the vendor refuses the key" if refused else error.message)
