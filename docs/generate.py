"""Writes docs/providers.md and docs/providers/ from the catalog and the recordings that hold.

`make docs` runs it; with `--check`, `make check-docs`, it says whether the pages are up to date.
"""

import logging
import sys
from pathlib import Path

import structlog
from docs.overview import overview
from docs.vendor_page import vendor_page
from tests.support.recording_evidence import run_recordings, vendors

PAGES = Path(__file__).parent


def main() -> int:
    """Writes or checks the pages."""
    # The keys that the recordings are played with have no vendor's form, which the log would say of each.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    for name, problem in run_recordings().items():
        if problem:
            print(f"{name} does not hold and so proves nothing: {problem}", file=sys.stderr)
    made = pages()
    if "--check" not in sys.argv[1:]:
        for path, text in made.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return 0
    wrong = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    for path in wrong:
        where = path.relative_to(PAGES.parent)
        print(f"{where} is not what the catalog and the recordings say; run: make docs", file=sys.stderr)
    return bool(wrong)


def pages() -> dict[Path, str]:
    """Returns the text of each page."""
    found = {PAGES / "providers.md": overview()}
    return found | {PAGES / "providers" / f"{name}.md": vendor_page(vendor) for name, vendor in vendors().items()}


if __name__ == "__main__":
    sys.exit(main())
