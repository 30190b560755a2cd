"""Writes the generated pages of docs/ (`make docs`).

`metrics.md` comes from the instruments; `providers.md` and `providers/` come from the catalog and from the recordings
that hold. With `--check` (`make check-docs`) it names stale pages and writes nothing.
"""

import logging
import sys
from pathlib import Path

import structlog
from docs.metrics_page import metrics_page
from docs.overview import overview
from docs.vendor_page import vendor_page
from tests.support.recording_evidence import run_recordings, vendors

PAGES = Path(__file__).parent


def main() -> int:
    """Writes or checks the pages. Returns the exit status: 1 if a page is stale."""
    # Recordings are replayed with keys that lack the vendors' form. Each would log a warning.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    for name, problem in run_recordings().items():
        if problem:
            print(f"{name} does not hold, so it proves nothing: {problem}", file=sys.stderr)
    made = pages()
    if "--check" not in sys.argv[1:]:
        for path, text in made.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return 0
    wrong = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    for path in wrong:
        where = path.relative_to(PAGES.parent)
        print(f"{where} differs from the code, the catalog or the recordings; run: make docs", file=sys.stderr)
    return bool(wrong)


def pages() -> dict[Path, str]:
    """Returns the text of each page by its path."""
    found = {PAGES / "metrics.md": metrics_page(), PAGES / "providers.md": overview()}
    return found | {PAGES / "providers" / f"{name}.md": vendor_page(vendor) for name, vendor in vendors().items()}


if __name__ == "__main__":
    sys.exit(main())
