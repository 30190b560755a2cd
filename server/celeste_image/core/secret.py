"""Secret: a key or password that logs, messages and tracebacks cannot show by accident."""

import hmac
from typing import Any, NoReturn, Self

__all__ = ["HIDDEN", "Secret", "hide", "without_secrets"]

HIDDEN = "**********"
"""Replaces a secret wherever one is printed."""
HIDDEN_CHARACTERS = 8
"""Shortest secret that `without_secrets` looks for: a shorter one is part of ordinary words."""
MOST_HIDDEN = 256
"""Most texts that `without_secrets` looks for, at 40 ns each for a line of a log."""

_hidden: dict[str, None] = {}


class Secret:
    """A key or a password. Only `reveal` returns the text; printing and formatting show HIDDEN.

    Pickling a secret and encoding it as JSON fail, so a secret stays in its process. A copy of a secret is the same
    object.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Returns the text. Callers send it to its recipient and store no copy."""
        return self._text

    def __bool__(self) -> bool:
        """Returns whether the text is non-empty."""
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Returns whether another secret has the same text; the comparison takes constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        """Returns a hash that is the same for equal secrets."""
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        """Returns `Secret` with HIDDEN."""
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        """Returns HIDDEN."""
        return HIDDEN

    def __format__(self, spec: str) -> str:
        """Returns HIDDEN for any format."""
        return HIDDEN

    def __copy__(self) -> Self:
        """Returns this secret."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Returns this secret."""
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Raises TypeError: a secret stays in its process."""
        raise TypeError("a secret can't be pickled")


def hide(secret: Secret) -> None:
    """Makes `without_secrets` hide a secret from now on; with more than MOST_HIDDEN, the oldest are forgotten."""
    import json  # late: a client hides nothing
    from urllib.parse import quote

    text = secret.reveal()
    if len(text) < HIDDEN_CHARACTERS:
        return
    forms = {text}
    for _ in range(2):  # such as JSON with a text that has the `repr` of a dictionary with the secret
        forms |= {escape(form)[1:-1] for form in forms for escape in (json.dumps, repr)}
    for form in (*forms, quote(text, safe="")):
        _hidden.pop(form, None)
        _hidden[form] = None
    while len(_hidden) > MOST_HIDDEN:
        del _hidden[next(iter(_hidden))]


def without_secrets(text: str) -> str:
    """Returns a text in which HIDDEN replaces each secret that `hide` was told, also as JSON or in a URL.

    This is the last line of defense: nothing should try to write a secret at all.
    """
    for secret in tuple(_hidden):
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text
