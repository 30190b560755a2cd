"""Draws what panels.py measured. Run by `make panels`.

.venv/bin/uv run --no-project --with matplotlib docs/panel_curves.py out/panels.json
"""

import json
import math
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

FOLDER = Path(__file__).parent / "images" / "observability"
NOTE = "drawn by docs/panel_curves.py from the dashboard's queries on a real Prometheus; no Grafana was at hand"

measured = json.loads(Path(sys.argv[1]).read_text())
FOLDER.mkdir(parents=True, exist_ok=True)

for name, panel in measured["panels"].items():
    figure, axis = pyplot.subplots(figsize=(9, 3.6), layout="constrained")
    lines = {legend: points for legend, points in panel["lines"].items() if any(value > 0 for _, value in points)}
    if "stacked" in panel["unit"]:
        seconds = sorted({at for points in lines.values() for at, _ in points})
        heights = [[dict(map(tuple, points)).get(at, 0.0) for at in seconds] for points in lines.values()]
        heights = [[0.0 if math.isnan(height) else height for height in each] for each in heights]
        axis.stackplot(seconds, heights, labels=list(lines), alpha=0.7)
    else:
        for legend, points in lines.items():
            axis.plot([at for at, _ in points], [value for _, value in points], label=legend, linewidth=1.4)
    axis.set_title(panel["title"], loc="left", fontsize=11)
    axis.set_ylabel(panel["unit"])
    axis.set_ylim(bottom=0)
    axis.grid(color="0.88")
    axis.set_xlabel(f"seconds\n{NOTE}", fontsize=8)
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)
    figure.savefig(FOLDER / f"{name}.png", dpi=110)

spans = measured["trace"]
figure, axis = pyplot.subplots(figsize=(10, 0.34 * len(spans) + 1.3), layout="constrained")
for row, span in enumerate(spans):
    axis.barh(
        -row, max(span["ended"] - span["began"], 0.15), left=span["began"], height=0.55, color=f"C{span['depth']}"
    )
    axis.text(span["ended"], -row, f"  {span['ended'] - span['began']:.1f} ms", va="center", fontsize=8)
axis.set_yticks(
    [-row for row in range(len(spans))], ["    " * span["depth"] + span["name"] for span in spans], fontsize=8
)
for label in axis.get_yticklabels():
    label.set_horizontalalignment("left")
axis.tick_params(axis="y", pad=215, length=0)
axis.set_xlim(0, max(span["ended"] for span in spans) * 1.12)
axis.grid(axis="x", color="0.88")
axis.set_axisbelow(True)
axis.set_xlabel(
    f"milliseconds; events of the call: {', '.join(spans[0]['events'])}\none trace, as the server exported it",
    fontsize=8,
)
figure.savefig(FOLDER / "trace.png", dpi=110)
