"""The plot of `docs/speed.md`: a few of the rows as bars."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.contenders import CONTENDERS, LANGCHAIN
from tests.benchmarks.report import ByContender, typical

PANELS = {
    "CPU per chunk of `stream`, event by event, no pause (µs)": "µs per streamed chunk",
    "CPU per `invoke` (µs)": "µs per answer",
    "200 concurrent `ainvoke` (calls/s)": "calls/s, 200 at once",
    "Each further object (ms)": "ms per model object",
}
SHOWN = (*LANGCHAIN, "sdk")
"""What a program could use in the place of another."""

OURS = "#f6821f"
THEIRS = "#b9c0c9"
INK = "#24292f"


def plot(figures: Mapping[str, ByContender], file: Path) -> None:
    """Write the picture as SVG; rows that were not taken are left out."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("svg")
    pyplot = import_module("matplotlib.pyplot")
    panels = {row: title for row, title in PANELS.items() if row in figures}
    shown = [name for name in SHOWN if any(figures[row].get(name) for row in panels)]
    # The same figures shall give the same file, whose letters stay letters.
    style = {"svg.fonttype": "none", "svg.hashsalt": "speed", "font.size": 9, "text.color": INK}
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(
            1,
            len(panels),
            figsize=(1 + 2.2 * len(panels), 1.9),
            layout="constrained",
            sharey=True,
            squeeze=False,
        )
        for axis, (row, title) in zip(axes[0], panels.items(), strict=True):
            _bars(axis, title, shown, figures[row])
        figure.savefig(file, metadata={"Date": None})
        pyplot.close(figure)


def _bars(axis: Any, title: str, shown: Sequence[str], found: ByContender) -> None:
    values = [typical(found.get(name, ())) for name in shown]
    bars = axis.barh(
        [CONTENDERS[name].title for name in shown],
        values,
        color=[OURS if name == "ours" else THEIRS for name in shown],
        height=0.72,
    )
    axis.bar_label(
        bars,
        [f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in values],
        padding=3,
        color=INK,
    )
    axis.set_title(title, loc="left", fontsize=9, fontweight="bold")
    axis.set_xlim(0, 1.25 * max(values))
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.tick_params(length=0, labelcolor=INK)
    axis.set_xticks([])
    axis.spines[:].set_visible(False)
