"""Vendor: what every provider behind an HTTP API begins with: its key, its origin, its client, its errors."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from celeste_image.config import SecretText
from celeste_image.core.card import ModelCard, ModelStage
from celeste_image.core.errors import CelesteError, ProviderCredentials
from celeste_image.core.image import ImageInput
from celeste_image.core.secret import Secret
from celeste_image.outbound.client import Http
from celeste_image.outbound.exchange import Limits, OriginRefused, Reply, SecretHeader
from celeste_image.outbound.origins import Hosts, Origin
from celeste_image.providers.base import Options, ProviderSettings, Tools
from celeste_image.providers.kit.answers import Pointer, at, error_for_status, value_in, vendor_text
from celeste_image.providers.kit.credentials import Credential, Verdict

__all__ = ["Vendor", "VendorSettings"]

METADATA_MARKS = (b"Exif\0\0", b"eXIf", b"EXIF", b"http://ns.adobe.com/xap/", b"XML:com.adobe.xmp", b"Photoshop 3.0\0")
"""How EXIF, XMP and IPTC begin in JPEG, PNG and WebP. By chance they are in pixels too: that costs a conversion."""


class VendorSettings(ProviderSettings):
    """`[providers.NAME]` of a vendor.

    Its key comes from `key`, from the file `key_file`, or from the vendor's own variable, in this order.
    """

    key: SecretText | None = Field(
        default=None,
        description="The key itself, or better where it is: env:VARIABLE, or file:PATH, which may be replaced.",
    )
    key_file: Path | None = Field(default=None, description="The same as key = file:PATH.")
    base_url: str = Field(default="", description="Where the API is; empty means the vendor's own.")
    allow_private: bool = Field(default=False, description="Whether base_url may be on this machine or network.")
    result_hosts: tuple[str, ...] = Field(
        default=(), description="More hosts that results may be fetched from: example.com, or *.example.com."
    )
    poll_seconds: Annotated[float, Field(gt=0, le=300)] | None = Field(
        default=None, description="Seconds between polls of a job; unset is the vendor's own interval."
    )

    @model_validator(mode="after")
    def _one_key(self) -> "VendorSettings":
        if self.key and self.key_file:
            raise ValueError("key and key_file can't both be set")
        return self


class Vendor:
    """One vendor's API. A subclass says the class attributes and `run`.

    Args:
        settings: Its table of the configuration.
        tools: What it works with.
        name: What it is called, where that is not the class's own name: see `discover_kinds`.
    """

    name: str
    title: ClassVar[str]
    cards: Sequence[ModelCard]
    Settings: ClassVar[type[VendorSettings]] = VendorSettings
    Options: ClassVar[type[Options]] = Options

    base_url: ClassVar[str]
    """Where the API is, with the path that all calls share."""
    key_variable: ClassVar[str]
    """The environment variable that the vendor's own SDK reads."""
    key_header: ClassVar[str] = "authorization"
    key_prefix: ClassVar[str] = "Bearer "
    key_form: ClassVar[str] = ""
    """A pattern of its keys, as far as is known; empty when it is not."""
    key_path: ClassVar[str] = ""
    """A GET that needs the key and costs nothing, relative to the base URL: `models`, `../v1/balance`; empty when none
    is known."""
    model_form: ClassVar[str] = r"[A-Za-z0-9][\w.-]{0,99}"
    """What it may be called with that is in no catalog, where the operator lets such ids pass: no path but a model's.
    Empty where that can't be."""
    texts: ClassVar[Sequence[Pointer]] = (("detail",), ("detail", 0, "msg"), ("error",), ("message",))
    """Where its answers say why something failed: the first that is there."""
    own_hosts: ClassVar[Sequence[str]] = ()
    """Hosts of the vendor's own, as `Hosts` takes them, that its answers may name for the next call; the key goes
    there too."""
    result_hosts: ClassVar[Sequence[str]] = ()
    """Hosts that results may be fetched from, as `Hosts` takes them; no key is sent there."""

    def __init__(self, settings: VendorSettings, tools: Tools, *, name: str = "") -> None:
        self.name = name or self.name
        self.settings = settings
        self.tools = tools
        self.url = (settings.base_url or self.base_url).rstrip("/")
        origin = Origin.of(self.url)
        private = (origin,) if settings.allow_private else ()
        self._origins = frozenset({origin})
        self._own = Hosts(frozenset(self.own_hosts))
        results = Hosts(frozenset((*self.result_hosts, *settings.result_hosts)))
        self.http = Http(
            lambda target: target in self._origins or self._own(target) or results(target),
            private=private,
            limits=Limits(),
            transport=tools.transport,
            clock=tools.clock,
        )
        self.pixels = tools.pixels.of(self.name)
        given = Secret(f"file:{settings.key_file}") if settings.key_file else settings.key
        # Another place for the same API has keys of its own form; a key of another vendor is wrong there too.
        elsewhere = bool(settings.base_url and self.base_url and self.key_form)
        form = f"{self.key_form}|.+" if elsewhere else self.key_form
        self._key = Credential(self.name, given, self.key_variable, tools.environment, form)

    @property
    def has_key(self) -> bool:
        """Tells whether it was given a key, if only one that can't be right."""
        return bool(self._key.now or self._key.problem)

    def form_of_key(self) -> tuple[Verdict, str]:
        """Returns what is wrong with the key by its form, without any of it: see `form_problem`."""
        return self._key.verdict()

    @property
    def secrets(self) -> tuple[SecretHeader, ...]:
        """The headers with the key, for the API's own origin alone.

        Raises:
            ProviderCredentials: There is no key.
        """
        return self._secrets(self._origins)

    def secrets_for(self, url: str) -> tuple[SecretHeader, ...]:
        """Returns the headers with the key for a URL that an answer named.

        Raises:
            OriginRefused: It is not the vendor's own.
            ProviderCredentials: There is no key.
        """
        if not self.is_own(url):
            raise OriginRefused("the URL in the answer is not the vendor's own")
        return self._secrets(frozenset({Origin.of(url)}))

    def is_own(self, url: str) -> bool:
        """Tells whether a URL is at the API's origin or at one of `own_hosts`."""
        try:
            origin = Origin.of(url)
        except ValueError:
            return False
        return origin in self._origins or self._own(origin)

    def said(self, value: Any) -> str:
        """Returns what the vendor says, fit to be shown, without the key."""
        return vendor_text(value, self._key.known)

    def text_in(self, answer: Any) -> str:
        """Returns why something failed, as an answer says it for people; empty when it does not."""
        return next((text for path in self.texts if (text := self.said(at(answer, *path)))), "")

    def error(self, reply: Reply, *, idempotent: bool = False) -> CelesteError:
        """Returns the error for an answer of status 400 or above; `idempotent` is for polls, which cost nothing."""
        return error_for_status(self.name, reply, self.text_in(value_in(reply)), idempotent=idempotent)

    async def sendable(self, image: ImageInput, types: Collection[str]) -> bytes:
        """Returns a request's picture as the vendor may have it: of one of `types`, upright, without metadata.

        Metadata may say where and by whom a photograph was taken. A picture that has none goes as it is.
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
        """Tells whether there is a key that may be right, and the model is not retired."""
        return bool(self._key.now) and card.stage is not ModelStage.RETIRED

    def options(self, given: Mapping[str, Mapping[str, Any]]) -> Any:
        """Returns the request's options for this provider, checked by the pipeline before."""
        return self.Options.model_validate(given.get(self.name, {}))

    async def close(self) -> None:
        """Closes its connections."""
        await self.http.close()
