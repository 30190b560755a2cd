"""The clients that speak the contract: how each is built and started."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.toolchains import CARGO, CHROMIUM, GO, JDK, MAVEN, NPM, Toolchain
from tests.conformance.cases import Case

__all__ = ["CLIENTS", "Client"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Client:
    """One client.

    Attributes:
        name: Name in the matrix.
        needs: Programs that must be there.
        build: Command that builds the runner, from the root. Empty when there is nothing to build.
        run: Command of the runner, from the root, to which the paths of the plan and the outcomes are added.
        transport: `grpc` or `grpc-web`.
        through_envoy: Whether calls go through Envoy instead of straight to the server.
        page: Page in docs/clients/ whose programs this client runs. Empty for none.
        block: Command that runs one program of the page: the paths of the program and of a folder are added.
        fence: Language after the fence of the page's programs.
        suffix: Suffix of the file of a program.
    """

    name: str
    needs: Sequence[Toolchain]
    build: str
    run: str
    transport: str = "grpc"
    through_envoy: bool = False
    page: str = ""
    block: str = ""
    fence: str = ""
    suffix: str = ""

    @property
    def missing(self) -> list[Toolchain]:
        """Returns the programs that this machine lacks."""
        return [need for need in self.needs if need.is_missing]

    def why_not(self, case: Case) -> str:
        """Returns why the client can't make the call of a case; empty if it can.

        Browsers send no stream: `fetch` sends no body in pieces. In front of a client's Envoy there is no TLS.
        """
        if case.streams_requests and self.transport != "grpc":
            return "no client stream"
        return "no TLS to Envoy" if case.is_encrypted and self.through_envoy else ""


TYPESCRIPT = "tests/conformance/typescript"
GO_RUNNER = "tests/conformance/go"
JAVA_RUNNER = "tests/conformance/java"
RUST_RUNNER = "tests/conformance/rust"

CLIENTS = (
    Client(
        "Python, blocking",
        [],
        "",
        ".venv/bin/python -m tests.conformance.python.blocking",
        page="python.md",
        block=".venv/bin/python tests/conformance/python/block.py",
        fence="python",
        suffix=".py",
    ),
    Client("Python, asyncio", [], "", ".venv/bin/python -m tests.conformance.python.asynchronous"),
    Client(
        "TypeScript, Node",
        [NPM],
        f"{TYPESCRIPT}/build.sh",
        f"node {TYPESCRIPT}/dist/node.js",
        page="typescript.md",
        block=f"node {TYPESCRIPT}/dist/block.js",
        fence="ts",
        suffix=".ts",
    ),
    Client(
        "TypeScript, Node, through Envoy",
        [NPM],
        f"{TYPESCRIPT}/build.sh",
        f"node {TYPESCRIPT}/dist/node.js",
        through_envoy=True,
    ),
    Client(
        "TypeScript, Chromium, gRPC-Web through Envoy",
        [NPM, CHROMIUM],
        f"{TYPESCRIPT}/build.sh",
        f"node {TYPESCRIPT}/dist/chromium.js",
        transport="grpc-web",
        through_envoy=True,
        page="typescript.md",
        block=f"node {TYPESCRIPT}/dist/block.js",
        fence="ts",
        suffix=".ts",
    ),
    Client(
        "Go",
        [GO],
        f"{GO_RUNNER}/build.sh",
        f"{GO_RUNNER}/out/runner",
        page="go.md",
        block=f"{GO_RUNNER}/block.sh",
        fence="go",
        suffix=".go",
    ),
    Client("Go, through Envoy", [GO], f"{GO_RUNNER}/build.sh", f"{GO_RUNNER}/out/runner", through_envoy=True),
    Client(
        "Java",
        [JDK, MAVEN],
        f"{JAVA_RUNNER}/build.sh",
        f"{JAVA_RUNNER}/run.sh",
        page="java.md",
        block=f"{JAVA_RUNNER}/block.sh",
        fence="java",
        suffix=".java",
    ),
    Client(
        "Rust",
        [CARGO],
        f"{RUST_RUNNER}/build.sh",
        f"{RUST_RUNNER}/target/debug/runner",
        page="rust.md",
        block=f"{RUST_RUNNER}/block.sh",
        fence="rust",
        suffix=".rs",
    ),
)
