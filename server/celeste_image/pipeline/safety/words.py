"""Word lists: finds an operator's terms in a text, however Unicode spells the letters.

    text ──> folded() ──> words ──> WordList.finds()

A term is one word, or several in a row. In a word, `*` stands for any number of letters and digits, `?` for one. Whole
words match, in upper and lower case. Folding unites the spellings of Unicode: full-width and styled letters, ligatures,
composed and decomposed accents. It removes invisible characters, such as a zero-width space. It keeps accents, which
make other words in many languages, and similar letters of other alphabets.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["WordList", "words_of"]

UNSEEN = dict.fromkeys(
    code
    for first, last in (
        *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
        *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F)),
        *((0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
        (0xE0000, 0xE0FFF),
    )
    for code in range(first, last + 1)
)
"""Default_Ignorable_Code_Point, Unicode 16, DerivedCoreProperties.txt."""
WILD = "*?"
MAX_TERM = 200


def folded(text: str) -> str:
    """Returns a text in the form in which Unicode compares identifiers: NFKC_Casefold, Unicode 16, section 3.13."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text.translate(UNSEEN)).casefold())


def words_of(text: str, keep: str = "") -> list[str]:
    """Returns the folded words of a text: runs of letters, marks, digits and the characters in `keep`."""
    return "".join(c if c in keep or unicodedata.category(c)[0] in "LMN" else " " for c in folded(text)).split()


class WordList:
    """Finds terms in texts.

    Raises:
        ValueError: A term is too long, or has no letter or digit and so would match anything.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        self._words: set[str] = set()
        self._phrases: dict[str, list[tuple[str, ...]]] = {}
        patterns, wild_phrases = [], []
        for term in terms:
            words = tuple(words_of(term, WILD))
            if len(term) > MAX_TERM or not any(set(word) - set(WILD) for word in words):
                raise ValueError(f"{term[:40]!r} is not a term: 1 to {MAX_TERM} characters with a letter or digit")
            if not any(set(word) & set(WILD) for word in words):
                if len(words) == 1:
                    self._words.add(words[0])
                else:
                    self._phrases.setdefault(words[0], []).append(words)
            elif len(words) == 1:
                patterns.append(_pattern(words[0]))
            else:
                wild_phrases.append(r"(?<!\S)" + " ".join(map(_pattern, words)) + r"(?!\S)")
        self._patterns = re.compile("|".join(patterns)) if patterns else None
        self._wild_phrases = re.compile("|".join(wild_phrases)) if wild_phrases else None

    def finds(self, words: Sequence[str]) -> bool:
        """Returns whether a text with these words, in this order, has any of the terms."""
        single = set(words)
        if not self._words.isdisjoint(single):
            return True
        if self._patterns and any(map(self._patterns.fullmatch, single)):
            return True
        for place, word in enumerate(words):
            for phrase in self._phrases.get(word, ()):
                if tuple(words[place : place + len(phrase)]) == phrase:
                    return True
        return bool(self._wild_phrases and self._wild_phrases.search(" ".join(words)))


def _pattern(word: str) -> str:
    """Returns the expression for a word of a term.

    The part after each `*` is matched once, without backtracking, so the time grows linearly with the text.
    """
    first, *parts = (_literal(part) for part in re.split(r"\*+", word))
    if not parts:
        return first
    *between, last = parts
    return first + "".join(rf"(?>\S*?{part})" for part in between) + (rf"(?>\S*?{last}(?!\S))" if last else r"\S*")


def _literal(part: str) -> str:
    return "".join(r"\S" if c == "?" else re.escape(c) for c in part)
