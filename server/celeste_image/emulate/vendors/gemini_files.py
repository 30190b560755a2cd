"""Files of the Gemini API, uploaded at once or by the resumable protocol, which contents refer to by URI."""

import base64
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from celeste_image.emulate.base import Answer, Asked, Refusal, Route
from celeste_image.emulate.forms import parts_of_form

__all__ = ["FakeGeminiFiles"]

MOST_FILES = 100
"""Files that are kept; the oldest goes first."""
KEPT = timedelta(hours=48)


@dataclass(slots=True)
class StoredFile:
    """A file and what its client said about it."""

    name: str
    uri: str
    media_type: str
    display_name: str
    data: bytes = field(default=b"", repr=False)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def value(self) -> dict[str, Any]:
        """The file in the API's format."""
        digest = base64.b64encode(hashlib.sha256(self.data).hexdigest().encode()).decode()
        times = {"createTime": self.created, "updateTime": self.created, "expirationTime": self.created + KEPT}
        return {
            **{"name": self.name, "displayName": self.display_name, "mimeType": self.media_type},
            **{"sizeBytes": str(len(self.data)), "sha256Hash": digest, "uri": self.uri, "state": "ACTIVE"},
            **{name: time.isoformat().replace("+00:00", "Z") for name, time in times.items()},
            "source": "UPLOADED",
        }


class FakeGeminiFiles:
    """The files of the fake vendor, and the uploads that have begun."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}
        self._begun: dict[str, StoredFile] = {}

    def routes(self, version: str) -> Sequence[Route]:
        """Returns the routes of files below an API version."""
        return (
            Route("POST", f"/upload{version}/files", self.upload, "file", raw=True),
            Route("PUT", f"/upload{version}/files", self.upload, "file", raw=True),
            Route("GET", f"{version}/files", self.list, "file"),
            Route("GET", version + "/files/{file}", self.get, "file"),
            Route("DELETE", version + "/files/{file}", self.delete, "file"),
        )

    def data(self, uri: Any) -> bytes:
        """Returns the bytes of a file by its URI or name. Raises Refusal."""
        return self._found(str(uri).rpartition("/")[2]).data

    async def upload(self, asked: Asked) -> Answer:
        """Begins, continues or does an upload."""
        command = asked.headers.get("x-goog-upload-command", "").lower()
        if id_ := asked.query.get("upload_id"):
            return self._continued(asked, id_, command)
        if asked.body.is_form or asked.headers.get("x-goog-upload-protocol", "").lower() == "multipart":
            return self._in_parts(asked)
        if command == "start":
            kind = asked.headers.get("x-goog-upload-header-content-type", "application/octet-stream")
            made = _made(asked, kind, _about(asked.body.data))
            id_ = uuid.uuid4().hex
            self._begun[id_] = made
            url = f"{asked.base}{asked.entry.path}?upload_id={id_}&upload_protocol=resumable"
            return Answer({}, headers={"x-goog-upload-url": url, "x-goog-upload-status": "active"})
        return self._finished(_made(asked, asked.body.media_type, {}), asked.body.data)

    def _continued(self, asked: Asked, id_: str, command: str) -> Answer:
        made = self._begun.get(id_)
        if made is None:
            raise Refusal(404, "Upload has already been terminated.", "not_found")
        if command == "query":
            size = str(len(made.data))
            return Answer({}, headers={"x-goog-upload-status": "active", "x-goog-upload-size-received": size})
        offset = asked.headers.get("x-goog-upload-offset", "0")
        if offset != str(len(made.data)):
            raise Refusal(400, f"Upload offset {offset} is not {len(made.data)}", "value")
        made.data += asked.body.data
        if "finalize" not in command:
            return Answer({}, headers={"x-goog-upload-status": "active"})
        del self._begun[id_]
        return self._finished(made, made.data)

    def _in_parts(self, asked: Asked) -> Answer:
        """Reads `multipart/related`: the metadata, then the bytes."""
        named = asked.body.data.replace(b"\r\n\r\n", b'\r\nContent-Disposition: form-data; name="part"\r\n\r\n', 2)
        try:
            first, second = (part.data for part in parts_of_form(named, asked.headers["content-type"]))
        except ValueError as error:
            raise Refusal(400, f"the multipart body can't be read: {error}", "value") from error
        about = _about(first)
        return self._finished(_made(asked, str(about.get("mimeType", "application/octet-stream")), about), second)

    def _finished(self, made: StoredFile, data: bytes) -> Answer:
        made.data = data
        self._files[made.name.removeprefix("files/")] = made
        if len(self._files) > MOST_FILES:
            del self._files[next(iter(self._files))]
        return Answer({"file": made.value}, headers={"x-goog-upload-status": "final"})

    async def list(self, asked: Asked) -> Answer:
        """Lists the files."""
        return Answer({"files": [file.value for file in self._files.values()]})

    async def get(self, asked: Asked) -> Answer:
        """Returns what is known about a file."""
        return Answer(self._found(asked.params["file"]).value)

    async def delete(self, asked: Asked) -> Answer:
        """Forgets a file."""
        self._found(asked.params["file"])
        del self._files[asked.params["file"]]
        return Answer({})

    def _found(self, id_: str) -> StoredFile:
        if (file := self._files.get(id_)) is None:
            words = f"You do not have permission to access the File {id_} or it may not exist."
            raise Refusal(403, words, "permission")
        return file


def _about(data: bytes) -> dict[str, Any]:
    """Returns the metadata of an upload. Raises Refusal."""
    try:
        value = orjson.loads(data or b"{}")
    except ValueError:
        raise Refusal(400, "the metadata is not JSON", "invalid") from None
    about = value.get("file", {}) if isinstance(value, dict) else None
    if not isinstance(about, dict):
        raise Refusal(400, "the metadata is not an object with `file`", "invalid")
    return about


def _made(asked: Asked, media_type: str, about: dict[str, Any]) -> StoredFile:
    name = str(about.get("name") or f"files/{uuid.uuid4().hex[:12]}")
    version = asked.entry.path.removeprefix("/upload").removesuffix("/files")
    uri = f"{asked.base}{version}/{name}"
    shown = str(about.get("displayName") or about.get("display_name") or "")
    return StoredFile(name, uri, str(about.get("mimeType") or about.get("mime_type") or media_type), shown)
