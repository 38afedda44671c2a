"""Measures the speed of this package beside its peers: `python -m tests.benchmarks`.

CPU is that of the client's process alone, figures are medians of the rounds, and a ratio is the
median of the ratios of each round. `--quick` looks for mistakes, not for figures.
"""

import argparse
import json
import logging
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.bare import HTTP_LIBRARY
from tests.benchmarks.contenders import installed
from tests.benchmarks.measures import GROUPS, measures
from tests.benchmarks.plot import plot
from tests.benchmarks.report import report
from tests.benchmarks.rounds import take

_VERSIONS = ("langchain-core", "langchain-openai", "openai", HTTP_LIBRARY, "pydantic")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options().parse_args(arguments)
    chosen = [m for m in measures(quick=options.quick) if m.group in options.only]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    figures = take(chosen, installed(), options.rounds)
    libraries = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    print(
        f"Python {platform.python_version()}, {libraries}; {os.cpu_count()} CPUs, "
        f"rounds: {options.rounds}.\n\n{report(chosen, figures)}"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(figures, options.plot)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--only", type=_groups, default=GROUPS, help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="fewer calls, shorter streams")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw some rows (matplotlib)")
    return parser


def _groups(text: str) -> list[str]:
    groups = text.split(",")
    if unknown := set(groups) - set(GROUPS):
        msg = f"unknown: {', '.join(sorted(unknown))}"
        raise argparse.ArgumentTypeError(msg)
    return groups


if __name__ == "__main__":
    main()
