"""A fake model hub on loopback: the part of Hugging Face's API that huggingface_hub needs for a repository's files."""

import asyncio
import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

TINY = Path(__file__).parents[1] / "providers" / "local" / "diffusion" / "tiny"
REPO = "nobody/tiny-openvino"
COMMIT = "1" * 40
BULK = "unet/bulk.bin"
BULK_BYTES = 22 << 20
"""The client writes 10 MiB at a time, so a file must be larger to be left partial."""


def tiny_files() -> dict[str, bytes]:
    """Returns the tiny model's files, one file that does not belong to a model, and one large file."""
    files = {path.relative_to(TINY).as_posix(): path.read_bytes() for path in TINY.rglob("*") if path.is_file()}
    return files | {".gitattributes": b"*.bin filter=lfs\n", "out.png": b"no model file", BULK: bytes(BULK_BYTES)}


@dataclass
class Hub:
    """The hub, with files by revision and faults to inject.

    Attributes:
        revisions: Files by path, by commit; `main` means `head`.
        cut: By path, offsets at which the connection breaks; each is used once.
        stall: By path, the offset after which nothing more is sent.
        served: By path, bytes served in place of those with the stated hashes.
        asked: The path and the first byte of each file request.
    """

    revisions: dict[str, dict[str, bytes]] = field(default_factory=lambda: {COMMIT: tiny_files()})
    head: str = COMMIT
    license: str = "cc0-1.0"
    cut: dict[str, list[int]] = field(default_factory=dict)
    stall: dict[str, int] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def __enter__(self) -> "Hub":
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,))
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        async def serve() -> None:
            self._ended = asyncio.Event()
            app = web.Application()
            app.router.add_get(r"/api/models/{repo:[^/]+/[^/]+}/revision/{revision}", self._info)
            app.router.add_get(r"/{repo:[^/]+/[^/]+}/resolve/{revision}/{path:.+}", self._file)
            runner = web.AppRunner(app, shutdown_timeout=0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await self._ended.wait()
            await runner.cleanup()

        self._loop.run_until_complete(serve())
        self._loop.close()

    def _files(self, request: web.Request) -> tuple[str, dict[str, bytes]]:
        revision = request.match_info["revision"]
        commit = self.head if revision == "main" else revision
        if request.match_info["repo"] != REPO:
            raise web.HTTPNotFound(headers={"X-Error-Code": "RepoNotFound"})
        if commit not in self.revisions:
            raise web.HTTPNotFound(headers={"X-Error-Code": "RevisionNotFound"})
        return commit, self.revisions[commit]

    async def _info(self, request: web.Request) -> web.Response:
        commit, files = self._files(request)
        assert request.query["blobs"] == "true"
        siblings: list[dict[str, Any]] = []
        for path, data in files.items():
            blob = hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()
            about: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": blob}
            if path.endswith(".bin"):
                about["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            siblings.append(about)
        card = {"license": self.license}
        return web.json_response({"id": REPO, "sha": commit, "siblings": siblings, "cardData": card})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        _, files = self._files(request)
        path = request.match_info["path"]
        data = self.served.get(path, files[path])
        begin = request.http_range.start or 0
        self.asked.append((path, begin))
        response = web.StreamResponse(status=206 if begin else 200)
        response.content_length = len(data) - begin
        if begin:
            response.headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        await response.prepare(request)
        end = len(data)
        cuts = self.cut.get(path, [])
        if cuts:
            end = cuts.pop(0)
        stall = self.stall.get(path)
        if stall is not None:
            end = stall
        await response.write(data[begin:end])
        if stall is not None:
            self.stalled.set()
            await self._ended.wait()
        if end < len(data) and request.transport:
            request.transport.close()
        return response
