"""Files of OpenAI's API, which edits and responses refer to by id."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from celeste_image.core.card import TextRange
from celeste_image.emulate.base import Answer, Asked, Refusal, Route
from celeste_image.emulate.sending import new_id
from celeste_image.emulate.values import Wrong, held

__all__ = ["FakeFiles"]

MOST_FILES = 100
"""Files that are kept; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file and what its client said about it."""

    id: str
    data: bytes = field(repr=False)
    purpose: str
    created: int

    @property
    def value(self) -> dict[str, Any]:
        """The file in the API's format."""
        return {
            **{"id": self.id, "object": "file", "bytes": len(self.data), "created_at": self.created},
            **{"filename": self.id, "purpose": self.purpose, "status": "processed"},
        }


class FakeFiles:
    """The files of a fake vendor."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    def routes(self, path: str) -> Sequence[Route]:
        """Returns the routes of files."""
        return (
            Route("POST", path, self.upload, "file"),
            Route("GET", path, self.list, "file"),
            Route("GET", path + "/{file}", self.get, "file"),
            Route("GET", path + "/{file}/content", self.content, "file"),
            Route("DELETE", path + "/{file}", self.delete, "file"),
        )

    def data(self, id_: Any) -> bytes:
        """Returns the bytes of a file. Raises Refusal for an unknown id."""
        return self._found(id_).data

    async def upload(self, asked: Asked) -> Answer:
        """Keeps a file."""
        files = asked.files.get("file")
        if not files:
            raise Wrong("file", "missing")
        purpose = str(held("purpose", asked.fields.get("purpose", ""), TextRange()))
        if not purpose:
            raise Wrong("purpose", "missing")
        made = StoredFile(new_id("file").replace("_", "-"), files[0], purpose, int(time.time()))
        self._files[made.id] = made
        if len(self._files) > MOST_FILES:
            del self._files[next(iter(self._files))]
        return Answer(made.value)

    async def list(self, asked: Asked) -> Answer:
        """Lists the files."""
        return Answer({"object": "list", "data": [file.value for file in self._files.values()], "has_more": False})

    async def get(self, asked: Asked) -> Answer:
        """Returns what is known about a file."""
        return Answer(self._found(asked.params["file"]).value)

    async def content(self, asked: Asked) -> Answer:
        """Returns the bytes of a file."""
        return Answer(body=self._found(asked.params["file"]).data, media_type="application/octet-stream")

    async def delete(self, asked: Asked) -> Answer:
        """Forgets a file."""
        found = self._found(asked.params["file"])
        del self._files[found.id]
        return Answer({"id": found.id, "object": "file", "deleted": True})

    def _found(self, id_: Any) -> StoredFile:
        file = self._files.get(id_) if isinstance(id_, str) else None
        if file is None:
            raise Refusal(404, f"No such File object: {id_}", "file_not_found", "id")
        return file
