"""Vendor API keys: reads a key from settings, an environment variable or a file, and checks its format."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import structlog

from celeste_image.config.references import FILE, read_secret, secret_of
from celeste_image.core.secret import Secret, hide

__all__ = ["Credential", "Verdict", "form_problem"]

log = structlog.get_logger("celeste_image.credentials")

CHECK_SECONDS = 1.0
"""Shortest time between two checks of a key file for changes."""
FOREIGN = {
    "r8_": "Replicate",
    "hf_": "Hugging Face",
    "xai-": "xAI",
    "sk-ant-": "Anthropic",
    "AIza": "Google",
    "AKIA": "AWS",
    "ASIA": "AWS",
    "key_": "Runway",
}
"""Prefixes of the keys of other vendors, from the rules of gitleaks and trufflehog."""


class Verdict(StrEnum):
    """Outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


def form_problem(key: str, form: str) -> tuple[Verdict, str]:
    """Returns the verdict on a key's form and the problem, as a text that quotes no part of the key.

    FAILED is for a key that can't be the vendor's: it is empty, has white space or characters that a header can't
    hold, or begins like a key of another vendor. WARNING is for an unusual form, since vendors change their forms.

    Args:
        key: The key.
        form: A regular expression for the vendor's keys; empty if their form is unknown.
    """
    if not key:
        return Verdict.FAILED, "there is no key"
    if re.search(r"\s", key):
        return Verdict.FAILED, "the key contains white space"
    if not (key.isascii() and key.isprintable()):
        return Verdict.FAILED, "the key has characters that a header can't hold"
    if not form:
        return Verdict.OK, ""
    for prefix, vendor in FOREIGN.items():
        if key.startswith(prefix) and prefix not in form:
            return Verdict.FAILED, f"the key looks like a key of {vendor}"
    if not re.fullmatch(form, key):
        return Verdict.WARNING, "the key has an unusual form"
    return Verdict.OK, ""


class Credential:
    """A vendor's API key. A key in a file is read again when the file changes, so it can be rotated while running.

    Args:
        provider: The provider's name, for log and errors.
        given: The key, or a reference to it: `env:NAME` or `file:PATH`. None means the vendor's own variable.
        variable: The vendor's own environment variable; empty if it has none.
        environment: The environment variables.
        form: A regular expression for the vendor's keys, for `form_problem`.
        clock: The clock for CHECK_SECONDS.

    Raises:
        ValueError: The variable or file of a reference does not exist, or everyone may write the file. The message
            begins with the setting's name.
    """

    def __init__(
        self,
        provider: str,
        given: Secret | None,
        variable: str,
        environment: Mapping[str, str],
        form: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider, self._form, self._clock = provider, form, clock
        self._file: Path | None = None
        self._state: tuple[int, ...] = ()
        self._checked, self._is_unreadable = clock(), False
        self._keys: list[Secret] = []
        self.problem = ""
        """Why the key is not used; empty if it is used, or if there is no key."""
        if given and given.reveal().strip().startswith(FILE):
            self._file = Path(given.reveal().strip().removeprefix(FILE))
        try:
            if self._file:
                self._state, text = self._read(self._file)
            else:
                text = secret_of(given, environment).reveal() if given else environment.get(variable, "")
        except (ValueError, OSError) as error:
            why = f"can't read {self._file}: {error.strerror}" if isinstance(error, OSError) else error
            raise ValueError(f"providers.{provider}.key: {why}") from None
        self._take(text)

    @property
    def now(self) -> Secret:
        """The current key; empty if there is no key, or a key with a `problem`."""
        if self._file and self._clock() >= self._checked + CHECK_SECONDS:
            self._checked = self._clock()
            self._read_again(self._file)
        return Secret("") if self.problem else self._keys[-1]

    def verdict(self) -> tuple[Verdict, str]:
        """Returns the verdict on the key's form and the problem, as `form_problem` does."""
        return form_problem(self._keys[-1].reveal(), self._form)

    @property
    def known(self) -> Sequence[str]:
        """The current key and the one before, as texts: an answer of the vendor may still quote the old one."""
        return [key.reveal() for key in self._keys]

    def _read_again(self, file: Path) -> None:
        try:
            state = _state_of(file)
            if state == self._state:
                return
            self._state, text = self._read(file)
        except (OSError, ValueError) as error:
            if not self._is_unreadable:
                why = error.strerror if isinstance(error, OSError) else str(error)
                log.warning("key file not readable", provider=self._provider, why=why)
            self._is_unreadable = True
            return
        self._is_unreadable = False
        self._take(text)
        log.info("key replaced", provider=self._provider)

    @staticmethod
    def _read(file: Path) -> tuple[tuple[int, ...], str]:
        return _state_of(file), read_secret(file)

    def take_over(self, other: "Credential") -> None:
        """Uses the key of another credential of the same provider from now on, and reads its file."""
        self._file, self._state = other._file, other._state
        self._checked, self._is_unreadable = other._checked, other._is_unreadable
        if self._keys[-1] != other._keys[-1]:
            self._keys = [self._keys[-1], other._keys[-1]]
        self.problem = other.problem

    def _take(self, text: str) -> None:
        text = text.strip()
        verdict, problem = form_problem(text, self._form)
        self._keys = [*self._keys[-1:], Secret(text)]
        hide(self._keys[-1])
        self.problem = problem if text and verdict is Verdict.FAILED else ""
        if text and verdict is not Verdict.OK:
            log.warning("key", provider=self._provider, verdict=verdict.value, why=problem)


def _state_of(file: Path) -> tuple[int, ...]:
    facts = file.stat()
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
