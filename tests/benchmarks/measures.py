"""The table of what is measured: rows, who is in them, and the goals that ours has in each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.benchmarks import calls, histories, imports, objects
from tests.benchmarks.contenders import EVERYONE, LANGCHAIN
from tests.benchmarks.server import HOLD_SECONDS

Take = Callable[[str, str], Sequence[float]]


@dataclass(frozen=True)
class Goal:
    """A bound for our figure: for its ratio to that of a contender, or for itself."""

    limit: float
    against: str | None = None
    at_least: bool = False


@dataclass(frozen=True)
class Row:
    """One figure of each contender."""

    title: str
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True)
class Measure:
    """A few rows that are taken together."""

    group: str
    rows: tuple[Row, ...]

    take: Take
    """Called with a contender and the server's address, in the contender's process."""

    contenders: tuple[str, ...] = EVERYONE

    turns: int = 1
    """How often each contender is measured in a round."""

    own_process: bool = False
    """Whether what was measured before would show."""


GROUPS = ("chunk", "invoke", "concurrency", "objects", "import", "bulk", "messages")

_PACKETS = {
    "paced": "one packet for each event",
    "brisk": "event by event, no pause",
    "packed": "many events in a packet",
}
_OURS_AND_LEAST = ("ours", "least")
_ASYNC = ("plain", *EVERYONE)
_FLAT = 1.15
"""What an equal cost may measure."""


def measures(*, quick: bool) -> list[Measure]:
    """Return what is measured, in the order of the report."""
    return [
        *_chunk(quick=quick),
        *_invoke(),
        *_concurrency(quick=quick),
        *_objects(quick=quick),
        *_imports(),
        *_bulk(quick=quick),
        *_messages(quick=quick),
    ]


def _way(name: str, *, is_async: bool) -> str:
    return f"`a{name}`" if is_async else f"`{name}`"


def _chunk(*, quick: bool) -> list[Measure]:
    goals = (Goal(0.8, "least"), Goal(0.15, "deepseek"))
    lengths = (100, 500, 2000) if quick else (100, 2000, 20_000)
    found = []
    for is_async in (False, True):
        way = _way("stream", is_async=is_async)
        found += [
            Measure(
                "chunk",
                (Row(f"CPU per chunk of {way}, {_PACKETS[how]} (µs)", goals),),
                partial(calls.chunk_cpu, how=how, chunks=2000, is_async=is_async),
                _ASYNC if is_async else EVERYONE,
                turns=2 if how == "paced" else 3,
            )
            for how in _PACKETS
        ]
    for is_async in (False, True):
        way = _way("stream", is_async=is_async)
        found += [
            Measure(
                "chunk",
                (
                    *(Row(f"{way}, {_PACKETS[how]}, {n:,} chunks (µs)") for n in lengths),
                    Row(
                        f"{way}, {_PACKETS[how]}, a chunk of {lengths[-1]:,} / of fewer (x)",
                        (Goal(_FLAT),),
                    ),
                ),
                partial(calls.chunk_cpu_by_length, how=how, lengths=lengths, is_async=is_async),
                _OURS_AND_LEAST,
            )
            for how in ("paced", "packed")
        ]
        found.append(
            Measure(
                "chunk",
                (
                    Row(
                        f"First chunk of {way}, the second held {1000 * HOLD_SECONDS:.0f} ms (ms)",
                        (Goal(500 * HOLD_SECONDS),),
                    ),
                ),
                partial(calls.first_chunk, is_async=is_async),
            )
        )
    found.append(
        Measure(
            "chunk",
            (Row("Reads per event, one packet for each (x)"),),
            partial(calls.reads_per_event, chunks=2000),
            ("raw",),
        )
    )
    return found


def _invoke() -> list[Measure]:
    goals = (Goal(1.0, "least"), Goal(0.45, "deepseek"))
    return [
        Measure(
            "invoke",
            (Row(f"CPU per {_way('invoke', is_async=is_async)} (µs)", goals),),
            partial(calls.call_cpu, calls=100, is_async=is_async),
            _ASYNC if is_async else EVERYONE,
            turns=3,
        )
        for is_async in (False, True)
    ]


def _concurrency(*, quick: bool) -> list[Measure]:
    found = []
    for callers, asked in ((100, 200),) if quick else ((200, 1000), (1000, 2000)):
        for streamed, way in ((False, "`ainvoke`"), (True, "`astream` of 20")):
            what = f"{callers:,} concurrent {way}"
            found.append(
                Measure(
                    "concurrency",
                    (
                        Row(
                            f"{what} (calls/s)",
                            (
                                Goal(2.5, "deepseek", at_least=True),
                                Goal(0.7, "http", at_least=True),
                            ),
                        ),
                        Row(f"{what}, CPU per call (µs)"),
                        Row(f"{what}, memory peak (MB)", (Goal(1.0, "openai"),)),
                        Row(f"{what}, connections accepted", (Goal(callers),)),
                    ),
                    partial(
                        calls.concurrency,
                        how="packed",
                        callers=callers,
                        calls=asked,
                        streamed=streamed,
                    ),
                    _ASYNC,
                    own_process=True,
                )
            )
    callers = 100 if quick else 1000
    for streamed, way in ((False, "`ainvoke`"), (True, "`astream`")):
        what = f"{callers:,} concurrent {way} of 3 s"
        found.append(
            Measure(
                "concurrency",
                (
                    Row(f"{what} (calls/s; {callers / 3:.0f} at best)"),
                    Row(f"{what}, CPU per call (µs)"),
                    Row(f"{what}, memory peak (MB)", (Goal(1.0, "openai"),)),
                    Row(f"{what}, connections accepted", (Goal(callers),)),
                ),
                partial(
                    calls.concurrency, how="slow", callers=callers, calls=callers, streamed=streamed
                ),
                # That of Workers AI has at most 100 connections, and would take half a minute.
                tuple(name for name in _ASYNC if name != "cloudflare"),
                own_process=True,
            )
        )
    return found


def _objects(*, quick: bool) -> list[Measure]:
    count = 1000 if quick else 10_000
    return [
        Measure(
            "objects",
            (
                Row("Each further object (ms)", (Goal(0.15),)),
                Row("Each further object (kB)", (Goal(8),)),
                Row("Sockets, threads and TLS contexts of a further object", (Goal(0),)),
            ),
            objects.further_objects,
            (*LANGCHAIN, "sdk"),
            own_process=True,
        ),
        Measure(
            "objects",
            (
                Row("Sockets, threads and TLS contexts of the first object", (Goal(0),)),
                Row("TLS contexts of two objects and their first calls", (Goal(0),)),
            ),
            objects.first_object,
            (*LANGCHAIN, "sdk"),
            own_process=True,
        ),
        Measure(
            "objects",
            (Row(f"{count:,} objects in one process (s)"),),
            partial(objects.many_objects, count=count),
            ("ours",),
            own_process=True,
        ),
    ]


def _imports() -> list[Measure]:
    return [
        Measure(
            "import",
            (
                Row("Import of the class, by the clock (ms)", (Goal(1.03, "openai"),)),
                Row("Import of the class, CPU (ms)", (Goal(1.03, "openai"),)),
            ),
            imports.import_times,
            (*LANGCHAIN, "sdk", "http"),
            turns=4,
        ),
        Measure(
            "import",
            (
                Row("The interpreter alone, CPU (ms)"),
                Row("Import of the version, beyond the interpreter, CPU (ms)", (Goal(60),)),
                Row("Import of the options, beyond the interpreter, CPU (ms)", (Goal(60),)),
                Row("Import of the exceptions, beyond the interpreter, CPU (ms)", (Goal(60),)),
                Row("Import of all three, beyond the interpreter, CPU (ms)", (Goal(60),)),
            ),
            imports.light_imports,
            ("ours",),
        ),
        Measure(
            "import",
            (
                Row(
                    f"Modules of {', '.join(f'`{room}`' for room in imports.UNWANTED)} loaded",
                    (Goal(0),),
                ),
            ),
            imports.unwanted_modules,
            ("ours",),
        ),
    ]


def _bulk(*, quick: bool) -> list[Measure]:
    prompts = 1000 if quick else 10_000
    return [
        Measure(
            "bulk",
            (
                Row(f"CPU per prompt of `batch` of {prompts:,} / `invoke` (x)", (Goal(1.1),)),
                Row(f"CPU per prompt of `abatch` of {prompts:,} / `ainvoke` (x)", (Goal(1.1),)),
                Row("Memory peak of a batch per prompt, answers kept (kB)"),
                Row(
                    "Memory peak of a second `batch` and `abatch`, beyond the first's (MB)",
                    (Goal(5),),
                ),
            ),
            partial(calls.bulk, prompts=prompts),
            _OURS_AND_LEAST,
            own_process=True,
        )
    ]


def _messages(*, quick: bool) -> list[Measure]:
    lengths = (100, 200, 400) if quick else (500, 1000, 2000)
    goals = (Goal(0.7, "deepseek"),)
    return [
        Measure(
            "messages",
            (
                *(Row(f"Body of {length:,} messages (ms)", goals) for length in lengths),
                Row(f"A message of {lengths[-1]:,} / of {lengths[0]:,} (x)", (Goal(_FLAT),)),
            ),
            partial(histories.body_times, lengths=lengths),
            ("ours", "deepseek", "openai"),
        ),
        Measure(
            "messages",
            (Row("Exact count of tokens (MB/s)", (Goal(1, at_least=True),)),),
            histories.token_speed,
            ("ours",),
        ),
    ]
