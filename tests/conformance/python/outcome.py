"""What both Python runners share: the messages of a case, and its outcome."""

import base64
import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from celeste_image import v1

DETAILS = "grpc-status-details-bin"
TYPES = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        error_details_pb2.QuotaFailure,
        error_details_pb2.ResourceInfo,
        v1.FailureInfo,
    )
}
NAMES = ("ImageService", "ArtifactService", "ModelService", "UsageService")
SERVICES = {service: getattr(v1, f"{service}Stub") for service in NAMES}


@dataclass
class Case:
    """One case of the plan, read."""

    given: dict[str, Any]
    began: float = field(default_factory=time.monotonic)
    sent_bytes: int = 0

    @property
    def service(self) -> str:
        return str(self.given["call"]).partition("/")[0]

    @property
    def method(self) -> str:
        return str(self.given["call"]).partition("/")[2]

    @property
    def streams(self) -> bool:
        return self.method in ("Stream", "ReadArtifact")

    @property
    def deadline_seconds(self) -> float:
        return float(self.given.get("deadline_seconds", 60))

    @property
    def cancel_after(self) -> int | None:
        return self.given.get("cancel_after")

    def request(self) -> Message:
        """Returns the request as its generated type."""
        message: Message = getattr(v1, f"{self.method}Request")()
        return json_format.ParseDict(self.given.get("request", {}), message)

    def metadata(self) -> list[tuple[str, str | bytes]]:
        given = self.given.get("metadata", {})
        return [(key, base64.b64decode(text) if key.endswith("-bin") else text) for key, text in given.items()]

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Returns the credentials of the channel; None without TLS."""
        if (tls := self.given.get("tls")) is None:
            return None
        ca, key, cert = (Path(tls[name]).read_bytes() if name in tls else None for name in ("ca", "key", "cert"))
        return grpc.ssl_channel_credentials(ca, key, cert)

    def chunks(self) -> Iterator[Any]:
        """Yields the messages of an upload, and counts their bytes."""
        upload = self.given["upload"]
        content = Path(upload["path"]).read_bytes()
        head = {
            "name": upload.get("name") or f"artifacts/sha256-{hashlib.sha256(content).hexdigest()}",
            "size_bytes": upload.get("size_bytes", len(content)),
        }
        kind, is_stream = getattr(v1, f"{self.method}Request"), self.method == "WriteArtifact"
        offsets = range(upload.get("offset", 0), len(content), upload["chunk_bytes"])
        for number, offset in enumerate(offsets):
            if number == upload.get("stop_after"):
                return
            data = content[offset : offset + upload["chunk_bytes"]]
            message = kind(**(head if number == 0 or not is_stream else {}))
            message.chunk.offset, message.chunk.data = offset, data
            self.sent_bytes += len(data)
            yield message

    def outcome(
        self,
        messages: Iterable[Any],
        error: grpc.RpcError | None = None,
        headers: Any = (),
        trailers: Any = (),
    ) -> dict[str, Any]:
        """Returns the outcome of a call that ended."""
        messages = list(messages)
        made: dict[str, Any] = {
            "name": self.given["name"],
            "code": error.code().name if error else "OK",
            "message": (error.details() if error else "") or "",
            "messages": [] if self.given.get("download") else [_json(message) for message in messages],
            "details": [_detail(packed) for packed in _status(trailers).details],
            "headers": _metadata(headers),
            "trailers": _metadata(trailers),
            "seconds": time.monotonic() - self.began,
        }
        if self.given.get("download"):
            made["download"] = _download(messages)
        if "upload" in self.given:
            made["sent_bytes"] = self.sent_bytes
        return made


def client_error(case: Case, error: Exception) -> dict[str, Any]:
    """Returns the outcome of a call that the client itself could not make or read."""
    return {"name": case.given["name"], "code": "CLIENT_ERROR", "message": f"{type(error).__name__}: {error}"}


def _json(message: Message) -> Any:
    return json_format.MessageToDict(message)


def _status(trailers: Any) -> status_pb2.Status:
    packed = next((value for key, value in trailers or () if key == DETAILS), b"")
    return status_pb2.Status.FromString(packed if isinstance(packed, bytes) else packed.encode())


def _detail(packed: any_pb2.Any) -> dict[str, Any]:
    name = packed.TypeName()
    if name not in TYPES:
        return {"@type": name, "unknown": True}
    message = TYPES[name]()
    packed.Unpack(message)
    return {"@type": name, **_json(message)}


def _metadata(pairs: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in pairs or ():
        if key != DETAILS:
            text = base64.b64encode(value).decode() if key.endswith("-bin") else value
            found.setdefault(key, []).append(text)
    return found


def _download(messages: list[Any]) -> dict[str, Any]:
    digest, size, contiguous = hashlib.sha256(), 0, True
    start = messages[0].chunk.offset if messages else 0
    for message in messages:
        contiguous = contiguous and (not message.chunk.data or message.chunk.offset == start + size)
        digest.update(message.chunk.data)
        size += len(message.chunk.data)
    return {"size_bytes": size, "sha256": digest.hexdigest(), "contiguous": contiguous}
