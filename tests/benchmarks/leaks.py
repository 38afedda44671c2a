"""What is left in a process after many calls: open files, threads, objects, memory.

    python -m tests.benchmarks.leaks [10000]

prints a table in Markdown. The number is that of calls for each of the first four ways; others,
which take longer, are used a tenth as often, but so many models are made. The gateway is a
process of its own. Each use runs briefly before it is measured, so that what is made once in
a process does not count.
"""

import argparse
import gc
import os
import threading
import time
import tracemalloc
from pathlib import Path

from langchain_cf_deepseek.local import LocalGateway
from tests.benchmarks.gateway_process import GatewayProcess
from tests.workload import USES, objects_of_calls

AS_OFTEN = {"invoke", "stream", "ainvoke", "astream", "models never used"}
WARM_UP = 50
PAGE = os.sysconf("SC_PAGE_SIZE")

Figures = dict[str, float]


def _figures() -> Figures:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    return {
        "open files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "objects": objects_of_calls(),
        "Python memory, KiB": tracemalloc.get_traced_memory()[0] / 1024,
        "RSS, MiB": resident / 1024**2,
    }


def _measured(gw: LocalGateway, use: str, times: int) -> tuple[Figures, Figures, float]:
    USES[use](gw, WARM_UP)
    before = _figures()
    begun = time.perf_counter()
    USES[use](gw, times)
    seconds = time.perf_counter() - begun
    return before, _figures(), seconds


def main() -> None:
    """Measure every use and print what it left."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("calls", type=int, nargs="?", default=10_000)
    calls: int = parser.parse_args().calls
    tracemalloc.start()
    with GatewayProcess() as gw:
        for number, use in enumerate(USES):
            times = calls if use in AS_OFTEN else calls // 10
            before, after, seconds = _measured(gw, use, times)
            gw.reset()
            if not number:
                print(f"| use | times | seconds | {' | '.join(before)} |")
                print("| --- " * (len(before) + 3) + "|")
            cells = [f"{before[name]:.0f} → {after[name]:.0f}" for name in before]
            print(f"| {use} | {times} | {seconds:.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
