"""Settings: the tables of the configuration with their keys, defaults and ranges. `loading.py` reads their sources."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from celeste_image.config.cache import CacheSettings
from celeste_image.config.callers import CallerSettings, TlsSettings
from celeste_image.config.database import DatabaseSettings
from celeste_image.config.references import ENVIRONMENT, FILE
from celeste_image.config.secret_text import SecretText
from celeste_image.config.section import Section
from celeste_image.core.address import address_problem, is_local
from celeste_image.core.loggers import logger_problem
from celeste_image.core.protection import Protection
from celeste_image.core.request import OperationKind, OutputMetadata
from celeste_image.core.secret import Secret, hide

__all__ = [
    "AdminSettings",
    "DatabaseSettings",
    "ImageRule",
    "ImageSettings",
    "LedgerSettings",
    "LogSettings",
    "MetricsSettings",
    "SafetySettings",
    "SandboxSettings",
    "SecretText",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "TracesSettings",
    "default_store",
    "hidden",
    "is_secret",
    "revealed",
]

MIB = 1 << 20
MOST_HOURS = 24 * 365 * 1000
AliasName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""An alias has no slash and a model's id has one, so the two never collide."""


SECRET_NAME = re.compile(r"(.*_)?(key|token|secret|password)|headers", re.IGNORECASE)
"""Keys of a provider's table whose values are secret, in plug-ins too; of a nested table, all its values are."""


def _listenable(addresses: list[str]) -> list[str]:
    for address in addresses:
        if problem := address_problem(address, least_port=0):
            raise ValueError(f"{address!r} is no address: {problem}")
    return addresses


class ServerSettings(Section):
    """`[server]`: addresses, limits and timeouts of the server."""

    listen: Annotated[list[str], AfterValidator(_listenable)] = ["127.0.0.1:50051"]
    """Addresses: `host:port` or `unix:PATH`. With port 0 the system chooses; the log has the port."""
    tls: TlsSettings = TlsSettings()
    insecure: bool = False
    """Whether other machines may call without TLS: for a network that you trust, or behind a proxy that encrypts."""
    request_bytes: Annotated[int, Field(ge=64 << 10, le=256 * MIB)] = 4 * MIB
    """Largest request message. Clients have no limit of their own; the default is gRPC's."""
    inline_default_bytes: Annotated[int, Field(ge=0, le=3 * MIB)] = 2 * MIB
    """Images of up to this size in total are inside the response, unless the request sets its own limit."""
    concurrent_streams: Annotated[int, Field(ge=1)] = 100
    """Concurrent calls per connection. Times the connections, it is the only bound of the calls that gRPC keeps
    until the server takes them, at most 100 KiB each with the first 64 KiB of the request."""
    connection_age_seconds: Annotated[float, Field(ge=0)] = 600
    """Age from which a connection takes no new calls, so that its client connects again, perhaps to a newer server.
    Running calls go on. gRPC adds or takes up to a tenth; 0 means any age."""
    notice_seconds: Annotated[float, Field(ge=0)] = 5
    """Time after SIGTERM in which the server says NOT_SERVING and still takes calls, for load balancers to notice.
    A part of `drain_seconds`."""
    drain_seconds: Annotated[float, Field(ge=0)] = 60
    """Time for running calls to finish after SIGTERM. Then they are cancelled with UNAVAILABLE."""
    budget_bytes: Annotated[int, Field(ge=MIB)] = 512 * MIB
    """Total memory of all calls: requests, images in flight, and responses until they are read."""
    stream_budget_bytes: Annotated[int, Field(ge=4 * MIB)] = 256 * MIB
    """Total memory of all calls that carry chunks of artifacts, a separate budget: 2 MiB each."""
    budget_wait_seconds: Annotated[float, Field(ge=0)] = 5
    """How long a call waits for memory in a budget before it is refused."""
    read_seconds: Annotated[float, Field(gt=0)] = 30
    """Timeout for the arrival of a request, and for the next message of an upload."""
    call_seconds: Annotated[float, Field(gt=0)] = 3600
    """Deadline of an operation whose caller sets none."""
    write_seconds: Annotated[float, Field(gt=0)] = 60
    """Timeout for a caller to read one message, at most 1 MiB of an artifact; then its call ends."""


class AdmissionSettings(Section):
    """`[admission]`: limits of what calls hold at a time, beside `[server]`'s and the providers'. 0 means no limit.

    A caller without a name is its connection.
    """

    deadlines: bool = True
    """Whether calls are refused at once that can't end before their deadline, by the latest times of such calls."""
    calls: Annotated[int, Field(ge=0)] = 0
    """Open calls; without a limit, memory limits them."""
    pixels: Annotated[int, Field(ge=0)] = 0
    """Pixels of the images that callers sent, while calls work on them."""
    caller_calls: Annotated[int, Field(ge=0)] = 0
    """Open calls of one caller."""
    caller_bytes: Annotated[int, Field(ge=0)] = 0
    """Memory of the calls of one caller, without those that carry chunks of artifacts."""
    caller_pixels: Annotated[int, Field(ge=0)] = 0
    """Pixels of the images that one caller sent, while calls work on them."""


def default_store() -> str:
    """Returns the URL of the user's folder; empty if the user has no home, or its variables name no absolute path."""
    try:
        return (user_data_path("celeste") / "artifacts").as_uri()
    except (RuntimeError, ValueError):
        return ""


class StoreSettings(Section):
    """`[store]`: location and expiry of artifacts."""

    url: str = Field(default_factory=default_store)
    """`file:///FOLDER`, `memory:///` or `s3://BUCKET/PREFIX`. Empty means a temporary folder."""
    options: dict[str, SecretText] = {}
    """For S3: `endpoint`, `region`, `aws_access_key_id` ...; the usual AWS variables supply missing ones."""
    spool: Path | None = None
    """Local folder for uploads that are not complete; each server needs its own. Unset means `uploads` in the
    store's folder, the memory of a store in memory, or a temporary folder for S3."""
    retention_hours: Annotated[float, Field(ge=0, le=MOST_HOURS)] = 168
    """How long artifacts are kept after they were last stored; 0 means forever."""
    memory_bytes: Annotated[int, Field(ge=MIB)] = 1024 * MIB
    """Most bytes of a store in memory."""
    reserve_bytes: Annotated[int, Field(ge=0)] = 256 * MIB
    """Room that must remain on a disk, or of `memory_bytes`; with less, nothing is stored and no work begins."""
    ready_percent: Annotated[float, Field(ge=0, le=100)] = 5
    """Room of the disk, or of `memory_bytes`, that must be free for the server to be ready for new calls."""
    sweep_minutes: Annotated[float, Field(gt=0)] = 10
    """How often expired artifacts, bytes without an owner and idle uploads are removed."""


class LedgerSettings(Section):
    """`[ledger]`: paid calls, outcomes of requests, and usage."""

    replay_hours: Annotated[float, Field(ge=0, le=MOST_HOURS)] = 24
    """How long a repeated `request_id` gets the first outcome; 0 means that no outcome is kept."""
    keep_hours: Annotated[float, Field(gt=0, le=MOST_HOURS)] = 9600
    """How long usage, and paid calls whose outcome is known, can be queried: 400 days. Uncertain calls stay."""


class ImageSettings(Section):
    """`[images]`: limits of images from callers and vendors, and of the processes that decode them."""

    max_bytes: Annotated[int, Field(ge=1024, le=2**31 - 1)] = 64 * MIB
    """Encoded size."""
    max_pixels: Annotated[int, Field(ge=4096)] = 40_000_000
    """Width times height."""
    max_side: Annotated[int, Field(ge=64)] = 16_384
    """Longer side in pixels."""
    max_text_bytes: Annotated[int, Field(ge=0)] = 1 * MIB
    """Limit for each of three: EXIF, XMP, and all text chunks of a PNG together."""
    max_profile_bytes: Annotated[int, Field(ge=0)] = 4 * MIB
    """Color profile, unpacked."""
    output_metadata: OutputMetadata = OutputMetadata.KEEP
    """Whether the metadata of generated images is kept or stripped, unless the request sets it."""
    embed_recipe: bool = False
    """Whether the recipe is written into generated images, unless the request sets it."""
    decode_outputs: bool = False
    """Whether every image of a vendor is decoded before it is stored. Else the structure of its file is read, and it is
    decoded if that leaves a doubt."""
    decoders: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: min(4, os.cpu_count() or 1))
    """Processes that decode foreign images, and as many that change pixels, for all providers together."""
    decoder_memory_bytes: Annotated[int, Field(ge=128 * MIB)] = 1024 * MIB
    """Address space of each of these processes (Linux)."""
    decoder_cpu_seconds: Annotated[int, Field(ge=1)] = 10
    """CPU time of a process for an image."""
    decoder_seconds: Annotated[float, Field(gt=0)] = 120
    """Longest time that a process may take to decode an image, or to change its pixels or its metadata."""


class UriSettings(Section):
    """`[uris]`: hosts from which images of requests are fetched by URI. None by default."""

    hosts: list[str] = []
    """`images.example.com`, `*.example.com` for its subdomains, or `*` for any host."""
    http: bool = False
    """Whether `http` is allowed beside `https`."""
    private: list[str] = []
    """Origins, such as `http://10.0.0.5:8080`, that may be on this machine or network; all others must be public."""
    seconds: Annotated[float, Field(gt=0)] = 30
    """Timeout of a fetch."""


class CatalogSettings(Section):
    """`[catalog]`: the operator's changes to the catalog of models."""

    file: Path | None = None
    """YAML file with additional models and other limits, prices and lifecycles: see `providers/catalog/overlay.py`."""
    allow_unknown: list[str] = []
    """Providers that may be called with unknown model ids; the accepted parameters are a guess."""


class WordRule(Section):
    """`[safety.prompts.CATEGORY]`: words that block or flag a prompt."""

    action: Literal["off", "flag", "block"] = "block"
    words: list[str] = []
    """Terms; `*` matches any letters of a word, `?` matches one. See `pipeline/safety/words.py`."""
    files: list[Path] = []
    """Files of terms in UTF-8, one a line; empty lines and lines that begin with `#` are ignored."""


class ImageRule(Section):
    """`CATEGORY` of `[safety.inputs]` and `[safety.outputs]`: an action from a score on. The action alone will do."""

    action: Literal["off", "flag", "blur", "block"] = "block"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.8

    @model_validator(mode="before")
    @classmethod
    def _action_alone(cls, value: Any) -> Any:
        return {"action": value} if isinstance(value, str) else value


class SafetySettings(Section):
    """`[safety]`: rules for prompts and images. Nothing is checked by default."""

    prompts: dict[str, WordRule] = {}
    """Lists of words by category."""
    inputs: dict[str, ImageRule] = {}
    """Rules for images of requests, by category of the engine."""
    outputs: dict[str, ImageRule] = {}
    """Rules for generated images, by category of the engine."""
    engine: str = "local/safety"
    """The model that scores images."""
    on_error: Literal["block", "flag"] = "block"
    """Action for an image that could not be checked."""


class SandboxSettings(Section):
    """`[sandbox]`: what the operator demands of the processes that touch foreign bytes."""

    require: bool | list[Protection] = False
    """Protections without which the server does not start: `true` for all, or their names. See SECURITY.md."""

    @property
    def required(self) -> tuple[Protection, ...]:
        """The protections by name."""
        if isinstance(self.require, bool):
            return tuple(Protection) if self.require else ()
        return tuple(dict.fromkeys(self.require))


LogLevel = Literal["debug", "info", "warning", "error"]


def _level(value: Any) -> Any:
    if isinstance(value, dict):  # TOML and YAML read a dot as the border of a table
        raise ValueError('put quotes around the name of a logger: "celeste_image.rpc"')
    return value


def _logger(name: str) -> str:
    if problem := logger_problem(name):
        raise ValueError(problem)
    return name


class LogSettings(Section):
    """`[log]`: the log. See docs/logging.md."""

    level: LogLevel = "info"
    """Least level of the lines. Lines of libraries below `warning` need an entry in `levels`."""
    format: Literal["console", "json"] = "console"
    levels: dict[Annotated[str, AfterValidator(_logger)], Annotated[LogLevel, BeforeValidator(_level)]] = {}
    """Levels by the name of a logger, which stands for all names below it: `"celeste_image.rpc" = "warning"`."""
    file: Path | None = None
    """File for the lines; each server needs its own. Unset means standard error."""
    rotate_bytes: Annotated[int, Field(ge=0)] = 100 * MIB
    """Size of the file from which a new one is begun; 0 means any size."""
    rotate_hours: Annotated[float, Field(ge=0, le=MOST_HOURS)] = 24
    """How often a new file is begun, counted from midnight UTC; 0 means never by time."""
    keep_files: Annotated[int, Field(ge=1, le=10_000)] = 14
    """Files that are kept beside the current one; the oldest are deleted."""
    compress: bool = False
    """Whether those files are compressed by gzip."""
    prompts: bool = False
    """Whether the line of an operation has its prompts, and the digests of its images."""


def _host_and_port(address: str) -> str:
    problem = address_problem(address, least_port=0) if address else ""
    if not problem and re.match(r"[a-z-]+:(?![0-9]+$)", address):
        problem = "it must be host:port"
    if problem:
        raise ValueError(f"{address!r} is no address: {problem}")
    return address


def _one_address(address: str) -> str:
    return _listenable([address])[0] if address else ""


class MetricsSettings(Section):
    """`[metrics]`: metrics for Prometheus. OpenTelemetry's variables switch on their export by OTLP: see metrics.md."""

    listen: Annotated[str, AfterValidator(_host_and_port)] = ""
    """Address of the endpoint `/metrics` of this process, such as `127.0.0.1:9464`, which has no password. With port 0
    the system chooses; the log has the port. Empty means no listener."""


class AdminSettings(Section):
    """`[admin]`: the gRPC listener for operators, with health and channelz."""

    listen: Annotated[str, AfterValidator(_one_address)] = ""
    """Address, `host:port` or `unix:PATH`, such as `127.0.0.1:50052`. It has neither TLS nor keys, and channelz tells
    who is connected. With port 0 the system chooses; the log has the port. Empty means no listener."""


class TracesSettings(Section):
    """`[traces]`: traces. OpenTelemetry's standard variables, such as OTEL_EXPORTER_OTLP_ENDPOINT, switch them on."""

    propagate: bool = True
    """Whether vendors and inference servers get the trace context (`traceparent`, `tracestate`) with each request."""


class Settings(BaseModel):
    """All settings of a server."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    server: ServerSettings = ServerSettings()
    admission: AdmissionSettings = AdmissionSettings()
    store: StoreSettings = Field(default_factory=StoreSettings)
    database: DatabaseSettings = DatabaseSettings()
    ledger: LedgerSettings = LedgerSettings()
    cache: CacheSettings = CacheSettings()
    callers: CallerSettings = CallerSettings()
    images: ImageSettings = Field(default_factory=ImageSettings)
    uris: UriSettings = UriSettings()
    safety: SafetySettings = SafetySettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    admin: AdminSettings = AdminSettings()
    traces: TracesSettings = TracesSettings()
    sandbox: SandboxSettings = SandboxSettings()
    catalog: CatalogSettings = CatalogSettings()
    providers: dict[str, dict[str, Any]] = {}
    """`[providers.NAME]`: keys, addresses and limits of each provider."""
    defaults: dict[OperationKind, list[str]] = {}
    """Models for requests without one, by operation: the first ready one is used. Unset means the providers' order."""
    aliases: dict[AliasName, Annotated[list[str], Field(min_length=1, max_length=8)]] = {}
    """The operator's own names, each for models that are tried in order."""

    @field_validator("providers")
    @classmethod
    def _hide(cls, tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Returns the tables with texts under secret names as Secret objects: see `revealed`."""
        shown: dict[str, dict[str, Any]] = hidden(tables)
        return shown

    @model_validator(mode="after")
    def _closed_to_others(self) -> Self:
        """Raises ValueError for calls of other machines without TLS, and for certificates of callers without TLS."""
        server = self.server
        if not (server.tls.is_on or server.insecure):
            for address in server.listen:
                if not is_local(address):
                    raise ValueError(
                        f"server.listen: other machines reach {address}, and calls are not encrypted: set server.tls, "
                        "or server.insecure = true in a network that you trust"
                    )
        if self.callers.certificates and not server.tls.client_ca_file:
            raise ValueError("callers.certificates: needs server.tls.client_ca_file")
        return self

    @model_validator(mode="after")
    def _cache_has_images(self) -> Self:
        """Raises ValueError for a cache that outlives the images of its results."""
        kept = self.store.retention_hours
        if self.cache.enabled and kept and self.cache.hours > kept:
            raise ValueError(f"cache.hours: must be at most store.retention_hours, {kept:g}")
        return self

    @model_validator(mode="after")
    def _one_call_fits(self) -> Self:
        """Raises ValueError when the budget is too small for the largest call: an edit of two artifacts."""
        least = max(self.server.request_bytes, 4 * self.images.max_bytes)
        if self.server.budget_bytes < least:
            raise ValueError(
                f"server.budget_bytes: must be at least {least:,}: "
                "the larger of server.request_bytes and four times images.max_bytes"
            )
        return self


def is_secret(path: Sequence[str]) -> bool:
    """Returns whether a key of a provider's table is named like a secret, or in a table of secrets."""
    return any(SECRET_NAME.fullmatch(part) for part in path)


def hidden(value: Any, name: str = "") -> Any:
    """Returns a value with each text under the name of a secret as a Secret; `name` is the name of the value itself."""
    match value:
        case dict():
            return {key: hidden(item, name if SECRET_NAME.fullmatch(name) else str(key)) for key, item in value.items()}
        case list():
            return [hidden(item, name) for item in value]
        case str() if SECRET_NAME.fullmatch(name):
            secret = Secret(value)
            if not value.startswith((ENVIRONMENT, FILE)):  # which tell where the secret is
                hide(secret)
            return secret
    return value


def revealed(table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a table with its secrets as plain text. Only the provider's own settings model may see it."""

    def shown(value: Any) -> Any:
        match value:
            case Secret():
                return value.reveal()
            case Mapping():
                return {key: shown(item) for key, item in value.items()}
            case list():
                return [shown(item) for item in value]
        return value

    return {name: shown(value) for name, value in table.items()}
