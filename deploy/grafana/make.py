"""Writes the Grafana dashboards into dashboards/. Run by `make dashboards`.

    python -m deploy.grafana.make           # writes them
    python -m deploy.grafana.make --check   # changes nothing; exits with 1 if a file differs

A test holds every query against the metrics that the server declares; another runs every query on a real Prometheus.
"""

import json
import sys
from pathlib import Path

from deploy.grafana.engines import ENGINES
from deploy.grafana.panels import dashboard
from deploy.grafana.providers import PROVIDERS
from deploy.grafana.traffic import TRAFFIC

FOLDER = Path(__file__).parent / "dashboards"


def main() -> int:
    """Writes or checks the files. Returns the exit status: 1 if a file is stale."""
    boards = (TRAFFIC, PROVIDERS, ENGINES)
    made = {FOLDER / f"{board.name}.json": json.dumps(dashboard(board), indent=2) + "\n" for board in boards}
    if "--check" not in sys.argv[1:]:
        FOLDER.mkdir(exist_ok=True)
        for path, text in made.items():
            path.write_text(text)
        return 0
    wrong = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    for path in wrong:
        print(f"{path.name} differs from the panels in deploy/grafana; run: make dashboards", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
