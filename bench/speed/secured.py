"""Secured: throughput with API keys, and with TLS beside them, beside an open server without either.

The certificate is made for the run. h2load and the Python client speak TLS 1.3 with AES-128; connections stay open, so
handshakes are not what is measured.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.speed import throughput
from bench.speed.load import Call
from bench.speed.results import Results
from bench.speed.targets import KEY, RUNNABLE, Place
from tests.support.certificates import LOOPBACK, Authority

__all__ = ["measure"]

OPEN = RUNNABLE["celeste"]
OTHER_KEYS = 100
"""Keys of others, with which each key is compared too."""


def _with_key(wish: str) -> Call:
    return replace(OPEN.call(wish), headers={"authorization": f"Bearer {KEY}"})


def _keys(place: Place) -> Sequence[str]:
    """Adds callers to the configuration of the open server."""
    command = OPEN.command(place)
    keys = {"bench": KEY} | {f"other-{number}": f"{KEY}-{number}" for number in range(OTHER_KEYS)}
    tables = [
        f'[callers.keys.{name}]\ntenant = "bench"\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\n'
        for name, key in keys.items()
    ]
    _append(place.folder, "".join(tables))
    return command


def _tls(place: Place) -> Sequence[str]:
    """Adds callers and a certificate."""
    command = _keys(place)
    server = Authority(place.folder / "authority").issue("server", *LOOPBACK, usage="serverAuth")
    _append(place.folder, f'[server.tls]\ncertificate_file = "{server.certificate}"\nkey_file = "{server.key}"\n')
    return command


def _append(folder: Path, text: str) -> None:
    with (folder / "celeste.toml").open("a") as file:
        file.write(text)


TARGETS = (
    replace(OPEN, name="celeste-keys", title="Celeste with API keys", command=_keys, call=_with_key),
    replace(
        OPEN, name="celeste-tls", title="Celeste with API keys and TLS", command=_tls, call=_with_key, scheme="https"
    ),
)


def measure(*, sizes: Sequence[str], callers: Sequence[int], rounds: int, seconds: float, starts: int) -> Results:
    """Measures Celeste open, with keys, and with keys and TLS, as throughput.py does. The reference is the open one."""
    RUNNABLE.update({target.name: target for target in TARGETS})
    targets = (OPEN.name, *(target.name for target in TARGETS))
    results = throughput.measure(
        targets=targets, sizes=sizes, callers=callers, rounds=rounds, seconds=seconds, starts=starts
    )
    results.command, results.title = "secured", "Throughput with API keys and TLS"
    return results
