"""Text for terminals, logs and JSON: control, bidirectional and invisible characters are escaped."""

import json
import re
from typing import Any

__all__ = ["escaped", "escaped_json", "json_text"]

INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""Letters and marks that take no room or show nothing, though Python calls them printable.

Source: Default_Ignorable_Code_Point in DerivedCoreProperties.txt of Unicode. Variation selectors choose a form of the
letter before them, so they stay.
"""


def _is_shown(letter: str) -> bool:
    """Returns whether a character shows as itself; wide and narrow spaces do, though Python calls them unprintable."""
    return (letter.isprintable() and letter not in INVISIBLE) or letter in "\u00a0\u2002\u2003\u2009\u202f\u3000"


def escaped(text: str) -> str:
    r"""Returns a text in which each character that a terminal would obey or hide is an escape such as \x1b or \u202e.

    These are the control characters (C0, DEL, C1), line separators, bidirectional controls, zero-width characters, lone
    surrogates and unassigned characters.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if _is_shown(letter) else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return repr(letter)[1:-1] if not letter.isprintable() else f"\\u{ord(letter):04x}"


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    r"""Returns a value as JSON; characters as in `escaped` are \u escapes, with `ascii_only` all outside ASCII."""
    return escaped_json(json.dumps(value, indent=2, ensure_ascii=ascii_only))


def escaped_json(text: str) -> str:
    r"""Returns JSON in which each character that `escaped` would escape is a \u escape; line feeds stay."""
    return re.sub(r"[^ -~\n]", _escaped_in_json, text)


def _escaped_in_json(found: re.Match[str]) -> str:
    letter = found.group()
    return letter if _is_shown(letter) else json.dumps(letter).strip('"') if letter != "\x7f" else "\\u007f"
