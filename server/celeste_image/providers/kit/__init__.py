"""Tools for provider files, and the public API for plug-ins: the client, errors, cards and jobs of a vendor's API.

Values and errors of the contract come from `celeste_image.core`; everything else that a vendor file needs is here.
"""

from celeste_image.outbound.exchange import ExchangeFailed, Reply, Request, SecretHeader, Stage
from celeste_image.outbound.origins import Origin
from celeste_image.providers.base import Options, Provider, ProviderSettings, Tools
from celeste_image.providers.catalog import cards_from
from celeste_image.providers.kit.answers import (
    Pointer,
    at,
    duration_seconds,
    error_for_failure,
    error_for_status,
    retry_after,
    value_in,
    vendor_text,
)
from celeste_image.providers.kit.multipart import Bounds, Operation, Part, check_request, named, parts_of
from celeste_image.providers.kit.polling import Polling, State
from celeste_image.providers.kit.remote_jobs import RemoteJobs
from celeste_image.providers.kit.results import picture_at_once, preview_of
from celeste_image.providers.kit.sse import ServerSentEvent, server_sent_events
from celeste_image.providers.kit.vendor import Vendor, VendorSettings

__all__ = [
    "Bounds",
    "ExchangeFailed",
    "Operation",
    "Options",
    "Origin",
    "Part",
    "Pointer",
    "Polling",
    "Provider",
    "ProviderSettings",
    "RemoteJobs",
    "Reply",
    "Request",
    "SecretHeader",
    "ServerSentEvent",
    "Stage",
    "State",
    "Tools",
    "Vendor",
    "VendorSettings",
    "at",
    "cards_from",
    "check_request",
    "duration_seconds",
    "error_for_failure",
    "error_for_status",
    "named",
    "parts_of",
    "picture_at_once",
    "preview_of",
    "retry_after",
    "server_sent_events",
    "value_in",
    "vendor_text",
]
