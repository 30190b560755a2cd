"""Recordings of vendors' SDKs: compares a request with a recording, and replays the recorded reply.

`recorded_requests.py` has the request of ours for each of them.

The rules of equality are those of `shared/recordings/README.md`. The files under `tests/providers/recordings/` are
copies of the sample there, with the fixtures they name.
"""

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
from PIL import Image
from tests.support.transport import Body, FakeTransport

FOLDER = Path(__file__).parents[1] / "providers" / "recordings"
KEY = "sk-test-canary-0123456789abcdef"
IGNORED_HEADERS = {"accept", "user-agent", "content-length", "host", "connection", "accept-encoding"}


def fixture(name: str) -> bytes:
    return (FOLDER / "fixtures" / f"{name}.png").read_bytes()


@dataclass
class Recording:
    """One call of a vendor's SDK: exchanges of a request and a reply; `official` says whose SDK it was."""

    exchanges: list[dict[str, Any]]
    official: bool

    @classmethod
    def load(cls, name: str) -> "Recording":
        """Returns the recording `PROVIDER/CALL`."""
        data = json.loads((FOLDER / f"{name}.json").read_text())
        return cls(data["exchanges"], data["sdk"]["official"])


def all_recordings() -> list[str]:
    """Returns the names of all recordings."""
    return sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.json"))


class Playing(FakeTransport):
    """Compares each request with the next of a recording and answers with the recorded reply.

    A result that a reply names by URL is handed out to whoever asks without the key. The SDKs either leave that to
    their user, so that no recording has it, or send the key along: ours does not, since the URL may be on any host.
    """

    def __init__(
        self,
        recording: Recording,
        base: str,
        *,
        subset: bool = False,
        ignore: tuple[str, ...] = (),
        adds: Mapping[str, Any] | None = None,
    ) -> None:
        """Starts at the first exchange.

        Args:
            recording: What to play.
            base: URL that stands for `{BASE}` in replies.
            subset: Whether ours may leave out what the SDK adds of its schema's defaults.
            ignore: Names of body fields that are not compared; `recorded_requests.py` has the reason for each.
            adds: Fields that the body has beside the recorded ones.
        """
        super().__init__(self._play, repeat=True)
        self._left = list(recording.exchanges)
        self._base, self._subset, self._ignore, self._adds = base, subset, set(ignore), adds or {}
        self.fetched = 0

    def _play(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/files/"):
            return self._file(request)
        assert self._left, f"a request more than was recorded: {request.method} {request.url}"
        expected = self._left.pop(0)
        hold(request, _with(expected["request"], self._adds), subset=self._subset, ignore=self._ignore)
        return response_of(expected["reply"], self._base)

    def _file(self, request: httpx.Request) -> httpx.Response:
        assert KEY not in str(request.headers) and KEY not in str(request.url)
        self.fetched += 1
        if self._left and self._left[0]["request"]["path"] == request.url.path:
            del self._left[0]
        return httpx.Response(200, headers={"content-type": "image/png"}, stream=Body(fixture("RESULT")))

    def done(self) -> None:
        """Asserts that every recorded request was sent."""
        assert not self._left, f"not asked: {[e['request']['path'] for e in self._left]}"


def _with(expected: dict[str, Any], adds: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a recorded request whose body has more fields. One without a body, such as a poll, stays as it is."""
    body = expected.get("body") or {}
    if "json" in body:
        return expected | {"body": {"json": _merged(body["json"], adds)}}
    if "multipart" in body:
        more = [{"name": name, "text": str(value)} for name, value in adds.items()]
        return expected | {"body": {"multipart": [*body["multipart"], *more]}}
    return expected


def _merged(value: Any, adds: Any) -> Any:
    if isinstance(value, dict) and isinstance(adds, Mapping):
        return value | {name: _merged(value.get(name), item) for name, item in adds.items()}
    assert value is None, "the recording has the field already"
    return adds


def hold(request: httpx.Request, expected: dict[str, Any], *, subset: bool, ignore: set[str]) -> None:
    """Asserts that a request equals a recorded one under the rules of equality."""
    assert request.method == expected["method"]
    assert request.url.path == expected["path"]
    query = sorted(map(tuple, expected.get("query") or []))
    assert sorted(parse_qsl(request.url.query.decode(), keep_blank_values=True)) == query
    for name, value in (expected.get("headers") or {}).items():
        if name in IGNORED_HEADERS:
            continue
        given = request.headers.get(name, "")
        if "{BOUNDARY}" in value:
            assert given.startswith("multipart/form-data; boundary=")
        else:
            assert given == value.replace("{API_KEY}", KEY), f"header {name}"
    body = expected.get("body")
    if not body:
        assert not request.content
    elif "json" in body:
        _hold_json(json.loads(request.content), body["json"], subset=subset, ignore=ignore)
    elif "multipart" in body:
        _hold_multipart(request, body["multipart"], subset=subset, ignore=ignore)
    else:
        raise NotImplementedError(sorted(body))


def _hold_json(given: Any, expected: Any, *, subset: bool, ignore: set[str]) -> None:
    if isinstance(expected, dict) and "$base64" in expected:
        assert same_picture(base64.b64decode(given.rpartition(",")[2]), expected["$base64"])
        return
    if isinstance(expected, dict):
        want = {_snake(k): v for k, v in expected.items() if v is not None and _snake(k) not in ignore}
        have = {_snake(k): v for k, v in given.items() if v is not None and _snake(k) not in ignore}
        assert have.keys() <= want.keys() if subset else have.keys() == want.keys(), (sorted(have), sorted(want))
        for name, value in have.items():
            _hold_json(value, want[name], subset=subset, ignore=ignore)
        return
    if isinstance(expected, list):
        assert len(given) == len(expected)
        for one, other in zip(given, expected, strict=True):
            _hold_json(one, other, subset=subset, ignore=ignore)
        return
    assert given == expected


def _hold_multipart(request: httpx.Request, expected: list[dict[str, Any]], *, subset: bool, ignore: set[str]) -> None:
    head = b"content-type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + request.content)
    given = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        given.setdefault(str(name), []).append(part)
    want: dict[str, list[dict[str, Any]]] = {}
    for part in expected:
        # litellm adds an empty file called "none", which its vendor does not know
        if part["name"] != "none" and part["name"] not in ignore:
            want.setdefault(part["name"], []).append(part)
    have = given.keys() - ignore
    assert have <= want.keys() if subset else have == want.keys(), (sorted(have), sorted(want))
    for name in have:
        assert len(given[name]) == len(want[name]), name
        for part, other in zip(given[name], want[name], strict=True):
            content = part.get_payload(decode=True)
            if "text" in other:
                assert content.decode() == other["text"], name
            else:
                assert same_picture(content, other["binary"]), name


def same_picture(given: bytes, expected: dict[str, Any]) -> bool:
    """Returns whether bytes are the recorded bytes, or an image of the same mode and pixels."""
    if hashlib.sha256(given).hexdigest() == expected["sha256"]:
        return True
    one, other = (Image.open(io.BytesIO(data)) for data in (given, fixture(expected["fixture"])))
    return one.size == other.size and one.mode == other.mode and one.tobytes() == other.tobytes()


def response_of(reply: dict[str, Any], base: str) -> httpx.Response:
    """Returns a recorded reply, with images in place of its placeholders."""
    body = reply.get("body") or {}
    headers = dict(reply.get("headers") or {})
    if "json" in body:
        headers.setdefault("content-type", "application/json")
        content = json.dumps(_filled(body["json"], base)).encode()
    elif "sse" in body:
        headers.setdefault("content-type", "text/event-stream")
        lines = []
        for event in body["sse"]:
            if event.get("event"):
                lines.append(f"event: {event['event']}\n")
            data = event["data"] if isinstance(event["data"], str) else json.dumps(_filled(event["data"], base))
            lines.append(f"data: {data}\n\n")
        content = "".join(lines).encode()
    elif "binary" in body:
        headers["content-type"] = body["binary"]["content-type"]
        content = fixture(body["binary"]["fixture"])
    else:
        content = str(body.get("text", "")).encode()
    return httpx.Response(reply["status"], headers=headers, stream=Body(content))


def _filled(value: Any, base: str) -> Any:
    match value:
        case {"$base64": {"fixture": name}}:
            return base64.b64encode(fixture(name)).decode()
        case dict():
            return {key: _filled(item, base) for key, item in value.items()}
        case list():
            return [_filled(item, base) for item in value]
        case str():
            return value.replace("{BASE}", base)
        case _:
            return value


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), name)
