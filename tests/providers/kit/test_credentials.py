"""Vendors' keys: their sources, refused forms, and rotation."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from celeste_image.config import Settings
from celeste_image.core.errors import ProviderCredentials
from celeste_image.core.secret import Secret
from celeste_image.providers.base import Tools
from celeste_image.providers.kit.credentials import FOREIGN, Credential, Verdict, form_problem
from celeste_image.providers.registry import build_providers
from celeste_image.providers.vendors.openai import PROVIDER as OPENAI

FIRST, SECOND = "sk-" + "first1" * 5, "sk-" + "second" * 5
FORM = OPENAI.key_form


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def key(
    given: str | None = None, environment: Mapping[str, str] | None = None, clock: Clock | None = None
) -> Credential:
    return Credential(
        "openai", given and Secret(given), "OPENAI_API_KEY", environment or {}, FORM, clock=clock or Clock()
    )  # type: ignore[arg-type]


def test_it_comes_from_the_table_or_the_vendors_own_variable() -> None:
    environment = {"OPENAI_API_KEY": FIRST, "OTHER": SECOND}
    assert key(None, environment).now.reveal() == FIRST
    assert key(SECOND, environment).now.reveal() == SECOND
    assert key("env:OTHER", environment).now.reveal() == SECOND
    assert not key().now
    assert not key("env:OTHER", {"OTHER": ""}).now


def test_it_comes_from_a_file_with_or_without_a_line_end(tmp_path: Path) -> None:
    for text in (FIRST, FIRST + "\n", f"  {FIRST}\r\n"):
        (tmp_path / "key").write_text(text)
        assert key(f"file:{tmp_path / 'key'}").now.reveal() == FIRST


def test_a_reference_that_leads_nowhere_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    for given, words in (
        ("env:NOT_THERE", "there is no variable NOT_THERE"),
        (f"file:{tmp_path / 'not-there'}", "not-there: No such file or directory"),
        (f"file:{tmp_path}", "Is a directory"),
        (f"file:{tmp_path / 'binary'}", "it is not text"),
    ):
        with pytest.raises(ValueError, match=r"^providers\.openai\.key: ") as caught:
            build_providers({"openai": {"key": given}})
        assert words in str(caught.value)


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    file, clock = tmp_path / "key", Clock()
    file.write_text(FIRST)
    made = key(f"file:{file}", clock=clock)
    (tmp_path / "new").write_text(SECOND)
    (tmp_path / "new").rename(file)
    assert made.now.reveal() == FIRST, "it was looked at just now"
    clock.now += 1.1
    assert made.now.reveal() == SECOND
    assert set(made.known) == {FIRST, SECOND}, "an answer to a call with the old one may have it still"


def test_a_file_that_is_gone_leaves_the_key_as_it_was_and_says_so_once(tmp_path: Path) -> None:
    file, clock = tmp_path / "key", Clock()
    file.write_text(FIRST)
    made = key(f"file:{file}", clock=clock)
    file.unlink()
    with capture_logs() as logs:
        for _ in range(3):
            clock.now += 2
            assert made.now.reveal() == FIRST
        file.write_text(SECOND)
        clock.now += 2
        assert made.now.reveal() == SECOND
    assert [entry["event"] for entry in logs] == ["key file not readable", "key replaced"]


BAD = [f"{prefix}{'a' * 40}" for prefix in FOREIGN] + [
    "sk-two words" + "a" * 20,
    "sk-ключ" + "a" * 20,
    "sk-\0" + "a" * 20,
]


@pytest.mark.parametrize("text", BAD)
def test_what_can_not_be_the_vendors_key_is_not_used(text: str) -> None:
    with capture_logs() as logs:
        made = OPENAI(OPENAI.Settings(key=text), Tools(environment={}))  # type: ignore[arg-type]
    assert not any(made.ready(card) for card in made.cards)
    with pytest.raises(ProviderCredentials, match="the key for openai is not used: the key") as caught:
        _ = made.secrets
    assert text not in str(caught.value)
    assert [entry["verdict"] for entry in logs] == ["failed"]
    assert text not in str(logs)


def test_an_unusual_form_is_told_and_used() -> None:
    with capture_logs() as logs:
        made = key("an-unusual-key")
    assert made.now.reveal() == "an-unusual-key"
    assert [(entry["verdict"], entry["log_level"]) for entry in logs] == [("warning", "warning")]
    with capture_logs() as logs:
        key(FIRST)
    assert logs == []


@pytest.mark.parametrize(
    ("text", "form", "verdict"),
    [
        ("AIza" + "a" * 35, r"(AIza[\w-]{35}|AQ\.[\w.-]{20,})", Verdict.OK),
        ("AIza" + "a" * 35, r"[\w-]{20,}", Verdict.FAILED),
        ("hf_" + "a" * 34, "", Verdict.OK),
        ("0f" * 16, "", Verdict.OK),
    ],
)
def test_whose_key_it_is_is_known_where_the_form_is(text: str, form: str, verdict: Verdict) -> None:
    assert form_problem(text, form)[0] is verdict


def texts_of(settings: Settings) -> Iterable[str]:
    yield from (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json(fallback=str))


def test_settings_do_not_show_what_is_named_like_a_secret() -> None:
    tables = {
        "openai": {"key": FIRST},
        "other": {"api_key": FIRST, "accounts": [{"Token": FIRST}], "client_secret": FIRST, "password": FIRST},
    }
    settings = Settings(providers=tables, store={"options": {"aws_secret_access_key": FIRST}})  # type: ignore[arg-type]
    assert all(FIRST not in text for text in texts_of(settings))
    assert settings.store.options["aws_secret_access_key"].reveal() == FIRST
    (openai,) = [p for p in build_providers({"openai": settings.providers["openai"]}).values() if p.name == "openai"]
    assert openai.secrets[0].value.reveal() == f"Bearer {FIRST}"  # type: ignore[attr-defined]


def test_a_misspelt_table_does_not_show_the_key() -> None:
    with pytest.raises(ValueError, match=r"providers\.openai\.kye") as caught:
        build_providers({"openai": {"kye": FIRST}})
    error: BaseException | None = caught.value
    while error:
        assert FIRST not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_all_in_a_table_of_headers_is_a_secret() -> None:
    table = {"kind": "kserve", "url": "grpcs://a.test:1", "headers": {"x-api": "sk-canary-1"}, "token": "sk-canary-2"}
    table["models"] = [{"id": "m", "operation": "upscale", "factor": 4}]
    settings = Settings(providers={"cluster": table})
    for shown in texts_of(settings):
        assert "canary" not in shown
    (provider,) = [made for name, made in build_providers(settings.providers).items() if name == "cluster"]
    for shown in texts_of(provider.settings):  # type: ignore[arg-type]
        assert "canary" not in shown
    assert provider.settings.headers["x-api"].reveal() == "sk-canary-1"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_file_of_any_editor_is_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "key"
    file.write_bytes((("\ufeff" if encoding == "utf-16-be" else "") + FIRST + "\r\n").encode(encoding))
    credential = key(f"file:{file}")
    assert (credential.problem, credential.now.reveal()) == ("", FIRST)
