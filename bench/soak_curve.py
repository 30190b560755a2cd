"""Draws `bench/soak.csv`, which `bench/soak.py` writes, as `bench/soak.png`.

.venv/bin/uv run --no-project --with matplotlib bench/soak_curve.py
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

HERE = Path(__file__).parent
with open(HERE / "soak.csv", newline="") as file:
    rows = list(csv.DictReader(file))
minutes = [float(row["seconds"]) / 60 for row in rows]
fields = [field for field in rows[0] if field != "seconds"]
figure, axes = pyplot.subplots(len(fields), sharex=True, figsize=(9, 1.4 * len(fields)), layout="constrained")
for axis, field in zip(axes, fields, strict=True):
    axis.plot(minutes, [float(row[field]) for row in rows], linewidth=0.9)
    axis.axvspan(0, minutes[-1] / 6, color="0.92")
    axis.set_title(field, loc="left", fontsize=9)
    axis.set_ylim(bottom=0)
    axis.grid(color="0.85")
axes[-1].set_xlabel("minutes; the slopes are of the white part")
figure.savefig(HERE / "soak.png", dpi=110)
