"""Word lists: what folding makes equal, what it leaves apart, and that time grows with the text alone."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeste_image.pipeline.safety.words import WordList, words_of


def finds(text: str, *terms: str) -> bool:
    return WordList(terms).finds(words_of(text))


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("A Gun.", "gun"),
        ("gun", "GUN"),
        ("the_gun(s)", "gun"),
        ("ＧＵＮ", "gun"),
        ("𝓰𝓾𝓷", "gun"),
        ("ⓖⓤⓝ", "gun"),
        ("g\u200bu\u200dn", "gun"),
        ("g\u00adu\u2060n\ufe0f", "gun"),
        ("\u202egun", "gun"),
        ("g\U000e0075un", "gun"),
        ("ﬁre", "fire"),
        ("STRASSE", "straße"),
        ("cafe\u0301", "café"),
        ("ΌΠΛΟΣ", "όπλος"),
        ("बन्दूक लाओ", "बन्दूक"),
        ("銃", "銃"),
        ("gunner", "gun*"),
        ("begun", "*gun"),
        ("begunning", "*gun*"),
        ("gun", "*gun*"),
        ("gin", "g?n"),
        ("abcbd", "a*b*d"),
        ("aab", "a*ab"),
        ("美しい銃です", "*銃*"),
        ("a dirty, bomb", "dirty bomb"),
        ("dirty-bombs", "dirty bomb*"),
        ("dirty\nbomb", "dirty  bomb"),
        ("say: dirt bomb dirty bomb!", "dirty bomb"),
        ("x99y", "x99y"),
    ],
)
def test_it_is_found(text: str, term: str) -> None:
    assert finds(text, "another", term, "an other*")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("begun gunner", "gun"),
        ("gn", "g?n"),
        ("gain", "g?n"),
        ("ab", "a*ab"),
        ("a", "a*a"),
        ("a b", "a*b"),
        ("gunnery", "gun*r"),
        ("dirtybomb", "dirty bomb"),
        ("dirty old bomb", "dirty bomb"),
        ("bomb dirty", "dirty bomb"),
        ("ano", "año"),
        ("gսn", "gun"),  # an Armenian letter that looks alike: a limit, and said so
        ("g u n", "gun"),
        ("", "gun"),
        ("", "*gun*"),
    ],
)
def test_it_is_not_found(text: str, term: str) -> None:
    assert not finds(text, term)


@pytest.mark.parametrize("term", ["", " ", "*", "?", "**", "* ?", "...", "\u200b", "a" * 201])
def test_what_is_no_term_is_refused(term: str) -> None:
    with pytest.raises(ValueError, match="is not a term"):
        WordList(["gun", term])


def by_hand(pattern: str, word: str) -> bool:
    """Tells whether a word is of a pattern, one letter at a time."""
    if not pattern:
        return not word
    if pattern[0] == "*":
        return by_hand(pattern[1:], word) or bool(word and by_hand(pattern, word[1:]))
    return bool(word) and pattern[0] in ("?", word[0]) and by_hand(pattern[1:], word[1:])


@settings(max_examples=400, deadline=None)
@given(st.text("ab*?", min_size=1, max_size=7), st.lists(st.text("ab", min_size=1, max_size=7), max_size=4))
def test_wildcards_mean_what_they_say(pattern: str, words: list[str]) -> None:
    if not set(pattern) & {"a", "b"}:
        return
    assert WordList([pattern]).finds(words) == any(by_hand(pattern, word) for word in words)
    assert WordList([f"{pattern} z"]).finds([*words, "z"]) == bool(words and by_hand(pattern, words[-1]))


@pytest.mark.parametrize("text", ["a" * 32_000, "a " * 16_000, "a*" * 16_000, "ab" * 16_000])
def test_no_text_takes_long(text: str) -> None:
    terms = WordList(["*a*a*a*a*a*b", "*a*a*a* *a*a*c", "a?*?a*?c", *(f"*x{i}*" for i in range(500))])
    began = time.process_time()
    assert not terms.finds(words_of(text.replace("b", "a")))
    assert time.process_time() - began < 3
