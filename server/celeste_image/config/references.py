"""Secret references: a secret setting is `env:VARIABLE`, `file:PATH`, or the secret itself."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from celeste_image.core.secret import Secret, hide
from celeste_image.core.textfile import read_text

__all__ = ["ENVIRONMENT", "FILE", "exposed", "read_secret", "secret_of"]

ENVIRONMENT, FILE = "env:", "file:"
"""Prefixes of references, before the name of a variable or the path of a file."""


def secret_of(given: Secret, environment: Mapping[str, str]) -> Secret:
    """Returns the secret that a setting gives by itself or by a reference.

    Raises:
        ValueError: The variable or the file of the reference does not exist, or everyone may write the file.
    """
    text = given.reveal().strip()
    if text.startswith(ENVIRONMENT):
        name = text.removeprefix(ENVIRONMENT)
        if name not in environment:
            raise ValueError(f"there is no variable {name}")
        given = Secret(environment[name].strip())
    elif text.startswith(FILE):
        given = Secret(read_secret(Path(text.removeprefix(FILE))))
    hide(given)
    return given


def read_secret(file: Path) -> str:
    """Returns the secret that is alone in a file, without white space around it.

    Raises:
        ValueError: The file can't be read, or everyone may write it.
    """
    try:
        if os.name != "nt" and file.stat().st_mode & stat.S_IWOTH:
            raise ValueError(f"{file}: everyone may write this file, so its secret is not used; chmod o-w helps")
        return read_text(file).strip()
    except OSError as error:
        raise ValueError(f"can't read {file}: {error.strerror or 'it is no file'}") from None
    except UnicodeDecodeError:
        raise ValueError(f"can't read {file}: it is not text") from None


def exposed(file: Path) -> bool:
    """Returns whether every user of this machine may read a file."""
    try:
        return os.name != "nt" and bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
