"""Cases: read from the `*.yaml` files beside this module, and made concrete for one run of one client."""

import base64
import hashlib
import random
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Case", "Concrete", "make", "read_cases"]

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
UPLOAD_BYTES = 20 << 20
FIELDS = {
    *("name", "call", "server", "tls", "request", "metadata", "deadline_seconds", "cancel_after", "upload", "download"),
    "at_once",
}
PLACEHOLDER = re.compile(r"\$\{(\w+)(?::([^}]*))?\}")


@dataclass(frozen=True)
class Case:
    """A case as its file has it.

    Attributes:
        group: Name of the file, without `.yaml`.
        name: Name of the case, unique in all files.
        given: The fields of the plan, with placeholders.
        expect: The expectations; see `expect.py`.
    """

    group: str
    name: str
    given: Mapping[str, Any]
    expect: Mapping[str, Any]

    @property
    def streams_requests(self) -> bool:
        """Whether the client sends a stream, which browsers cannot."""
        return bool(self.given["call"] == "ArtifactService/WriteArtifact")

    @property
    def is_encrypted(self) -> bool:
        """Whether the client itself speaks TLS."""
        return "tls" in self.given


@dataclass(frozen=True)
class Concrete:
    """A case of one run: the plan's entry, and the expectations, without placeholders."""

    case: Case
    plan: dict[str, Any]
    expect: dict[str, Any]
    request_id: str
    trace_id: str


def read_cases() -> list[Case]:
    """Reads all cases, ordered by file and by place in the file.

    Raises:
        ValueError: A case has an unknown field, no expectation, or the name of another case.
    """
    cases: list[Case] = []
    for file in sorted(FOLDER.glob("*.yaml")):
        for entry in yaml.safe_load(file.read_text()):
            expect = entry.pop("expect", None)
            if not expect or (unknown := entry.keys() - FIELDS):
                raise ValueError(f"{file.name}: {entry.get('name')}: {'no expect' if not expect else unknown}")
            cases.append(Case(file.stem, entry["name"], entry, expect))
    names = [case.name for case in cases]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"several cases are called {', '.join(sorted(twice))}")
    return cases


def upload_file(folder: Path, client: str) -> Path:
    """Writes the file that a client uploads: 20 MiB that no other client has. Returns its path."""
    path = folder / f"{client}.bin"
    path.write_bytes(random.Random(client).randbytes(UPLOAD_BYTES))
    return path


def make(
    cases: list[Case], addresses: Mapping[str, str], folder: Path, client: str, secret: Callable[[str, str], str]
) -> list[Concrete]:
    """Makes cases concrete for one client.

    Args:
        cases: The cases.
        addresses: Address of each server that a case may name; `celeste` is the default.
        folder: Folder for the files that clients upload.
        client: Name of the client, for files and artifacts of its own.
        secret: Returns what `${KIND:NAME}` stands for, a key or the path of a certificate; see `Secured.value`.
    """
    shared: dict[str, str] = {}

    def named(kind: str, name: str) -> str:
        """Returns what `${KIND:NAME}` stands for; a name has one id in all cases."""
        return shared.setdefault(name, str(uuid.uuid4())) if kind == "uuid" else secret(kind, name)

    path = upload_file(folder, client)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    made = []
    for case in cases:
        request_id = str(uuid.uuid4())
        trace = uuid.uuid4().hex
        values = {"uuid": request_id, "trace": trace, "path": str(path)}
        values |= {"upload": f"artifacts/sha256-{digest}", "sha256": digest}
        plan = _fill(dict(case.given), values, named)
        plan["address"] = addresses[plan.pop("server", "celeste")]
        made.append(Concrete(case, plan, _fill(dict(case.expect), values, named), request_id, trace))
    return made


def _fill(value: Any, values: Mapping[str, str], secret: Callable[[str, str], str]) -> Any:
    """Replaces placeholders: `${uuid}` and the like, and `${file:PATH}` by the bytes of a file as base64."""
    match value:
        case dict():
            return {key: _fill(each, values, secret) for key, each in value.items()}
        case list():
            return [_fill(each, values, secret) for each in value]
        case str():
            return PLACEHOLDER.sub(lambda found: _value(found, values, secret), value)
    return value


def _value(found: re.Match[str], values: Mapping[str, str], secret: Callable[[str, str], str]) -> str:
    name, argument = found.groups()
    if name == "file":
        return base64.b64encode((ROOT / argument).read_bytes()).decode()
    return values[name] if argument is None else secret(name, argument)
