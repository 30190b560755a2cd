"""References of Gemini: words before an image tell its role and its name."""

import pytest

from celeste_image.core.image import ImageInput, ImageReference
from celeste_image.providers.vendors.gemini import introduction


@pytest.mark.parametrize(
    ("role", "name", "words"),
    [
        ("", "", ""),
        ("style", "", "Image 2, which comes next, is a reference for: style."),
        ("", "hat", 'Image 2, which comes next, is called "hat".'),
        ("subject", "hat", 'Image 2, which comes next, is called "hat" and is a reference for: subject.'),
    ],
)
def test_words_before_a_reference(role: str, name: str, words: str) -> None:
    assert introduction(2, ImageReference(ImageInput(b"x"), role, name)) == words
