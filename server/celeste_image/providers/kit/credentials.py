"""Where a vendor's key comes from, and whether it can be one."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import structlog

from celeste_image.core.secret import Secret

__all__ = ["Key", "Verdict", "form_problem"]

log = structlog.get_logger("celeste_image.keys")

ENVIRONMENT, FILE = "env:", "file:"
"""How references begin: a variable's name or a file's path follows."""
LOOK_SECONDS = 1.0
"""A file is looked at again after that long."""
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
"""How keys of other vendors begin, as gitleaks and trufflehog know them (VENDORS section 8)."""


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


def form_problem(key: str, form: str) -> tuple[Verdict, str]:
    """Returns what is wrong with a key as it stands, without any of it.

    FAILED is for what can't be the vendor's: nothing, white space, signs that no header can hold, and what begins as
    keys of another do. WARNING is for an unusual form, since forms change.

    Args:
        key: The key.
        form: A pattern of the vendor's keys; empty when nobody knows one.
    """
    if not key:
        return Verdict.FAILED, "there is no key"
    if re.search(r"\s", key):
        return Verdict.FAILED, "the key has white space in it"
    if not (key.isascii() and key.isprintable()):
        return Verdict.FAILED, "the key has signs that no header can hold"
    if not form:
        return Verdict.OK, ""
    for prefix, vendor in FOREIGN.items():
        if key.startswith(prefix) and prefix not in form:
            return Verdict.FAILED, f"the key looks like one of {vendor}"
    if not re.fullmatch(form, key):
        return Verdict.WARNING, "the key has an unusual form"
    return Verdict.OK, ""


class Key:
    """A vendor's key. One that is in a file is read again when the file has changed, so that it can be replaced.

    Args:
        provider: Whose it is, for the log.
        given: The key, or a reference to one: `env:NAME` or `file:PATH`. None looks into the vendor's own variable.
        variable: That variable; empty when there is none.
        environment: Where variables are.
        form: See `form_problem`.
        clock: Says when a file is looked at again.

    Raises:
        ValueError: A reference leads nowhere. The text begins as one about the field `key` does.
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
        self._looked, self._lost = clock(), False
        self._keys: list[Secret] = []
        self.problem = ""
        """Why it is not used, without any of it; empty when it is, or when there is none."""
        text = given.reveal().strip() if given else environment.get(variable, "")
        if given and text.startswith(ENVIRONMENT):
            name = text.removeprefix(ENVIRONMENT)
            if name not in environment:
                raise ValueError(f"providers.{provider}.key: there is no variable {name}")
            text = environment[name]
        elif given and text.startswith(FILE):
            self._file = Path(text.removeprefix(FILE))
            try:
                self._state, text = self._read(self._file)
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"providers.{provider}.key: can't read {self._file}: {_why(error)}") from None
        self._take(text)

    @property
    def now(self) -> Secret:
        """The key as it is now; empty when there is none, or none that can be used: see `problem`."""
        if self._file and self._clock() >= self._looked + LOOK_SECONDS:
            self._looked = self._clock()
            self._look(self._file)
        return Secret("") if self.problem else self._keys[-1]

    def verdict(self) -> tuple[Verdict, str]:
        """Returns what is wrong with it by its form: see `form_problem`."""
        return form_problem(self._keys[-1].reveal(), self._form)

    @property
    def known(self) -> Sequence[str]:
        """The texts of the keys that there were of late: a vendor may still tell of the one before."""
        return [key.reveal() for key in self._keys]

    def _look(self, file: Path) -> None:
        try:
            state = _state_of(file)
            if state == self._state:
                return
            self._state, text = self._read(file)
        except (OSError, UnicodeDecodeError) as error:
            if not self._lost:
                log.warning("key file", provider=self._provider, why=_why(error))
            self._lost = True
            return
        self._lost = False
        self._take(text)
        log.info("key replaced", provider=self._provider)

    @staticmethod
    def _read(file: Path) -> tuple[tuple[int, ...], str]:
        return _state_of(file), file.read_text()

    def _take(self, text: str) -> None:
        text = text.strip()
        verdict, problem = form_problem(text, self._form)
        self._keys = [*self._keys[-1:], Secret(text)]
        self.problem = problem if text and verdict is Verdict.FAILED else ""
        if text and verdict is not Verdict.OK:
            log.warning("key", provider=self._provider, verdict=verdict.value, why=problem)


def _state_of(file: Path) -> tuple[int, ...]:
    facts = file.stat()
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or "it can't be read") if isinstance(error, OSError) else "it is no text"
