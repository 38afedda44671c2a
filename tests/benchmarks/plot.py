"""The picture of the README: four of the rows as bars."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.report import ByContender, typical

PANELS = {
    "CPU per chunk of `stream`, one packet for each event (µs)": "CPU per streamed chunk (µs)",
    "CPU per `invoke` (µs)": "CPU per invoke (µs)",
    "200 concurrent `ainvoke` (calls/s)": "calls per second, 200 at once",
    "Import of the class, by the clock (ms)": "import (ms)",
}
OURS = "#f6821f"
THEIRS = "#b9c0c9"
INK = "#24292f"


def plot(figures: Mapping[str, ByContender], file: Path) -> None:
    """Write the picture as SVG; rows that were not taken are left out."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("svg")
    pyplot = import_module("matplotlib.pyplot")
    # The same figures shall give the same file, whose letters stay letters.
    style = {"svg.fonttype": "none", "svg.hashsalt": "speed", "font.size": 9, "text.color": INK}
    panels = {row: title for row, title in PANELS.items() if row in figures}
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(
            1, len(panels), figsize=(2.9 * len(panels), 2.4), layout="constrained", squeeze=False
        )
        for axis, (row, title) in zip(axes[0], panels.items(), strict=True):
            _bars(axis, title, figures[row])
        figure.savefig(file, metadata={"Date": None})
        pyplot.close(figure)


def _bars(axis: Any, title: str, found: ByContender) -> None:
    names = [name for name in reversed(CONTENDERS) if found.get(name)]
    values = [typical(found[name]) for name in names]
    bars = axis.barh(
        [CONTENDERS[name].title for name in names],
        values,
        color=[OURS if name == "ours" else THEIRS for name in names],
        height=0.72,
    )
    axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, color=INK)
    axis.set_title(title, loc="left", fontsize=9, fontweight="bold")
    axis.set_xlim(0, 1.22 * max(values))
    axis.tick_params(length=0, labelcolor=INK)
    axis.set_xticks([])
    axis.spines[:].set_visible(False)
