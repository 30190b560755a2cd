"""Settings of an inference server, `[providers.NAME]` with `kind = "kserve"`: its address, keys and models."""

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
from celeste_image.core.textfile import read_text
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
"""Largest tensor: two of them fit into a frame to a worker process."""
SCHEMES = {"grpc": "http", "grpcs": "https"}
HEADER = re.compile(r"(?!grpc-)[a-z0-9_.-]{1,100}(?<!-bin)")
OWN_HEADERS = ("authorization", "host", "te", "content-type", "user-agent")

Name = Annotated[str, StringConstraints(pattern=r"^[\w.:/-]+$", max_length=150)]
TensorName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Above0 = Annotated[float, Field(gt=0)]
Triple = tuple[float, ...]
Side = Annotated[int, Field(ge=1, le=16_384)]


class Table(BaseModel):
    """A section of the table; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PictureTensor(Table):
    """A tensor that holds an image. Unset values come from the model's metadata, else they are the first allowed value.

    Pixel values range from `black` to `white`: by default 0 to 1 for floating point, 0 to 255 for UINT8. Alternatively
    each channel, in the order of `colors`, has a `mean` and a `std`: a value from 0 to 1 becomes (value - mean) / std.
    """

    name: Annotated[str, StringConstraints(max_length=200)] = ""
    datatype: Literal["", "FP32", "FP16", "UINT8", "BYTES"] = Field(
        default="", description="BYTES, for outputs only, is an encoded image: PNG, JPEG or WebP."
    )
    layout: str = Field(default="", description=f"{', '.join(LAYOUTS)}: N is a batch of one image.")
    colors: Literal["RGB", "BGR"] = "RGB"
    black: float | None = None
    white: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[Above0, Above0, Above0] | None = None

    @field_validator("layout")
    @classmethod
    def _is_a_layout(cls, layout: str) -> str:
        if layout and layout not in LAYOUTS:
            raise ValueError(f"{layout!r} is not a layout; the layouts are {', '.join(LAYOUTS)}")
        return layout

    @model_validator(mode="after")
    def _has_a_range(self) -> "PictureTensor":
        if (self.black is None) is not (self.white is None):
            raise ValueError("black and white must be set together")
        if self.black is not None and self.black == self.white:
            raise ValueError("black and white must differ")
        if (self.mean is None) is not (self.std is None):
            raise ValueError("mean and std must be set together")
        if self.mean is not None and self.black is not None:
            raise ValueError("set either black and white or mean and std")
        return self

    @property
    def ends(self) -> tuple[Triple, Triple] | None:
        """The values of black and of white for each channel; None means the default range of the datatype."""
        if self.mean is not None and self.std is not None:
            black, white = [
                tuple((value - mean) / std for mean, std in zip(self.mean, self.std, strict=True)) for value in (0, 1)
            ]
            return black, white
        if self.black is not None and self.white is not None:
            return (self.black,) * 3, (self.white,) * 3
        return None


class Model(Table):
    """Settings that models of all operations share."""

    id: Name
    model: str = Field(default="", max_length=200, description="Its name on the server; empty means its id.")
    version: str = Field(default="", max_length=100, description="Its version; empty lets the server choose.")
    title: str = ""
    summary: str = "A model on an inference server."
    license: str = ""

    @property
    def on_server(self) -> str:
        """The model's name on the server."""
        return self.model or self.id


class UpscaleModel(Model):
    """A network that enlarges images, tile by tile."""

    operation: Literal["upscale"]
    input: PictureTensor = PictureTensor()
    output: PictureTensor = PictureTensor()
    factor: Annotated[int, Field(ge=1, le=16)] = 4
    """Factor by which the network enlarges each side."""
    tile: Annotated[int, Field(ge=16, le=4096)] = 128
    """Side of a tile in pixels of the source; ignored for a model of fixed size. A tile of 256 at factor 4 has a result
    of 16 MiB; the default limit of KServe's servers is 8 MiB."""
    overlap: Annotated[int, Field(ge=0, le=256)] = 16
    """Pixels around a tile that the network reads as well."""
    in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    """Most tiles of one call that are sent to the server at a time."""

    @model_validator(mode="after")
    def _fits(self) -> "UpscaleModel":
        if self.input.datatype == "BYTES" or self.output.datatype == "BYTES":
            raise ValueError("tiles are tensors of FP32, FP16 or UINT8, not BYTES")
        if (most := self.most_bytes) > MOST_BYTES:
            raise ValueError(f"the result of a tile may have {most} bytes, more than {MOST_BYTES}: set a smaller tile")
        return self

    @property
    def most_bytes(self) -> int:
        """Size of the largest possible tensor, at four bytes a value."""
        side = self.tile + 2 * self.overlap + 2
        return side * side * 3 * 4 * self.factor**2


class GenerateModel(Model):
    """A network that makes an image from a prompt. Its fields name the tensors; an empty name means no such input."""

    operation: Literal["generate"]
    prompt: TensorName = "prompt"
    negative_prompt: str = ""
    seed: str = ""
    width: str = ""
    height: str = ""
    steps: str = ""
    guidance_scale: str = ""
    constants: dict[TensorName, bool | int | float | str] = {}
    """More inputs with constant values, by name; a value of the request replaces a constant."""
    output: PictureTensor = PictureTensor()
    sizes: tuple[tuple[Side, Side], ...] = ()
    """The allowed sizes, as [width, height] in pixels; the first is the default. Empty allows all within the limits."""
    multiple_of: Annotated[int, Field(ge=1, le=512)] = 8
    maximum_side: Annotated[int, Field(ge=16, le=4096)] = 2048
    default_width: Annotated[int, Field(ge=16, le=4096)] = 1024
    default_height: Annotated[int, Field(ge=16, le=4096)] = 1024

    @model_validator(mode="after")
    def _has_sizes(self) -> "GenerateModel":
        if bool(self.width) is not bool(self.height):
            raise ValueError("width and height must be set together")
        if not self.width and len(self.sizes) != 1:
            raise ValueError("a model without inputs for width and height has one size: set sizes = [[width, height]]")
        if not self.sizes and max(self.default_width, self.default_height) > self.maximum_side:
            raise ValueError("the default size is larger than maximum_side")
        if (most := self.most_bytes) > MOST_BYTES:
            raise ValueError(f"an image may have {most} bytes, more than {MOST_BYTES}")
        return self

    @property
    def most_bytes(self) -> int:
        """Size of the largest possible image, at four bytes a value unless the output's datatype is set."""
        pixels = max((width * height for width, height in self.sizes), default=self.maximum_side**2)
        return pixels * 3 * ITEM_BYTES.get(self.output.datatype, 4)


class WholeModel(Model):
    """Settings of networks that read a whole image at once, resized to the network's input."""

    input: PictureTensor = PictureTensor()
    output: str = Field(default="", max_length=200, description="The output tensor; empty means the only one.")
    width: Annotated[int, Field(ge=8, le=2048)] = 224
    height: Annotated[int, Field(ge=8, le=2048)] = 224
    """Size of the network's input in pixels; ignored for a model of fixed size."""

    @field_validator("input")
    @classmethod
    def _is_a_tensor(cls, given: PictureTensor) -> PictureTensor:
        if given.datatype == "BYTES":
            raise ValueError("the input must be FP32, FP16 or UINT8, not BYTES")
        return given

    @property
    def most_bytes(self) -> int:
        """Size of the largest possible input, at four bytes a value."""
        return 2048 * 2048 * 3 * 4


class CutModel(WholeModel):
    """A network that separates the foreground, for the edit `remove_background`."""

    operation: Literal["remove_background"]
    values: Literal["probabilities", "logits"] = "probabilities"
    """What the output holds for each pixel of the input: how likely the pixel is foreground."""


class ClassifyModel(WholeModel):
    """A network that classifies images, for the tags in the content of an analysis."""

    operation: Literal["classify"]
    fit: Literal["stretch", "crop"] = "stretch"
    """`stretch` resizes the whole image to the input's shape; `crop` takes its center."""
    scores: Literal["probabilities", "logits", "independent"] = "probabilities"
    """What the output holds: `logits` of classes that exclude each other, or logits of `independent` classes."""
    labels: tuple[str, ...] = ()
    labels_file: Path | None = None
    """Names of the classes in the order of the scores, or a file with one name per line; an empty name is ignored."""
    tags: Annotated[int, Field(ge=1, le=100)] = 5
    """Most tags in a result."""
    minimum_score: Annotated[float, Field(ge=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _has_labels(self) -> "ClassifyModel":
        if bool(self.labels) is bool(self.labels_file):
            raise ValueError("set either labels or labels_file")
        return self

    def names(self) -> tuple[str, ...]:
        """Returns the names of the classes. Raises OSError if the file can't be read."""
        return self.labels or tuple(read_text(self.labels_file).splitlines() if self.labels_file else ())


KServeModel = Annotated[UpscaleModel | GenerateModel | CutModel | ClassifyModel, Field(discriminator="operation")]


def _without_slash(url: object) -> object:
    return url.rstrip("/") if isinstance(url, str) else url


class KServeSettings(ProviderSettings):
    """`[providers.NAME]` with `kind = "kserve"`. Only this table sets the address; a request never does."""

    url: Annotated[str, BeforeValidator(_without_slash)]
    """`grpc://host:port`, or `grpcs://host:port` for TLS."""
    ca_file: Path | None = None
    """PEM file of the trusted certificates; unset means gRPC's own."""
    cert_file: Path | None = None
    key_file: Path | None = None
    """PEM files of the client certificate and its key, for servers that require one."""
    token: SecretText | None = None
    token_file: Path | None = None
    """A bearer token, or a file that contains only the token."""
    headers: dict[str, SecretText] = Field(default={}, description="Additional metadata of each call.")
    infer_seconds: Annotated[float, Field(gt=0, le=3600)] = 300
    """Timeout of one inference; the caller's deadline applies as well."""
    engine_seconds: Annotated[float, Field(gt=0)] = 300
    """Longest time that a process may work on the images of a call, besides the inferences that it waits for."""
    models: Annotated[tuple[KServeModel, ...], Field(min_length=1)]

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        scheme, _, rest = url.partition("://")
        if scheme not in SCHEMES or not rest or set(rest) & set("/?#"):
            raise ValueError("must be grpc://host:port or grpcs://host:port")
        Origin.of(f"{SCHEMES[scheme]}://{rest}")
        if not re.search(r":\d+$", rest):
            raise ValueError("must have a port; Triton's is 8001, KServe's is 8081")
        return url

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, SecretText]) -> dict[str, SecretText]:
        for name, value in headers.items():
            if not HEADER.fullmatch(name) or name in OWN_HEADERS:
                raise ValueError(f"{name!r} can't be set: names are lower case, not binary and not gRPC's own")
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
            raise ValueError("cert_file and key_file must be set together")
        if not self.is_tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file are for grpcs:// only")
        if not self.is_tls and (self.token or self.token_file or self.headers):
            raise ValueError("a token and headers need grpcs://: with grpc:// they are sent unencrypted")
        return self

    @property
    def is_tls(self) -> bool:
        """Returns whether the connection is encrypted."""
        return self.url.startswith("grpcs://")

    @property
    def origin(self) -> Origin:
        """The server's origin; the scheme is `http` or `https`."""
        scheme, _, rest = self.url.partition("://")
        return Origin.of(f"{SCHEMES[scheme]}://{rest}")


class KServeOptions(Options):
    """Options of generating models, for those whose tables name a tensor for them."""

    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=100)] | None = None
