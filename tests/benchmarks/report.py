"""Medians, the medians of paired ratios, and whether the goals are met, as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan, nan
from statistics import median

from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.measures import Goal, Measure, Row

ByContender = Mapping[str, Sequence[float]]

_RATIOS = ("least", "deepseek")


def typical(figures: Sequence[float]) -> float:
    """Return the median of the turns that did not fail; NaN when all did."""
    return median([figure for figure in figures if not isnan(figure)] or [nan])


def ratio(figures: ByContender, contender: str) -> float | None:
    """Return our figure by a contender's, the median of the turns; `None` without one."""
    pairs = zip(figures.get("ours", ()), figures.get(contender, ()), strict=False)
    ratios = [ours / its for ours, its in pairs if its]
    return typical(ratios) if ratios else None


def report(measures: Sequence[Measure], figures: Mapping[str, ByContender]) -> str:
    """Return a table for each group of measures."""
    groups: dict[str, list[Row]] = {}
    for measure in measures:
        groups.setdefault(measure.group, []).extend(measure.rows)
    return "\n".join(
        line
        for group, rows in groups.items()
        for line in (f"## {group}", "", *_table(rows, figures))
    )


def _table(rows: Sequence[Row], figures: Mapping[str, ByContender]) -> Iterator[str]:
    present = [name for name in CONTENDERS if any(figures[row.title].get(name) for row in rows)]
    compared = [name for name in _RATIOS if name in present and "ours" in present]
    titles = [CONTENDERS[name].title for name in present]
    titles += [f"ours / {CONTENDERS[name].title}" for name in compared]
    yield _line(["", *titles, "goal"])
    yield _line(["---", *["---:"] * len(titles), "---"])
    for row in rows:
        found = figures[row.title]
        cells = [_figure(typical(found[name])) if found.get(name) else "" for name in present]
        cells += [_figure(ratio(found, name)) for name in compared]
        goals = "; ".join(filter(None, (_verdict(goal, found) for goal in row.goals)))
        yield _line([row.title, *cells, goals])
    yield ""


def _verdict(goal: Goal, found: ByContender) -> str:
    sign = "≥" if goal.at_least else "≤"
    if goal.against is None:
        reached, wanted = typical(found["ours"]) if found.get("ours") else None, f"{goal.limit:g}"
    else:
        reached = ratio(found, goal.against)
        wanted = f"{goal.limit:g} {CONTENDERS[goal.against].title}"
    if reached is None:
        return ""
    if isnan(reached):
        return f"{sign} {wanted}: failed"
    is_met = reached >= goal.limit if goal.at_least else reached <= goal.limit
    return f"{sign} {wanted}: {_figure(reached)} {'met' if is_met else '**missed**'}"


def _figure(value: float | None) -> str:
    """Return three digits of a figure."""
    if value is None:
        return ""
    if isnan(value):
        return "failed"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
