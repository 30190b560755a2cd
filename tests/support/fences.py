"""Fenced blocks of Markdown pages: commands and programs that tests run as they are written."""

import re

__all__ = ["fenced"]


def fenced(page: str, *languages: str) -> list[tuple[str, str]]:
    """Returns the blocks of a page in some languages, in order: the language after the fence, and the code."""
    pattern = rf"^```({'|'.join(languages)})\n(.*?)^```$"
    return re.findall(pattern, page, re.MULTILINE | re.DOTALL)
