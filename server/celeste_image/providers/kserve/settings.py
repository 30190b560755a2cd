"""`[providers.NAME]` with `kind = "kserve"`: where the server is, and what its models are to us."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from celeste_image.config import SecretText
from celeste_image.outbound.origins import Origin
from celeste_image.providers.base import Options, ProviderSettings
from celeste_image.providers.kserve.forms import ITEM_BYTES, LAYOUTS

__all__ = [
    "ClassifyModel",
    "CutModel",
    "GenerateModel",
    "KServeModel",
    "KServeOptions",
    "KServeSettings",
    "Model",
    "PictureTensor",
    "UpscaleModel",
    "WholeModel",
]

MIB = 1 << 20
MOST_BYTES = 128 * MIB
"""Of one tensor: two of them fit into a frame to a worker process."""
SCHEMES = {"grpc": "http", "grpcs": "https"}
HEADER = re.compile(r"(?!grpc-)[a-z0-9_.-]{1,100}(?<!-bin)")
OWN_HEADERS = ("authorization", "host", "te", "content-type", "user-agent")

Name = Annotated[str, StringConstraints(pattern=r"^[\w.:/-]{1,150}$")]
TensorName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Above0 = Annotated[float, Field(gt=0)]
Triple = tuple[float, ...]
Side = Annotated[int, Field(ge=1, le=16_384)]


class Table(BaseModel):
    """A part of the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PictureTensor(Table):
    """A tensor that is a picture. What is not said is as the model's metadata says, else the first value allowed.

    Values go from `black` to `white`; unset, these are 0 and 1 for floating point, 0 and 255 for UINT8. Or channels,
    in the order of `colors`, have `mean` and `std`, by which a value from 0 to 1 becomes (value - mean) / std.
    """

    name: Annotated[str, StringConstraints(max_length=200)] = ""
    datatype: Literal["", "FP32", "FP16", "UINT8", "BYTES"] = Field(
        default="", description="BYTES, for results only, is an encoded picture: PNG, JPEG or WebP."
    )
    layout: str = Field(default="", description=f"{', '.join(LAYOUTS)}: N is a batch of one.")
    colors: Literal["RGB", "BGR"] = "RGB"
    black: float | None = None
    white: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[Above0, Above0, Above0] | None = None

    @field_validator("layout")
    @classmethod
    def _is_a_layout(cls, layout: str) -> str:
        if layout and layout not in LAYOUTS:
            raise ValueError(f"{layout!r} is no layout; they are {', '.join(LAYOUTS)}")
        return layout

    @model_validator(mode="after")
    def _has_a_range(self) -> "PictureTensor":
        if (self.black is None) is not (self.white is None):
            raise ValueError("black and white are set together or not at all")
        if self.black is not None and self.black == self.white:
            raise ValueError("black and white can't be the same")
        if (self.mean is None) is not (self.std is None):
            raise ValueError("mean and std are set together or not at all")
        if self.mean is not None and self.black is not None:
            raise ValueError("values have either black and white or mean and std")
        return self

    @property
    def ends(self) -> tuple[Triple, Triple] | None:
        """The values of black and of white for each channel; None where they are those of the type."""
        if self.mean is not None and self.std is not None:
            black, white = [
                tuple((value - mean) / std for mean, std in zip(self.mean, self.std, strict=True)) for value in (0, 1)
            ]
            return black, white
        if self.black is not None and self.white is not None:
            return (self.black,) * 3, (self.white,) * 3
        return None


class Model(Table):
    """What models of all operations have in common."""

    id: Name
    model: str = Field(default="", max_length=200, description="What the server calls it; empty is its id.")
    version: str = Field(default="", max_length=100, description="Empty lets the server choose.")
    title: str = ""
    summary: str = "A model of an inference server that the operator named."
    license: str = ""

    @property
    def on_server(self) -> str:
        """What the server calls it."""
        return self.model or self.id


class UpscaleModel(Model):
    """A network that makes pictures larger, given a tile at a time."""

    operation: Literal["upscale"]
    input: PictureTensor = PictureTensor()
    output: PictureTensor = PictureTensor()
    factor: Annotated[int, Field(ge=1, le=16)] = 4
    """What one pass multiplies each side by."""
    tile: Annotated[int, Field(ge=16, le=4096)] = 128
    """Side of the tiles in pixels of the source; a model of fixed size sets its own. 256 at x4 makes results of 16 MiB,
    and KServe's servers send 8 MiB unless told otherwise."""
    overlap: Annotated[int, Field(ge=0, le=256)] = 16
    """Pixels around a tile that the network sees too."""
    in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    """Tiles of one call at the server at a time."""

    @model_validator(mode="after")
    def _fits(self) -> "UpscaleModel":
        if self.input.datatype == "BYTES" or self.output.datatype == "BYTES":
            raise ValueError("tiles are tensors of FP32, FP16 or UINT8, not BYTES")
        if (most := self.most_bytes) > MOST_BYTES:
            raise ValueError(
                f"a tile's result may have {most} bytes; at most {MOST_BYTES} are taken: make tile smaller"
            )
        return self

    @property
    def most_bytes(self) -> int:
        """Bytes of the largest tensor that there can be, at four bytes a value."""
        side = self.tile + 2 * self.overlap + 2
        return side * side * 3 * 4 * self.factor**2


class GenerateModel(Model):
    """A network that makes pictures from words."""

    operation: Literal["generate"]
    prompt: TensorName = "prompt"
    negative_prompt: str = ""
    seed: str = ""
    width: str = ""
    height: str = ""
    steps: str = ""
    guidance_scale: str = ""
    constants: dict[TensorName, bool | int | float | str] = {}
    """More inputs, always the same, by their names; what a request sets replaces them."""
    output: PictureTensor = PictureTensor()
    sizes: tuple[tuple[Side, Side], ...] = ()
    """The only ones there are, as [width, height]; the first is the default. Empty means any within the bounds."""
    multiple_of: Annotated[int, Field(ge=1, le=512)] = 8
    maximum_side: Annotated[int, Field(ge=16, le=4096)] = 2048
    default_width: Annotated[int, Field(ge=16, le=4096)] = 1024
    default_height: Annotated[int, Field(ge=16, le=4096)] = 1024

    @model_validator(mode="after")
    def _has_sizes(self) -> "GenerateModel":
        if bool(self.width) is not bool(self.height):
            raise ValueError("width and height are set together or not at all")
        if not self.width and len(self.sizes) != 1:
            raise ValueError("a model without inputs for width and height has one size: set sizes = [[width, height]]")
        if not self.sizes and max(self.default_width, self.default_height) > self.maximum_side:
            raise ValueError("the default size is beyond maximum_side")
        if (most := self.most_bytes) > MOST_BYTES:
            raise ValueError(f"a picture may have {most} bytes; at most {MOST_BYTES} are taken")
        return self

    @property
    def most_bytes(self) -> int:
        """Bytes of the largest picture that there can be, at four bytes a value unless its type is said."""
        pixels = max((width * height for width, height in self.sizes), default=self.maximum_side**2)
        return pixels * 3 * ITEM_BYTES.get(self.output.datatype, 4)


class WholeModel(Model):
    """What networks have in common that see a whole picture at once, made as large as they want it."""

    input: PictureTensor = PictureTensor()
    output: str = Field(default="", max_length=200, description="The tensor that is made; empty is the only one.")
    width: Annotated[int, Field(ge=8, le=2048)] = 224
    height: Annotated[int, Field(ge=8, le=2048)] = 224
    """What the picture is made before; a model of fixed size sets its own."""

    @field_validator("input")
    @classmethod
    def _is_a_tensor(cls, given: PictureTensor) -> PictureTensor:
        if given.datatype == "BYTES":
            raise ValueError("the input is of FP32, FP16 or UINT8, not BYTES")
        return given

    @property
    def most_bytes(self) -> int:
        """Bytes of the largest input that there can be, at four bytes a value."""
        return 2048 * 2048 * 3 * 4


class CutModel(WholeModel):
    """A network that tells what is in front: the edit `remove_background`."""

    operation: Literal["remove_background"]
    values: Literal["probabilities", "logits"] = "probabilities"
    """What the output is, for each pixel that the network sees: how far it is in front."""


class ClassifyModel(WholeModel):
    """A network that tells what a picture is about: the tags of an analysis's content."""

    operation: Literal["classify"]
    fit: Literal["stretch", "crop"] = "stretch"
    """Whether the whole picture is seen, in another shape, or the middle of it, in its own."""
    scores: Literal["probabilities", "logits", "independent"] = "probabilities"
    """What the output is: `logits` of classes that exclude each other, or logits of `independent` ones."""
    labels: tuple[str, ...] = ()
    labels_file: Path | None = None
    """Names of the classes in the order of the scores, or a file with one a line; an empty one is no class."""
    tags: Annotated[int, Field(ge=1, le=100)] = 5
    """Tags at most."""
    minimum_score: Annotated[float, Field(ge=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _has_labels(self) -> "ClassifyModel":
        if bool(self.labels) is bool(self.labels_file):
            raise ValueError("either labels or labels_file is set")
        return self

    def names(self) -> tuple[str, ...]:
        """Returns the names of the classes. Raises OSError where the file can't be read."""
        return self.labels or tuple(self.labels_file.read_text().splitlines() if self.labels_file else ())


KServeModel = Annotated[UpscaleModel | GenerateModel | CutModel | ClassifyModel, Field(discriminator="operation")]


def _without_slash(url: object) -> object:
    return url.rstrip("/") if isinstance(url, str) else url


class KServeSettings(ProviderSettings):
    """`[providers.NAME]` with `kind = "kserve"`. Its address is here and nowhere else: no request names one."""

    url: Annotated[str, BeforeValidator(_without_slash)]
    """`grpc://host:port`, or `grpcs://host:port` for TLS."""
    ca_file: Path | None = None
    """PEM with the certificates to trust; unset, those that gRPC comes with."""
    cert_file: Path | None = None
    key_file: Path | None = None
    """PEM with this server's own certificate and its key, where the other side asks for one."""
    token: SecretText | None = None
    token_file: Path | None = None
    """A bearer token, or a file with it and nothing else."""
    headers: dict[str, SecretText] = Field(default={}, description="More metadata for each call.")
    infer_seconds: Annotated[float, Field(gt=0, le=3600)] = 300
    """For one inference, whatever the caller's deadline."""
    models: Annotated[tuple[KServeModel, ...], Field(min_length=1)]

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        scheme, _, rest = url.partition("://")
        if scheme not in SCHEMES or not rest or set(rest) & set("/?#"):
            raise ValueError("must be grpc://host:port or grpcs://host:port")
        Origin.of(f"{SCHEMES[scheme]}://{rest}")
        if not re.search(r":\d+$", rest):
            raise ValueError("has no port; Triton's is 8001, KServe's 8081")
        return url

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, SecretText]) -> dict[str, SecretText]:
        for name, value in headers.items():
            if not HEADER.fullmatch(name) or name in OWN_HEADERS:
                raise ValueError(f"{name!r} can't be set: lower case, neither gRPC's own nor binary")
            if not (value.reveal().isascii() and value.reveal().isprintable()):
                raise ValueError(f"the value of {name!r} is not printable ASCII")
        return headers

    @field_validator("models")
    @classmethod
    def _are_different(cls, models: tuple[KServeModel, ...]) -> tuple[KServeModel, ...]:
        if len({model.id for model in models}) < len(models):
            raise ValueError("two models have the same id")
        return models

    @model_validator(mode="after")
    def _fits_together(self) -> "KServeSettings":
        if self.token and self.token_file:
            raise ValueError("token and token_file can't both be set")
        if bool(self.cert_file) is not bool(self.key_file):
            raise ValueError("cert_file and key_file are set together or not at all")
        if not self.is_tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file are for grpcs:// only")
        if not self.is_tls and (self.token or self.token_file or self.headers):
            raise ValueError(
                "a token and headers go over grpcs:// only: over grpc:// anyone on the way could read them"
            )
        return self

    @property
    def is_tls(self) -> bool:
        """Tells whether the way is encrypted."""
        return self.url.startswith("grpcs://")

    @property
    def origin(self) -> Origin:
        """Where the server is; the scheme is that of HTTP."""
        scheme, _, rest = self.url.partition("://")
        return Origin.of(f"{SCHEMES[scheme]}://{rest}")


class KServeOptions(Options):
    """What models that generate may read besides, where their tables name tensors for it."""

    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=100)] | None = None
