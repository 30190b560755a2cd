"""Secret: whatever is made of one, the text is not in it."""

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from celeste_image.config import SecretText
from celeste_image.core.secret import HIDDEN, Secret

TEXT = "sk-canary-0123456789"
SECRET = Secret(TEXT)


@dataclass(frozen=True)
class Holder:
    secret: Secret


class Model(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    secret: SecretText
    number: int = 0


MODEL = Model(secret=TEXT)  # type: ignore[arg-type]


def test_it_gives_out_its_text_when_asked() -> None:
    assert SECRET.reveal() == MODEL.secret.reveal() == TEXT


@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        ascii,
        "{}".format,
        "{!r:>40}".format,
        "{:.99}".format,
        lambda it: f"{it}",
        lambda it: "%s %r" % (it, it),  # noqa: UP031
        lambda it: repr([it, {it: it}]),
        lambda it: repr(asdict(Holder(it))) + repr(astuple(Holder(it))) + repr(Holder(it)),
        lambda it: repr(copy.copy(it)) + repr(copy.deepcopy(it)),
        lambda it: repr(Exception("no", it)),
        lambda it: json.dumps(it, default=str),
        lambda it: orjson.dumps({"a": it}, default=str).decode(),
        lambda it: repr(MODEL) + str(MODEL) + MODEL.model_dump_json() + repr(MODEL.model_dump()),
        lambda it: repr(MODEL.model_dump(mode="json")) + repr(dict(MODEL)),
        lambda it: repr(dir(it)) + repr(getattr(it, "__dict__", "")),
    ],
)
def test_it_is_not_in_what_is_shown(shown: Callable[[Any], str]) -> None:
    assert TEXT not in shown(SECRET)


@pytest.mark.parametrize("value", [SECRET, Holder(SECRET), MODEL, {"a": [SECRET]}])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(value: object, protocol: int) -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(value, protocol)


def test_no_json_is_made_of_it() -> None:
    for dumps in (json.dumps, orjson.dumps):
        with pytest.raises(TypeError):
            dumps({"a": SECRET})


def test_equal_are_those_of_the_same_text() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert (bool(Secret("")), bool(SECRET), str(SECRET)) == (False, True, HIDDEN)


@pytest.mark.parametrize("values", [{"secret": TEXT, "number": TEXT}, {"secret": [TEXT]}, {"secret": {TEXT: 1}}])
def test_what_is_refused_does_not_repeat_it(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Model(**values)
    assert TEXT not in str(caught.value) + repr(caught.value)
