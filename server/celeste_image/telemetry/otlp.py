"""OpenTelemetry's standard variables: whether a signal is exported, by which protocol, and what the server is called.

Imports nothing of OpenTelemetry unless a signal is exported.
"""

import os
import re
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from celeste_image.core.secret import Secret, hide

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

__all__ = ["Signal", "exports", "number", "resource"]

Signal = Literal["traces", "metrics"]

HEADER = re.compile(r"[\w.-]+[ \t]*=[ !#-+\--:<-\[\]-~]*", re.ASCII)
"""One header, of the characters that OpenTelemetry takes. It would write any other header into the log."""

INSTANCE = str(uuid.uuid4())
"""Id of this process, the same in traces and metrics."""


def exports(signal: Signal, environment: Mapping[str, str]) -> bool:
    """Returns whether a signal is exported by OTLP: a variable names the exporter, or the endpoint.

    Raises:
        ValueError: A variable asks for another exporter or protocol than this server has, or has
            a wrong value.
    """
    if _value(environment, "OTEL_SDK_DISABLED").lower() == "true":
        return False
    name = f"OTEL_{signal.upper()}_EXPORTER"
    asked = [each.strip() for each in _value(environment, name).split(",") if each.strip()]
    for each in asked:
        if each not in ("otlp", "none"):
            raise ValueError(f"{name}: there is no exporter {each!r}; the exporters are otlp and none")
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_"
    endpoints = (f"{own}ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if not ("otlp" in asked if asked else any(_value(environment, each) for each in endpoints)):
        return False
    for each in (f"{own}PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := _value(environment, each):
            if protocol != "grpc":
                text = "this server has grpc alone; set it to grpc, and the endpoint to the port for it, usually 4317"
                raise ValueError(f"{each}: there is no protocol {protocol!r}: {text}")
            break
    for each in (f"{own}HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"):
        for header in _value(environment, each).split(","):
            hide(Secret(unquote(header.partition("=")[2]).strip()))
    _check(own, environment)
    return True


def number(environment: Mapping[str, str], name: str, default: float, most: float = 1e9) -> float:
    """Returns the number of a variable, from 0 to `most`. Raises ValueError, which names the variable."""
    text = _value(environment, name)
    try:
        found = float(text) if text else default
    except ValueError:
        found = -1.0
    if not 0 <= found <= most:
        raise ValueError(f"{name}: must be a number from 0 to {most:g}")
    return found


def resource() -> "Resource":
    """Returns what traces and metrics say about this server.

    OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go first; by default the server's name is `celeste`.
    """
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    own = {
        "service.name": "celeste",
        "service.version": version("celeste-image"),
        "service.instance.id": INSTANCE,
    }
    given = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in own.items() if name not in given})


def _value(environment: Mapping[str, str], name: str) -> str:
    """Returns a variable without spaces around it; an empty one counts as absent, by OpenTelemetry's rules."""
    return environment.get(name, "").strip()


def _check(own: str, environment: Mapping[str, str]) -> None:
    """Raises ValueError for a wrong option of an exporter; `own` begins the names for one signal."""
    for start in (own, "OTEL_EXPORTER_OTLP_"):
        if "@" in _value(environment, f"{start}ENDPOINT"):
            raise ValueError(f"{start}ENDPOINT: must have no user name or key in it; set {start}HEADERS")
        headers = [each.strip() for each in _value(environment, f"{start}HEADERS").split(",")]
        if not all(HEADER.fullmatch(each) for each in headers if each):
            raise ValueError(f"{start}HEADERS: must be NAME=VALUE, with commas between several, and %-encoded")
        number(environment, f"{start}TIMEOUT", 10)
        if _value(environment, f"{start}COMPRESSION") not in ("", "gzip"):
            raise ValueError(f"{start}COMPRESSION: must be gzip, or unset for none")
        for kind in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"):
            file = _value(environment, f"{start}{kind}")
            if file and not os.path.isfile(file):
                raise ValueError(f"{start}{kind}: there is no file {file}")
