"""The format of a result, held against the one that was asked for; and what a vendor says that it used."""

import pytest
from tests.support.fake_provider import output

from celeste_image.core.fidelity import FidelityLine, FidelityOutcome
from celeste_image.pipeline.fidelity.measure import measure

PNG, JPEG, WEBP, AVIF = (f"image/{name}" for name in ("png", "jpeg", "webp", "avif"))
HONORED, ADJUSTED = FidelityOutcome.HONORED, FidelityOutcome.ADJUSTED


def line(asked: str, message: str = "", outcome: FidelityOutcome = HONORED) -> FidelityLine:
    return FidelityLine("output_media_type", outcome, asked=asked, message=message)


@pytest.mark.parametrize(
    ("asked", "made", "outcome"),
    [(PNG, WEBP, ADJUSTED), (JPEG, PNG, ADJUSTED), (WEBP, JPEG, ADJUSTED), (PNG, AVIF, ADJUSTED), (PNG, PNG, HONORED)],
)
def test_the_format_is_measured(asked: str, made: str, outcome: FidelityOutcome) -> None:
    (found,) = measure([line(asked)], [output(media_type=made), output(1, media_type=made)], [])
    assert (found.outcome, found.measured, found.asked, found.image_index) == (outcome, made, asked, None)
    assert (made in found.message) is (outcome is ADJUSTED)


def test_images_of_two_formats_have_a_line_each() -> None:
    first, second = measure([line(PNG)], [output(media_type=PNG), output(1, media_type=WEBP)], [])
    assert (first.outcome, first.image_index) == (HONORED, 0)
    assert (second.outcome, second.image_index) == (ADJUSTED, 1)


def test_a_reason_that_was_known_before_stays() -> None:
    (found,) = measure([line(JPEG, "the pixel lock needs PNG", ADJUSTED)], [output(media_type=PNG)], [])
    assert (found.message, found.measured) == ("the pixel lock needs PNG", PNG)


def test_without_an_image_the_line_stays_as_it_is() -> None:
    assert measure([line(PNG)], [], []) == [line(PNG)]


@pytest.mark.parametrize(("path", "asked", "told"), [("quality", "high", "low"), ("seed", 5, 6), ("style", "a", "b")])
def test_what_a_vendor_used_instead_is_said(path: str, asked: object, told: object) -> None:
    given = FidelityLine(path, HONORED, asked=asked)
    same = FidelityLine.found(path, asked)
    other = FidelityLine.found(path, told, problem=f"the provider says that it used {told}")
    assert measure([given], [output()], [same])[0].outcome is HONORED
    (found,) = measure([given], [output()], [other])
    assert (found.outcome, found.asked, found.measured) == (ADJUSTED, asked, told)
    assert str(told) in found.message
