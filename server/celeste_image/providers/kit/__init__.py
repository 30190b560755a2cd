"""Tools for provider files, and the public API for plug-ins: the client, errors, cards and jobs of a vendor's API.

Values and errors of the contract come from `celeste_image.core`; everything else that a vendor file needs is here.

How an answer becomes images, reasons and usage, in one place for all vendors:

* A vendor file makes an `Answer`: one for a body, or one for each event of a stream. `Vendor.answer_in` reads the usual
  forms; `Vendor.found_in` reads one item. A vendor with a form of its own fills `Answer` and `Found` itself.
* `image_events(vendor, answers, count=...)` makes the events. It decodes or fetches each image, keeps every readable
  one, yields ImageFailed for each missing one, Billed for usage, and Fidelity for facts that the vendor names. If there
  is no image, it raises the failure that the answer tells. It ends once all images are there.
* `failure_in` finds the failure in a body, an event or an item. `Vendor.failed` makes it an error, by one table of
  codes. A code of a status counts where the answer's own status says less, as 200 does.
* JSON is read leniently (`Reply.json`), and so is base64 (`data_in`). `answers_of` reads a body or stream of any form,
  and a long base64 text of an image as bytes. Bytes are an image only if the pixel work says so: `picture_of` measures
  each.
* `owed` in an error's metadata says who pays: `true` if an image was made and is lost, `unknown` if nobody can say,
  `false` if nothing has to be paid although something was made. Without `owed`, nothing was made. The kit sets it:
  `lost` for an image that can't be fetched or read, `found_in` for an image that was refused after it was made, and
  `error_for_failure` for a request without an answer.
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
from celeste_image.providers.kit.failures import Failure, error_of, failure_in, is_refusal, word_of
from celeste_image.providers.kit.images import Answer, Found, data_in
from celeste_image.providers.kit.multipart import Bounds, Operation, Part, check_request, named, parts_of
from celeste_image.providers.kit.polling import Polling, State
from celeste_image.providers.kit.remote_jobs import RemoteJobs
from celeste_image.providers.kit.results import answers_of, image_events, lost, picture_at_once, preview_of
from celeste_image.providers.kit.sse import ServerSentEvent, server_sent_events
from celeste_image.providers.kit.vendor import Vendor, VendorSettings

__all__ = [
    "Answer",
    "Bounds",
    "ExchangeFailed",
    "Failure",
    "Found",
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
    "answers_of",
    "at",
    "cards_from",
    "check_request",
    "data_in",
    "duration_seconds",
    "error_for_failure",
    "error_for_status",
    "error_of",
    "failure_in",
    "image_events",
    "is_refusal",
    "lost",
    "named",
    "parts_of",
    "picture_at_once",
    "preview_of",
    "retry_after",
    "server_sent_events",
    "value_in",
    "vendor_text",
    "word_of",
]
