"""`[server.tls]`, `[callers]` and `celeste callers`: what is refused, and that a new key works as it is printed."""

import hashlib
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from celeste_image.callers import Callers
from celeste_image.cli.main import celeste
from celeste_image.config import load
from celeste_image.core.caller import Caller

ABC = hashlib.sha256(b"abc").hexdigest()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(text: str, **environment: str) -> list[str]:
    Path("celeste.toml").write_text(text)
    return [str(problem) for problem in load(environment=environment).problems]


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "celeste:50051"])
def test_others_are_served_by_tls_or_by_an_explicit_word(address: str) -> None:
    listen = f"[server]\nlisten = ['127.0.0.1:1', '{address}']\n"
    (problem,) = problems(listen)
    assert problem.startswith(f"celeste.toml:2: server.listen: other machines reach {address}")
    assert problems(listen + "insecure = true") == []
    assert problems(listen + "[server.tls]\ncertificate_file = 'a'\nkey_file = 'b'") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server.tls]\ncertificate_file = 'a'", "celeste.toml:1: server.tls: certificate_file and key_file need"),
        ("[server.tls]\nclient_ca_file = 'a'", "celeste.toml:1: server.tls: client_ca_file needs certificate_file"),
        ("[callers.keys.a]\ntenant = 'a'", "callers.keys.a.sha256: is missing"),
        (f"[callers.keys.a]\nsha256 = '{ABC}'", "callers.keys.a.tenant: is missing"),
        ("[callers.keys.a]\ntenant = 'a'\nsha256 = 'celeste_abc'", "celeste.toml:3: callers.keys.a.sha256: "),
        (f"[callers.keys.a]\ntenant = '../b'\nsha256 = '{ABC}'", "celeste.toml:2: callers.keys.a.tenant: "),
        (f"[callers.keys.a]\ntenant = 'a\\n'\nsha256 = '{ABC}'".replace("'", '"'), "callers.keys.a.tenant: "),
        (f"[callers.keys.a]\ntenant = 'a'\nsha256 = '{ABC}'\nnot_after = 2027-01-01", "callers.keys.a.not_after: "),
        (
            f"[callers.keys.a]\ntenant = 'a'\nsha256 = '{ABC}'\n[callers.keys.b]\ntenant = 'b'\nsha256 = '{ABC}'",
            "keys.b and keys.a have the same sha256",
        ),
        ("[callers.certificates.a]\nuri = 'spiffe://e/{tenant}'", "callers.certificates: needs server.tls.client_ca"),
        ("[callers.certificates.a]\nuri = 'spiffe://e/a'", "tenant must be set, or uri must have {tenant}"),
        ("[callers.certificates.a]\nuri = 'spiffe://e/{tenant}'\ntenant = 'a'", "one of {tenant} in uri and tenant"),
        ("[callers.certificates.a]\nuri = '{tenant}'", "must begin with a scheme"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    found = problems(text)
    assert any(said in problem for problem in found), found


def test_a_new_key_is_shown_once_and_its_table_lets_its_holder_in() -> None:
    done = CliRunner().invoke(
        celeste, ["callers", "new-key", "phone", "--tenant", "acme", "--name", "app", "--days", "1"]
    )
    assert done.exit_code == 0
    (key,) = re.findall(r"celeste_[\w-]{43}", done.stderr)
    assert key not in done.stdout
    assert problems(done.stdout) == []
    settings = load(environment={}).valid()
    assert Callers(settings.callers).of_key(key) == Caller("acme", "app")
    assert settings.callers.keys["phone"].not_after


def test_a_new_key_goes_into_a_file_of_its_own() -> None:
    arguments = ["callers", "new-key", "phone", "--tenant", "acme", "--to", "phone.key"]
    done = CliRunner().invoke(celeste, arguments)
    file = Path("phone.key")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in done.output
    assert hashlib.sha256(file.read_text().strip().encode()).hexdigest() in done.stdout
    assert CliRunner().invoke(celeste, arguments).exit_code == 2, "a file is never replaced"


def test_a_key_in_the_environment() -> None:
    environment = {"CELESTE_CALLERS__KEYS__PHONE__TENANT": "acme", "CELESTE_CALLERS__KEYS__PHONE__SHA256": ABC}
    assert problems("", **environment) == []
    assert Callers(load(environment=environment).valid().callers).of_key("abc") == Caller("acme", "phone")
