"""Vendor: the base class of providers with an HTTP API; it has the key, the HTTP client and the errors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from celeste_image.config import SecretText
from celeste_image.core.card import ModelCard, ModelStage
from celeste_image.core.errors import CelesteError, ProviderCredentials
from celeste_image.core.image import ImageInput
from celeste_image.core.secret import Secret
from celeste_image.outbound.client import Http
from celeste_image.outbound.exchange import Limits, OriginRefused, Reply, SecretHeader
from celeste_image.outbound.origins import Hosts, Origin
from celeste_image.providers.base import Options, ProviderSettings, Tools
from celeste_image.providers.kit.answers import Pointer, at, value_in, vendor_text
from celeste_image.providers.kit.credentials import Credential, Verdict
from celeste_image.providers.kit.failures import Failure, error_of, told_in
from celeste_image.providers.kit.images import Answer, Found, answer_in, found_in

__all__ = ["Vendor", "VendorSettings"]

METADATA_MARKS = (b"Exif\0\0", b"eXIf", b"EXIF", b"http://ns.adobe.com/xap/", b"XML:com.adobe.xmp", b"Photoshop 3.0\0")
"""Markers of EXIF, XMP and IPTC in JPEG, PNG and WebP. Pixels may match by chance: the image is then converted."""


class VendorSettings(ProviderSettings):
    """`[providers.NAME]` of a vendor.

    The key is `key`, or the content of the file `key_file`, or else the vendor's own environment variable.
    """

    key: SecretText | None = Field(
        default=None,
        description="The key, or better a reference: env:VARIABLE, or file:PATH, a file that may be replaced.",
    )
    key_file: Path | None = Field(default=None, description="The same as key = file:PATH.")
    base_url: str = Field(default="", description="URL of the API; empty means the vendor's own.")
    allow_private: bool = Field(default=False, description="Whether base_url may be on this machine or network.")
    result_hosts: tuple[str, ...] = Field(
        default=(), description="More hosts from which results may be fetched: example.com, or *.example.com."
    )
    result_origins: tuple[str, ...] = Field(
        default=(),
        description="More origins from which results may be fetched, also on this machine or network, such as "
        "http://10.0.0.5:9000.",
    )
    poll_seconds: Annotated[float, Field(gt=0, le=300)] | None = Field(
        default=None, description="Seconds between polls of a job; unset means the vendor's own interval."
    )

    @field_validator("result_origins")
    @classmethod
    def _are_origins(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            Origin.of(url)  # raises ValueError
        return urls

    @model_validator(mode="after")
    def _one_key(self) -> "VendorSettings":
        if self.key and self.key_file:
            raise ValueError("key and key_file can't both be set")
        return self


class Vendor:
    """One vendor's API. A subclass sets the class attributes and defines `run`.

    Args:
        settings: The provider's table of the configuration.
        tools: Pixel work, clock, transport and environment.
        name: The provider's name, if it differs from the class's: see `discover_kinds`.
    """

    name: str
    title: ClassVar[str]
    cards: Sequence[ModelCard]
    Settings: ClassVar[type[VendorSettings]] = VendorSettings
    Options: ClassVar[type[Options]] = Options

    base_url: ClassVar[str]
    """URL of the API, with the path that all calls share."""
    key_variable: ClassVar[str]
    """The environment variable of the vendor's own SDK."""
    key_header: ClassVar[str] = "authorization"
    key_prefix: ClassVar[str] = "Bearer "
    key_form: ClassVar[str] = ""
    """Regular expression for the vendor's keys; empty if their form is unknown."""
    key_path: ClassVar[str] = ""
    """Path of a free GET that needs the key, relative to the base URL, such as `models` or `../v1/balance`. Empty if no
    such call is known."""
    model_form: ClassVar[str] = r"[A-Za-z0-9][\w.-]{0,99}"
    """Regular expression for names of models outside the catalog, for operators who allow them. A name may become part
    of a path, so the expression must match no other paths. Empty if such models can't be called."""
    texts: ClassVar[Sequence[Pointer]] = (("detail",), ("detail", 0, "msg"), ("error",), ("message",))
    """Where an answer may have its error text; the first one found counts."""
    own_hosts: ClassVar[Sequence[str]] = ()
    """The vendor's own hosts, in the form of `Hosts`, that its answers may name for the next call. They get the key."""
    result_hosts: ClassVar[Sequence[str]] = ()
    """Hosts from which results may be fetched, in the form of `Hosts`. They never get the key."""

    def __init__(self, settings: VendorSettings, tools: Tools, *, name: str = "") -> None:
        self.name = name or self.name
        self.settings = settings
        self.tools = tools
        self.url = (settings.base_url or self.base_url).rstrip("/")
        origin = Origin.of(self.url)
        named = frozenset(Origin.of(url) for url in settings.result_origins)
        private = named | (_on_loopback(origin) if settings.allow_private else frozenset())
        self._origins = frozenset({origin})
        self._own = Hosts(frozenset(self.own_hosts))
        self._is_result = Hosts(frozenset((*self.result_hosts, *settings.result_hosts)))
        self.http = Http(
            lambda target: target in self._origins or self._own(target) or self._is_result(target),
            private=private,
            named=self._origins,
            limits=Limits(),
            transport=tools.transport,
            clock=tools.clock,
            memory=tools.memory,
        )
        self.pixels = tools.pixels.of(self.name)
        given = Secret(f"file:{settings.key_file}") if settings.key_file else settings.key
        # The same API at another URL may have keys of another form; a key of another vendor is still refused.
        elsewhere = bool(settings.base_url and self.base_url and self.key_form)
        form = f"{self.key_form}|.+" if elsewhere else self.key_form
        self._key = Credential(self.name, given, self.key_variable, tools.environment, form)

    @property
    def has_key(self) -> bool:
        """Returns whether a key is set, even one with a problem."""
        return bool(self._key.now or self._key.problem)

    def form_of_key(self) -> tuple[Verdict, str]:
        """Returns the verdict on the key's form and the problem: see `form_problem`."""
        return self._key.verdict()

    def take_key(self, other: "Vendor") -> None:
        """Uses the key of another object of this provider from now on: that of a changed configuration."""
        self._key.take_over(other._key)

    @property
    def secrets(self) -> tuple[SecretHeader, ...]:
        """The headers with the key, for the API's own origin only.

        Raises:
            ProviderCredentials: The key is missing, or has a problem.
        """
        return self._secrets(self._origins)

    def secrets_for(self, url: str) -> tuple[SecretHeader, ...]:
        """Returns the headers with the key for a URL from an answer.

        Raises:
            OriginRefused: The URL is not the vendor's own.
            ProviderCredentials: The key is missing, or has a problem.
        """
        if not self.is_own(url):
            raise OriginRefused("the URL in the answer is not the vendor's own")
        return self._secrets(frozenset({Origin.of(url)}))

    def is_own(self, url: str) -> bool:
        """Returns whether a URL is at the API's origin or at one of `own_hosts`."""
        try:
            origin = Origin.of(url)
        except ValueError:
            return False
        return origin in self._origins or self._own(origin)

    def said(self, value: Any) -> str:
        """Returns a text of the vendor for people: one line, shortened, without the key."""
        return vendor_text(value, self._key.known)

    def text_in(self, answer: Any) -> str:
        """Returns the error text in an answer; empty if the answer has none."""
        return next((text for path in self.texts if (text := self.said(at(answer, *path)))), "")

    def error(self, reply: Reply, *, idempotent: bool = False) -> CelesteError:
        """Returns the error for an answer of status 400 or above; `idempotent` marks a free call, such as a poll."""
        failure = told_in(reply)
        if text := self.text_in(value_in(reply)):
            failure = replace(failure, text=text)
        return self.failed(reply, failure, idempotent=idempotent)

    def failed(
        self, reply: Reply, failure: Failure, stage: str = "unknown", *, idempotent: bool = False
    ) -> CelesteError:
        """Returns the error for a failure that an answer of any status, an event or an item tells: see `error_of`."""
        return error_of(self.name, reply, failure, self.said, stage=stage, idempotent=idempotent)

    def answer_in(self, reply: Reply, value: Any) -> Answer:
        """Returns what the JSON value of an answer says, or that of one event: see `answer_in`."""
        return answer_in(value, lambda failure, stage: self.failed(reply, failure, stage))

    def found_in(self, reply: Reply, item: Any) -> Found:
        """Returns the image of one item of an answer, or why it is missing: see `found_in`."""
        return found_in(item, lambda failure, stage: self.failed(reply, failure, stage))

    def way_to_allow(self, url: str) -> str:
        """Returns the words that tell an operator how to allow a result's URL that was refused."""
        try:
            origin = Origin.of(url)
        except ValueError:
            return "only http and https URLs of valid hosts are fetched"
        public = origin.scheme == "https" and origin.port == 443 and not self._is_result(origin)
        if public:
            return f'to allow it, the operator adds "{origin.host}" to providers.{self.name}.result_hosts'
        return f'to allow it, the operator adds "{origin}" to providers.{self.name}.result_origins'

    async def sendable(self, image: ImageInput, types: Collection[str]) -> bytes:
        """Returns the data of a request's image for the vendor: of one of `types`, upright, without metadata.

        Metadata may reveal where and by whom a photograph was taken. An image without metadata is sent unchanged.
        """
        assert image.facts is not None
        if image.facts.media_type in types and not any(mark in image.data for mark in METADATA_MARKS):
            return image.data
        return await self.pixels.png(image)

    def _secrets(self, origins: frozenset[Origin]) -> tuple[SecretHeader, ...]:
        if not (key := self._key.now):
            text = f"there is no key for {self.name}: set {self.key_variable} or providers.{self.name}.key"
            if self._key.problem:
                text = f"the key for {self.name} is not used: {self._key.problem}"
            raise ProviderCredentials(text, metadata={"provider": self.name})
        return (SecretHeader(self.key_header, Secret(self.key_prefix + key.reveal()), origins),)

    def ready(self, card: ModelCard) -> bool:
        """Returns whether the vendor has a usable key and the model is not retired."""
        return bool(self._key.now) and card.stage is not ModelStage.RETIRED

    def options(self, given: Mapping[str, Mapping[str, Any]]) -> Any:
        """Returns the request's options for this provider; the pipeline has checked them."""
        own = given.get(self.name)
        return self.Options.model_validate(own) if own else self._no_options

    @cached_property
    def _no_options(self) -> Any:
        return self.Options.model_validate({})

    async def close(self) -> None:
        """Closes its connections."""
        await self.http.close()


LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine. A server on it may name itself by another one than `base_url` does."""


def _on_loopback(origin: Origin) -> frozenset[Origin]:
    """Returns an origin, and if it is on this machine, the same port by the machine's other names."""
    names = LOOPBACK if origin.host in LOOPBACK else (origin.host,)
    return frozenset(replace(origin, host=name) for name in names)
