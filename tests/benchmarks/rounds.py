"""Takes the measures: in every round each contender has a fresh process, and they take turns."""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from math import nan
from multiprocessing import get_context

from tests.benchmarks.measures import Measure
from tests.benchmarks.server import running_server

_log = logging.getLogger(__name__)

Figures = dict[str, dict[str, list[float]]]
"""Row title -> contender -> its figures, one of each turn; NaN where it failed."""

_SETTINGS = re.compile(
    "(CLOUDFLARE|CF|DEEPSEEK|OPENAI|LANGSMITH|LANGCHAIN|LC|SSL)_.*|.*_proxy", re.IGNORECASE
)


def take(measures: Sequence[Measure], contenders: Sequence[str], rounds: int) -> Figures:
    """Take all measures in every round; the log tells how far it is."""
    for name in list(os.environ):
        if _SETTINGS.fullmatch(name):
            del os.environ[name]
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with running_server() as server:
        for number in range(rounds):
            # Who comes first shall not be whoever finds the machine at its coolest.
            first = number % len(contenders)
            order = [*contenders[first:], *contenders[:first]]
            with ExitStack() as stack:
                shared = {name: stack.enter_context(_process()) for name in order}
                for measure in measures:
                    _log.info("round %d of %d: %s", number + 1, rounds, measure.rows[0].title)
                    for name in order * measure.turns:
                        if name in measure.contenders:
                            for row, figure in _figures(measure, name, server, shared).items():
                                figures[row][name].append(figure)
    return figures


def _figures(
    measure: Measure, name: str, server: str, shared: Mapping[str, ProcessPoolExecutor]
) -> dict[str, float]:
    with ExitStack() as stack:
        process = stack.enter_context(_process()) if measure.own_process else shared[name]
        try:
            figures = process.submit(measure.take, name, server).result()
        except Exception:  # noqa: BLE001  # whatever a peer fails with is a finding about it
            _log.exception("%s failed", name)
            figures = [nan] * len(measure.rows)
    return {row.title: float(figure) for row, figure in zip(measure.rows, figures, strict=True)}


def _process() -> ProcessPoolExecutor:
    """A process that starts with its first measure, and knows nothing of this one's modules."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))
