"""What calls cost: chunks of a stream, answers, many calls at once, and batches.

Every function here runs in the process of one contender, takes its name and the server's address,
and returns the figures of its rows.
"""

import asyncio
import atexit
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.contenders import CONTENDERS, Chat
from tests.benchmarks.server import connections

PROMPT = "Why is the sky blue?"
MICRO = 1e6
AT_ONCE = 100
"""How many calls an `abatch` has under way."""


@cache
def _runner() -> asyncio.Runner:
    """Return the event loop of this process: some peers share a client that knows one loop only."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


@cache
def _chat(contender: str, url: str) -> Chat:
    chat: Chat = CONTENDERS[contender].make(url)
    return chat


def _cpu(ask: Callable[[], object]) -> float:
    """Return the CPU seconds of this process while `ask` runs."""
    begin = time.process_time()
    ask()
    return time.process_time() - begin


def _drain(chat: Chat) -> int:
    return sum(1 for _ in chat.stream(PROMPT))


async def _adrain(chat: Chat) -> int:
    count = 0
    async for _ in chat.astream(PROMPT):
        count += 1
    return count


def _stream_cpu(chat: Chat, chunks: int, times: int, *, is_async: bool) -> float:
    """Return the CPU seconds of a stream, the median of so many."""
    counts = []

    def ask() -> None:
        counts.append(_runner().run(_adrain(chat)) if is_async else _drain(chat))

    seconds = median(_cpu(ask) for _ in range(times))
    if min(counts) < chunks:
        msg = f"{chunks} chunks were sent, {min(counts)} came"
        raise RuntimeError(msg)
    return seconds


def chunk_cpu(
    contender: str, server: str, *, how: str, chunks: int, is_async: bool
) -> tuple[float]:
    """CPU of a streamed chunk, in microseconds."""
    chat = _chat(contender, f"{server}/{how}/{chunks}")
    # A socket counts what it reads, and in a packet of it are many events.
    due = 0 if contender == "raw" else chunks
    _stream_cpu(_chat(contender, f"{server}/packed/20"), 0, 3, is_async=is_async)
    return (MICRO * _stream_cpu(chat, due, 1, is_async=is_async) / chunks,)


def chunk_cpu_by_length(
    contender: str, server: str, *, how: str, lengths: tuple[int, ...], is_async: bool
) -> tuple[float, ...]:
    """CPU of a chunk in streams of each length, beyond what a stream of one chunk costs.

    Followed by the cost in the longest streams, with that in the others for a unit.
    """
    _stream_cpu(_chat(contender, f"{server}/packed/20"), 20, 3, is_async=is_async)
    seconds = [
        _stream_cpu(
            _chat(contender, f"{server}/{how}/{chunks}"),
            chunks,
            min(100, max(1, 2000 // chunks)),
            is_async=is_async,
        )
        for chunks in (1, *lengths)
    ]
    costs = [
        MICRO * (taken - seconds[0]) / (chunks - 1)
        for chunks, taken in zip(lengths, seconds[1:], strict=True)
    ]
    return (*costs, costs[-1] / median(costs[:-1]))


def reads_per_event(contender: str, server: str, *, chunks: int) -> tuple[float]:
    """How often a socket is read for each event that is sent alone."""
    return (_drain(_chat(contender, f"{server}/paced/{chunks}")) / (chunks + 3),)


def first_chunk(contender: str, server: str, *, is_async: bool) -> tuple[float]:
    """Milliseconds until the first chunk is handed on; the second event is held back."""
    chat = _chat(contender, f"{server}/held/20")

    async def ask_async() -> float:
        begin = time.perf_counter()
        stream = chat.astream(PROMPT)
        await anext(stream)
        taken = time.perf_counter() - begin
        async for _ in stream:
            pass
        return taken

    def ask() -> float:
        begin = time.perf_counter()
        stream = chat.stream(PROMPT)
        next(stream)
        taken = time.perf_counter() - begin
        for _ in stream:
            pass
        return taken

    taken = [_runner().run(ask_async()) if is_async else ask() for _ in range(2)]
    return (1000 * taken[-1],)


def call_cpu(contender: str, server: str, *, calls: int, is_async: bool) -> tuple[float]:
    """CPU of an answer, one after the other, in microseconds."""
    chat = _chat(contender, f"{server}/packed/20")

    async def ask_async() -> None:
        for _ in range(calls):
            await chat.ainvoke(PROMPT)

    def ask() -> None:
        for _ in range(calls):
            chat.invoke(PROMPT)

    def turn() -> None:
        _runner().run(ask_async()) if is_async else ask()

    turn()
    return (MICRO * _cpu(turn) / calls,)


def concurrency(
    contender: str, server: str, *, how: str, callers: int, calls: int, streamed: bool
) -> tuple[float, ...]:
    """Many callers, each asking again and again: calls/s, CPU, memory peak, connections made."""
    chat = _chat(contender, f"{server}/{how}/20")
    connections_before = connections(server)

    async def one(times: int) -> None:
        for _ in range(times):
            await (_adrain(chat) if streamed else chat.ainvoke(PROMPT))

    async def all_of_them() -> None:
        await asyncio.gather(*(one(calls // callers) for _ in range(callers)))

    _runner().run(one(1))  # what is loaded with the first call
    cpu, wall = time.process_time(), time.perf_counter()
    _runner().run(all_of_them())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return (
        calls / wall,
        MICRO * cpu / calls,
        _peak_megabytes(),
        connections(server) - connections_before,
    )


def _peak_megabytes() -> float:
    """Return the most memory that this process has held, as Linux knows it.

    `getrusage` would count that of its parent before the program was loaded.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    _, _, peak = status.partition("VmHWM:")
    return int(peak.split()[0]) / 1024


def bulk(contender: str, server: str, *, prompts: int) -> tuple[float, ...]:
    """CPU of a prompt in `batch` and `abatch`, single calls for a unit, and memory."""
    chat: Any = _chat(contender, f"{server}/packed/20")
    asked = [f"Define the word number {number}." for number in range(prompts)]
    some = asked[: prompts // 5]

    def single() -> None:
        for prompt in some:
            chat.invoke(prompt)

    async def asingle() -> None:
        for prompt in some:
            await chat.ainvoke(prompt)

    async def abatch() -> None:
        await chat.abatch(asked, {"max_concurrency": AT_ONCE})

    def overhead(batch: Callable[[], object], single: Callable[[], object]) -> float:
        return _cpu(batch) / _cpu(single) * len(some) / len(asked)

    def batch_overhead() -> float:
        return overhead(lambda: chat.batch(asked), single)

    def abatch_overhead() -> float:
        return overhead(lambda: _runner().run(abatch()), lambda: _runner().run(asingle()))

    single()
    chat.batch(some)
    peak = _peak_megabytes()
    ratios = [batch_overhead()]
    kilobytes = 1024 * (_peak_megabytes() - peak) / prompts
    aratios = [abatch_overhead()]
    first_peak = _peak_megabytes()
    ratios.append(batch_overhead())
    aratios.append(abatch_overhead())
    growth = _peak_megabytes() - first_peak
    return median(ratios), median(aratios), kilobytes, growth
