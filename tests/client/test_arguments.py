"""Unknown arguments of client methods are a TypeError with the nearest known name."""

import inspect
from typing import Any

import pytest

from celeste_image.client import AsyncClient, Client
from celeste_image.client.arguments import known_arguments
from celeste_image.core.edits import Vary

METHODS = sorted(name for name, method in vars(Client).items() if inspect.isfunction(method) and name[0] != "_")
POSITIONAL: dict[str, tuple[Any, ...]] = {
    "generate": ("x",),
    "edit": (b"x", Vary()),
    "upscale": (b"x",),
    "analyze": (b"x",),
    "run": (None,),
    "stream": (None,),
    "read": ("artifacts/x",),
    "chunks": ("artifacts/x",),
    "upload": (b"x",),
    "save": (None, "x"),
    "model": ("x",),
}


async def called(client: Any, name: str, **arguments: Any) -> Any:
    """Calls a method of either client and returns its outcome, whatever the kind of method."""
    outcome = getattr(client, name)(*POSITIONAL.get(name, ()), **arguments)
    return await outcome if inspect.isawaitable(outcome) else outcome


def test_both_clients_have_the_same_methods() -> None:
    assert (
        sorted(name for name, method in vars(AsyncClient).items() if inspect.isfunction(method) and name[0] != "_")
        == METHODS
    )


@pytest.mark.parametrize("cls", [Client, AsyncClient], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("name", METHODS)
async def test_an_unknown_argument_is_refused_with_the_nearest_name(cls: type, name: str) -> None:
    client: Any = cls("127.0.0.1:9")
    for known in known_arguments(getattr(cls, name)) or {""}:
        wrong = f"{known}_x"
        with pytest.raises(TypeError, match=rf"{name}\(\) has no argument '{wrong}'") as caught:
            await called(client, name, **{wrong: 1})
        assert not known or f"did you mean {known!r}" in str(caught.value)


@pytest.mark.parametrize("name", ["generate", "edit", "upscale"])
@pytest.mark.parametrize("cls", [Client, AsyncClient], ids=lambda cls: cls.__name__)
async def test_a_size_that_is_misspelt(cls: type, name: str) -> None:
    with pytest.raises(TypeError, match="'sise'; did you mean 'size'"):
        await called(cls("127.0.0.1:9"), name, sise=(1, 1))


@pytest.mark.parametrize("cls", [Client, AsyncClient], ids=lambda cls: cls.__name__)
async def test_a_name_that_is_like_no_other_is_answered_with_all(cls: type) -> None:
    with pytest.raises(TypeError, match=r"upload\(\) has no argument 'zzz'; it has data"):
        await called(cls("127.0.0.1:9"), "upload", zzz=1)


@pytest.mark.parametrize("size", [{}, 512, (1, 2, 3), b"512x512"], ids=repr)
@pytest.mark.parametrize("cls", [Client, AsyncClient], ids=lambda cls: cls.__name__)
async def test_a_size_of_another_type_is_not_passed_over(cls: type, size: Any) -> None:
    with pytest.raises(TypeError, match="size is ") as caught:
        await called(cls("127.0.0.1:9"), "generate", size=size)
    assert repr(size) in str(caught.value)
