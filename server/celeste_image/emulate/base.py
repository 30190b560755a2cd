"""FakeVendor: the base of all fake vendors. It checks keys, keeps the ledger and answers in the vendor's format."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from celeste_image.core.card import ModelCard, ModelStage
from celeste_image.core.request import OperationKind
from celeste_image.emulate.behavior import Behavior, BehaviorUnknown, behavior_in
from celeste_image.emulate.bodies import Body, BodyUnreadable, read_body
from celeste_image.emulate.ledger import Entry, Ledger, Work, fingerprint, list_price
from celeste_image.emulate.sending import Answer, new_id, send_answer
from celeste_image.emulate.values import Wrong, one_of
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["Answer", "Asked", "FakeVendor", "Refusal", "Route"]

log = logging.getLogger(__name__)

KEYS = {"invalid": "credentials", "unpaid": "billing", "forbidden": "permission"}
"""Prefixes of keys that are refused, and the reason of each."""


class Refusal(Exception):
    """An error as the answer: its HTTP status, and its kind, text and field for the vendor's own format."""

    def __init__(self, status: int, text: str, kind: str = "", field: str = "") -> None:
        super().__init__(text)
        self.status, self.text, self.kind, self.field = status, text, kind, field


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to a fake vendor.

    Attributes:
        entry: Its line in the ledger.
        headers: Its headers.
        query: Its query.
        params: The variable parts of the route's path.
        base: The vendor's origin, as the client names it.
        body: Its body; `fields` and `files` are those of the body.
        fields: The fields of the JSON object or of the form.
        behavior: How the call is treated.
    """

    entry: Entry
    headers: Mapping[str, str]
    query: Mapping[str, str]
    params: Mapping[str, str]
    base: str
    body: Body = field(default_factory=Body)
    fields: dict[str, Any] = field(default_factory=dict)
    behavior: Behavior = field(default_factory=Behavior)

    @property
    def files(self) -> Mapping[str, Sequence[bytes]]:
        """The files of a form by field name, in order."""
        return self.body.files


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the API in aiohttp's syntax, below the vendor's base path.

    Attributes:
        method: HTTP method.
        path: The path.
        handle: Answers a request.
        stage: The stage of the ledger.
        raw: Whether the body is bytes that nobody reads as JSON.
        keyless: Whether the route answers without a key.
    """

    method: str
    path: str
    handle: Callable[[Asked], Awaitable[Answer]]
    stage: str = "call"
    raw: bool = False
    keyless: bool = False


class FakeVendor:
    """A fake vendor. A subclass has its provider, its routes and its format of errors.

    Attributes:
        next: Behaviors of the next requests, before any other rule.

    Args:
        ledger: Records the requests.
        usual: The behavior of requests that name none.
    """

    provider: ClassVar[type[Vendor]]
    name: ClassVar[str]
    path: ClassVar[str | None] = None
    """The base path of all routes; None means that of the provider's base URL."""
    moderation_status: ClassVar[int] = 400
    key_statuses: ClassVar[Mapping[str, int]] = {"credentials": 401, "billing": 402, "permission": 403}
    """HTTP statuses for refused keys, by reason."""

    def __init__(self, ledger: Ledger, usual: Behavior | None = None) -> None:
        self.ledger = ledger
        self.usual = usual or Behavior()
        self.next: list[Behavior] = []
        self._met: dict[str, int] = {}

    def routes(self) -> Sequence[Route]:
        """Returns the API's routes."""
        raise NotImplementedError

    def error(self, refusal: Refusal) -> Any:
        """Returns a refusal in the vendor's format, as a value for JSON."""
        raise NotImplementedError

    def error_for(self, refusal: Refusal, asked: Asked) -> Any:
        """Returns a refusal in the format of the API that was called, for vendors with more than one."""
        return self.error(refusal)

    def unknown(self, method: str, path: str) -> Refusal:
        """Returns the refusal of a path that the API does not have."""
        return Refusal(404, f"there is no {method} {path}", "no_path")

    def wrong_method(self, method: str, path: str) -> Refusal:
        """Returns the refusal of a method that a path does not have."""
        return Refusal(405, f"{path} has no {method}", "no_method")

    def wrong(self, wrong: Wrong) -> Refusal:
        """Returns the refusal of a value."""
        return Refusal(400, in_words(wrong), "value", wrong.field)

    def table(self, url: str) -> dict[str, Any]:
        """Returns the table `[providers.NAME]` for servers that use this vendor at a URL."""
        return {"base_url": url, "allow_private": True, "key": f"emulated-{self.name}"}

    @property
    def cards(self) -> Sequence[ModelCard]:
        """The vendor's models."""
        return self.provider.cards

    @classmethod
    def base_path(cls) -> str:
        """Returns the base path of all routes."""
        return urlsplit(cls.provider.base_url).path if cls.path is None else cls.path

    def card(self, model: str) -> ModelCard:
        """Returns a model's card by its wire name. Raises Refusal for unknown and retired models."""
        for card in self.cards:
            if card.name_on_wire == model and card.stage is not ModelStage.RETIRED:
                return card
        raise Refusal(404, f"The model '{model}' does not exist", "not_found", "model")

    def charge(self, asked: Asked, card: ModelCard, kind: OperationKind, work: Work) -> None:
        """Records the images that were made, and their price, in the ledger."""
        asked.entry.images = len(work.sizes)
        asked.entry.charged = list_price(card, kind, work)

    async def serve(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Answers a request according to its behavior."""
        entry = Entry(self.name, request.method, request.path, stage=route.stage)
        entry.traceparent = request.headers.get("traceparent", "")
        self.ledger.entries.append(entry)
        try:
            return await self._serve(route, request, entry)
        finally:
            self.ledger.on_end(entry)

    async def serve_unknown(self, request: web.Request, status: int) -> web.StreamResponse:
        """Answers a request to a path, or with a method (`status` 405), that the API does not have."""

        async def refuse(asked: Asked) -> Answer:
            raise (self.wrong_method if status == 405 else self.unknown)(request.method, request.path)

        return await self.serve(Route(request.method, request.path, refuse, "unknown", raw=True, keyless=True), request)

    async def _serve(self, route: Route, request: web.Request, entry: Entry) -> web.StreamResponse:
        key = self._key(request)
        entry.key = fingerprint(key)
        asked = Asked(entry, request.headers, request.query, request.match_info, f"{request.scheme}://{request.host}")
        asked = replace(asked, behavior=self.usual)
        try:
            body = await read_body(request, raw=route.raw)
            entry.request_bytes = len(body.data)
            asked = replace(asked, body=body, fields=body.fields)
            asked = replace(asked, behavior=self._behavior(asked, route.stage))
            if not route.keyless:
                self._check(key)
            if (status := asked.behavior.status) and asked.behavior.on == route.stage:
                if asked.behavior.charged:
                    await route.handle(asked)
                raise Refusal(status, f"the emulator was asked to answer with {status}", "told")
            blocks = route.stage == "call" and asked.behavior.moderate == "prompt"
            answer = await (self.blocked(asked) if blocks else route.handle(asked))
        except BodyUnreadable as error:
            return self._refuse(asked, Refusal(error.status, str(error), "invalid"))
        except BehaviorUnknown as error:
            return self._refuse(asked, Refusal(400, str(error), "invalid"))
        except Wrong as wrong:
            return self._refuse(asked, self.wrong(wrong))
        except Refusal as refusal:
            return self._refuse(asked, refusal)
        except Exception:
            log.exception("%s %s: the emulator failed", request.method, request.path)
            return self._refuse(asked, Refusal(500, "the emulator failed; its log has the reason", "bug"))
        behavior = asked.behavior
        if route.stage == "call" and not (answer.events or entry.job):  # events and jobs have their own pauses
            await asyncio.sleep(behavior.latency)
        return await send_answer(request, entry, answer, behavior.answer if behavior.on == route.stage else "")

    async def blocked(self, asked: Asked) -> Answer:
        """Answers a prompt that the safety system refuses; raises Refusal by default."""
        raise self.moderated("prompt")

    def moderated(self, what: str) -> Refusal:
        """Returns the safety system's refusal of a `prompt` or a `result`."""
        return Refusal(
            self.moderation_status, f"Your request was rejected by the safety system: its {what}.", "moderation"
        )

    def _key(self, request: web.Request) -> str:
        """Returns the request's key; empty without one, or when it has another scheme than the vendor's."""
        value = request.headers.get(self.provider.key_header, "")
        prefix = self.provider.key_prefix
        return value[len(prefix) :].strip() if value.lower().startswith(prefix.lower()) else ""

    def _check(self, key: str) -> None:
        kind = next((kind for start, kind in KEYS.items() if key.startswith(start)), "" if key else "credentials")
        if kind:
            raise Refusal(self.key_statuses[kind], "the key is refused" if key else "the key is missing", kind)

    def behavior_for(self, asked: Asked) -> Behavior | None:
        """Returns the behavior of a request's subject, such as the job that it polls; None when it has none."""
        return None

    def _behavior(self, asked: Asked, stage: str) -> Behavior:
        """Returns the next queued behavior of this stage, else the request's own, else the usual one."""
        for index, queued in enumerate(self.next):
            if queued.on == stage:
                if queued.times <= 1:
                    del self.next[index]
                else:
                    self.next[index] = queued.model_copy(update={"times": queued.times - 1})
                asked.entry.behavior = "next"
                return queued
        said = behavior_in(asked.fields)
        if said is None:
            found = self.behavior_for(asked)
            said = ("of " + asked.entry.job, found) if found else None
        if said is None:
            return self.usual
        text, behavior = said
        asked.entry.behavior = text
        if behavior.times and behavior.on == stage:
            met = self._met[text] = self._met.get(text, 0) + 1
            if met > behavior.times:
                return behavior.model_copy(update={"status": None, "answer": ""})
        return behavior

    def _refuse(self, asked: Asked, refusal: Refusal) -> web.StreamResponse:
        headers = {"x-request-id": new_id("req")}
        if after := asked.behavior.retry_after:
            headers |= {"retry-after-ms": after[:-2]} if after.endswith("ms") else {"retry-after": after}
        body = orjson.dumps(self.error_for(refusal, asked))
        asked.entry.status, asked.entry.response_bytes = refusal.status, len(body)
        return web.Response(status=refusal.status, body=body, headers=headers, content_type="application/json")


def in_words(wrong: Wrong) -> str:
    """Returns what is wrong with a value, in plain words."""
    match wrong.rule:
        case "type":
            return f"must be {wrong.allowed}"
        case "choice":
            return f"must be one of {one_of(wrong.allowed)}"
        case "minimum":
            return f"must be at least {wrong.allowed}"
        case "maximum":
            return f"must be at most {wrong.allowed}"
        case "step":
            return f"must be a multiple of {wrong.allowed}"
        case "length":
            return f"must have at most {wrong.allowed} characters"
        case "unknown":
            return "is not a field of this request"
        case "missing":
            return "is required"
