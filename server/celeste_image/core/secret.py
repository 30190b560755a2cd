"""Secret: text that is not shown by accident."""

import hmac
from typing import Any, NoReturn, Self

__all__ = ["HIDDEN", "Secret"]

HIDDEN = "**********"
"""What stands for a secret wherever one is written."""


class Secret:
    """A key or a password. Only `reveal` gives it out: printed, formatted or copied into a text it is HIDDEN.

    It can't be pickled, and no JSON is made of it: what would leave the process fails instead. A copy is the secret
    itself.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Returns the text, to be sent to whom it is for and kept nowhere."""
        return self._text

    def __bool__(self) -> bool:
        """Tells whether there is any text."""
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Tells whether another secret has the same text, in a time that says nothing of it."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        """Returns the same for equal secrets."""
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        """Returns no text."""
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        """Returns no text."""
        return HIDDEN

    def __format__(self, spec: str) -> str:
        """Returns no text, whatever the format."""
        return HIDDEN

    def __copy__(self) -> Self:
        """Returns itself."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Returns itself."""
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Raises TypeError: a secret stays in its process."""
        raise TypeError("a secret can't be pickled")
