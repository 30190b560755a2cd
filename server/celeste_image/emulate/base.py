"""FakeVendor: the base of all fake vendors. It checks keys, keeps the ledger, sends answers and injects faults."""

import asyncio
import re
import socket
import struct
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from celeste_image.core.card import ModelCard, ModelStage
from celeste_image.core.request import OperationKind
from celeste_image.emulate.behavior import Behavior, BehaviorUnknown, behavior_in
from celeste_image.emulate.forms import parts_of_form
from celeste_image.emulate.ledger import Entry, Ledger, fingerprint, list_price
from celeste_image.providers.kit.vendor import Vendor

__all__ = ["Answer", "Asked", "FakeVendor", "Refusal", "Route"]

MIB = 1 << 20
PRIVATE = "http://169.254.169.254/latest/meta-data/"
DRIP_SECONDS = 0.05
BASE64 = re.compile(rb'"[A-Za-z0-9+/]{64,}={0,2}"')
KEYS = {"invalid": "credentials", "unpaid": "billing", "forbidden": "permission"}
"""Prefixes of keys that are refused, and the reason of each."""


class Refusal(Exception):
    """An error as the answer: its HTTP status, and its kind, text and field for the vendor's own format."""

    def __init__(self, status: int, text: str, kind: str = "", field: str = "") -> None:
        super().__init__(text)
        self.status, self.text, self.kind, self.field = status, text, kind, field


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to a fake vendor. `files` has the files of a form by field name, in order."""

    entry: Entry
    headers: Mapping[str, str]
    query: Mapping[str, str]
    params: Mapping[str, str]
    base: str
    fields: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    behavior: Behavior = field(default_factory=Behavior)


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: a value for JSON, bytes of a media type, or events with `pause` seconds between them."""

    value: Any = None
    body: bytes = b""
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    events: Sequence[tuple[str, Any]] = ()
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the API in aiohttp's syntax, below the vendor's base path; `stage` is that of the ledger."""

    method: str
    path: str
    handle: Callable[[Asked], Awaitable[Answer]]
    stage: str = "call"


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

    def charge(
        self, asked: Asked, card: ModelCard, kind: OperationKind, images: int, megapixels: float, tokens: int = 0
    ) -> None:
        """Records the images that were made, and their price, in the ledger."""
        asked.entry.images = images
        asked.entry.charged = list_price(card, kind, images, megapixels, tokens)

    async def serve(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Answers a request according to its behavior."""
        entry = Entry(self.name, request.method, request.path, stage=route.stage)
        self.ledger.entries.append(entry)
        try:
            return await self._serve(route, request, entry)
        finally:
            self.ledger.on_end(entry)

    async def _serve(self, route: Route, request: web.Request, entry: Entry) -> web.StreamResponse:
        key = self._key(request)
        entry.key = fingerprint(key)
        asked = Asked(entry, request.headers, request.query, request.match_info, f"{request.scheme}://{request.host}")
        asked = replace(asked, behavior=self.usual)
        try:
            fields, files = await _body(request, entry)
            asked = replace(asked, fields=fields, files=files)
            asked = replace(asked, behavior=self._behavior(asked, route.stage))
            if route.stage != "fetch":
                self._check(key)
            if (status := asked.behavior.status) and asked.behavior.on == route.stage:
                if asked.behavior.charged:
                    await route.handle(asked)
                raise Refusal(status, f"the emulator was asked to answer with {status}", "told")
            blocks = route.stage == "call" and asked.behavior.moderate == "prompt"
            answer = await (self.blocked(asked) if blocks else route.handle(asked))
        except BehaviorUnknown as error:
            return await self._refuse(request, asked, Refusal(400, str(error), "invalid"))
        except Refusal as refusal:
            return await self._refuse(request, asked, refusal)
        behavior = asked.behavior
        if route.stage == "call" and not (answer.events or entry.job):  # events and jobs have their own pauses
            await asyncio.sleep(behavior.latency)
        spoilt = behavior.answer if behavior.on == route.stage else ""
        return await self._send(request, entry, answer, spoilt)

    async def blocked(self, asked: Asked) -> Answer:
        """Answers a prompt that the safety system refuses; raises Refusal by default."""
        raise self.moderated("prompt")

    def moderated(self, what: str) -> Refusal:
        """Returns the safety system's refusal of a `prompt` or a `result`."""
        return Refusal(
            self.moderation_status, f"Your request was rejected by the safety system: its {what}.", "moderation"
        )

    def _key(self, request: web.Request) -> str:
        value = request.headers.get(self.provider.key_header, "")
        return value.removeprefix(self.provider.key_prefix)

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

    async def _refuse(self, request: web.Request, asked: Asked, refusal: Refusal) -> web.StreamResponse:
        headers = {"x-request-id": f"req_{uuid.uuid4().hex[:12]}"}
        if after := asked.behavior.retry_after:
            headers |= {"retry-after-ms": after[:-2]} if after.endswith("ms") else {"retry-after": after}
        body = orjson.dumps(self.error(refusal))
        asked.entry.status, asked.entry.response_bytes = refusal.status, len(body)
        return web.Response(status=refusal.status, body=body, headers=headers, content_type="application/json")

    async def _send(self, request: web.Request, entry: Entry, answer: Answer, spoilt: str) -> web.StreamResponse:
        if answer.events and spoilt in ("", "truncated", "cut", "bad-base64"):
            return await self._stream(request, entry, answer, spoilt)
        body = answer.body or orjson.dumps(answer.value)
        kind, entry.status = answer.media_type, answer.status
        match spoilt:
            case "hang" | "reset":
                entry.status = 0
                if spoilt == "hang":
                    await asyncio.get_running_loop().create_future()  # cancelled when the client disconnects
                _reset(request)
                return web.Response()  # the connection is closed already
            case "redirect":
                entry.status = 302
                return web.Response(status=302, headers={"location": PRIVATE})
            case "html":
                kind, body = "text/html", b"<html><body><h1>504 Gateway Time-out</h1></body></html>"
            case "list":
                kind, body = "application/json", b'[1, "x", null]'
            case "truncated":
                body = body[: len(body) // 2]
            case "bad-base64":
                body = BASE64.sub(b'"!! this is not base64 !!"', body) if kind == "application/json" else b"!!"
        entry.response_bytes = len(body)
        headers = {"x-request-id": f"req_{uuid.uuid4().hex[:12]}", **answer.headers, "content-type": kind}
        if spoilt not in ("oversized", "slow", "cut"):
            return web.Response(status=answer.status, body=body, headers=headers)
        response = web.StreamResponse(status=200, headers=headers)
        if spoilt == "cut":
            response.content_length = len(body)
        with suppress(ConnectionError):
            await response.prepare(request)
            if spoilt == "cut":
                await response.write(body[: len(body) // 2])
                _reset(request)
                return response
            entry.response_bytes = 0
            piece, pause, most = (bytes(MIB), 0.0, 1 << 14) if spoilt == "oversized" else (b" ", DRIP_SECONDS, 12_000)
            for _ in range(most):
                await response.write(piece)
                entry.response_bytes += len(piece)
                await asyncio.sleep(pause)
        return response

    async def _stream(self, request: web.Request, entry: Entry, answer: Answer, spoilt: str) -> web.StreamResponse:
        response = web.StreamResponse(status=200, headers={"content-type": "text/event-stream", **answer.headers})
        entry.status = 200
        with suppress(ConnectionError):
            await response.prepare(request)
            for name, value in answer.events if not spoilt.startswith(("trunc", "cut")) else answer.events[:1]:
                data = orjson.dumps(value)
                data = BASE64.sub(b'"!! this is not base64 !!"', data) if spoilt == "bad-base64" else data
                piece = (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"
                await response.write(piece)
                entry.response_bytes += len(piece)
                await asyncio.sleep(answer.pause)
            if spoilt == "cut":
                _reset(request)
        return response


async def _body(request: web.Request, entry: Entry) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    """Returns the fields and the files of a body. Raises Refusal."""
    data = await request.read()
    entry.request_bytes = len(data)
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    if request.content_type.startswith("multipart/"):
        try:
            for part in parts_of_form(data, request.headers["content-type"]):
                if part.filename is None:
                    fields[part.name] = part.data.decode(errors="replace")
                else:
                    files.setdefault(part.name, []).append(part.data)
        except ValueError as error:
            raise Refusal(400, str(error), "invalid") from None
        return fields, files
    if data:
        try:
            fields = orjson.loads(data)
        except ValueError:
            raise Refusal(400, "the body is not JSON", "invalid") from None
        if not isinstance(fields, dict):
            raise Refusal(400, "the body is not a JSON object", "invalid")
    return fields, files


def _reset(request: web.Request) -> None:
    """Resets the connection."""
    if request.transport is not None:
        end(request.transport)


def end(transport: asyncio.BaseTransport) -> None:
    """Closes a connection with a TCP reset."""
    made = transport.get_extra_info("socket")
    with suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert isinstance(transport, asyncio.Transport)
    transport.abort()
