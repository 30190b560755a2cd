"""What local/compose says about the words of a prompt that it did not draw."""

from collections.abc import Sequence

__all__ = ["not_drawn"]

CAN = "local/compose draws things, animals, people, places and weather that it has art for, by their English names"


def not_drawn(unknown: Sequence[str], *, known: bool) -> str:
    """Returns what was not understood and what the engine can do, or an empty text for a prompt that was understood.

    Args:
        unknown: The unknown words.
        known: Whether any word is known. Without one the image is abstract.
    """
    words = f": {', '.join(unknown)}" if unknown else ""
    if not known:
        return f"was not understood, so the image shows only abstract shapes; it has no known word{words}; {CAN}"
    return f"has unknown words, which were not drawn{words}; {CAN}" if unknown else ""
