"""Settings, by file and environment, validated: unknown keys are refused.

Later wins: defaults, the TOML file named by `CELESTE_CONFIG` (or `celeste.toml` in the working folder), environment
variables such as `CELESTE_SERVER__LISTEN` or `CELESTE_STORE__URL`, arguments.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from celeste_image.core.request import OperationKind, OutputMetadata
from celeste_image.core.secret import Secret

__all__ = [
    "ImageSettings",
    "LogSettings",
    "PictureRule",
    "SafetySettings",
    "SecretText",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "explain",
    "revealed",
]

MIB = 1 << 20
OTHER_VARIABLES = ("CELESTE_CONFIG", "CELESTE_ADDRESS", "CELESTE_MODELS_DIR")
"""Variables with our prefix that are no settings of a server."""


AliasName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""Has no slash, as every model's id has, so it is never one."""


SECRET_NAME = re.compile(r"(.*_)?(key|token|secret|password)|headers", re.IGNORECASE)
"""Names of values in a provider's table that are never shown, whoever wrote the provider; of a table, all in it."""


def _secret(value: Any) -> Secret:
    if not isinstance(value, str | Secret):
        raise ValueError("must be text")
    return Secret(value) if isinstance(value, str) else value


SecretText = Annotated[
    Secret,
    GetPydanticSchema(
        lambda _, __: core_schema.no_info_plain_validator_function(
            _secret, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )
    ),
]
"""A field for a Secret, given as text; it stays hidden in what is made of its model."""


def explain(error: ValidationError, table: str = "") -> str:
    """Returns what is wrong with some settings, a line for each, without the values: they may be secrets."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        path = ".".join(part for part in (table, *map(str, problem["loc"])) if part)
        lines.append(f"{path}: {problem['msg']}" if path else problem["msg"])
    return "\n".join(lines)


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerSettings(Section):
    """`[server]`: where it listens and what it takes."""

    listen: list[str] = ["127.0.0.1:50051"]
    """Addresses: `host:port` or `unix:PATH`. Port 0 lets the system choose; the log tells which."""
    request_bytes: Annotated[int, Field(ge=64 << 10, le=256 * MIB)] = 4 * MIB
    """Largest request. Clients have no limit of their own; the default is gRPC's."""
    inline_default_bytes: Annotated[int, Field(ge=0, le=3 * MIB)] = 2 * MIB
    """Images up to this many bytes together come inside the response, unless the request says otherwise."""
    concurrent_streams: Annotated[int, Field(ge=1)] = 100
    """Calls at a time per connection."""
    drain_seconds: Annotated[float, Field(ge=0)] = 30
    """Time for calls in flight after SIGTERM."""
    budget_bytes: Annotated[int, Field(ge=MIB)] = 512 * MIB
    """What calls may hold together: requests, pictures on their way, responses until they are read."""
    stream_budget_bytes: Annotated[int, Field(ge=4 * MIB)] = 256 * MIB
    """What streams of artifacts' bytes may hold together, apart: 2 MiB each."""
    budget_wait_seconds: Annotated[float, Field(ge=0)] = 5
    """How long a call waits for room in a budget before it is refused."""
    read_seconds: Annotated[float, Field(gt=0)] = 30
    """Time for a request to arrive, and for the next message of an upload."""
    write_seconds: Annotated[float, Field(gt=0)] = 60
    """Time for a caller to read one message, at most 1 MiB of an artifact; then its call is ended."""


class StoreSettings(Section):
    """`[store]`: where artifacts are kept."""

    url: str = (user_data_path("celeste") / "artifacts").as_uri()
    """`file:///FOLDER`, `memory:///` or `s3://BUCKET/PREFIX`."""
    options: dict[str, SecretText] = {}
    """For S3: `endpoint`, `region`, `aws_access_key_id` ...; what is missing comes from the usual AWS variables."""
    spool: Path | None = None
    """Folder of this machine for uploads that are not complete; each server has its own. Unset means `uploads` in the
    store's folder, or a temporary folder where the store has none."""
    retention_hours: Annotated[float, Field(ge=0)] = 168
    """How long artifacts are kept since they were last stored; 0 is for ever."""
    reserve_bytes: Annotated[int, Field(ge=0)] = 256 * MIB
    """Room that must be left on a disk: below it nothing is stored and no work begins."""
    sweep_minutes: Annotated[float, Field(gt=0)] = 10
    """How often artifacts past their time, bytes without an owner and resting uploads are removed."""


class ImageSettings(Section):
    """`[images]`: limits of pictures, in and out, and of the processes that decode those from outside."""

    max_bytes: Annotated[int, Field(ge=1024)] = 64 * MIB
    max_pixels: Annotated[int, Field(ge=4096)] = 40_000_000
    max_side: Annotated[int, Field(ge=64)] = 16_384
    max_text_bytes: Annotated[int, Field(ge=0)] = 1 * MIB
    """EXIF, XMP, and the text chunks of a PNG together, each of the three."""
    max_profile_bytes: Annotated[int, Field(ge=0)] = 4 * MIB
    """Color profile, unpacked."""
    output_metadata: OutputMetadata = OutputMetadata.KEEP
    """What becomes of metadata that images have when they are made, unless the request says otherwise."""
    embed_recipe: bool = False
    """Whether the recipe is written into the images, unless the request says otherwise."""
    decoders: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: min(4, os.cpu_count() or 1))
    """Processes that decode pictures from outside."""
    decoder_memory_bytes: Annotated[int, Field(ge=128 * MIB)] = 1024 * MIB
    decoder_cpu_seconds: Annotated[int, Field(ge=1)] = 10


class UriSettings(Section):
    """`[uris]`: from where pictures are fetched that requests name by URI. Nowhere, unless hosts are allowed."""

    hosts: list[str] = []
    """`images.example.com`, `*.example.com` for all below it, or `*` for any."""
    http: bool = False
    """Whether `http` is allowed beside `https`."""
    private: list[str] = []
    """Origins, such as `http://10.0.0.5:8080`, that may be on this machine or network. All others may not."""
    seconds: Annotated[float, Field(gt=0)] = 30
    """Longest time for one."""


class CatalogSettings(Section):
    """`[catalog]`: the operator's own word on models."""

    file: Path | None = None
    """A YAML file with models more, and other limits, prices and lifecycles: see `providers/catalog/overlay.py`."""
    allow_unknown: list[str] = []
    """Providers that may be called with ids of no model that is known; what they accept is a guess."""


class WordRule(Section):
    """`[safety.prompts.CATEGORY]`: words that a prompt may not have, or that are told of."""

    action: Literal["off", "flag", "block"] = "block"
    words: list[str] = []
    """Terms; `*` stands for any letters of a word, `?` for one. See `pipeline/safety/words.py`."""
    files: list[Path] = []
    """Files of terms, UTF-8, one a line; empty lines and lines that begin with `#` are none."""


class PictureRule(Section):
    """`CATEGORY` of `[safety.inputs]` and `[safety.outputs]`: what is done from which score on; may be the action."""

    action: Literal["off", "flag", "blur", "block"] = "block"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.8

    @model_validator(mode="before")
    @classmethod
    def _action_alone(cls, value: Any) -> Any:
        return {"action": value} if isinstance(value, str) else value


class SafetySettings(Section):
    """`[safety]`: what the operator does not want to be asked for, given or made. Nothing is checked by default."""

    prompts: dict[str, WordRule] = {}
    """Lists of words by category."""
    inputs: dict[str, PictureRule] = {}
    """What is done about pictures of requests, by category of the engine."""
    outputs: dict[str, PictureRule] = {}
    """The same about pictures that were made."""
    engine: str = "local/safety"
    """The model that scores pictures."""
    on_error: Literal["block", "flag"] = "block"
    """What is done with a picture that could not be checked."""


class LogSettings(Section):
    """`[log]`: what is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Settings(BaseSettings):
    """All settings of a server."""

    model_config = SettingsConfigDict(
        env_prefix="CELESTE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    images: ImageSettings = Field(default_factory=ImageSettings)
    uris: UriSettings = UriSettings()
    safety: SafetySettings = SafetySettings()
    log: LogSettings = LogSettings()
    catalog: CatalogSettings = CatalogSettings()
    providers: dict[str, dict[str, Any]] = {}
    """`[providers.NAME]`: each provider checks its own table. What must not be shown is Secret: see `revealed`."""
    defaults: dict[OperationKind, list[str]] = {}
    """Models for requests that name none, per operation: the first that is ready. Unset means the providers' own."""
    aliases: dict[AliasName, Annotated[list[str], Field(min_length=1, max_length=8)]] = {}
    """Names of the operator's own, each for models to try in order."""

    @field_validator("providers")
    @classmethod
    def _hide(cls, tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Returns the tables with secrets where texts have the name of one."""
        hidden: dict[str, dict[str, Any]] = _hidden(tables)
        return hidden

    @model_validator(mode="after")
    def _one_call_fits(self) -> Self:
        """Raises ValueError when the budget has no room for the largest call: an edit of two artifacts."""
        least = max(self.server.request_bytes, 4 * self.images.max_bytes)
        if self.server.budget_bytes < least:
            raise ValueError(
                f"server.budget_bytes must be {least:,} at least: "
                "that of server.request_bytes and four times images.max_bytes which is more"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Puts arguments over the environment over the file. Raises ValueError for what is misspelt or missing."""
        for name in os.environ:
            table = name.removeprefix("CELESTE_").partition("__")[0].lower()
            if name.startswith("CELESTE_") and name not in OTHER_VARIABLES and table not in cls.model_fields:
                raise ValueError(f"{name}: there is no table {table!r}; they are {', '.join(cls.model_fields)}")
        file = Path(os.environ.get("CELESTE_CONFIG", "celeste.toml"))
        if "CELESTE_CONFIG" in os.environ and not file.is_file():
            raise ValueError(f"CELESTE_CONFIG: there is no file {file}")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)


def _hidden(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {
                key: _hidden(item, name if SECRET_NAME.fullmatch(name) else str(key)) for key, item in value.items()
            }
        case list():
            return [_hidden(item, name) for item in value]
        case str() if SECRET_NAME.fullmatch(name):
            return Secret(value)
    return value


def revealed(table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a table with the texts of its secrets, for the model that checks it, and for nothing else."""

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
