"""Many streams at once: throughput, CPU and memory of each client, without faults and with.

    python -m tests.benchmarks.load

prints a table in Markdown. Each row is measured in a process of its own, the gateway in another,
so CPU and memory are the client's alone; the medians of three rounds, after one to warm up.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from tests.benchmarks.clients import CLIENTS
from tests.benchmarks.gateway_process import GatewayProcess
from tests.test_load import FAULTS

ROUNDS = 3
UNIT = 1024 if sys.platform == "linux" else 1
"""Bytes of which `ru_maxrss` counts."""

# The clients of others are shared between models, and live in the event loop of their first call.
_RUNNER = asyncio.Runner()

QUESTION = "What is {:03}?"

RIGHT, TYPED, TAKEN = "right", "error", "cut, taken for an answer"
Outcome = tuple[str, float]
"""What became of a stream, and the seconds to its first chunk."""


def _judged(total: Any, number: int, answer: str) -> str:
    return RIGHT if total.text == answer.replace("000", f"{number:03}") else TAKEN


def _stream_all(llm: Any, streams: int, answer: str) -> list[Outcome]:
    def one(number: int) -> Outcome:
        begun, total, first = time.perf_counter(), None, 0.0
        try:
            for chunk in llm.stream(QUESTION.format(number)):
                first = first or time.perf_counter() - begun
                total = chunk if total is None else total + chunk
        except Exception:  # noqa: BLE001 - the fault matrix tells them apart
            return TYPED, first
        return _judged(total, number, answer), first

    with ThreadPoolExecutor(streams) as threads:
        return list(threads.map(one, range(streams)))


def _astream_all(llm: Any, streams: int, answer: str) -> list[Outcome]:
    async def one(number: int) -> Outcome:
        begun, total, first = time.perf_counter(), None, 0.0
        try:
            async for chunk in llm.astream(QUESTION.format(number)):
                first = first or time.perf_counter() - begun
                total = chunk if total is None else total + chunk
        except Exception:  # noqa: BLE001 - the fault matrix tells them apart
            return TYPED, first
        return _judged(total, number, answer), first

    async def all_of_them() -> list[Outcome]:
        return await asyncio.gather(*map(one, range(streams)))

    return _RUNNER.run(all_of_them())


PATHS: dict[str, Callable[[Any, int, str], list[Outcome]]] = {
    "astream": _astream_all,
    "stream": _stream_all,
}


def _peak() -> float:
    """The most memory this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 1024**2


def _measure(client: str, path: str, streams: int, faulty: bool) -> dict[str, Any]:
    seconds, cpu, ends = [], [], Counter[str]()
    with GatewayProcess() as gw:
        llm = CLIENTS[client](gw, gw.base_url(), timeout=120)
        answer = llm.invoke(QUESTION.format(0)).text
        PATHS[path](llm, 10, answer)
        before = _peak()
        for _ in range(ROUNDS):
            gw.reset()
            for fault in FAULTS.values() if faulty else ():
                gw.fault(fault)
            begun, spent = time.perf_counter(), time.process_time()
            outcomes = PATHS[path](llm, streams, answer)
            cpu.append(time.process_time() - spent)
            seconds.append(time.perf_counter() - begun)
            ends.update(end for end, _ in outcomes)
    return {
        "streams/s": f"{streams / median(seconds):.0f}",
        "CPU per stream, ms": f"{1000 * median(cpu) / streams:.1f}",
        "first chunk, median s": f"{median(first for _, first in outcomes if first):.2f}",
        "memory on top, MiB": f"{_peak() - before:.0f}",
        **{end: str(ends[end]) for end in (RIGHT, TYPED, TAKEN)},
    }


def _row(*of: Any) -> dict[str, str]:
    """Measure in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, json.dumps(of)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603
    row: dict[str, str] = json.loads(done.stdout)
    return row


def main() -> None:
    """Measure every client at every load, and print a line of each."""
    printed = False
    for path in PATHS:
        for streams in (200, 500):
            for faulty in (False, True):
                for client in CLIENTS:
                    row = _row(client, path, streams, faulty)
                    if not printed:
                        print(f"| client | way | at once | faults | {' | '.join(row)} |")
                        print("| --- " * (len(row) + 4) + "|")
                        printed = True
                    of = [client, path, str(streams), "15 %" if faulty else "none"]
                    print(f"| {' | '.join([*of, *row.values()])} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_measure(*json.loads(sys.argv[1]))))
    else:
        main()
